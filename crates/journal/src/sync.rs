//! What threads meet at: locks, condition variables, atomics, channels, threads. The one seam between
//! the engine and whoever schedules it.
//!
//! Everything that several threads of the engine touch comes from here. It is what the standard
//! library, `parking_lot` and `tokio` offer, under their own names. Built with `--cfg shuttle`, for
//! the tests in `tests/schedules` alone, it is the same surface on `shuttle`, whose scheduler then
//! decides at each of these calls which thread goes on.

#[cfg(not(shuttle))]
mod system {
    pub(crate) use std::sync::atomic;
    pub(crate) use std::thread;

    pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
    pub(crate) use tokio::sync::{Notify, oneshot};

    /// Time passes, and threads run as the system likes.
    pub(crate) const EXPLORED: bool = false;
}

#[cfg(not(shuttle))]
pub(crate) use system::*;

#[cfg(shuttle)]
mod explored;

#[cfg(shuttle)]
pub(crate) use explored::*;

pub(crate) mod signal;
