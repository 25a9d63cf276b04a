//! One run: a machine, processes on it, a scheduler that lets them take turns and has things go
//! wrong, and a checker at the end of each stretch.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use session_journal::format::Codec;

use crate::choices::Choices;
use crate::client::{Client, Shared};
use crate::counts::Counts;
use crate::faults::{Faults, Workload};
use crate::fiber::{Fiber, Turn};
use crate::history::History;
use crate::world::{Process, World};

/// No run needs so many steps: something spins.
const STEPS_MAX: u64 = 60_000;

/// What a run was.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The promise that was broken.
    pub violation: Option<String>,
    /// Every decision.
    pub choices: Vec<u32>,
    /// What it exercised.
    pub counts: Counts,
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
        let workload = Workload::draw(&mut choices, &faults);
        while self.fibers.len() < workload.processes {
            self.fibers.push(Fiber::new());
        }
        let mut run = Run::new(choices, faults, workload, told, &mut self.fibers);
        let violation = run.go_to_the_end().err();
        run.end(violation)
    }
}

pub(crate) struct Run<'a> {
    pub(crate) shared: Shared,
    pub(crate) fibers: &'a mut [Fiber],
    left: Vec<Rc<Cell<u32>>>,
    pub(crate) current: usize,
    pub(crate) power_failed: bool,
    /// A copy that a stranger made of a session's file, to be put into its place later.
    pub(crate) backup: Option<(usize, Vec<u8>)>,
    /// The codec of each file that was damaged: its own header page may be what is damaged next.
    pub(crate) codecs: BTreeMap<usize, Codec>,
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
        let mut run = Self {
            shared,
            fibers,
            left,
            current: 0,
            power_failed: false,
            backup: None,

            codecs: BTreeMap::new(),
        };
        for process in 0..processes {
            run.shared.world.with(|state| state.processes.push(Process::default()));
            run.start(process);
        }
        run
    }

    /// Begins another life of a process.
    pub(crate) fn start(&mut self, process: usize) {
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
                return Err(format!("the run does not end: {STEPS_MAX} steps were taken"));
            }
            self.go_wrong()?;
            self.turn()?;
            self.note_failed_syncs();
            self.no_violation()?;
        }
        self.finish()
    }

    pub(crate) fn no_violation(&self) -> Result<(), String> {
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

    pub(crate) fn run_turn(&mut self, process: usize) -> Result<(), String> {
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
}
