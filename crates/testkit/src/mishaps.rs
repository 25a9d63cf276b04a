//! What goes wrong with processes and the machine.

use crate::faults::Faults;
use crate::file::File;
use crate::history::Loss;
use crate::simulation::Run;
use crate::world::State;

impl Run<'_> {
    /// Whether a fault comes now. It is counted where it has an effect.
    fn happens(&self, rate: impl Fn(&Faults) -> u32) -> bool {
        self.shared.world.with(|state| state.has_chance(rate))
    }

    pub(crate) fn go_wrong(&mut self) -> Result<(), String> {
        self.processes_go_wrong()?;
        self.disk_goes_wrong()?;
        if self.happens(|faults| faults.power) {
            self.power_loss()?;
        }
        if self.happens(|faults| faults.stranger) {
            self.stranger()?;
        }
        self.bytes_go_wrong()
    }

    fn processes_go_wrong(&mut self) -> Result<(), String> {
        if self.happens(|faults| faults.kill) {
            self.shared.world.with(|state| state.went_wrong("kill"));
            self.kill(self.current)?;
            self.start(self.current);
        }
        if self.happens(|faults| faults.stop) {
            self.shared.world.with(|state| {
                if state.processes[self.current].stopped_until <= state.step {
                    state.went_wrong("stop");
                    let steps = 5 + state.choices.below(300);
                    state.processes[self.current].stopped_until = state.step + u64::from(steps);
                }
            });
        }
        Ok(())
    }

    fn disk_goes_wrong(&mut self) -> Result<(), String> {
        if self.happens(|faults| faults.no_space) {
            self.shared.world.with(|state| {
                let full = state.space.is_none();
                state.went_wrong(if full { "disk nearly full" } else { "room again" });
                state.space = full.then(|| state.choices.below(1500) as usize);
            });
        }
        if self.happens(|faults| faults.write_back) {
            self.shared.world.with(|state| {
                let state = &mut *state;
                let mut wrote = false;
                for file in &mut state.files {
                    wrote |= file.write_back(&mut state.choices);
                }
                if wrote {
                    state.went_wrong("pages written back early");
                }
            });
        }
        if self.happens(|faults| faults.evict) {
            self.evict()?;
        }
        Ok(())
    }

    fn bytes_go_wrong(&mut self) -> Result<(), String> {
        if self.happens(|faults| faults.flip) {
            self.damage("flipped bit", |choices, from, len| {
                let at = from + choices.below(u32::try_from(len - from).unwrap_or(1)) as usize;
                (at, 1, 1 << choices.below(8))
            })?;
        }
        if self.happens(|faults| faults.zero) {
            self.damage("zeroed block", |choices, from, len| {
                let at = from + choices.below(u32::try_from(len - from).unwrap_or(1)) as usize;
                (at / 512 * 512, 512, 0)
            })?;
        }
        if self.happens(|faults| faults.cut) {
            self.cut()?;
        }
        if self.happens(|faults| faults.slot) {
            self.lose_slot();
        }
        Ok(())
    }

    pub(crate) fn kill(&mut self, process: usize) -> Result<(), String> {
        self.shared.world.with(|state| state.processes[process].is_dead = true);
        while self.fibers[process].is_busy() {
            self.run_turn(process)?;
        }
        Ok(())
    }

    pub(crate) fn kill_all(&mut self) -> Result<(), String> {
        (0..self.fibers.len()).try_for_each(|process| self.kill(process))
    }

    fn power_loss(&mut self) -> Result<(), String> {
        self.shared.world.with(|state| state.went_wrong("power loss"));
        self.power_failed = true;
        self.shared.history.borrow_mut().power_failed = true;
        self.shared.world.with(|state| {
            for process in &mut state.processes {
                process.is_dead = true;
            }
        });
        self.kill_all()?;
        self.check_aside()?;
        self.shared.world.with(State::power_loss);
        self.new_epoch(Loss::Power)?;
        (0..self.fibers.len()).for_each(|process| self.start(process));
        Ok(())
    }

    /// One of several processes is opening. One that reads bytes and settles them long after they were
    /// damaged mends them, or a part of them: what is left then says nothing about the engine.
    pub(crate) fn somebody_opens(&self) -> bool {
        let opens = || self.shared.world.with(|state| state.processes.iter().any(|one| one.opens));
        self.fibers.len() > 1 && opens()
    }

    fn evict(&mut self) -> Result<(), String> {
        let changed = self.shared.world.with(|state| {
            let evicted: Vec<_> = state.files.iter_mut().map(File::evict).collect();
            let changed = evicted.iter().any(Option::is_some);
            if changed {
                state.went_wrong("pages of a failed sync leave the memory");
            }
            changed
        });
        if changed { self.new_epoch(Loss::Eviction) } else { Ok(()) }
    }

    /// Whose sync failed: what was written to that file and was not durable is not safe.
    pub(crate) fn note_failed_syncs(&mut self) {
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
}
