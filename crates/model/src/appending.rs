//! Appending is a compare-and-swap on the tail: write, see where it landed, look again.

use crate::frame::{Author, Kind};
use crate::model::Protocol;
use crate::mutation::Mutation;
use crate::process::{Draft, Phase, Purpose};
use crate::scan::{Begin, Chain, Standing, scan};
use crate::world::World;

impl Protocol {
    /// Begins a write: its first cell is visible, or all of them.
    pub(crate) fn begin_write(&self, world: &mut World, id: u8, draft: Draft) {
        let at = world.file_of(id).len();
        let retried = matches!(world.process(id).phase, Phase::Ready(_));
        if matches!(draft, Draft::Seal(_)) && !retried {
            world.seals -= 1;
        }
        if !retried {
            let records = u8::try_from(draft.records().count_ones()).unwrap_or(0);
            world.records -= records;
            world.process_mut(id).begun += records;
        }
        let process = world.process_mut(id);
        process.phase = Phase::Writing(draft, at, 0);
        self.show_more(world, id);
        while !self.bounds.cell_by_cell && matches!(world.process(id).phase, Phase::Writing(..)) {
            self.show_more(world, id);
        }
    }

    /// One more cell of a write is visible; with the last one the call returns.
    pub(crate) fn show_more(&self, world: &mut World, id: u8) {
        let Phase::Writing(draft, at, shown) = world.process(id).phase else { return };
        let frames = world.process(id).encode(id, draft, &self.bounds, self.mutation);
        let mut cells = frames.iter().flat_map(|frame| frame.cells()).skip(usize::from(shown));
        let cell = cells.next().expect("a write that is under way has more to show");
        world.file_of_mut(id).push(cell, self);
        world.process_mut(id).phase = Phase::Writing(draft, at, shown + 1);
        if cells.next().is_none() {
            self.written(world, id);
        }
    }

    /// The call returned, with so much in the file as is visible: what does it mean?
    pub(crate) fn written(&self, world: &mut World, id: u8) {
        let Phase::Writing(draft, at, written) = world.process(id).phase else { return };
        let process = world.process_mut(id);
        let meant = process
            .encode(id, draft, &self.bounds, self.mutation)
            .iter()
            .map(crate::frame::Frame::len)
            .sum::<u8>();
        let whole = written == meant;
        if draft == Draft::Claim {
            if whole && at >= process.tail {
                process.phase = Phase::Claimed(at);
            } else {
                world.end(id);
            }
        } else if draft == Draft::Seal(Purpose::Replace) && self.breaks(Mutation::FloatingSeal) {
            world.seal_floated(id, draft);
        } else if at == process.tail || self.breaks(Mutation::SkipLandingCheck) {
            self.landed(world, id, draft, written, whole);
        } else if at < process.tail {
            // Shortened by somebody: finished, and nothing more is said.
            world.end(id);
        } else {
            process.phase = Phase::Displaced(draft, whole);
        }
    }

    /// It stands at the tail: what is whole of it is in the chain.
    fn landed(&self, world: &mut World, id: u8, draft: Draft, written: u8, whole: bool) {
        let process = world.process_mut(id);
        let frames = process.encode(id, draft, &self.bounds, self.mutation);
        let stored = frames.iter().filter(|f| f.batch_end() <= process.tail + written).count();
        if let Some(last) = frames[..stored].last() {
            process.chain = Chain::behind(*last);
        }
        process.tail += written;
        if whole {
            return self.stored(world, id, draft);
        }
        if stored > 0
            && let Draft::Group(number) = draft
        {
            self.stored(world, id, Draft::Record(number));
            return world.refused(id, Draft::Record(number + 1));
        }
        world.refused(id, draft);
    }

    /// The draft is in the chain.
    fn stored(&self, world: &mut World, id: u8, draft: Draft) {
        let power = self.bounds.has_power();
        let process = world.process_mut(id);
        process.phase = Phase::Owner;
        match draft {
            Draft::Claim => {}
            Draft::Opening => {
                self.write_first_slot(world, id);
                world.drop_copy();
            }
            Draft::Record(_) | Draft::Quote(_) | Draft::Batch(_) | Draft::Group(_) => {
                if !power || self.breaks(Mutation::AcknowledgeBeforeSync) {
                    process.acknowledged[usize::from(process.inode)] |= draft.records();
                }
            }
            Draft::Release if self.breaks(Mutation::GoOnBehindRelease) => {}
            Draft::Release if power => process.phase = Phase::Releasing,
            Draft::Release | Draft::HurriedRelease | Draft::Reopen => world.end(id),
            Draft::Checkpoint => {
                process.checkpoint = process.chain.last_offset();
                if self.breaks(Mutation::TrustCheckpointBeyondDurable) {
                    let (end, sequence) = (process.chain.end, process.chain.sequence());
                    self.write_slot_through(world, id, end, sequence);
                }
            }
            Draft::Seal(purpose) => process.phase = Phase::Sealed(purpose, true),
        }
    }

    /// Somebody was there: reads again from the last chain frame, never from the tail.
    pub(crate) fn look_again(&self, world: &mut World, id: u8, draft: Draft, whole: bool) {
        let (process, file) = (*world.process(id), world.file_of(id));
        if process.chain.last.is_some_and(|last| !file.holds(&last)) {
            return world.end(id);
        }
        let from_tail = self.breaks(Mutation::ScanFromTail);
        let end = if from_tail { process.tail } else { process.chain.end };
        let begin = Begin {
            chain: Chain { end, ..process.chain },
            standing: Standing::of(process.generation),
            ..Begin::default()
        };
        let seen = scan(&file.cells, begin, self.mutation);
        // Damage may have taken the frames of whoever displaced us; its slot is somewhere else.
        let slot = file.slot.map_or(0, |slot| slot.generation);
        let current = seen.standing.generation.max(seen.highest).max(slot);
        let goes_on = self.breaks(Mutation::AcceptOlderGeneration);
        if current > process.generation && !goes_on {
            return world.fenced(id, draft);
        }
        let foreign = !seen.frames.is_empty();
        if (foreign && !goes_on) || seen.examined < process.tail {
            // Poisoned, or shortened: nobody can say what became of it.
            world.forsake_copy(id, draft);
            return world.end(id);
        }
        let process = world.process_mut(id);
        process.tail = seen.examined;
        process.phase = Phase::Ready(draft);
        if self.breaks(Mutation::LengthAsTail) {
            process.phase = Phase::Measuring(draft);
        }
        if !whole {
            world.refused(id, draft);
        }
    }
}

impl World {
    /// The disk is full: what is not stored is refused, and the owner goes on.
    fn refused(&mut self, id: u8, draft: Draft) {
        let process = self.process_mut(id);
        process.refused |= draft.records();
        process.phase = Phase::Owner;
        match draft {
            Draft::Opening | Draft::Reopen => self.end(id),
            Draft::Seal(_) => self.forsake_copy(id, draft),
            _ => {}
        }
    }

    /// A higher generation stands there: nothing of this owner counts any more.
    fn fenced(&mut self, id: u8, draft: Draft) {
        self.process_mut(id).refused |= draft.records();
        self.forsake_copy(id, draft);
        self.end(id);
    }

    /// A copy goes with the compaction that made it.
    fn forsake_copy(&mut self, id: u8, draft: Draft) {
        let attempt = self.process(id).attempt;
        if matches!(draft, Draft::Seal(_))
            && self.successor == Some(Author { process: id, attempt })
        {
            self.drop_copy();
        }
    }

    /// A seal that floats counts where it took the generation, whatever came between.
    fn seal_floated(&mut self, id: u8, draft: Draft) {
        let Draft::Seal(purpose) = draft else { return };
        let seen = self.file_of(id).view.seen.clone();
        let process = self.process(id);
        let ours = |last: crate::frame::Frame| {
            last.kind == Kind::Seal
                && last.author.process == id
                && last.author.attempt == process.attempt
        };
        if seen.chain.last.is_some_and(ours) {
            self.process_mut(id).phase = Phase::Sealed(purpose, false);
        } else {
            self.drop_copy();
            self.end(id);
        }
    }
}
