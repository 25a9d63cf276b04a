//! One run: a machine, processes on it, a scheduler that lets them take turns and has things go
//! wrong, and a checker at the end of each stretch.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use session_journal::format::{Codec, FrameHeader, FrameKind, HEADER_LEN, decode_identity};
use session_journal::{ErrorKind, Journal, NewRecord, Reader, Takeover, verify_with};

use crate::check::{self, Found};
use crate::choices::Choices;
use crate::client::{Client, Shared, look, recognise};
use crate::disk::SimDisk;
use crate::faults::{Faults, Workload};
use crate::fiber::{Fiber, Turn};
use crate::history::{History, Loss, Tag, View};
use crate::world::{Actor, Process, World};

/// A run that takes so many steps is ended by killing everybody: something may spin.
const STEPS_MAX: u64 = 60_000;

/// What a run was.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The promise that was broken.
    pub violation: Option<String>,
    /// Every decision.
    pub choices: Vec<u32>,
    /// How often each operation and each fault happened.
    pub counts: BTreeMap<&'static str, u64>,
    /// What happened, line by line, where that was asked for.
    pub trace: Vec<String>,
    /// The files at its end, where that was asked for.
    pub files: Vec<(PathBuf, Vec<u8>)>,
}

/// Runs simulations one after the other; keeps the stacks of its processes.
#[derive(Debug, Default)]
pub struct Simulator {
    fibers: Vec<Fiber>,
}

impl Simulator {
    /// One run with these decisions.
    pub fn run(&mut self, mut choices: Choices, told: bool) -> Outcome {
        let faults = Faults::draw(&mut choices);
        let workload = Workload::draw(&mut choices);
        while self.fibers.len() < workload.processes {
            self.fibers.push(Fiber::new());
        }
        let mut run = Run::new(choices, faults, workload, told, &mut self.fibers);
        let violation = run.go_to_the_end().err();
        run.end(violation)
    }
}

struct Run<'a> {
    shared: Shared,
    fibers: &'a mut [Fiber],
    left: Vec<Rc<Cell<u32>>>,
    current: usize,
    power_failed: bool,
    /// The codec of each file that was damaged: its own header page may be what is damaged next.
    codecs: BTreeMap<usize, Codec>,
}

impl<'a> Run<'a> {
    fn new(
        choices: Choices,
        faults: Faults,
        workload: Workload,
        told: bool,
        fibers: &'a mut [Fiber],
    ) -> Self {
        let world = Arc::new(World::new(choices, faults, told));
        world.with(|state| {
            let (faults, workload) = (state.faults.clone(), &workload);
            state.tell(|| format!("{faults:?}"));
            state.tell(|| format!("{workload:?}"));
        });
        let processes = workload.processes;
        let left = (0..processes).map(|_| Rc::new(Cell::new(workload.operations))).collect();
        let history = Rc::new(RefCell::new(History::new()));
        let shared = Shared { world, workload: Rc::new(workload), history };
        let fibers = &mut fibers[..processes];
        let mut run =
            Self { shared, fibers, left, current: 0, power_failed: false, codecs: BTreeMap::new() };
        for process in 0..processes {
            run.shared.world.with(|state| state.processes.push(Process::default()));
            run.start(process);
        }
        run
    }

    /// Begins another life of a process.
    fn start(&mut self, process: usize) {
        self.shared.world.with(|state| {
            let pid = u32::try_from(state.random() % 1_000_000).unwrap_or(1) + 2;
            state.processes[process] = Process { pid, ..Process::default() };
        });
        let (shared, left) = (self.shared.clone(), Rc::clone(&self.left[process]));
        self.fibers[process].give(Box::new(move || {
            let mut client = Client::new(&shared, process);
            while left.get() > 0 && !client.is_dead() {
                left.set(left.get() - 1);
                client.operate();
            }
        }));
    }

    fn go_to_the_end(&mut self) -> Result<(), String> {
        while self.fibers.iter().any(Fiber::is_busy) {
            let step = self.shared.world.with(|state| {
                state.step += 1;
                state.step
            });
            if step > STEPS_MAX {
                self.shared.world.with(|state| state.count("runs that were cut off"));
                self.kill_all()?;
                break;
            }
            self.go_wrong()?;
            self.turn()?;
            self.note_failed_syncs();
            self.no_violation()?;
        }
        self.finish()
    }

    fn no_violation(&self) -> Result<(), String> {
        let broken = self.shared.world.with(|state| state.violation.clone());
        let broken = broken.or_else(|| self.shared.history.borrow().violation.clone());
        broken.map_or(Ok(()), Err)
    }

    fn end(self, violation: Option<String>) -> Outcome {
        if violation.is_some() {
            // Nothing may stay on the fibers that the next run is to use.
            self.shared.world.with(|state| {
                for process in &mut state.processes {
                    process.is_dead = true;
                }
            });
            for fiber in &mut *self.fibers {
                while fiber.is_busy() {
                    fiber.turn();
                }
            }
        }
        self.shared.world.with(|state| {
            if let Some(what) = &violation {
                state.tell(|| format!("VIOLATION: {what}"));
            }
            Outcome {
                violation,
                choices: state.choices.taken().to_vec(),
                counts: std::mem::take(&mut state.counts),
                files: state.trace.as_ref().map(|_| state.all_files()).unwrap_or_default(),
                trace: state.trace.take().unwrap_or_default(),
            }
        })
    }

    // ---- turns -----------------------------------------------------------------------------------

    fn turn(&mut self) -> Result<(), String> {
        let Some(process) = self.pick() else { return Ok(()) };
        self.current = process;
        self.run_turn(process)
    }

    fn run_turn(&mut self, process: usize) -> Result<(), String> {
        match self.fibers[process].turn() {
            Turn::Panicked(words) => Err(format!("process {process} panicked: {words}")),
            Turn::Paused | Turn::Done => Ok(()),
        }
    }

    /// Whose turn it is: mostly the same one's again.
    fn pick(&mut self) -> Option<usize> {
        let (current, fibers) = (self.current, &*self.fibers);
        let switch = self.shared.workload.switch;
        self.shared.world.with(|state| {
            let step = state.step;
            let can_run = |process: usize| {
                let one = &state.processes[process];
                fibers[process].is_busy() && (one.in_kernel || one.stopped_until <= step)
            };
            let (waiting, mut able): (Vec<usize>, Vec<usize>) =
                (0..fibers.len()).filter(|p| can_run(*p)).partition(|p| state.processes[*p].waits);
            if able.is_empty() {
                able = waiting;
            }
            if able.is_empty() {
                // All are stopped: time passes.
                return None;
            }
            if able.contains(&current) && !state.choices.once_in(switch) {
                return Some(current);
            }
            able.sort_by_key(|process| (process + fibers.len() - current) % fibers.len());
            Some(state.choices.one_of(&able))
        })
    }

    // ---- what goes wrong -------------------------------------------------------------------------

    fn happens(&self, what: &'static str, rate: impl Fn(&Faults) -> u32) -> bool {
        self.shared.world.fault(Actor::Process(self.current), what, rate)
    }

    fn go_wrong(&mut self) -> Result<(), String> {
        if self.happens("kill", |faults| faults.kill) {
            self.kill(self.current)?;
            self.start(self.current);
        }
        if self.happens("stop", |faults| faults.stop) {
            self.shared.world.with(|state| {
                let steps = 5 + state.choices.below(300);
                state.processes[self.current].stopped_until = state.step + u64::from(steps);
            });
        }
        if self.happens("disk nearly full", |faults| faults.no_space) {
            self.shared.world.with(|state| {
                state.space = match state.space {
                    None => Some(state.choices.below(1500) as usize),
                    Some(_) => None,
                };
            });
        }
        if self.happens("write-back", |faults| faults.write_back) {
            self.shared.world.with(|state| {
                for file in &mut state.files {
                    file.write_back(&mut state.choices);
                }
            });
        }
        if self.happens("eviction", |faults| faults.evict) {
            self.evict()?;
        }
        if self.happens("power loss", |faults| faults.power) {
            self.power_loss()?;
        }
        if self.happens("flipped bit", |faults| faults.flip) {
            self.damage(|choices, from, len| {
                let at = from + choices.below(u32::try_from(len - from).unwrap_or(1)) as usize;
                (at, 1, 1 << choices.below(8))
            })?;
        }
        if self.happens("zeroed block", |faults| faults.zero) {
            self.damage(|choices, from, len| {
                let at = from + choices.below(u32::try_from(len - from).unwrap_or(1)) as usize;
                (at / 512 * 512, 512, 0)
            })?;
        }
        if self.happens("cut by a stranger", |faults| faults.cut) {
            self.cut()?;
        }
        if self.happens("header slot lost", |faults| faults.slot) {
            self.lose_slot();
        }
        Ok(())
    }

    fn kill(&mut self, process: usize) -> Result<(), String> {
        self.shared.world.with(|state| state.processes[process].is_dead = true);
        while self.fibers[process].is_busy() {
            self.run_turn(process)?;
        }
        Ok(())
    }

    fn kill_all(&mut self) -> Result<(), String> {
        (0..self.fibers.len()).try_for_each(|process| self.kill(process))
    }

    fn power_loss(&mut self) -> Result<(), String> {
        self.power_failed = true;
        self.shared.history.borrow_mut().power_failed = true;
        self.shared.world.with(|state| {
            for process in &mut state.processes {
                process.is_dead = true;
            }
        });
        self.kill_all()?;
        self.shared.world.with(crate::world::State::power_loss);
        self.new_epoch(Loss::Power)?;
        (0..self.fibers.len()).for_each(|process| self.start(process));
        Ok(())
    }

    /// One of several processes is opening. One that reads bytes, is stopped right there, and settles
    /// them long after another one has opened without them, brings them back: nothing keeps it from
    /// that (docs/testing.md), so no byte goes away meanwhile.
    fn somebody_opens(&self) -> bool {
        let opens = || self.shared.world.with(|state| state.processes.iter().any(|one| one.opens));
        self.fibers.len() > 1 && opens()
    }

    fn evict(&mut self) -> Result<(), String> {
        let changed = self.shared.world.with(|state| {
            let evicted: Vec<_> = state.files.iter_mut().map(crate::file::File::evict).collect();
            evicted.iter().any(Option::is_some)
        });
        if changed { self.new_epoch(Loss::Eviction) } else { Ok(()) }
    }

    /// Whose sync failed: what was written to that file and was not durable is not safe.
    fn note_failed_syncs(&mut self) {
        let failed = self.shared.world.with(|state| std::mem::take(&mut state.sync_failed));
        if failed.is_empty() {
            return;
        }
        let mut history = self.shared.history.borrow_mut();
        let journals: Vec<_> = history.lives.keys().copied().collect();
        for journal in journals {
            history.sync_failed(journal);
        }
    }

    /// The file of some session, and its length, where there is something to damage.
    fn victim(&self) -> Option<(usize, usize)> {
        if self.somebody_opens() {
            return None;
        }
        let sessions = u32::try_from(self.shared.workload.sessions).unwrap_or(1);
        self.shared.world.with(|state| {
            let session = state.choices.below(sessions) as usize;
            let index = state.find(&Shared::path(session)).ok()?;
            let len = state.files[index].len();
            (len > 4096 && !state.files[index].busy).then_some((index, len))
        })
    }

    /// Damages a stretch of a file: where, how long, and which bits (0 for all to zero).
    fn damage(
        &mut self,
        place: impl Fn(&mut Choices, usize, usize) -> (usize, usize, u8),
    ) -> Result<(), String> {
        let Some((index, len)) = self.victim() else { return Ok(()) };
        let (at, bytes, bits) = self.shared.world.with(|state| {
            let (from, until) = if state.faults.header { (0, 4096) } else { (4096, len) };
            place(&mut state.choices, from, until)
        });
        self.note_damage(index, at, at + bytes);
        self.shared.world.with(|state| {
            state.tell(|| format!("  {bytes} bytes at {at} of file {index}"));
            let change = |stretch: &mut [u8]| match bits {
                0 => stretch.fill(0),
                bits => stretch.iter_mut().for_each(|byte| *byte ^= bits),
            };
            state.files[index].damage(at, change, bytes);
        });
        self.new_epoch(Loss::Damage)
    }

    fn cut(&mut self) -> Result<(), String> {
        let Some((index, len)) = self.victim() else { return Ok(()) };
        let at = self.shared.world.with(|state| {
            let most = u32::try_from(len - 4096).unwrap_or(1);
            len - 1 - state.choices.below(most) as usize
        });
        self.note_damage(index, at, usize::MAX);
        self.shared.history.borrow_mut().was_cut = true;
        self.shared.world.with(|state| {
            state.tell(|| format!("  file {index} is cut from {len} to {at}"));
            state.files[index].cut(at);
        });
        self.new_epoch(Loss::Damage)
    }

    /// Slots lie behind the identity, in the first page; all that they say is found elsewhere too.
    fn lose_slot(&mut self) {
        let Some((index, _)) = self.victim() else { return };
        self.shared.world.with(|state| {
            let slot = state.choices.below(2);
            let at = usize::try_from(session_journal::format::slot_offset(u64::from(slot)));
            let at = at.unwrap_or(0);
            state.files[index].damage(at, |stretch| stretch.fill(0), 512);
        });
    }

    /// Takes note of the records whose bytes, or those of their batch, are about to be damaged. A run
    /// has one damage: what two of them destroy together nobody can promise.
    fn note_damage(&mut self, index: usize, from: usize, until: usize) {
        self.shared.world.with(|state| state.faults.no_more_damage());
        let bytes = self.shared.world.with(|state| state.files[index].bytes().to_vec());
        if let Ok(identity) = decode_identity(&bytes) {
            self.codecs.insert(index, Codec::new(identity.salt));
        }
        let Some(codec) = self.codecs.get(&index) else { return };
        let frames = frames_within(&bytes, codec, from, until);
        let hit: Vec<Tag> = frames.iter().filter_map(|header| tag_in(&bytes, header)).collect();
        let mut history = self.shared.history.borrow_mut();
        let hits = |kind| frames.iter().any(|header: &FrameHeader| header.kind == kind);
        history.seal_was_damaged |= hits(FrameKind::Seal);
        history.opening_was_damaged |= hits(FrameKind::Opening);
        let batches: Vec<Vec<Tag>> = history
            .attempts
            .iter()
            .filter(|attempt| attempt.tags.iter().any(|tag| hit.contains(tag)))
            .map(|attempt| attempt.tags.clone())
            .collect();
        history.damaged.extend(batches.into_iter().flatten());
    }

    // ---- checks ----------------------------------------------------------------------------------

    fn look_at(&self, session: usize) -> Result<Found, String> {
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

    /// What is at a session's path now keeps what was promised.
    fn check_session(&self, session: usize, loss: Option<Loss>) -> Result<Found, String> {
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

    fn new_epoch(&mut self, loss: Loss) -> Result<(), String> {
        let mut epoch = self.shared.history.borrow().next_epoch(loss);
        for session in 0..self.shared.workload.sessions {
            let found = self.check_session(session, Some(loss));
            let found = found.map_err(|what| format!("behind {loss:?}: {what}"))?;
            if let Found::Journal { id, list, .. } = found {
                self.shared.world.with(|state| state.tell(|| format!("  left: {list:?}")));
                self.shared.history.borrow_mut().lose_what_is_not_in(id, &list);
                epoch.found.insert(id, list);
            }
        }
        self.shared.history.borrow_mut().epochs.push(epoch);
        Ok(())
    }

    /// Everybody is done: what is there, what an opening makes of it, and whether the whole history
    /// has an order.
    fn finish(&mut self) -> Result<(), String> {
        self.no_violation()?;
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
        let compacted = self.shared.world.with(|state| state.counts.contains_key("compact"));
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
        for full_scan in [false, true] {
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
            let appended = journal.append(&NewRecord::new("the checker's"));
            let appended = appended.map_err(|error| format!("cannot be appended to: {error}"))?;
            let reader = journal.reader().map_err(|error| error.to_string())?;
            let records = reader.records().with_gaps().filter_map(|item| match item {
                Ok(session_journal::Item::Record(record)) => Some(record.sequence.get()),
                _ => None,
            });
            let found: Vec<u64> = records.collect();
            let before: Vec<u64> = list.iter().map(|(sequence, _)| *sequence).collect();
            // A compaction that was begun before the damage is finished: its copy may have more.
            let kept = if damaged {
                before.iter().all(|sequence| found.contains(sequence))
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

/// All frames in their places with bytes within a stretch of a file.
fn frames_within(bytes: &[u8], codec: &Codec, from: usize, until: usize) -> Vec<FrameHeader> {
    let mut at = 4096;
    let mut frames = Vec::new();
    while at + HEADER_LEN <= bytes.len() {
        let header = FrameHeader::decode(&bytes[at..], codec).ok();
        let Some(header) = header.filter(|header| header.is_self_placed(at as u64)) else {
            at += 1;
            continue;
        };
        let end = usize::try_from(header.end()).unwrap_or(usize::MAX);
        if at < until && end > from {
            frames.push(header);
        }
        let body = bytes.get(at + HEADER_LEN..end);
        let whole = body.is_some_and(|body| codec.checksum(&[body]) == header.body_checksum);
        at = if whole { end } else { at + 1 };
    }
    frames
}

/// The tag of a record that stands there.
fn tag_in(bytes: &[u8], header: &FrameHeader) -> Option<Tag> {
    let at = usize::try_from(header.offset).ok()?;
    let begin = at + HEADER_LEN + usize::from(header.meta_len);
    let tag = bytes.get(begin..)?.first_chunk()?;
    (header.kind == FrameKind::Record).then(|| u64::from_le_bytes(*tag))
}
