//! Long lines one at a time: however many sources are imported at once, there is one of these in
//! memory.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A line that is longer waits for its turn.
pub(crate) const LONG_LINE: u64 = 1 << 20;

/// Whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<()>);

/// Until it is dropped, nobody else has a long line.
#[derive(Debug)]
pub(crate) struct Turn<'a>(
    #[allow(dead_code, reason = "held, and never looked at")] MutexGuard<'a, ()>,
);

impl Turns {
    /// Waits for it. Whoever has one already must not ask for another.
    pub(crate) fn take(&self) -> Turn<'_> {
        Turn(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[cfg(test)]
    pub(crate) fn is_taken(&self) -> bool {
        self.0.try_lock().is_err()
    }
}
