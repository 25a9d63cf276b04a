//! What must be in a journal, and who may write to it.

mod mishaps;
mod owning;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use session_journal::format::HEADER_LEN;
use session_journal::storage::Disk;
use session_journal::{
    AppendOptions, Appended, Durability, Error, ErrorKind, Expect, Host, Journal, Mark, NewRecord,
    Options, Reader, Record, Result, Sequence, verify,
};

use super::host::{FixedHost, options};
use super::memory::MemoryDisk;
use super::operations::Numbers;

const KINDS: [&str; 3] = ["message", "tool", "note"];

/// Who the journal belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// It was released.
    Nobody,
    /// This owner.
    Owner(usize),
    /// An owner that crashed.
    Gone,
    /// An opening was cut short: its claim may or may not be there.
    Unclear,
}

/// A process that holds the journal, or did.
struct Owner {
    journal: Journal,
    disk: MemoryDisk,
}

/// A record that must be there, and where in which file its batch ended.
#[derive(Clone, Debug)]
struct Expected {
    sequence: u64,
    record: NewRecord,
    batch_end: usize,
    file: u64,
}

/// See the module.
pub(crate) struct Model {
    disk: MemoryDisk,
    host: Arc<FixedHost>,
    owners: [Option<Owner>; Model::OWNERS],
    exists: bool,
    /// A deletion was cut short: an opening may finish it.
    is_doomed: bool,
    holder: Holder,
    records: Vec<Expected>,
    marks: Vec<Mark>,
    /// Reads on through everything that happens.
    follower: Option<Reader>,
    keys_given: u64,
}

fn path() -> &'static Path {
    Path::new("/modelled.journal")
}

impl Model {
    /// So many processes.
    pub(crate) const OWNERS: usize = 3;

    pub(crate) fn new() -> Self {
        let mut model = Self {
            disk: MemoryDisk::new(),
            host: Arc::new(FixedHost::default()),
            owners: [const { None }; Model::OWNERS],
            exists: false,
            is_doomed: false,
            holder: Holder::Nobody,
            records: Vec::new(),
            marks: Vec::new(),
            follower: None,
            keys_given: 0,
        };
        // Nearly everything needs a journal.
        model.create(0);
        model
    }

    fn options(&self, disk: &MemoryDisk) -> Options {
        Options {
            disk: Arc::new(disk.clone()) as Arc<dyn Disk>,
            claim_attempts: 8,
            ..options(Arc::clone(&self.host) as Arc<dyn Host>)
        }
    }

    /// The disk of a process that begins in the place of whoever was there.
    fn begin(&mut self, who: usize) -> MemoryDisk {
        self.drop_owner(who);
        self.disk.process()
    }

    fn new_record(&mut self, numbers: &mut Numbers<'_>) -> NewRecord {
        let (what, len) = (numbers.next(), numbers.next());
        self.keys_given += 1;
        let number = self.keys_given;
        let mut record = NewRecord::new(payload(number, usize::from(len)));
        if what & 1 != 0 {
            record = record.key(format!("key {number}"));
        }
        if what & 2 != 0 {
            record = record.kind(KINDS[usize::from(what >> 2) % KINDS.len()]);
        }
        if what & 32 != 0 {
            record = record.parent(format!("key {}", number.saturating_sub(u64::from(what >> 6))));
        }
        record
    }

    pub(crate) fn append(&mut self, who: usize, numbers: &mut Numbers<'_>) {
        let record = self.new_record(numbers);
        self.store(who, &[record], Self::durability(numbers), Expect::Anything, true);
    }

    pub(crate) fn batch(&mut self, who: usize, numbers: &mut Numbers<'_>) {
        let count = 2 + numbers.below(4);
        let records: Vec<NewRecord> = (0..count).map(|_| self.new_record(numbers)).collect();
        self.store(who, &records, Self::durability(numbers), Expect::Anything, true);
    }

    fn durability(numbers: &mut Numbers<'_>) -> Durability {
        if numbers.next() & 1 == 0 { Durability::Written } else { Durability::Durable }
    }

    /// A record whose key is there already, alone or in front of a new one.
    pub(crate) fn retry(&mut self, who: usize, numbers: &mut Numbers<'_>) {
        let keyed: Vec<&Expected> =
            self.records.iter().filter(|one| one.record.key.is_some()).collect();
        let Some(old) = keyed.get(numbers.below(keyed.len())) else { return };
        let old = old.record.clone();
        let mut records = vec![old];
        if numbers.next() & 1 != 0 {
            records.push(self.new_record(numbers));
        }
        self.store(who, &records, Self::durability(numbers), Expect::Anything, true);
    }

    pub(crate) fn take_mark(&mut self, who: usize) {
        if self.holder == Holder::Owner(who)
            && let Some(owner) = &self.owners[who]
        {
            self.marks.push(owner.journal.mark());
        }
    }

    pub(crate) fn append_conditionally(&mut self, who: usize, numbers: &mut Numbers<'_>) {
        let how = numbers.next();
        let last = self.last();
        let (expect, holds) = match self.marks.get(usize::from(how >> 2) % self.marks.len().max(1))
        {
            Some(mark) if how & 3 != 0 => {
                let mut since = self.since(mark);
                if how & 1 == 0 {
                    (Expect::NothingSince(*mark), since.next().is_none())
                } else {
                    let expected =
                        since.all(|record| record.kind.as_deref().is_some_and(|k| k == KINDS[0]));
                    (Expect::OnlyKindsSince(*mark, vec![KINDS[0].to_owned()]), expected)
                }
            }
            _ => {
                let sequence = last.saturating_sub(u64::from(how >> 6));
                (Expect::LastIs(Sequence::new(sequence)), sequence == last)
            }
        };
        let record = self.new_record(numbers);
        self.store(who, &[record], Self::durability(numbers), expect, holds);
    }

    fn last(&self) -> u64 {
        self.records.last().map_or(0, |last| last.sequence)
    }

    fn since(&self, mark: &Mark) -> impl Iterator<Item = &NewRecord> {
        let since = mark.sequence.get();
        self.records.iter().filter(move |one| one.sequence > since).map(|one| &one.record)
    }

    /// Appends as one batch, and expects what must come of it.
    fn store(
        &mut self,
        who: usize,
        records: &[NewRecord],
        durability: Durability,
        expect: Expect,
        holds: bool,
    ) {
        let Some(owner) = &mut self.owners[who] else { return };
        let options =
            AppendOptions { durability: Some(durability), expect, ..AppendOptions::default() };
        let answer = owner.journal.append_all(records, &options);
        let is_dead = owner.disk.is_dead();
        let had_no_room = owner.disk.had_no_room();
        owner.disk.leave_room(None);
        match answer {
            Ok(answer) => {
                assert!(holds || !self.is_held_by(who), "a condition was not looked at");
                self.stored(who, records, &answer);
            }
            Err(error) if is_dead => self.look_up(records, &error),
            Err(error) if self.holder != Holder::Owner(who) => self.was_fenced(who, &error),
            Err(error) => match error.kind() {
                ErrorKind::Conflict => assert!(!holds, "{error}"),
                // All of it or nothing, and the owner goes on.
                ErrorKind::NoSpace => assert!(had_no_room, "{error}"),
                // A record is there, and what was to be written behind it was not.
                ErrorKind::Unknown | ErrorKind::Poisoned => self.look_up(records, &error),
                _ => panic!("an owner could not append: {error}"),
            },
        }
        self.bury(who);
    }

    fn is_held_by(&self, who: usize) -> bool {
        self.holder == Holder::Owner(who)
    }

    fn was_fenced(&mut self, who: usize, error: &Error) {
        // It is finished, and says the same of everything else.
        if let Some(owner) = &mut self.owners[who]
            && error.kind() == ErrorKind::Fenced
        {
            let again = owner.journal.append(&NewRecord::new("too late"));
            assert_eq!(again.expect_err("is fenced").kind(), ErrorKind::Fenced);
        }
    }

    fn stored(&mut self, who: usize, records: &[NewRecord], answer: &[Appended]) {
        assert_eq!(records.len(), answer.len());
        let is_new = |(_, appended): &(&NewRecord, &Appended)| !appended.duplicate;
        if answer.iter().any(|appended| !appended.duplicate) {
            assert!(
                self.is_held_by(who) || self.holder == Holder::Unclear,
                "stored by one that was fenced"
            );
            self.holder = Holder::Owner(who);
        }
        let last = records.iter().zip(answer).rfind(is_new);
        let batch_end = last.map_or(0, |(record, appended)| end_of(record, appended.offset.get()));
        let file = self.file();
        for (record, appended) in records.iter().zip(answer) {
            let there = record.key.as_ref().and_then(|key| self.with_key(key));
            assert_eq!(appended.duplicate, there.is_some(), "a key is stored once");
            let sequence = there.map_or(self.last() + 1, |there| there.sequence);
            assert_eq!(appended.sequence.get(), sequence, "numbers rise by one");
            if !appended.duplicate {
                self.records.push(Expected { sequence, record: record.clone(), batch_end, file });
            }
        }
    }

    fn with_key(&self, key: &str) -> Option<&Expected> {
        self.records.iter().find(|one| one.record.key.as_deref() == Some(key))
    }

    /// Whether what may have been stored was: all of it or nothing.
    fn look_up(&mut self, records: &[NewRecord], error: &Error) {
        if self.is_gone() {
            return;
        }
        let there = self.there();
        let found = there.get(self.records.len()..).unwrap_or_default();
        let new: Vec<&NewRecord> = records
            .iter()
            .filter(|record| record.key.as_ref().is_none_or(|key| self.with_key(key).is_none()))
            .collect();
        assert!(found.is_empty() || found.len() == new.len(), "half of a batch, after: {error}");
        let batch_end = found.last().zip(new.last());
        let batch_end = batch_end.map_or(0, |(at, record)| end_of(record, at.offset.get()));
        let file = self.file();
        for (record, there) in new.into_iter().zip(found) {
            let sequence = there.sequence.get();
            self.records.push(Expected { sequence, record: record.clone(), batch_end, file });
        }
        self.read();
    }

    // ---- looking ---------------------------------------------------------------------------

    fn file(&self) -> u64 {
        self.disk.content(path()).map_or(0, |content| content.number)
    }

    fn is_gone(&self) -> bool {
        self.disk.content(path()).is_none()
    }

    fn there(&self) -> Vec<Record> {
        let reader = Reader::open_with(path(), Arc::new(self.disk.clone())).expect("can be read");
        reader.records().collect::<Result<_>>().expect("nothing is missing")
    }

    /// A new reader finds what must be there.
    pub(crate) fn read(&self) {
        if !self.is_gone() {
            self.compare(&self.there());
        }
    }

    /// A reader that was there before finds it too.
    pub(crate) fn read_on(&mut self) {
        if self.is_gone() {
            return;
        }
        let open = || Reader::open_with(path(), Arc::new(self.disk.clone())).expect("can be read");
        let mut follower = self.follower.take().unwrap_or_else(open);
        follower.refresh().expect("a reader reads on");
        self.compare(&follower.records().collect::<Result<Vec<_>>>().expect("nothing is missing"));
        for one in self.records.iter().filter(|one| one.record.key.is_some()) {
            let key = one.record.key.as_deref().unwrap_or_default();
            let found = follower.by_key(key).expect("nothing is hidden").expect("is there");
            assert_eq!(found.sequence.get(), one.sequence);
        }
        self.follower = Some(follower);
    }

    fn compare(&self, there: &[Record]) {
        let what = |record: &NewRecord| {
            (record.payload.clone(), record.kind.clone(), record.key.clone(), record.parent.clone())
        };
        let is = there.iter().map(|record| {
            let Record { payload, kind, key, parent, .. } = record.clone();
            (record.sequence.get(), (payload, kind, key, parent))
        });
        let must_be = self.records.iter().map(|one| (one.sequence, what(&one.record)));
        assert!(is.eq(must_be), "there is {there:#?}, and there must be {:#?}", self.records);
    }

    /// Whatever happened, the journal opens, takes a record, and verifies.
    pub(crate) fn end(mut self) {
        (0..Self::OWNERS).for_each(|who| self.drop_owner(who));
        self.open(0, &mut Numbers::none());
        if self.is_gone() {
            return;
        }
        self.append(0, &mut Numbers::none());
        self.close(0);
        self.read_on();
        let folder = tempfile::tempdir().expect("a folder");
        let copy = folder.path().join("copy.journal");
        fs::write(&copy, self.disk.content(path()).expect("is there").bytes).expect("writes");
        let verified = verify(&copy, &mut |_, _| ()).expect("verifies");
        assert_eq!(verified.records, self.records.len() as u64);
        assert_eq!(verified.damage, [], "nothing that was durable was damaged");
    }
}

/// Bytes of which no two records share many: a quotation does not make a torn frame whole.
fn payload(number: u64, len: usize) -> Vec<u8> {
    let mixed = |i: u64| (number << 8 | i).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56;
    (0..len as u64).map(|i| mixed(i) as u8).collect()
}

/// Where a record ends whose frame begins here.
fn end_of(record: &NewRecord, offset: u64) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, |text| text.len() + 2);
    let meta = text(&record.kind) + text(&record.key) + text(&record.parent);
    usize::try_from(offset).expect("a small file") + HEADER_LEN + meta + record.payload.len()
}
