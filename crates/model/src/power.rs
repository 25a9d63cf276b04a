//! From written to durable: syncs, those that fail, and power loss.

use std::sync::Arc;

use crate::file::Slot;
use crate::model::Protocol;
use crate::process::Phase;
use crate::scan::FIRST;
use crate::world::World;

impl Protocol {
    /// An owner syncs. What is in the chain up to its end is told to be durable then: its own
    /// records, and inherited ones to whoever tries them again with their key (H22).
    pub(crate) fn sync_and_acknowledge(&self, world: &mut World, id: u8) {
        if !world.sync(id) {
            return;
        }
        let process = world.process_mut(id);
        process.durable = process.chain.end;
        if process.checkpoint != 0 {
            self.write_slot(world, id);
        }
        world.acknowledge(id);
    }

    /// The release is durable: a slot says so.
    pub(crate) fn sync_release(&self, world: &mut World, id: u8) {
        if !world.sync(id) {
            return;
        }
        let process = world.process_mut(id);
        process.durable = process.chain.end;
        self.write_slot(world, id);
        world.acknowledge(id);
        world.end(id);
    }

    /// A sync fails. Whoever has the file open will be told once; nobody who opens it later is.
    pub(crate) fn fail_sync(&self, world: &mut World, id: u8) {
        world.failing_syncs -= 1;
        self.write_again(world, id);
        world.file_of_mut(id).fail_sync();
        world.end(id);
        for other in world.processes.iter_mut().filter(|other| other.phase != Phase::Idle) {
            other.owes_error = true;
        }
    }

    /// Leaves a hint for the next opener.
    pub(crate) fn write_slot(&self, world: &mut World, id: u8) {
        let process = world.process(id);
        let (through, sequence) = (process.durable, process.chain.sequence());
        self.write_slot_through(world, id, through, sequence);
    }

    /// Until its opening is durable an owner vouches for the chain before that only.
    pub(crate) fn write_first_slot(&self, world: &mut World, id: u8) {
        let before = world
            .process(id)
            .chain
            .last
            .and_then(|opening| world.file_of(id).sound_frame(opening.previous));
        let (through, sequence) = before.map_or((FIRST, 0), |last| (last.end(), last.sequence));
        // What may come back is counted by the opening, and was durable to nobody.
        let sequence = world.process(id).durable_sequence(sequence);
        self.write_slot_through(world, id, through, sequence);
    }

    /// Leaves a hint that says durable through here.
    pub(crate) fn write_slot_through(
        &self,
        world: &mut World,
        id: u8,
        durable_through: u8,
        sequence: u8,
    ) {
        if !self.bounds.has_power() {
            return;
        }
        let process = *world.process(id);
        let slot = Slot {
            generation: process.generation,
            sequence,
            durable_through,
            checkpoint: process.checkpoint,
        };
        world.file_of_mut(id).write_slot(slot, self.mutation);
    }

    /// Everybody is gone, and any part of what was not synced.
    pub(crate) fn lose_power(&self, world: &mut World, lost: u16, slot_too: bool) {
        world.note_shown();
        world.power_losses -= 1;
        world.files[0].lose(lost, slot_too, self.mutation);
        for id in 0..self.bounds.processes {
            world.end(id);
        }
    }
}

impl World {
    /// A sync. False where the descriptor owes an error, of a sync that failed for another: the
    /// handle is finished then.
    pub(crate) fn sync(&mut self, id: u8) -> bool {
        self.file_of_mut(id).sync();
        if self.process(id).owes_error {
            self.end(id);
            return false;
        }
        true
    }

    /// What is in the chain up to there is told to be durable.
    fn acknowledge(&mut self, id: u8) {
        let durable = self.process(id).durable;
        let seen = self.file_of(id).view.seen.clone();
        for frame in seen.frames.iter().filter(|frame| frame.is_record() && frame.end() <= durable)
        {
            let producer = self.process_mut(frame.author.process);
            producer.acknowledged[0] |= 1 << frame.body;
        }
    }

    /// What anybody could have seen until now.
    pub(crate) fn note_shown(&mut self) {
        let view = Arc::clone(&self.files[0].view);
        for frame in &view.seen.frames {
            self.shown[usize::from(frame.generation)].get_or_insert(frame.author);
        }
    }
}
