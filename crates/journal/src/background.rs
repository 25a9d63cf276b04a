//! A sync on another thread: written appends go on meanwhile.
//!
//! An error of a sync is told once per open file, to whoever asks first. So nobody calls anything
//! durable before the sync that is under way has answered.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use crate::host::Host;
use crate::pool::{Job, Pool};
use crate::storage::Storage;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex};

/// Syncs of so many files are under way at a time, over all owners of this process.
const THREADS_MAX: usize = 8;

/// Runs a job on one of these threads.
pub(crate) fn run(job: Job) {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| Pool::new(THREADS_MAX)).submit(job);
}

#[derive(Debug, Default)]
struct Outcome {
    /// Cheaper to ask than the result itself: every append does.
    is_known: AtomicBool,
    result: Mutex<Option<io::Result<()>>>,
    known: Condvar,
}

/// A sync that is under way.
#[derive(Debug)]
pub(crate) struct BackgroundSync(Arc<Outcome>);

impl BackgroundSync {
    /// Begins to sync what the file holds now.
    pub(crate) fn begin(file: &Arc<dyn Storage>, host: &dyn Host) -> Self {
        let outcome = Arc::new(Outcome::default());
        let (told, file) = (Arc::clone(&outcome), Arc::clone(file));
        host.run_aside(Box::new(move || {
            let sync = catch_unwind(AssertUnwindSafe(|| file.sync()));
            let result = sync.unwrap_or_else(|_| Err(io::Error::other("a panic in a sync")));
            // Before the answer: who hears it may rely on the descriptor being closed.
            drop(file);
            *told.result.lock() = Some(result);
            told.is_known.store(true, Ordering::Release);
            told.known.notify_all();
        }));
        Self(outcome)
    }

    /// Whether it has answered.
    pub(crate) fn is_done(&self) -> bool {
        self.0.is_known.load(Ordering::Acquire)
    }

    /// Waits for its answer.
    pub(crate) fn wait(self) -> io::Result<()> {
        let mut result = self.0.result.lock();
        loop {
            match result.take() {
                Some(result) => return result,
                None => self.0.known.wait(&mut result),
            }
        }
    }
}
