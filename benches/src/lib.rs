//! What the engine costs beside what the machine costs, and beside other logs, in one run.
//!
//! Machines are noisy, so nothing is measured on its own. In every round each candidate has its turn,
//! in an order that the seed decides, in a folder of its own; and a ratio is the median of the ratios
//! within the rounds. The other logs are in a crate of their own, `benches/peers`, whose program runs
//! all of this: nobody compiles them to build the engine.
#![allow(
    clippy::cast_precision_loss,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "figures are rounded when they are printed, and a measurement that fails is no figure"
)]

mod bar;
mod candidate;
mod child;
mod data;
mod drive;
mod engine;
mod history;
mod machine;
mod plot;
mod race;
mod raw;
mod report;
mod scale;
mod sections;
mod times;
mod workload;

/// What a measurement that could not be made says.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// See [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

pub use bar::{Bar, Row, Table, Verdict};
/// When an append may return.
pub use session_journal::Durability;

pub use candidate::{Asked, Candidate, Log, Role, Writer};
pub use child::{ARGUMENT as CHILD, run as run_child};
pub use engine::candidates as engine_candidates;
pub use history::{Entries, History};
pub use machine::{Machine, folder, peak_memory};
pub use race::{Entry, Race, Sample, Turns};
pub use raw::candidates as raw_candidates;
pub use report::Report;
pub use scale::Scale;
pub use sections::{SECTIONS, measure};
pub use times::{Times, median};
pub use workload::{Mix, payload};
