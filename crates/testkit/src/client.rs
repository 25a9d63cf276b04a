//! What one simulated process does: opens, appends, retries, releases, compacts, reads.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use session_journal::{
    AppendOptions, Appended, Cause, Durability, Error, ErrorKind, Expect, Item, Journal, JournalId,
    Mark, NewRecord, Options, Reader, Record, SessionName, Takeover,
};

use crate::check;
use crate::choices::Choices;
use crate::disk::{SimDisk, SimHost};
use crate::faults::Workload;
use crate::history::{Attempt, Claim, Condition, History, Life, Outcome, Span, Tag, View, kind_of};
use crate::world::{Actor, World};

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
    reader: Option<Reader>,
    /// The epoch that the reader began in.
    reader_epoch: usize,
    mark: Option<Mark>,
    /// Records with a key of which nobody knows whether they are stored.
    retry: Vec<Tag>,
}

/// One life of a process.
#[derive(Debug)]
pub(crate) struct Client {
    shared: Shared,
    process: usize,
    holds: Vec<Hold>,
    last_error: Option<ErrorKind>,
}

impl Client {
    pub(crate) fn new(shared: &Shared, process: usize) -> Self {
        let holds = (0..shared.workload.sessions).map(|_| Hold::default()).collect();
        Self { shared: shared.clone(), process, holds, last_error: None }
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
        self.shared.world.with(|state| state.count(what));
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
            14 => self.sync(session),
            15 => self.open(session),
            _ => self.append(session, 1, None),
        }
    }

    // ---- owning ----------------------------------------------------------------------------------

    fn open(&mut self, session: usize) {
        self.shared.world.with(|state| state.processes[self.process].opens = true);
        self.open_now(session);
        self.shared.world.with(|state| state.processes[self.process].opens = false);
    }

    fn open_now(&mut self, session: usize) {
        let span = self.begin("open", session);
        self.holds[session].journal = None;
        let polite = self.shared.workload.polite;
        let takeovers = [Takeover::Always, Takeover::IfGone, Takeover::Never];
        let takeover =
            self.shared.choose(|c| if polite { c.one_of(&takeovers) } else { Takeover::Always });
        let mut options = self.shared.options(self.actor(), takeover);
        options.full_scan = self.shared.workload.full_scans && self.shared.choose(|c| c.once_in(2));
        options.auto_repair =
            !(self.shared.workload.no_auto_repair && self.shared.choose(|c| c.once_in(2)));
        let path = Shared::path(session);
        let opened = match Journal::open(&path, &options) {
            Err(error) if error.kind() == ErrorKind::NotFound && !self.is_dead() => {
                let name = SessionName::new(None, &format!("s{session}")).expect("a name");
                Journal::create(&path, &name, &options)
            }
            opened => opened,
        };
        let journal = match opened {
            Ok(journal) if !self.is_dead() => journal,
            Ok(_) => return,
            Err(error) => return self.failed("open", &error),
        };
        self.tell(|| format!("owns generation {}", journal.generation()));
        let mut history = self.shared.history.borrow_mut();
        let (id, generation) = (journal.id(), journal.generation().get());
        let life = Life { session, ..Life::default() };
        history.lives.entry(id).or_insert(life);
        let span = history.end(span);
        history.claims.push(Claim { journal: id, generation, span });
        drop(history);
        self.holds[session].mark = Some(journal.mark());
        self.holds[session].journal = Some(journal);
    }

    /// An error is told of; one that finished the handle ends the hold.
    fn failed(&mut self, what: &str, error: &Error) {
        self.last_error = Some(error.kind());
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

    fn owner(&mut self, session: usize) -> bool {
        if self.holds[session].journal.is_none() {
            self.open(session);
        }
        self.holds[session].journal.is_some() && !self.is_dead()
    }

    fn close(&mut self, session: usize) {
        let Some(journal) = self.holds[session].journal.take() else { return };
        self.begin("close", session);
        if let Err(error) = journal.close() {
            self.failed("close", &error);
        }
    }

    fn drop_handle(&mut self, session: usize) {
        if self.holds[session].journal.take().is_some() {
            self.begin("drop", session);
        }
    }

    fn compact(&mut self, session: usize) {
        if !self.owner(session) {
            return;
        }
        self.begin("compact", session);
        let Some(journal) = &mut self.holds[session].journal else { return };
        if let Err(error) = journal.compact() {
            self.failed("compact", &error);
            if Self::finishes(error.kind()) {
                self.holds[session].journal = None;
            }
        }
    }

    fn delete(&mut self, session: usize) {
        if !self.owner(session) {
            return;
        }
        self.begin("delete", session);
        let Some(journal) = self.holds[session].journal.take() else { return };
        let id = journal.id();
        if let Some(life) = self.shared.history.borrow_mut().lives.get_mut(&id) {
            life.deletion_begun = true;
        }
        let deleted = journal.delete();
        if let Err(error) = &deleted {
            self.failed("delete", error);
        }
        if let Some(life) = self.shared.history.borrow_mut().lives.get_mut(&id) {
            life.deleted |= deleted.is_ok();
        }
    }

    fn sync(&mut self, session: usize) {
        let Some(journal) = &mut self.holds[session].journal else { return };
        let (id, last) = (journal.id(), journal.last_sequence().get());
        self.begin("sync", session);
        let Some(journal) = &mut self.holds[session].journal else { return };
        match journal.sync() {
            Ok(()) if !self.is_dead() => {
                let mut history = self.shared.history.borrow_mut();
                let mine: Vec<Tag> = history
                    .acknowledged(id)
                    .filter(|(_, appended)| appended.sequence.get() <= last)
                    .map(|(tag, _)| tag)
                    .filter(|tag| !history.at_risk.contains(tag))
                    .collect();
                history.durable.extend(mine);
            }
            Ok(()) => {}
            Err(error) => {
                self.failed("sync", &error);
                if Self::finishes(error.kind()) {
                    self.holds[session].journal = None;
                }
            }
        }
    }

    // ---- appending -------------------------------------------------------------------------------

    fn new_record(&self, session: usize, keyed: bool) -> (Tag, NewRecord) {
        let on = &self.shared.workload;
        let tag = self.shared.history.borrow_mut().tag();
        let large = on.large && self.shared.choose(|choices| choices.once_in(4));
        let len = self.shared.choose(|c| c.below(if large { 6000 } else { 60 })) as usize;
        let mut payload = tag.to_le_bytes().to_vec();
        if on.quotes && self.shared.choose(|choices| choices.once_in(3)) {
            payload.extend_from_slice(&self.quotation(session));
        } else {
            payload.resize(payload.len() + len, u8::try_from(tag % 251).unwrap_or(0));
        }
        let payload = Bytes::from(payload);
        self.shared.history.borrow_mut().payloads.insert(tag, payload.clone());
        (tag, record_of(tag, payload, keyed))
    }

    /// Bytes of the journal itself, as an agent's tool might read them (H18).
    fn quotation(&self, session: usize) -> Vec<u8> {
        let path = Shared::path(session);
        self.shared.world.with(|state| {
            let Ok(file) = state.find(&path) else { return Vec::new() };
            let bytes = state.files[file].bytes();
            let end = u32::try_from(bytes.len()).unwrap_or(0);
            let from = 4096.min(bytes.len()) + state.choices.below(2) as usize * 100;
            let until = state.choices.below(end + 1) as usize;
            let bytes = state.files[file].bytes();
            bytes.get(from..until).unwrap_or_default().iter().copied().take(3000).collect()
        })
    }

    fn durability(&self) -> Durability {
        let written = self.shared.workload.written;
        self.shared.choose(|choices| {
            if written && choices.below(2) == 1 { Durability::Written } else { Durability::Durable }
        })
    }

    fn append(&mut self, session: usize, records: usize, condition: Option<(Expect, Condition)>) {
        if !self.owner(session) {
            return;
        }
        let (tags, records) =
            (0..records).map(|_| self.new_record(session, false)).collect::<(Vec<_>, Vec<_>)>();
        let what = match (&condition, tags.len()) {
            (Some(_), _) => "conditional append",
            (None, 1) => "append",
            (None, _) => "batch",
        };
        let (expect, condition) = condition.unzip();
        let options = AppendOptions {
            durability: Some(self.durability()),
            expect: expect.unwrap_or_default(),
            ..AppendOptions::default()
        };
        self.append_these(what, session, &tags, &records, &options, condition);
    }

    fn append_keyed(&mut self, session: usize) {
        if !self.owner(session) {
            return;
        }
        let again = self.holds[session].retry.pop();
        let (tag, record) = match again {
            Some(tag) => {
                let payload = self.shared.history.borrow().payloads[&tag].clone();
                (tag, record_of(tag, payload, true))
            }
            None => self.new_record(session, true),
        };
        let what = if again.is_some() { "retry of a key" } else { "append with a key" };
        let options =
            AppendOptions { durability: Some(self.durability()), ..AppendOptions::default() };
        self.append_these(what, session, &[tag], &[record], &options, None);
        let history = self.shared.history.borrow();
        let unknown = history.attempts.last().is_some_and(|attempt| {
            attempt.tags == [tag] && matches!(attempt.outcome, Outcome::Unknown)
        });
        drop(history);
        if unknown || self.shared.choose(|choices| choices.once_in(4)) {
            self.holds[session].retry.push(tag);
        }
    }

    fn append_if(&mut self, session: usize) {
        if !self.owner(session) {
            return;
        }
        let Some(mark) = self.holds[session].mark else { return };
        let since = mark.sequence.get();
        let kinds = self.shared.choose(|choices| choices.below(2)) == 1;
        let condition = if kinds {
            let expect = Expect::OnlyKindsSince(mark, vec!["note".to_owned()]);
            (expect, Condition { since, but_for: Some("note") })
        } else {
            (Expect::NothingSince(mark), Condition { since, but_for: None })
        };
        self.append(session, 1, Some(condition));
        if let Some(journal) = &self.holds[session].journal
            && self.shared.choose(|choices| choices.below(2)) == 0
        {
            self.holds[session].mark = Some(journal.mark());
        }
    }

    fn append_these(
        &mut self,
        what: &'static str,
        session: usize,
        tags: &[Tag],
        records: &[NewRecord],
        options: &AppendOptions,
        condition: Option<Condition>,
    ) {
        let span = self.begin(what, session);
        let Some(journal) = &mut self.holds[session].journal else { return };
        let attempt = {
            let mut history = self.shared.history.borrow_mut();
            let (journal, tags) = (journal.id(), tags.to_vec());
            let outcome = Outcome::Pending;
            history.attempts.push(Attempt { journal, tags, condition, span, outcome });
            history.attempts.len() - 1
        };
        let answer = match records {
            // The short way, where there is nothing but a record.
            [one] if condition.is_none() && options.durability == Some(Durability::Durable) => {
                journal.append(one).map(|appended| vec![appended])
            }
            records => journal.append_all(records, options),
        };
        self.answered(what, session, attempt, answer);
    }

    fn answered(
        &mut self,
        what: &str,
        session: usize,
        attempt: usize,
        answer: Result<Vec<Appended>, Error>,
    ) {
        if self.is_dead() {
            return;
        }
        let outcome = match answer {
            Ok(appended) => {
                self.tell(|| format!("is told: {}", told(&appended)));
                Outcome::Acknowledged(appended)
            }
            Err(error) => {
                self.failed(what, &error);
                if Self::finishes(error.kind()) {
                    self.holds[session].journal = None;
                }
                match error.cause() {
                    // The file is not what it was: what became of the record nobody can say.
                    Cause::Unknown { .. } | Cause::Detached { .. } | Cause::Shortened { .. } => {
                        Outcome::Unknown
                    }
                    Cause::Conflict { last, .. } => Outcome::Conflict(last.get()),
                    _ => Outcome::Refused,
                }
            }
        };
        self.shared.history.borrow_mut().answer(attempt, outcome);
    }

    // ---- reading ---------------------------------------------------------------------------------

    fn read(&mut self, session: usize) {
        let span = self.begin("read", session);
        // A reader that began before a loss may know of records whose numbers were used again.
        let epoch = self.shared.history.borrow().epoch();
        if self.holds[session].reader_epoch != epoch {
            self.holds[session].reader = None;
        }
        if self.holds[session].reader.is_none() || self.shared.choose(|c| c.once_in(3)) {
            self.holds[session].reader_epoch = epoch;
            let disk = Arc::new(SimDisk::new(&self.shared.world, self.actor()));
            match Reader::open_with(Shared::path(session), disk) {
                Ok(reader) => self.holds[session].reader = Some(reader),
                Err(error) => return self.failed("read", &error),
            }
        } else if let Some(reader) = &mut self.holds[session].reader
            && let Err(error) = reader.refresh()
        {
            self.holds[session].reader = None;
            return self.failed("refresh", &error);
        }
        let Some(reader) = &self.holds[session].reader else { return };
        let (id, looked) = (reader.id(), look(reader));
        if self.is_dead() {
            return;
        }
        let looked = match looked {
            Ok(looked) => looked,
            Err(error) => {
                self.holds[session].reader = None;
                return self.failed("read", &error);
            }
        };
        let recognised = recognise(&self.shared.history.borrow(), looked);
        match recognised {
            Ok(seen) => {
                self.tell(|| format!("reads {:?}", seen.list));
                self.saw(id, seen, span);
            }
            Err(what) => self.shared.history.borrow_mut().violated(what),
        }
    }

    fn saw(&self, id: JournalId, seen: Seen, span: Span) {
        let mut history = self.shared.history.borrow_mut();
        if history.lives.contains_key(&id) {
            if let Err(what) = check::sound(&history, id, &seen.list) {
                history.violated(format!("process {} reads: {what}", self.process));
            }
            let span = history.end(span);
            history.views.push(View { journal: id, list: seen.list, span });
        }
    }
}

fn record_of(tag: Tag, payload: Bytes, keyed: bool) -> NewRecord {
    let record = NewRecord::new(payload).kind(kind_of(tag));
    if keyed { record.key(format!("k{tag}")).parent(format!("k{}", tag - 1)) } else { record }
}

fn told(appended: &[Appended]) -> String {
    let one = |one: &Appended| {
        let how = if one.durable { "durable" } else { "written" };
        let first = if one.duplicate { ", there already" } else { "" };
        format!("{} at {} {how}{first}", one.sequence, one.offset.get())
    };
    appended.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Everything that a reader finds.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) list: Vec<(u64, Tag)>,
    pub(crate) gaps: u64,
}

/// Reads everything with its gaps. Takes turns, so the history is not borrowed meanwhile.
pub(crate) fn look(reader: &Reader) -> Result<(Vec<Record>, u64), Error> {
    let (mut records, mut gaps) = (Vec::new(), 0);
    for item in reader.records().with_gaps() {
        match item? {
            Item::Record(record) => records.push(record),
            Item::Gap(gap) => gaps += gap.records,
        }
    }
    Ok((records, gaps))
}

/// What these records are, if all of them are what was appended.
pub(crate) fn recognise(
    history: &History,
    (records, gaps): (Vec<Record>, u64),
) -> Result<Seen, String> {
    let tagged = |record: &Record| Ok((record.sequence.get(), check::tag_of(history, record)?));
    Ok(Seen { list: records.iter().map(tagged).collect::<Result<_, String>>()?, gaps })
}
