//! A model of lock files, as a gateway had them that kept its sessions in JSON Lines: a lock file with
//! the holder's pid beside each transcript, polled, called stale by several rules, and a fingerprint of
//! the transcript while the lock is let go for the model. It was written anew from what is known of
//! that gateway's behaviour (`OpenClaw` 2026.5.26); each fact stands where it is modelled, and a test holds
//! the model to it. Nothing in it happens by a chance that was made up: where two hold a lock at once,
//! it is because the steps of both came in that order.
//!
//! Where the facts leave a choice, the model takes what serves lock files best. Appends do not parse
//! the whole transcript, as the real ones did. A turn that lost its answer to the fence is tried again
//! by its client, and what it said is stored once. A first message is stored before any answer is there.
//! Times of the lock are compressed as those of the load are; the time that the work under it takes is
//! not.

pub mod contention;
mod fence;
mod lock;
mod process;
mod steps;
mod transcript;
mod turns;
mod worker;

use std::time::Duration;

pub use self::lock::{LockError, Times};
pub use self::steps::runtime;
pub use self::worker::{Settings, serve};

/// The command of the program that is a gateway with lock files.
pub const COMMAND: &str = "storm-locks";

/// A waiter gives up after this: 60 s, while a holder may hold for 5 to 17 minutes.
pub const WAIT: Duration = Duration::from_mins(1);

/// What a request had to do with locks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Toll {
    /// Locks that it got.
    pub(crate) acquired: u64,
    /// How often it looked again whether a lock was free.
    pub(crate) polls: u64,
    /// How long it waited.
    pub(crate) waited: Duration,
    /// How often somebody else was inside.
    pub(crate) overlaps: u64,
}
