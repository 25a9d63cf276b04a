//! What a run must have kept: behind each loss, and at its end.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use session_journal::format::{Codec, FrameKind, HEADER_LEN, SealBody, decode_identity};
use session_journal::{ErrorKind, Journal, NewRecord, Reader, Takeover, verify_with};

use crate::check::{self, Found};
use crate::client::{Shared, look, recognise};
use crate::damage::frames_within;
use crate::disk::SimDisk;
use crate::history::{Loss, Tag, View};
use crate::simulation::Run;
use crate::world::{Actor, State};

impl Run<'_> {
    pub(crate) fn look_at(&self, session: usize) -> Result<Found, String> {
        let disk = Arc::new(SimDisk::new(&self.shared.world, Actor::Checker));
        let reader = match Reader::open_with(Shared::path(session), disk) {
            Ok(reader) => reader,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Found::Nothing);
            }
            Err(error) => return Ok(Found::Unreadable(error.to_string())),
        };
        match look(&reader) {
            Ok(looked) => {
                let seen = recognise(&self.shared.history.borrow(), looked)?;
                Ok(Found::Journal { id: reader.id(), list: seen.list, gaps: seen.gaps })
            }
            Err(error) => Ok(Found::Unreadable(error.to_string())),
        }
    }

    /// Records that a sealed file has lost and the copy has that takes its place at the next opening. Whoever
    /// reads before that does not see them, and whoever reads behind it does.
    fn only_in_copy(&self, session: usize, list: &[(u64, Tag)]) -> Result<Vec<Tag>, String> {
        let path = Shared::path(session);
        let Some(copy) = self.shared.world.with(|state| complete_copy(state, &path)) else {
            return Ok(Vec::new());
        };
        let disk = Arc::new(SimDisk::new(&self.shared.world, Actor::Checker));
        let reader = Reader::open_with(copy, disk).map_err(|error| error.to_string())?;
        let looked = look(&reader).map_err(|error| error.to_string())?;
        let copied = recognise(&self.shared.history.borrow(), looked)?.list;
        let is_missing = |tag: &Tag| !list.iter().any(|(_, there)| there == tag);
        Ok(copied.into_iter().map(|(_, tag)| tag).filter(is_missing).collect())
    }

    /// What is at a session's path now keeps what was promised.
    pub(crate) fn check_session(
        &self,
        session: usize,
        loss: Option<Loss>,
    ) -> Result<Found, String> {
        let found = self.look_at(session)?;
        let history = self.shared.history.borrow();
        match &found {
            Found::Nothing => check::absent(&history, session, self.power_failed)?,
            Found::Unreadable(what) => {
                return Err(format!("session {session} cannot be read: {what}"));
            }
            Found::Journal { id, list, gaps } => {
                if history.lives.contains_key(id) {
                    check::sound(&history, *id, list)?;
                    check::kept(&history, *id, list, loss)?;
                    check::not_from_aside(&history, *id, list)?;
                    if history.lives[id].deleted {
                        return Err(format!("the journal {id} was deleted, and is there"));
                    }
                }
                if *gaps > 0 && history.epochs.len() == 1 && loss.is_none() {
                    return Err(format!("{gaps} records of session {session} are missing"));
                }
            }
        }
        Ok(found)
    }

    pub(crate) fn new_epoch(&mut self, loss: Loss) -> Result<(), String> {
        let mut epoch = self.shared.history.borrow().next_epoch(loss);
        for session in 0..self.shared.workload.sessions {
            let found = self.check_session(session, Some(loss));
            let found = found.map_err(|what| format!("behind {loss:?}: {what}"))?;
            if let Found::Journal { id, list, .. } = found {
                self.shared.world.with(|state| state.tell(|| format!("  left: {list:?}")));
                epoch.unsettled.extend(self.only_in_copy(session, &list)?);
                self.shared.history.borrow_mut().lose_what_is_not_in(id, &list);
                epoch.found.insert(id, list);
            }
        }
        self.shared.history.borrow_mut().epochs.push(epoch);
        Ok(())
    }

    /// Everybody is done: what is there, what an opening makes of it, and whether the whole history
    /// has an order.
    pub(crate) fn finish(&mut self) -> Result<(), String> {
        self.no_violation()?;
        self.check_aside()?;
        let loss = self.power_failed.then_some(Loss::Power);
        for session in 0..self.shared.workload.sessions {
            if let Found::Journal { id, list, gaps } = self.check_session(session, loss)? {
                self.check_opening(session, &list, gaps)?;
                let mut history = self.shared.history.borrow_mut();
                let span = history.begin();
                let span = history.end(span);
                let view = View { journal: id, list, span };
                history.views.push(view);
            }
        }
        check::linearizable(&self.shared.history.borrow())
    }

    fn may_go(&self, session: usize) -> bool {
        let history = self.shared.history.borrow();
        history.lives.values().any(|life| life.session == session && life.deletion_begun)
    }

    /// Opening changes nothing of what readers see, and the journal is good for another record.
    fn check_opening(&self, session: usize, list: &[(u64, Tag)], gaps: u64) -> Result<(), String> {
        let path = Shared::path(session);
        let disk = SimDisk::new(&self.shared.world, Actor::Checker);
        let report = verify_with(&path, &disk, &mut |_, _| {}).map_err(|e| e.to_string())?;
        if report.records != list.len() as u64 {
            let (counted, read) = (report.records, list.len());
            return Err(format!("verify counts {counted} records, a reader gives {read}"));
        }
        let lost: u64 = report.torn.iter().chain(&report.damage).map(|h| h.records_lost).sum();
        // What a compaction did not find is a gap of the new file, and no damage of it.
        let compacted =
            self.shared.world.with(|state| state.counts.operations.contains_key("compact"));
        if lost > gaps || (lost < gaps && !compacted) {
            let holes = [report.torn, report.damage].concat();
            return Err(format!(
                "verify reports {lost} records lost, a reader {gaps}: session {session}, {list:?}, {holes:?}"
            ));
        }
        let damaged = self.shared.world.with(|state| state.faults.damages);
        if !damaged && !report.damage.is_empty() {
            return Err(format!("damage is reported, and there was none: {:?}", report.damage));
        }
        let only_in_copy = self.only_in_copy(session, list)?;
        for (nth, full_scan) in [false, true, true].into_iter().enumerate() {
            let mut options = self.shared.options(Actor::Checker, Takeover::Always);
            options.full_scan = full_scan;
            let mut journal = match Journal::open(&path, &options) {
                Ok(journal) => journal,
                // The opening finished a deletion that was begun.
                Err(error) if error.kind() == ErrorKind::NotFound && self.may_go(session) => {
                    return Ok(());
                }
                Err(error) => return Err(format!("cannot be opened: {error}")),
            };
            let found = &journal.opening().report;
            if nth == 2 && !found.is_clean() {
                return Err(format!(
                    "what one opening reported the next one reports again: {found}"
                ));
            }
            let appended = journal.append(&NewRecord::new("the checker's"));
            let appended = appended.map_err(|error| format!("cannot be appended to: {error}"))?;
            let reader = journal.reader().map_err(|error| error.to_string())?;
            let records = reader.records().with_gaps().filter_map(|item| match item {
                Ok(session_journal::Item::Record(record)) => Some(record.sequence.get()),
                _ => None,
            });
            let found: Vec<u64> = records.collect();
            let before: Vec<u64> = list.iter().map(|(sequence, _)| *sequence).collect();
            let history = self.shared.history.borrow();
            let is_safe = |(_, tag): &&(u64, Tag)| !history.damaged.contains(tag);
            let safe: Vec<u64> = list.iter().filter(is_safe).map(|(at, _)| *at).collect();
            // A compaction that was begun before the damage is finished: its copy may have more.
            let kept = if damaged || !only_in_copy.is_empty() {
                safe.iter().all(|sequence| found.contains(sequence))
            } else {
                found.starts_with(&before)
            };
            if !kept || found.last() != Some(&appended.sequence.get()) {
                return Err(format!("an opening changed what is read: {before:?}, then {found:?}"));
            }
        }
        Ok(())
    }
}

/// The copy that a sealed file names, where it is there and complete.
fn complete_copy(state: &State, path: &Path) -> Option<PathBuf> {
    let bytes = state.files[state.find(path).ok()?].bytes();
    let codec = Codec::new(decode_identity(bytes).ok()?.salt);
    let frames = frames_within(bytes, &codec, 0, bytes.len());
    let seal = frames.last().filter(|last| last.kind == FrameKind::Seal)?;
    let body = usize::try_from(seal.offset).ok()? + HEADER_LEN..usize::try_from(seal.end()).ok()?;
    let SealBody { successor, successor_len, .. } = SealBody::decode(bytes.get(body)?).ok()?;
    let copy = path.with_file_name(OsStr::from_bytes(&successor));
    let len = state.files[state.find(&copy).ok()?].len() as u64;
    (!successor.is_empty() && len == successor_len).then_some(copy)
}
