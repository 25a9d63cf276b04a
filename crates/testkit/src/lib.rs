//! A simulated machine that runs the engine as it is, and a checker of what the engine promises.
//!
//! Everything in a run is decided by one seed: which process takes the next step on the disk, what
//! it does, and what goes wrong. Processes are the engine's own blocking code on fibers that take
//! turns; files have a page cache and a durable image; processes are killed, stopped and continued,
//! the power fails, syncs fail and drop what they did not write, disks are full, bits flip.
//!
//! A run that breaks a promise is shrunk to the shortest schedule that still does, and can be run
//! again with one command.

mod check;
mod choices;
mod client;
mod counts;
mod damage;
mod disk;
mod ending;
mod faults;
mod fiber;
mod file;
mod history;
mod host;
mod linear;
mod mishaps;
mod shrink;
mod simulation;
mod strangers;
mod world;
mod wounds;

pub use choices::Choices;
pub use counts::{Counts, Tally};
pub use shrink::shrink;
pub use simulation::{Outcome, Simulator};
