//! What can happen next: each step of each process, and each fault.

use stateright::{Model, Property};

use crate::bounds::Bounds;
use crate::mutation::Mutation;
use crate::process::{Draft, Phase, Purpose};
use crate::properties;
use crate::world::World;

/// The protocol within bounds, whole or with one rule broken.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// How large, and with which faults.
    pub bounds: Bounds,
    /// The rule that is broken.
    pub mutation: Option<Mutation>,
}

/// One event. Processes that are stopped are those that nothing happens to any more, or not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A process takes the one step that it is at.
    Step(u8),
    /// An owner begins to write.
    Write(u8, Draft),
    /// An owner copies the journal and seals it.
    Compact(u8),
    /// An owner syncs, and acknowledges.
    Sync(u8),
    /// A sync fails, the one that the process is at.
    FailSync(u8),
    /// The disk is full in the middle of a write.
    CutShort(u8),
    /// A process is killed.
    Kill(u8),
    /// A stranger removes the compacted file.
    LoseSuccessor,
    /// Pages that are called clean are dropped.
    Evict,
    /// Power is lost, and these of the cells that were not synced, and the newest slot or not.
    LosePower(u16, bool),
}

/// Power is lost only while no more cells than these are not synced: each of them is lost or kept.
const UNSYNCED_MAX: usize = 10;

impl Protocol {
    /// Whether this rule is broken.
    #[must_use]
    pub fn breaks(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    fn actions_of(&self, world: &World, id: u8, actions: &mut Vec<Action>) {
        let process = world.process(id);
        match process.phase {
            Phase::Idle => {
                if world.opens > 0 && world.can_open() {
                    actions.push(Action::Step(id));
                }
                return;
            }
            Phase::Owner => self.choices(world, id, actions),
            Phase::Looked | Phase::Ready(_) => {
                if !world.is_being_written(process.inode) {
                    actions.push(Action::Step(id));
                    if self.breaks(Mutation::FloatingSeal) && world.can_compact() {
                        actions.push(Action::Compact(id));
                    }
                }
            }
            Phase::Writing(..) => {
                actions.push(Action::Step(id));
                if world.short_writes > 0 {
                    actions.push(Action::CutShort(id));
                }
            }
            Phase::Truncating if world.is_being_written(process.inode) => {}
            Phase::Sealed(..) => {
                if world.can_go_on_with_seal(id) {
                    actions.push(Action::Step(id));
                }
            }
            Phase::Won(_) | Phase::Settling(..) | Phase::Releasing => {
                actions.push(Action::Step(id));
                if world.failing_syncs > 0 {
                    actions.push(Action::FailSync(id));
                }
            }
            _ => actions.push(Action::Step(id)),
        }
        if world.kills > 0 && world.kill_tells(id) {
            actions.push(Action::Kill(id));
        }
    }

    /// What an owner may do as its caller pleases.
    fn choices(&self, world: &World, id: u8, actions: &mut Vec<Action>) {
        let (process, bounds) = (world.process(id), &self.bounds);
        let number = process.begun;
        if bounds.has_power() && process.chain.end > process.durable {
            actions.push(Action::Sync(id));
            if world.failing_syncs > 0 {
                actions.push(Action::FailSync(id));
            }
        }
        if world.is_being_written(process.inode) {
            return;
        }
        let mut write = |draft| actions.push(Action::Write(id, draft));
        if world.records > 0 {
            write(if bounds.quotes { Draft::Quote(number) } else { Draft::Record(number) });
        }
        if world.records > 1 && bounds.batches {
            write(Draft::Batch(number));
            write(Draft::Group(number));
        }
        if bounds.releases {
            let synced = process.durable >= process.chain.end;
            if synced || !bounds.has_power() {
                write(Draft::Release);
            } else {
                write(Draft::HurriedRelease);
            }
        }
        if bounds.checkpoints && process.checkpoint == 0 {
            write(Draft::Checkpoint);
        }
        if world.seals > 0 && world.path == Some(process.inode) && process.inode == 0 {
            write(Draft::Seal(Purpose::Delete));
        }
        if process.inode == 0 && world.can_compact() {
            actions.push(Action::Compact(id));
        }
    }

    fn faults(&self, world: &World, actions: &mut Vec<Action>) {
        if world.successor.is_some() && world.lost_successors > 0 {
            actions.push(Action::LoseSuccessor);
        }
        if !self.bounds.has_power() {
            return;
        }
        let file = &world.files[0];
        if file.medium.contains(&crate::file::Medium::CalledClean) {
            actions.push(Action::Evict);
        }
        let unsynced = file.unsynced().count();
        if world.power_losses > 0 && unsynced <= UNSYNCED_MAX {
            for lost in 0..1_u16 << unsynced {
                actions.push(Action::LosePower(lost, false));
                if file.slot != file.slot_before {
                    actions.push(Action::LosePower(lost, true));
                }
            }
        }
    }

    fn step(&self, world: &mut World, id: u8) {
        match world.process(id).phase {
            Phase::Idle => self.look(world, id),
            Phase::Looked => self.begin_write(world, id, Draft::Claim),
            Phase::Claimed(at) => self.look_for_winner(world, id, at),
            Phase::Won(at) => self.sync_claim(world, id, at),
            Phase::Claimant(at) => self.read_inherited(world, id, at),
            Phase::Settling(at, _) => self.settle(world, id, at),
            Phase::Ready(draft) => self.begin_write(world, id, draft),
            Phase::Writing(..) => self.show_more(world, id),
            Phase::Displaced(draft, whole) => self.look_again(world, id, draft, whole),
            Phase::Measuring(draft) => {
                let len = world.file_of(id).len();
                let process = world.process_mut(id);
                process.tail = len;
                process.phase = Phase::Ready(draft);
            }
            Phase::Truncating => self.truncate(world, id),
            Phase::Releasing => self.sync_release(world, id),
            Phase::Sealed(purpose, mine) => self.go_on_with_seal(world, id, purpose, mine),
            Phase::Placing(mine) => world.place(id, mine),
            Phase::Removing => {
                world.path = None;
                world.end(id);
            }
            Phase::Owner => {}
        }
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for id in 0..self.bounds.processes {
            self.actions_of(world, id, actions);
        }
        self.faults(world, actions);
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        match action {
            Action::Step(id) => self.step(&mut world, id),
            Action::Write(id, draft) => self.begin_write(&mut world, id, draft),
            Action::Compact(id) => self.compact(&mut world, id),
            Action::Sync(id) => self.sync_and_acknowledge(&mut world, id),
            Action::FailSync(id) => self.fail_sync(&mut world, id),
            Action::CutShort(id) => {
                world.short_writes -= 1;
                self.written(&mut world, id);
            }
            Action::Kill(id) => {
                world.kills -= 1;
                world.end(id);
            }
            Action::LoseSuccessor => {
                world.lost_successors -= 1;
                world.drop_copy();
            }
            Action::Evict => {
                world.note_shown();
                world.files[0].evict(self.mutation);
            }
            Action::LosePower(lost, slot_too) => self.lose_power(&mut world, lost, slot_too),
        }
        world.forget_dropped(self.mutation);
        Some(world.representative(self.mutation))
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.files.iter().all(|file| file.len() <= self.bounds.cells)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::of(&self.bounds)
    }
}
