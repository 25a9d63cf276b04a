//! The simulated machine: files and their names, processes, time, and what goes wrong.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use session_journal::Incarnation;

use crate::choices::Choices;
use crate::counts::{Counts, Tally};
use crate::faults::Faults;
use crate::fiber;
use crate::file::File;

/// The machine, shared by everything that runs on it.
#[derive(Debug)]
pub(crate) struct World(Mutex<State>);

/// Who acts: a process, or the checker, for whom nothing goes wrong and no time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    /// A process.
    Process(usize),
    /// The checker.
    Checker,
}

/// A process.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a state of its own")]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) is_dead: bool,
    /// Stopped until this step.
    pub(crate) stopped_until: u64,
    /// It waits for a lock that another one has.
    pub(crate) waits: bool,
    /// The file that it appended to last.
    pub(crate) file: usize,
    /// It is about to change what is at a path: it compacts, or deletes.
    pub(crate) renames: bool,
    /// It is opening a journal.
    pub(crate) opens: bool,
    /// Within a system call, where a stop does not reach it.
    pub(crate) in_kernel: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum NameChange {
    Put(PathBuf, usize),
    Remove(PathBuf),
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) choices: Choices,
    pub(crate) faults: Faults,
    pub(crate) files: Vec<File>,
    pub(crate) names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    changes: Vec<NameChange>,
    pub(crate) folder_is_locked: bool,
    pub(crate) processes: Vec<Process>,
    /// Owners and the process and boot that each of them is of; retired ones are absent.
    pub(crate) owners: HashMap<Incarnation, (u32, u64)>,
    pub(crate) boot: u64,
    pub(crate) step: u64,
    pub(crate) randomness: u64,
    /// So many bytes are left on the disk, where it is about to be full.
    pub(crate) space: Option<usize>,
    /// What happened in a run that is told.
    pub(crate) trace: Option<Vec<String>>,
    pub(crate) counts: Counts,
    /// A promise of the disk itself that the engine broke.
    pub(crate) violation: Option<String>,
    /// Processes whose pages a failed sync may have lost: files by index.
    pub(crate) sync_failed: Vec<usize>,
}

impl World {
    pub(crate) fn new(choices: Choices, faults: Faults, told: bool) -> Self {
        Self(Mutex::new(State {
            choices,
            faults,
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            folder_is_locked: false,
            processes: Vec::new(),
            owners: HashMap::new(),
            boot: 1,
            step: 0,
            randomness: 0,
            space: None,
            trace: told.then(Vec::new),
            counts: Counts::default(),
            violation: None,
            sync_failed: Vec::new(),
        }))
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.0.lock())
    }

    /// A step on the disk: the process pauses, and finds itself alive or not.
    pub(crate) fn step(&self, actor: Actor, operation: &'static str) -> io::Result<()> {
        let Actor::Process(index) = actor else { return Ok(()) };
        self.must_live(index)?;
        fiber::pause();
        self.must_live(index)?;
        self.with(|state| {
            count(&mut state.counts.calls, operation);
            state.tell(|| format!("process {index}: {operation}"));
        });
        Ok(())
    }

    /// A pause within a system call: a stop does not reach there, a kill does.
    pub(crate) fn step_in_kernel(&self, actor: Actor) -> io::Result<()> {
        let Actor::Process(index) = actor else { return Ok(()) };
        self.with(|state| state.processes[index].in_kernel = true);
        fiber::pause();
        self.with(|state| state.processes[index].in_kernel = false);
        self.must_live(index)
    }

    /// Waits until the lock that `take` tries to take is free.
    pub(crate) fn wait_for(
        &self,
        actor: Actor,
        take: impl Fn(&mut State) -> bool,
    ) -> io::Result<()> {
        while !self.with(&take) {
            let Actor::Process(index) = actor else {
                return Err(io::Error::other("the checker waits for a lock"));
            };
            self.with(|state| state.processes[index].waits = true);
            fiber::pause();
            self.with(|state| state.processes[index].waits = false);
            self.must_live(index)?;
        }
        Ok(())
    }

    fn must_live(&self, index: usize) -> io::Result<()> {
        if self.with(|state| state.processes[index].is_dead) {
            return Err(io::Error::other("the process was killed"));
        }
        Ok(())
    }

    /// A fault where a chance for it comes, and where it always takes effect.
    pub(crate) fn fault(
        &self,
        actor: Actor,
        what: &'static str,
        rate: impl Fn(&Faults) -> u32,
    ) -> bool {
        actor != Actor::Checker
            && self.with(|state| {
                let happens = state.has_chance(rate);
                if happens {
                    state.went_wrong(what);
                }
                happens
            })
    }
}

/// One more of these.
pub(crate) fn count(tally: &mut Tally, what: &'static str) {
    *tally.entry(what).or_default() += 1;
}

impl State {
    /// Whether a fault of this rate comes now.
    pub(crate) fn has_chance(&mut self, rate: impl Fn(&Faults) -> u32) -> bool {
        let rate = rate(&self.faults);
        rate > 0 && self.choices.once_in(rate)
    }

    /// A fault takes effect.
    pub(crate) fn went_wrong(&mut self, what: &'static str) {
        count(&mut self.counts.faults, what);
        self.tell(|| format!("  fault: {what}"));
    }

    pub(crate) fn tell(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let mut line = String::new();
            let _ = write!(line, "{:>6}  {}", self.step, what());
            trace.push(line);
        }
    }

    pub(crate) fn violated(&mut self, what: String) {
        self.tell(|| format!("VIOLATION: {what}"));
        self.violation.get_or_insert(what);
    }

    /// The next of the machine's random numbers. Not a decision: nothing depends on its value.
    pub(crate) fn random(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
        self.randomness = self.randomness.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.randomness;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    // ---- names ---------------------------------------------------------------------------------

    pub(crate) fn find(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(crate) fn all_files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let bytes = |file: &usize| self.files[*file].bytes().to_vec();
        self.names.iter().map(|(path, file)| (path.clone(), bytes(file))).collect()
    }

    pub(crate) fn put_name(&mut self, path: &Path, file: usize) {
        self.names.insert(path.to_owned(), file);
        self.changes.push(NameChange::Put(path.to_owned(), file));
    }

    pub(crate) fn remove_name(&mut self, path: &Path) -> io::Result<usize> {
        let file = self.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        self.changes.push(NameChange::Remove(path.to_owned()));
        Ok(file)
    }

    /// `from` takes the place of `to` at once, also after a power loss.
    pub(crate) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.remove_name(from)?;
        self.put_name(to, file);
        Ok(())
    }

    pub(crate) fn sync_names(&mut self) {
        self.changes.clear();
        self.durable_names.clone_from(&self.names);
    }

    /// A stranger changes what is at a path, and that is durable at once: this file, or nothing.
    pub(crate) fn change_durably(&mut self, path: &Path, file: Option<usize>) {
        self.changes.retain(|change| match change {
            NameChange::Put(changed, _) | NameChange::Remove(changed) => changed != path,
        });
        for names in [&mut self.names, &mut self.durable_names] {
            names.remove(path);
            names.extend(file.map(|file| (path.to_owned(), file)));
        }
    }

    /// The power fails: nothing is left but what is durable, and what reached the disk by chance.
    /// Changes of names reach it in order, for a file system journals them.
    pub(crate) fn power_loss(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        let all = u32::try_from(changes.len()).unwrap_or(0);
        let lost = if all > 0 { self.choices.below(all + 1) } else { 0 };
        for change in changes.into_iter().take((all - lost) as usize) {
            match change {
                NameChange::Put(path, file) => {
                    self.durable_names.insert(path, file);
                }
                NameChange::Remove(path) => {
                    self.durable_names.remove(&path);
                }
            }
        }
        self.names.clone_from(&self.durable_names);
        for file in &mut self.files {
            file.power_loss(&mut self.choices);
        }
        self.folder_is_locked = false;
        self.boot += 1;
        for process in &mut self.processes {
            process.is_dead = true;
        }
    }
}
