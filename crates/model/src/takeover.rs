//! A takeover is a compare-and-swap on the generation: look, claim, look again, sync, settle, open.
//! Settling is reading and writing: what its author read may be gone when it is written again.

use crate::file::File;
use crate::frame::{Author, Frame, Kind};
use crate::model::Protocol;
use crate::mutation::Mutation;
use crate::process::{Draft, Phase, Process, Purpose};
use crate::scan::{Begin, Chain, Seen, Standing, scan};
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
        let named = at == process.tail && seen.chain == process.chain;
        let process = world.process_mut(id);
        process.sequence = process.durable_sequence(seen.chain.sequence());
        process.frames += count(&seen);
        process.chain = seen.chain;
        process.settled = seen.settled;
        process.tail = seen.examined;
        if !self.bounds.has_power() {
            process.phase = Phase::Ready(Draft::Opening);
        } else if process.found_release(self.mutation) || self.breaks(Mutation::UnnamedSettling) {
            process.phase = Phase::Claimant(at);
        } else if named {
            process.phase = Phase::Won(at);
        } else {
            // Superseded: claims again, in the place of its own claim, as any next opener would.
            world.end(id);
        }
    }

    /// The claim is durable before anything is settled behind it.
    pub(crate) fn sync_claim(&self, world: &mut World, id: u8, claim: u8) {
        if self.breaks(Mutation::SkipClaimSync) || world.sync(id) {
            world.process_mut(id).phase = Phase::Claimant(claim);
        }
    }

    /// Reads what it inherited.
    pub(crate) fn read_inherited(&self, world: &mut World, id: u8, claim: u8) {
        let inherited = world.process(id).inherited(claim, self.mutation);
        let holes = world.file_of(id).holes(inherited);
        world.process_mut(id).phase = Phase::Settling(claim, holes);
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

    /// Writes what it read again, in place, up to the end of the claim.
    pub(crate) fn write_again(&self, world: &mut World, id: u8) {
        let Phase::Settling(claim, holes) = world.process(id).phase else { return };
        if self.breaks(Mutation::SkipSettling) {
            return;
        }
        let inherited = world.process(id).inherited(claim, self.mutation);
        world.file_of_mut(id).write_again(inherited, holes, self.mutation);
    }

    /// What a failed sync of somebody else left behind is written again, and synced (H9), and the
    /// claim with it: no power loss takes what others have seen (H11). Then looks whether all of it
    /// was still there when it was written again; now it stays.
    pub(crate) fn settle(&self, world: &mut World, id: u8, claim: u8) {
        self.write_again(world, id);
        if !self.breaks(Mutation::SkipClaimSync) && !world.sync(id) {
            return;
        }
        let again = self.look_once_more(world, id);
        if !self.is_still_there(world.process(id), id, claim, &again) {
            return world.end(id);
        }
        let may_come_back = self.may_come_back(world, &again);
        let process = world.process_mut(id);
        process.sequence = process.sequence.max(may_come_back);
        process.durable = claim_end(claim);
        process.phase = Phase::Ready(Draft::Opening);
    }

    fn look_once_more(&self, world: &World, id: u8) -> Seen {
        let process = world.process(id);
        let standing = Standing::of(process.start.generation());
        let begin = Begin::with(process.start, standing, process.slot);
        scan(&world.file_of(id).cells, begin, self.mutation)
    }

    /// The last record that a claimer had read who may be about to settle it: it counts as lost,
    /// not as never written.
    fn may_come_back(&self, world: &World, seen: &Seen) -> u8 {
        if self.breaks(Mutation::PendingForgotten) {
            return 0;
        }
        let is_there = |author: &Author| world.process(author.process).is_still(author.attempt);
        let pending = seen.pending.iter().filter(|(author, _)| is_there(author));
        pending.map(|(_, sequence)| *sequence).max().unwrap_or(0)
    }

    fn is_still_there(&self, process: &Process, id: u8, claim: u8, again: &Seen) -> bool {
        if self.breaks(Mutation::UnverifiedSettling) {
            return true;
        }
        let same_chain = again.chain == process.chain;
        if process.chain.last.is_some_and(|last| last.is_sound_release())
            && self.breaks(Mutation::UnverifiedClaim)
        {
            return same_chain;
        }
        same_chain && count(again) == process.frames && self.has_won(process, id, claim, again)
    }
}

fn count(seen: &Seen) -> u8 {
    u8::try_from(seen.frames.len()).expect("the bounds keep files short")
}

/// Where a claim ends that stands there.
const fn claim_end(claim: u8) -> u8 {
    claim + Frame::len_of(Kind::Claim)
}
