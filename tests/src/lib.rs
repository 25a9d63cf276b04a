//! What the tests with real processes share: drivers that die with their test, what they
//! acknowledged, and the checks that a journal must pass whatever happened to it.
//!
//! A test starts processes of the `driver` binary, does something unkind to them, and compares the
//! journal with what was acknowledged.

#![allow(clippy::missing_panics_doc, reason = "a helper of tests panics where a test fails")]

mod acks;
mod chance;
mod child;
mod mount;
mod place;
mod spec;
mod truth;

pub use acks::{Acks, Stored};
pub use chance::{Chance, rounds, say, skip};
pub use child::{Driver, Shell, WATCHDOG, serve_command, wait_until};
pub use mount::{Mount, is_root};
pub use place::Place;
pub use spec::{Spec, id_of, is_sound};
pub use truth::{agree, holds, names_in, openings, scan};
