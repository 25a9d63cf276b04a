//! What the tests with real processes share: drivers that die with their test, what they
//! acknowledged, and the checks that a journal must pass whatever happened to it.
//!
//! A test starts processes of the `driver` binary, does something unkind to them, and compares the
//! journal with what was acknowledged.

#![allow(clippy::missing_panics_doc, reason = "a helper of tests panics where a test fails")]

mod acks;
mod ballast;
mod chance;
mod child;
mod fleet;
mod image;
mod mount;
mod namespace;
mod pi;
mod place;
mod program;
mod spec;
mod storm;
mod truth;

pub use acks::{Acks, Stored};
pub use ballast::Ballast;
pub use chance::{Chance, is_long, rounds, say, skip};
pub use child::{Driver, Shell, WATCHDOG, serve_command, wait_until};
pub use fleet::{Fleet, Made, long_session};
pub use image::{Backing, FileSystem};
pub use mount::{Mount, is_root};
pub use namespace::{NAMESPACE, has_namespaces};
pub use pi::Pi;
pub use place::Place;
pub use program::Program;
pub use spec::{Spec, id_of, is_sound, line_of};
pub use storm::{Figures, Storm, journal_of, says_of};
pub use truth::{agree, goes_on, holds, in_order, lost, names_in, openings, owners, scan};
