//! A takeover is a compare-and-swap on the generation: look, claim, look again, sync, settle, open.

use crate::file::File;
use crate::frame::{Author, Frame, Kind};
use crate::model::Protocol;
use crate::mutation::Mutation;
use crate::process::{Draft, Phase, Process, Purpose};
use crate::scan::{Begin, Chain, FIRST, Seen, Standing, scan};
use crate::world::{World, created_by};

impl Protocol {
    /// Opens the path and reads to the end. A claim is next, or what a seal asks for. Nobody's
    /// policy refuses here: it stands above the mechanism.
    pub(crate) fn look(&self, world: &mut World, id: u8) {
        world.opens -= 1;
        let Some(inode) = world.path else { return self.create(world, id) };
        let file = &world.files[usize::from(inode)];
        let (start, slot) = (file.start(), file.slot);
        let seen = file.survey(start, self.mutation);
        let process = world.process_mut(id);
        process.attempt += 1;
        process.inode = inode;
        process.chain = seen.chain;
        process.settled = seen.settled;
        process.tail = seen.examined;
        process.replaces = seen.standing.generation;
        process.generation = seen.standing.generation + 1;
        process.durable = seen.durable_through.max(slot.map_or(0, |slot| slot.durable_through));
        process.start = start;
        process.frames = count(&seen);
        process.slot = slot;
        process.phase = Phase::Looked;
        if let Some(seal) = seen.chain.last.filter(|last| last.kind == Kind::Seal) {
            let deletes = seal.body == Purpose::Delete as u8;
            let purpose = if deletes { Purpose::Delete } else { Purpose::Replace };
            process.phase = Phase::Sealed(purpose, false);
        } else if self.breaks(Mutation::TruncateTornTail) && seen.chain.end < seen.examined {
            process.phase = Phase::Truncating;
        }
    }

    /// The path leads nowhere: a new journal, complete and then linked.
    fn create(&self, world: &mut World, id: u8) {
        let attempt = world.process(id).attempt + 1;
        let opening = created_by(id, attempt);
        world.files.push(File::holding(&[opening], self));
        world.path = Some(1);
        let process = world.process_mut(id);
        *process = Process {
            phase: Phase::Owner,
            inode: 1,
            attempt,
            generation: 1,
            chain: Chain::behind(opening),
            tail: opening.end(),
            ..*process
        };
    }

    /// What the protocol never does: removes what does not verify at the end.
    pub(crate) fn truncate(&self, world: &mut World, id: u8) {
        let end = world.process(id).chain.end;
        let file = world.file_of_mut(id);
        file.truncate(end, self.mutation);
        let process = world.process_mut(id);
        process.tail = end;
        process.phase = Phase::Looked;
    }

    /// Its claim stands at `at`: did it win, and is nobody higher?
    pub(crate) fn look_for_winner(&self, world: &mut World, id: u8, at: u8) {
        let process = *world.process(id);
        let begin = Begin::with(process.chain, process.settled, process.slot);
        let seen = scan(&world.file_of(id).cells, begin, self.mutation);
        if !self.has_won(&process, id, at, &seen) || seen.chain.is_sealed() {
            return world.end(id);
        }
        let slot_sequence = process.slot.map_or(0, |slot| slot.sequence);
        let process = world.process_mut(id);
        process.sequence = seen.chain.sequence().max(slot_sequence);
        process.frames += count(&seen);
        process.chain = seen.chain;
        process.settled = seen.settled;
        process.tail = seen.examined;
        process.phase =
            if self.bounds.has_power() { Phase::Won(at) } else { Phase::Ready(Draft::Opening) };
    }

    /// This claim took the generation, and no higher one stands in what was read (H1).
    fn has_won(&self, process: &Process, id: u8, at: u8, seen: &Seen) -> bool {
        let ours = (at, Author { process: id, attempt: process.attempt });
        if self.breaks(Mutation::NoLookForHigher) {
            return seen.won.contains(&ours);
        }
        // Where damage hid what this claim replaces, another one may have opened its generation.
        seen.standing == Standing { generation: process.generation, claim: Some(ours) }
            && seen.chain.generation() < process.generation
    }

    /// Writes what was inherited again, identical, in place, up to the end of the claim.
    pub(crate) fn write_again(&self, world: &mut World, id: u8, claim: u8) {
        if self.breaks(Mutation::SkipSettling) {
            return;
        }
        let process = *world.process(id);
        let released = process.chain.last.filter(|last| last.kind == Kind::Release);
        let from = match released {
            Some(release) if self.breaks(Mutation::BelieveUnsoundRelease) => release.end(),
            _ => process.durable.max(FIRST),
        };
        world.file_of_mut(id).write_again(from, claim_end(claim));
    }

    /// What a failed sync of somebody else left behind is written again, and synced (H9), and the
    /// claim with it: no power loss takes what others have seen (H11). Then looks whether all of it
    /// was still there when it was written again; now it stays.
    pub(crate) fn settle(&self, world: &mut World, id: u8, claim: u8) {
        self.write_again(world, id, claim);
        if !self.breaks(Mutation::SkipClaimSync) && !world.sync(id) {
            return;
        }
        if !self.is_still_there(world, id, claim) {
            return world.end(id);
        }
        let process = world.process_mut(id);
        process.durable = claim_end(claim);
        process.phase = Phase::Ready(Draft::Opening);
    }

    fn is_still_there(&self, world: &World, id: u8, claim: u8) -> bool {
        let (process, file) = (world.process(id), world.file_of(id));
        if self.breaks(Mutation::UnverifiedSettling) {
            return true;
        }
        let surveyed = |chain: Chain| {
            let begin = Begin::with(chain, Standing::of(chain.generation()), process.slot);
            scan(&file.cells, begin, self.mutation)
        };
        let again = surveyed(process.start);
        let same_chain = again.chain == process.chain;
        if process.chain.last.is_some_and(|last| last.is_sound_release())
            && self.breaks(Mutation::UnverifiedClaim)
        {
            return same_chain;
        }
        same_chain && count(&again) == process.frames && self.has_won(process, id, claim, &again)
    }
}

fn count(seen: &Seen) -> u8 {
    u8::try_from(seen.frames.len()).expect("the bounds keep files short")
}

/// Where a claim ends that stands there.
const fn claim_end(claim: u8) -> u8 {
    claim + Frame::len_of(Kind::Claim)
}
