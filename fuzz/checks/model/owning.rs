//! How owners come and go, and what they do to the file as a whole.

use std::sync::Arc;

use session_journal::{Error, ErrorKind, Journal, Options, SessionName, Takeover};

use super::super::memory::MemoryDisk;
use super::super::operations::Numbers;
use super::{Holder, Model, Owner, path};

const POLICIES: [Takeover; 3] = [Takeover::Always, Takeover::IfGone, Takeover::Never];

impl Model {
    pub(crate) fn create(&mut self, who: usize) {
        let disk = self.begin(who);
        let name = SessionName::new(Some("agent"), "modelled").expect("a name");
        match Journal::create(path(), &name, &self.options(&disk)) {
            Ok(journal) => {
                assert!(!self.exists, "a journal was created where one is");
                *self = Self { exists: true, holder: Holder::Owner(who), ..self.without_journal() };
                self.owners[who] = Some(Owner { journal, disk });
            }
            Err(error) => {
                assert!(self.exists, "{error}");
                assert_eq!(error.kind(), ErrorKind::AlreadyExists);
            }
        }
    }

    /// The model behind a deletion.
    fn without_journal(&mut self) -> Self {
        Self {
            disk: self.disk.clone(),
            host: Arc::clone(&self.host),
            owners: std::mem::replace(&mut self.owners, [const { None }; Model::OWNERS]),
            exists: false,
            is_doomed: false,
            holder: Holder::Nobody,
            records: Vec::new(),
            marks: Vec::new(),
            follower: None,
            keys_given: self.keys_given,
        }
    }

    pub(crate) fn open(&mut self, who: usize, numbers: &mut Numbers<'_>) {
        let how = numbers.next();
        let takeover = POLICIES[usize::from(how) % POLICIES.len()];
        let disk = self.begin(who);
        if how & 0x40 != 0 {
            disk.die_after(u64::from(numbers.next()));
        }
        if how & 0x80 != 0 {
            disk.leave_room(Some(numbers.below(400)));
        }
        let is_hindered = how & 0xC0 != 0;
        let full_scan = how & 0x20 != 0;
        let options = Options { takeover, full_scan, ..self.options(&disk) };
        let opened = Journal::open(path(), &options);
        let may = match self.holder {
            Holder::Nobody => Some(true),
            Holder::Gone => Some(takeover != Takeover::Never),
            Holder::Owner(_) => Some(takeover == Takeover::Always),
            Holder::Unclear => (takeover == Takeover::Always).then_some(true),
        };
        match opened {
            Ok(journal) => {
                assert!(self.exists, "a journal was opened that is not there");
                assert_ne!(may, Some(false), "the policy allowed it, held by {:?}", self.holder);
                disk.leave_room(None);
                self.is_doomed = false;
                self.holder = Holder::Owner(who);
                self.owners[who] = Some(Owner { journal, disk });
            }
            Err(error) => self.refused(&error, may, is_hindered, &disk),
        }
        self.read();
    }

    fn refused(&mut self, error: &Error, may: Option<bool>, hindered: bool, disk: &MemoryDisk) {
        if self.is_gone() {
            assert!(!self.exists || self.is_doomed, "the journal is gone: {error}");
            *self = self.without_journal();
            return;
        }
        match error.kind() {
            ErrorKind::HeldBy => assert_ne!(may, Some(true), "{error}"),
            ErrorKind::NoSpace => assert!(hindered, "{error}"),
            _ => assert!(disk.is_dead(), "{error}"),
        }
        if hindered && error.kind() != ErrorKind::HeldBy {
            // Whatever it could write of its claim stands there now.
            self.holder = Holder::Unclear;
        }
    }

    /// Dropped without a word, like a process that crashes.
    pub(crate) fn drop_owner(&mut self, who: usize) {
        if self.owners[who].take().is_some() && self.holder == Holder::Owner(who) {
            self.holder = Holder::Gone;
        }
    }

    pub(crate) fn close(&mut self, who: usize) {
        let Some(Owner { journal, disk }) = self.owners[who].take() else { return };
        let was_owner = self.holder == Holder::Owner(who);
        match journal.close() {
            Ok(()) => {
                assert!(was_owner || self.holder == Holder::Unclear, "one that was fenced closed");
                self.holder = Holder::Nobody;
            }
            Err(_) if was_owner && disk.is_dead() => self.holder = Holder::Unclear,
            Err(error) if was_owner => {
                assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
                self.holder = Holder::Gone;
            }
            Err(_) => {}
        }
    }

    pub(crate) fn sync(&mut self, who: usize) {
        let Some(owner) = &mut self.owners[who] else { return };
        let synced = owner.journal.sync();
        let is_dead = owner.disk.is_dead();
        if self.holder == Holder::Owner(who) && !is_dead {
            synced.expect("an owner can sync");
        }
        self.bury(who);
    }

    /// A process whose disk does not answer any more is taken away.
    pub(super) fn bury(&mut self, who: usize) {
        if self.owners[who].as_ref().is_some_and(|owner| owner.disk.is_dead()) {
            self.drop_owner(who);
            self.read();
        }
    }

    /// The process will die at some later call to its disk.
    pub(crate) fn doom(&mut self, who: usize, numbers: &mut Numbers<'_>) {
        let calls = u64::from(numbers.next() % 64);
        if let Some(owner) = &self.owners[who] {
            owner.disk.die_after(calls + 1);
        }
    }

    /// The next append of the process finds little room.
    pub(crate) fn fill_disk(&mut self, who: usize, numbers: &mut Numbers<'_>) {
        let room = usize::from(numbers.next()) * 2;
        if let Some(owner) = &self.owners[who] {
            owner.disk.leave_room(Some(room));
        }
    }

    // ---- replacing and deleting ------------------------------------------------------------

    pub(crate) fn compact(&mut self, who: usize) {
        let Some(owner) = &mut self.owners[who] else { return };
        let compacted = owner.journal.compact();
        let is_dead = owner.disk.is_dead();
        owner.disk.leave_room(None);
        match compacted {
            Ok(compaction) => {
                assert!(
                    self.is_held_by(who) || self.holder == Holder::Unclear,
                    "compacted by one that was fenced"
                );
                self.holder = Holder::Owner(who);
                assert_eq!(compaction.records, self.records.len() as u64);
            }
            Err(error) => assert!(
                is_dead || !self.is_held_by(who) || error.kind() == ErrorKind::NoSpace,
                "an owner could not compact: {error}"
            ),
        }
        self.read();
        self.bury(who);
    }

    pub(crate) fn delete(&mut self, who: usize) {
        let Some(Owner { journal, disk }) = self.owners[who].take() else { return };
        let was_owner = self.is_held_by(who);
        let deleted = journal.delete();
        if self.is_gone() {
            *self = self.without_journal();
        } else {
            let error = deleted.expect_err("deleted, and there");
            let no_room = error.kind() == ErrorKind::NoSpace;
            assert!(disk.is_dead() || !was_owner || no_room, "an owner could not delete: {error}");
            self.is_doomed |= was_owner || self.holder == Holder::Unclear;
        }
        if was_owner && self.exists {
            self.holder = Holder::Gone;
        }
    }
}
