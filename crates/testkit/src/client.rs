//! What one simulated process does: opens, appends, retries, releases, compacts, reads.

mod appending;
mod following;
mod owning;
mod reading;

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use session_journal::{Error, ErrorKind, Journal, JournalId, Mark, Options, Reader, Takeover};

use self::following::Following;
pub(crate) use self::reading::{look, recognise};
use crate::choices::Choices;
use crate::disk::SimDisk;
use crate::faults::Workload;
use crate::history::{History, Span};
use crate::host::SimHost;
use crate::world::{Actor, World, count};

/// What the processes of one run share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) world: Arc<World>,
    pub(crate) workload: Rc<Workload>,
    pub(crate) history: Rc<RefCell<History>>,
}

impl Shared {
    pub(crate) fn path(session: usize) -> PathBuf {
        PathBuf::from(format!("/simulated/s{session}.journal"))
    }

    pub(crate) fn choose<R>(&self, choose: impl FnOnce(&mut Choices) -> R) -> R {
        self.world.with(|state| choose(&mut state.choices))
    }

    pub(crate) fn options(&self, actor: Actor, takeover: Takeover) -> Options {
        Options {
            takeover,
            checkpoint_bytes: self.workload.checkpoint_bytes,
            sync_interval: Duration::from_millis(200),
            sync_bytes: 2000,
            claim_attempts: 3,
            disk: Arc::new(SimDisk::new(&self.world, actor)),
            host: Arc::new(SimHost::new(&self.world, actor)),
            ..Options::default()
        }
    }
}

/// What a process holds of one session.
#[derive(Debug, Default)]
struct Hold {
    journal: Option<Journal>,
    /// The journal and the file that it is of.
    id: Option<JournalId>,
    file: usize,
    reader: Option<Reader>,
    /// The epoch that the reader began in.
    reader_epoch: usize,
    following: Option<Following>,
    mark: Option<Mark>,
}

/// One life of a process.
#[derive(Debug)]
pub(crate) struct Client {
    shared: Shared,
    process: usize,
    holds: Vec<Hold>,
}

impl Client {
    pub(crate) fn new(shared: &Shared, process: usize) -> Self {
        let holds = (0..shared.workload.sessions).map(|_| Hold::default()).collect();
        Self { shared: shared.clone(), process, holds }
    }

    fn actor(&self) -> Actor {
        Actor::Process(self.process)
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.shared.world.with(|state| state.processes[self.process].is_dead)
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        let process = self.process;
        self.shared.world.with(|state| state.tell(|| format!("process {process} {}", what())));
    }

    fn begin(&self, what: &'static str, session: usize) -> Span {
        self.shared.world.with(|state| count(&mut state.counts.operations, what));
        self.tell(|| format!("begins: {what}, session {session}"));
        self.shared.history.borrow_mut().begin()
    }

    /// One operation.
    pub(crate) fn operate(&mut self) {
        let sessions = u32::try_from(self.holds.len()).unwrap_or(1);
        let session = self.shared.choose(|choices| choices.below(sessions)) as usize;
        let operation = self.shared.choose(|choices| choices.below(16));
        let on = Rc::clone(&self.shared.workload);
        match operation {
            1 | 2 if on.batches => self.append(session, 2 + operation as usize, None),
            3 | 4 if on.keys => self.append_keyed(session),
            5 | 6 if on.conditions => self.append_if(session),
            7 if on.closes => self.close(session),
            8 if on.drops => self.drop_handle(session),
            9 if on.compactions => self.compact(session),
            10 if on.deletions => self.delete(session),
            11..=13 if on.readers => self.read(session),
            14 if on.followers => self.follow(session),
            14 => self.sync(session),
            15 => self.open(session),
            9..=13 if on.openings => self.close(session),
            _ if on.openings && operation < 9 => self.open(session),
            _ => self.append(session, 1, None),
        }
    }

    /// Whether the file of this handle has lost its name.
    fn is_aside(&self, session: usize) -> bool {
        let history = self.shared.history.borrow();
        let hold = &self.holds[session];
        history
            .aside
            .as_ref()
            .is_some_and(|aside| hold.id == Some(aside.journal) && hold.file < aside.files_until)
    }

    /// An error is told of; one that finished the handle ends the hold.
    fn failed(&self, what: &str, error: &Error) {
        self.tell(|| format!("failed to {what}: {error}"));
        if self.is_dead() {
            return;
        }
        let damaged = self.shared.world.with(|state| state.faults.damages);
        let impossible = match error.kind() {
            ErrorKind::Corrupt | ErrorKind::NotAJournal | ErrorKind::Invalid => !damaged,
            ErrorKind::UnsupportedFormat
            | ErrorKind::UnsupportedFilesystem
            | ErrorKind::TooLarge
            | ErrorKind::Busy => true,
            _ => false,
        };
        if impossible {
            let text = format!("process {} failed to {what}: {error}", self.process);
            self.shared.history.borrow_mut().violated(text);
        }
    }

    fn finishes(kind: ErrorKind) -> bool {
        matches!(
            kind,
            ErrorKind::Fenced
                | ErrorKind::Poisoned
                | ErrorKind::Unknown
                | ErrorKind::Detached
                | ErrorKind::Shortened
                | ErrorKind::Closed
                | ErrorKind::Sealed
        )
    }
}
