//! The simulated machine as a host: time, randomness, processes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use session_journal::{Host, Incarnation, Liveness, Owner};

use crate::world::{Actor, Process, World};

/// The host, as one process sees it.
#[derive(Clone, Debug)]
pub(crate) struct SimHost {
    world: Arc<World>,
    actor: Actor,
}

impl SimHost {
    /// The host of one process.
    #[must_use]
    pub(crate) fn new(world: &Arc<World>, actor: Actor) -> Self {
        Self { world: Arc::clone(world), actor }
    }
}

impl Host for SimHost {
    fn now_ms(&self) -> i64 {
        self.world.with(|state| i64::try_from(state.step).unwrap_or(i64::MAX))
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.world.with(|state| {
            for chunk in bytes.chunks_mut(8) {
                chunk.copy_from_slice(&state.random().to_le_bytes()[..chunk.len()]);
            }
        });
        Ok(())
    }

    fn owner(&self, label: &str) -> io::Result<Owner> {
        let mut incarnation = [0; 16];
        self.fill_random(&mut incarnation)?;
        let incarnation = Incarnation::from_bytes(incarnation);
        let (pid, boot) = (self.pid(), self.world.with(|state| state.boot));
        self.world.with(|state| state.owners.insert(incarnation, (pid, boot)));
        Ok(Owner {
            incarnation,
            host: "simulated".to_owned(),
            boot_id: u128::from(boot).to_le_bytes(),
            pid,
            pid_namespace: 1,
            start_ticks: 1,
            started_ms: 0,
            program: "simulation".to_owned(),
            label: label.to_owned(),
        })
    }

    fn liveness(&self, owner: &Owner) -> Liveness {
        self.world.with(|state| {
            let Some((pid, boot)) = state.owners.get(&owner.incarnation).copied() else {
                return Liveness::Gone;
            };
            let lives = |one: &Process| one.pid == pid && !one.is_dead;
            if state.faults.foreign {
                Liveness::Unknown
            } else if boot != state.boot {
                Liveness::Gone
            } else if state.processes.iter().any(lives) {
                Liveness::Alive
            } else {
                Liveness::Gone
            }
        })
    }

    fn retire(&self, owner: &Owner) {
        self.world.with(|state| state.owners.remove(&owner.incarnation));
    }

    fn pid(&self) -> u32 {
        match self.actor {
            Actor::Process(index) => self.world.with(|state| state.processes[index].pid),
            Actor::Checker => 1,
        }
    }

    fn pause(&self, _: Duration) {
        let _ = self.world.step(self.actor, "pause");
    }

    fn run_aside(&self, job: Box<dyn FnOnce() + Send>) {
        job();
    }
}
