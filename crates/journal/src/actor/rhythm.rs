//! How many producers come back from one sync together, and how long the next turn waits for them
//! (decision 28).

use std::time::{Duration, Instant};

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How many waited for the last sync together, and how long it is worth to wait for one of them.
#[derive(Default)]
pub(super) struct Rhythm {
    together: AtomicUsize,
    patience_ns: AtomicU64,
}

/// Patience is this part of the time of a sync; a sync for some of them alone would take all of it.
const PATIENCE_PART: u32 = 8;

impl Rhythm {
    /// So many are waited for; none where nobody would come back.
    pub(super) fn expected(&self) -> usize {
        let together = self.together.load(Ordering::Relaxed);
        if together < 2 { 0 } else { together }
    }

    pub(super) fn patience(&self) -> Duration {
        Duration::from_nanos(self.patience_ns.load(Ordering::Relaxed))
    }

    /// So many were answered; behind a sync where it is said when that turn began.
    pub(super) fn note(&self, together: usize, begun: Option<Instant>) {
        let Some(begun) = begun else {
            self.together.store(0, Ordering::Relaxed);
            return;
        };
        let patience = u64::try_from((begun.elapsed() / PATIENCE_PART).as_nanos()).unwrap_or(0);
        self.together.store(together, Ordering::Relaxed);
        self.patience_ns.store(patience.min(PATIENCE_MAX_NS), Ordering::Relaxed);
    }
}

/// On a slow disk, or where a sync was in the way of another one, they come no later than elsewhere.
const PATIENCE_MAX_NS: u64 = 100_000;
