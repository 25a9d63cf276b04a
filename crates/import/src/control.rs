//! How a caller watches a running import and stops it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{Error, Problem, Result};
use crate::turn::Turns;

/// Shared with a running import: how far it is, and whether it is to stop.
#[derive(Debug, Default)]
pub struct Control {
    stopped: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
    sources_done: AtomicU64,
    sources_total: AtomicU64,
    /// For sources that are imported at the same time.
    pub(crate) turns: Turns,
}

impl Control {
    /// Asks the import to stop. What it stored stays, and the next run goes on from there.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Bytes of the sources read so far.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Bytes of all sources; zero while they are being looked for.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Sources that are done.
    pub fn sources_done(&self) -> u64 {
        self.sources_done.load(Ordering::Relaxed)
    }

    /// All sources.
    pub fn sources_total(&self) -> u64 {
        self.sources_total.load(Ordering::Relaxed)
    }

    pub(crate) fn expect(&self, sources: u64, bytes: u64) {
        self.sources_total.store(sources, Ordering::Relaxed);
        self.total.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn source_done(&self) {
        self.sources_done.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// An error where the caller asked to stop.
    pub(crate) fn check(&self, path: &Path) -> Result<()> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(Error::file(path, Problem::Interrupted));
        }
        Ok(())
    }
}
