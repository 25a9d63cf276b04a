//! What a pass over a file adds up to: the end of the chain, who owns the journal, what is missing.
//!
//! A survey can be continued: each pass begins at the last chain frame and looks again at what is
//! behind it, for that was not settled.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use crate::chain::Chain;
use crate::error::Result;
use crate::format::{
    Codec, CompactedBody, FrameHeader, FrameKind, OpeningBody, SealBody, Slot, Summary,
};
use crate::identity::{Incarnation, Owner};
use crate::locate::{Located, Start, read_frame};
use crate::mutation::{self, Mutation};
use crate::position::{Offset, Sequence};
use crate::record::Verdict;
use crate::report::{Hole, RepairReport};
use crate::scan::{ChainFrame, ClaimFrame, KnownDurable, Scanner, Step, Stretch};
use crate::storage::Storage;

/// Who may write, as far as was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// That of the last chain frame, or of a valid claim behind it; a slot's, where that is higher.
    pub(crate) generation: u64,
    /// Whose it is, where that is known.
    pub(crate) owner: Option<Owner>,
    /// The claim that took it, where no frame of that generation was seen yet.
    pub(crate) claim: Option<(u64, Incarnation)>,
}

impl Standing {
    /// The writer of a chain frame had read everything before it, so its generation is the current
    /// one: a claim of a higher one that stands there was void to it, and is to everybody.
    /// True where that changes anything.
    pub(crate) fn frame(&mut self, header: &FrameHeader) -> bool {
        let revived =
            header.generation < self.generation && mutation::broken(Mutation::SlotRevivesClaim);
        let changes = header.generation != self.generation && !revived;
        if changes {
            *self = Self { generation: header.generation, owner: None, claim: None };
        }
        changes
    }

    /// A claim is void where another generation is current, and before the place that its author
    /// had read; of those that replace one generation the first in file order wins.
    pub(crate) fn claim(&mut self, claim: &ClaimFrame) -> bool {
        let valid = claim.body.replaces == self.generation
            && claim.header.generation > self.generation
            && claim.at >= claim.header.offset;
        if valid {
            *self = Self {
                generation: claim.header.generation,
                owner: Some(claim.body.owner.clone()),
                claim: Some((claim.at, claim.body.owner.incarnation)),
            };
        }
        valid
    }
}

/// A hole whose verdict waits for what later frames of its generation say.
struct Undecided {
    hole: usize,
    end: u64,
    generation: u64,
}

/// See the module.
pub(crate) struct Survey {
    file: Arc<dyn Storage>,
    path: Arc<Path>,
    codec: Codec,
    slot: Option<Slot>,
    slot_generation: u64,
    compactions: u32,
    pub(crate) chain: Chain,
    /// How far the last pass read.
    pub(crate) examined: u64,
    /// As of the last chain frame.
    settled: Standing,
    /// As of the end of the last pass.
    pub(crate) standing: Standing,
    /// Everything below is known to be synced.
    pub(crate) durable_through: u64,
    pub(crate) summary: Summary,
    pub(crate) holes: Vec<Hole>,
    undecided: Vec<Undecided>,
    reported: HashSet<(u64, u64)>,
    /// Lost before a compaction, and declared by it.
    declared: Vec<(u64, u64)>,
    /// End of the last chain frame, or of the last claim behind it whose author had no chain frame
    /// that is not there: nothing below is missing. An owner's first slot says that its claim is
    /// durable; power may take the opening behind it.
    accounted: u64,
    /// Claims behind the last chain frame whose authors may be settling still: how far each had read.
    pending: Vec<(u64, Owner)>,
    /// The last record that one of those may bring back.
    may_come_back: u64,
    /// Dead or unfinished bytes behind the last chain frame.
    pub(crate) tail_dead: Vec<Stretch>,
    /// The seal that the chain ends with.
    pub(crate) seal: Option<SealBody>,
    pub(crate) last_frame_ms: i64,
    pub(crate) last_record_checksum: u32,
}

/// Told of everything that a pass finds, in file order.
pub(crate) trait Visitor {
    /// A frame of the chain.
    fn frame(&mut self, frame: &ChainFrame<'_>);
    /// A claim, and whether it took the generation.
    fn claim(&mut self, _claim: &ClaimFrame, _valid: bool) {}
}

impl Visitor for () {
    fn frame(&mut self, _: &ChainFrame<'_>) {}
}

impl Survey {
    pub(crate) fn new(
        file: &Arc<dyn Storage>,
        path: &Arc<Path>,
        located: &Located,
        start: &Start,
    ) -> Self {
        let generation = start.chain.generation().max(located.slot_generation);
        let settled = Standing { generation: start.chain.generation(), ..Standing::default() };
        Self {
            file: Arc::clone(file),
            path: Arc::clone(path),
            codec: located.codec,
            slot: located.slot.clone(),
            slot_generation: located.slot_generation,
            compactions: located.identity.compactions,
            examined: start.chain.end,
            accounted: start.chain.end,
            standing: Standing { generation, ..Standing::default() },
            settled,
            durable_through: located.durable_through(),
            summary: start.checkpoint.as_ref().map(|c| c.summary).unwrap_or_default(),
            chain: start.chain.clone(),
            holes: Vec::new(),
            undecided: Vec::new(),
            reported: HashSet::new(),
            declared: Vec::new(),
            pending: Vec::new(),
            may_come_back: 0,
            tail_dead: Vec::new(),
            seal: None,
            last_frame_ms: start.chain.last.map_or(0, |last| last.time_ms),
            last_record_checksum: 0,
        }
    }

    /// The file that is surveyed.
    pub(crate) fn file(&self) -> &Arc<dyn Storage> {
        &self.file
    }

    /// One pass to the end that the file has now.
    pub(crate) fn pass(&mut self, visitor: &mut dyn Visitor) -> Result<()> {
        let (mut chain, mut standing) = (self.chain.clone(), self.settled.clone());
        if mutation::broken(Mutation::IncompleteIsDead) {
            (chain.end, standing) = (self.examined, self.standing.clone());
        }
        let mut scanner = Scanner::new(
            Arc::clone(&self.file),
            Arc::clone(&self.path),
            self.codec,
            chain,
            self.slot.as_ref().map_or(KnownDurable::default(), |slot| KnownDurable {
                offset: slot.durable_through,
                sequence: slot.sequence,
            }),
        )?;
        self.accounted = self.chain.end;
        self.pending.clear();
        let passed = self.pass_with(&mut scanner, &mut standing, visitor);
        self.chain = scanner.into_chain();
        passed?;
        if standing.generation < self.slot_generation {
            standing = self.slot_standing();
        }
        self.standing = standing;
        self.find_owner()
    }

    fn pass_with(
        &mut self,
        scanner: &mut Scanner,
        standing: &mut Standing,
        visitor: &mut dyn Visitor,
    ) -> Result<()> {
        let mut moved = true;
        loop {
            match scanner.step()? {
                Step::Frame => {
                    let frame = scanner.frame();
                    moved |= standing.frame(frame.header);
                    moved |= frame.header.kind == FrameKind::Opening;
                    self.take(&frame, standing);
                    visitor.frame(&frame);
                    if std::mem::replace(&mut moved, false) {
                        self.settled = standing.clone();
                    }
                    self.accounted = frame.header.end();
                    self.pending.clear();
                }
                Step::Claim(claim) => {
                    moved = true;
                    // A slot that is ahead of every frame is evidence like a frame.
                    if standing.generation < self.slot_generation
                        && claim.body.replaces == self.slot_generation
                    {
                        let generation = self.slot_generation;
                        *standing = Standing { generation, ..Standing::default() };
                    }
                    if claim.header.previous <= scanner.chain().last_offset() {
                        self.accounted = claim.at + claim.header.frame_len();
                    }
                    // One that another claim was faster than was void for its author as well.
                    let is_quoted = claim.at < claim.header.offset;
                    if claim.body.replaces >= standing.generation && !is_quoted {
                        self.pending.push((claim.header.sequence, claim.body.owner.clone()));
                    }
                    let valid = standing.claim(&claim);
                    visitor.claim(&claim, valid);
                }
                Step::End(end) => {
                    self.examined = end.examined;
                    self.tail_dead = end.dead;
                    return Ok(());
                }
            }
        }
    }

    fn slot_standing(&self) -> Standing {
        let of_slot = self.slot.as_ref().filter(|slot| slot.generation == self.slot_generation);
        Standing {
            generation: self.slot_generation,
            owner: of_slot.map(|slot| slot.owner.clone()),
            claim: None,
        }
    }

    /// The owner stands in the opening, which may lie before the checkpoint that we began at.
    fn find_owner(&mut self) -> Result<()> {
        if self.standing.owner.is_some() || self.summary.opening == 0 {
            return Ok(());
        }
        let at = self.summary.opening;
        if let Some((header, body)) = read_frame(&*self.file, &self.path, &self.codec, at)?
            && header.kind == FrameKind::Opening
            && header.generation == self.standing.generation
            && let Ok(opening) = OpeningBody::decode(&body)
        {
            self.standing.owner = Some(opening.owner);
        }
        Ok(())
    }

    #[inline]
    fn take(&mut self, frame: &ChainFrame<'_>, standing: &mut Standing) {
        let ChainFrame { header, body, measure, .. } = *frame;
        self.summary.void_bytes += frame.skipped;
        self.durable_through = self.durable_through.max(header.durable_through);
        self.last_frame_ms = header.time_ms;
        if measure.missing > 0 || !frame.dead.is_empty() {
            self.note_holes(frame);
        }
        let opening = (header.kind == FrameKind::Opening).then(|| OpeningBody::decode(body).ok());
        let opening = opening.flatten();
        // One that a compaction copied tells of places in the file before.
        let is_of_file = |o: &&OpeningBody| o.identity.compactions == self.compactions;
        if let Some(opening) = opening.as_ref().filter(is_of_file) {
            self.note_reported(&opening.report);
        }
        if !self.undecided.is_empty() {
            self.decide(header, opening.is_some());
        }
        self.seal = None;
        if measure.missing > 0 {
            // The last record is one of those that are lost, unless this frame is a record.
            self.last_record_checksum = 0;
        }
        match header.kind {
            FrameKind::Record => {
                self.summary.records += 1;
                self.last_record_checksum = header.body_checksum;
            }
            FrameKind::Opening => {
                self.summary.opening = header.offset;
                if let Some(opening) = opening {
                    standing.owner = Some(opening.owner);
                }
            }
            FrameKind::Compacted => {
                if let Ok(compacted) = CompactedBody::decode(body) {
                    self.declared = compacted.lost;
                }
            }
            FrameKind::Seal => self.seal = SealBody::decode(body).ok(),
            _ => {}
        }
    }

    fn note_holes(&mut self, frame: &ChainFrame<'_>) {
        let measure = frame.measure;
        let missing = measure.missing - self.declared_in(measure.first_missing, measure.missing);
        self.summary.records_lost += missing;
        let mut dead = frame.dead.to_vec();
        if dead.is_empty() && missing > 0 {
            let at = frame.header.offset - frame.skipped;
            dead.push(Stretch { start: at, end: at });
        }
        // What is missing was where the frame's writer had the one before it.
        let previous = frame.header.previous;
        let held = dead.iter().position(|s| s.start <= previous && previous < s.end);
        let held = held.unwrap_or(dead.len().saturating_sub(1));
        for (i, stretch) in dead.iter().enumerate() {
            if i == held && (missing > 0 || measure.frame_lost) {
                self.undecided.push(Undecided {
                    hole: self.holes.len(),
                    end: stretch.end,
                    generation: frame.header.generation,
                });
            }
            self.holes.push(Hole {
                offset: Offset::new(stretch.start),
                bytes: stretch.end - stretch.start,
                verdict: Verdict::Torn,
                first: Sequence::new(measure.first_missing),
                records_lost: if i == held { missing } else { 0 },
            });
        }
    }

    fn declared_in(&self, first: u64, records: u64) -> u64 {
        let end = first + records;
        let overlap = |(start, count): &(u64, u64)| {
            end.min(start.saturating_add(*count)).saturating_sub(first.max(*start))
        };
        self.declared.iter().map(overlap).fold(0, u64::saturating_add).min(records)
    }

    /// What was synced by an owner that still had it was there: it is corrupt, not torn. An opening
    /// of a later generation still had what it does not report.
    fn decide(&mut self, frame: &FrameHeader, opens: bool) {
        let (holes, reported) = (&mut self.holes, &self.reported);
        self.undecided.retain(|one| {
            let Some(hole) = holes.get_mut(one.hole) else { return false };
            let told = opens && reported.contains(&(hole.offset.get(), hole.bytes));
            let same = one.generation == frame.generation;
            if told && same {
                // Who numbers its own above what is missing says itself what that is.
                return false;
            }
            let had = same || (opens && !told);
            let durable = had && one.end <= frame.durable_through;
            if durable {
                hole.verdict = Verdict::Corrupt;
            }
            same && !durable
        });
    }

    fn note_reported(&mut self, report: &RepairReport) {
        for told in &report.holes {
            self.reported.insert((told.offset.get(), told.bytes));
            let same = |hole: &&mut Hole| (hole.offset, hole.bytes) == (told.offset, told.bytes);
            if told.verdict == Verdict::Corrupt
                && let Some(hole) = self.holes.iter_mut().find(same)
            {
                hole.verdict = Verdict::Corrupt;
            }
        }
    }

    /// Whether an opening has reported this hole already.
    fn is_reported(&self, hole: &Hole) -> bool {
        self.reported.contains(&(hole.offset.get(), hole.bytes))
    }

    /// Every hole, the end of the file included. What is unfinished at the end counts as torn, or
    /// as corrupt where a slot knows that more was durable.
    pub(crate) fn all_holes(&self) -> Vec<Hole> {
        let mut holes = self.holes.clone();
        let durable = self.slot.as_ref().map_or(0, |slot| slot.durable_through);
        for one in &self.undecided {
            let of_slot = self.slot.as_ref().is_some_and(|s| s.generation == one.generation);
            if of_slot
                && one.end <= durable
                && let Some(hole) = holes.get_mut(one.hole)
            {
                hole.verdict = Verdict::Corrupt;
            }
        }
        holes.extend(self.tail_holes());
        holes
    }

    fn tail_holes(&self) -> Vec<Hole> {
        let next = self.chain.sequence() + 1;
        let lost = self.lost_at_end();
        let durable = self.slot.as_ref().map_or(0, |slot| slot.durable_through);
        let cut = self.durable_lost_at_end() > 0 || durable > self.accounted;
        let mut dead = self.tail_dead.clone();
        if (cut || lost > 0) && dead.is_empty() {
            let end = self.chain.end;
            dead.push(Stretch { start: end, end });
        }
        let hole = |(i, stretch): (usize, &Stretch)| Hole {
            offset: Offset::new(stretch.start),
            bytes: stretch.end - stretch.start,
            verdict: if cut && i == 0 { Verdict::Corrupt } else { Verdict::Torn },
            first: Sequence::new(next),
            records_lost: if i == 0 { lost } else { 0 },
        };
        dead.iter().enumerate().map(hole).collect()
    }

    /// Records behind the chain that a slot knows were durable, or that may come back.
    pub(crate) fn lost_at_end(&self) -> u64 {
        self.durable_lost_at_end().max(self.may_come_back.saturating_sub(self.chain.sequence()))
    }

    fn durable_lost_at_end(&self) -> u64 {
        self.durable_sequence() - self.chain.sequence()
    }

    /// The last record of the chain, or of what a slot knows to have been durable behind it.
    pub(crate) fn durable_sequence(&self) -> u64 {
        let of_slot = self.slot.as_ref().map_or(0, |slot| slot.sequence);
        of_slot.max(self.chain.sequence())
    }

    /// The last record that a claimer had read who is not known to be gone: it may be about to settle
    /// it.
    pub(crate) fn may_come_back(&self, is_gone: impl Fn(&Owner) -> bool) -> u64 {
        // What is there cannot come back: whether anybody lives is asked only where it matters.
        let there = self.chain.sequence();
        let pending = self.pending.iter().filter(|(last, owner)| *last > there && !is_gone(owner));
        pending.map(|(sequence, _)| *sequence).max().unwrap_or(0)
    }

    /// Counts the records up to this one as lost, and not as never written.
    pub(crate) fn expect_back(&mut self, sequence: u64) {
        self.may_come_back = sequence;
    }

    /// The holes before `limit` that nobody has reported yet.
    pub(crate) fn new_holes(&self, limit: u64) -> RepairReport {
        let mut holes: Vec<Hole> = self.all_holes();
        holes.retain(|hole| {
            let before =
                hole.offset.get() < limit || (hole.bytes == 0 && hole.offset.get() == limit);
            before && !self.is_reported(hole)
        });
        let more_holes = holes.len().saturating_sub(RepairReport::HOLES_MAX) as u64;
        holes.truncate(RepairReport::HOLES_MAX);
        RepairReport { holes, more_holes, ..RepairReport::default() }
    }
}
