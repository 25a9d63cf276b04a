//! One of the threads that import: it fills the journals of many sources before they get their names,
//! all with one sync.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use session_journal::ErrorKind;
use session_journal::storage::Staging;

use crate::discover::Spec;
use crate::import::{Around, Import};
use crate::report::SourceReport;

/// So many sources wait for their names at most, and so many bytes of them. A longer source gets its
/// journal at once: an import that is killed goes on in the middle of it.
const SOURCES_MAX: u64 = 64;
const BYTES_MAX: u64 = 16 << 20;

/// See the module.
pub(crate) struct Worker<'a> {
    import: &'a Import,
    around: &'a Around,
    reports: Sender<(usize, SourceReport)>,
    staging: Arc<Staging>,
    waiting: Vec<Waiting<'a>>,
    waiting_bytes: u64,
    waiting_max: u64,
}

/// A source that is imported when its journal has its name.
struct Waiting<'a> {
    index: usize,
    spec: &'a Spec,
    /// Where its journal will be.
    place: PathBuf,
    report: SourceReport,
}

impl<'a> Worker<'a> {
    /// One of so many.
    pub(crate) fn new(
        import: &'a Import,
        around: &'a Around,
        reports: Sender<(usize, SourceReport)>,
        workers: usize,
    ) -> Self {
        Self {
            import,
            around,
            reports,
            staging: Arc::default(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            waiting_max: waiting_max(workers),
        }
    }

    /// Imports sources of one name. The next of them has to find the sessions of those before.
    pub(crate) fn import(&mut self, group: &'a [(usize, Spec)]) {
        for (at, (index, spec)) in group.iter().enumerate() {
            if at > 0 {
                self.publish();
            }
            self.import_one(*index, spec);
        }
    }

    fn import_one(&mut self, index: usize, spec: &'a Spec) {
        let staging = Some(&self.staging).filter(|_| spec.bytes <= BYTES_MAX);
        let report = self.import.settle_or_fail(spec, self.around, staging);
        let Some(place) = self.import.unnamed(&report, &self.staging) else {
            return self.send(index, self.import.verified(report));
        };
        self.waiting_bytes += report.bytes;
        self.waiting.push(Waiting { index, spec, place, report });
        if self.waiting.len() as u64 >= self.waiting_max || self.waiting_bytes >= BYTES_MAX {
            self.publish();
        }
    }

    /// Gives the journals that wait their names, and says how their sources ended.
    pub(crate) fn publish(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        // What an attempt that failed may have left is no source's.
        self.staging.retain(|path| waiting.iter().any(|one| one.place == path));
        let mut published: HashMap<_, _> = self.staging.publish().into_iter().collect();
        for one in waiting {
            let report = match published.remove(&one.place) {
                Some(Ok(())) => self.import.verified(one.report),
                Some(Err(error)) if error.kind() != ErrorKind::AlreadyExists => {
                    SourceReport::failed(&one.spec.shown(), error.into())
                }
                // Somebody else made a journal of that name meanwhile: it is looked at.
                _ => self.import.run_one(one.spec, self.around),
            };
            self.send(one.index, report);
        }
    }

    fn send(&self, index: usize, report: SourceReport) {
        // The receiver outlives the threads.
        let _ = self.reports.send((index, report));
    }
}

/// Each waits with an open file, and a quarter of those that this process may have is enough.
fn waiting_max(workers: usize) -> u64 {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let each = files.unwrap_or(u64::MAX) / 4 / (workers.max(1) as u64);
    each.clamp(1, SOURCES_MAX)
}
