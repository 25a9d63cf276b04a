//! Opening and giving up; compactions, deletions, syncs.

use session_journal::format::{Codec, SLOT_LEN, Slot, decode_identity, slot_offset};
use session_journal::{ErrorKind, Journal, SessionName, Takeover};

use super::{Client, Shared};
use crate::history::{Claim, Life, Tag};

impl Client {
    pub(super) fn open(&mut self, session: usize) {
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
        self.holds[session].id = Some(journal.id());
        self.holds[session].file =
            self.shared.world.with(|state| state.processes[self.process].file);
        self.must_be_above_slots(session, &journal);
        let aside = self.is_aside(session);
        if !aside {
            self.must_be_above_slots(session, &journal);
        }
        let mut history = self.shared.history.borrow_mut();
        let (id, generation) = (journal.id(), journal.generation().get());
        let life = Life { session, ..Life::default() };
        history.lives.entry(id).or_insert(life);
        let span = history.end(span);
        if !aside {
            history.claims.push(Claim { journal: id, generation, span });
        }
        drop(history);
        self.holds[session].mark = Some(journal.mark());
        self.holds[session].journal = Some(journal);
    }

    /// H10: the numbers that the best slot of an owner before knows to be durable are never given to
    /// other records, whatever became of the records.
    fn must_be_above_slots(&self, session: usize, journal: &Journal) {
        let generation = journal.generation().get();
        let known = self.shared.world.with(|state| {
            let page = state.files[self.holds[session].file].bytes();
            let identity = decode_identity(page).ok()?;
            let codec = Codec::new(identity.salt);
            let slot = |which| {
                let at = usize::try_from(slot_offset(which)).ok()?;
                Slot::decode(page.get(at..at + SLOT_LEN)?, &codec)
            };
            let earlier = [0, 1].into_iter().filter_map(slot).filter(|s| s.generation < generation);
            earlier.max_by_key(|slot| (slot.generation, slot.counter)).map(|slot| slot.sequence)
        });
        let (last, known) = (journal.last_sequence().get(), known.unwrap_or(0));
        if last < known {
            let what = format!(
                "generation {generation} goes on behind record {last}, and {known} was durable"
            );
            self.shared.history.borrow_mut().violated(what);
        }
    }

    pub(super) fn owner(&mut self, session: usize) -> bool {
        if self.holds[session].journal.is_none() {
            self.open(session);
        }
        self.holds[session].journal.is_some() && !self.is_dead()
    }

    pub(super) fn close(&mut self, session: usize) {
        let Some(journal) = self.holds[session].journal.take() else { return };
        self.begin("close", session);
        if let Err(error) = journal.close() {
            self.failed("close", &error);
        }
    }

    pub(super) fn drop_handle(&mut self, session: usize) {
        if self.holds[session].journal.take().is_some() {
            self.begin("drop", session);
        }
    }

    pub(super) fn compact(&mut self, session: usize) {
        if !self.owner(session) {
            return;
        }
        self.begin("compact", session);
        let Some(journal) = &mut self.holds[session].journal else { return };
        self.shared.world.with(|state| state.processes[self.process].renames = true);
        let compacted = journal.compact();
        self.shared.world.with(|state| {
            state.processes[self.process].renames = false;
            if let (Ok(_), Ok(file)) = (&compacted, state.find(&Shared::path(session))) {
                self.holds[session].file = file;
            }
        });
        if let Err(error) = compacted {
            self.failed("compact", &error);
            if Self::finishes(error.kind()) {
                self.holds[session].journal = None;
            }
        }
    }

    pub(super) fn delete(&mut self, session: usize) {
        if !self.owner(session) {
            return;
        }
        self.begin("delete", session);
        let Some(journal) = self.holds[session].journal.take() else { return };
        let id = journal.id();
        if let Some(life) = self.shared.history.borrow_mut().lives.get_mut(&id) {
            life.deletion_begun = true;
        }
        self.shared.world.with(|state| state.processes[self.process].renames = true);
        let deleted = journal.delete();
        self.shared.world.with(|state| state.processes[self.process].renames = false);
        if let Err(error) = &deleted {
            self.failed("delete", error);
        }
        if let Some(life) = self.shared.history.borrow_mut().lives.get_mut(&id) {
            life.deleted |= deleted.is_ok();
        }
        if deleted.is_ok() {
            let mut history = self.shared.history.borrow_mut();
            let now = history.begin().begun;
            if let Some(life) = history.lives.get_mut(&id) {
                life.deleted_at.get_or_insert(now);
            }
        }
    }

    pub(super) fn sync(&mut self, session: usize) {
        let Some(journal) = &mut self.holds[session].journal else { return };
        let (id, last) = (journal.id(), journal.last_sequence().get());
        self.begin("sync", session);
        let Some(journal) = &mut self.holds[session].journal else { return };
        match journal.sync() {
            Ok(()) if self.is_aside(session) => {}
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
}
