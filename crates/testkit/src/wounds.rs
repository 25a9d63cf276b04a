//! What a wound in the middle of a file must cost, and what must be told of it: the records that were
//! hit and no other, in number, and a hole where they were.

use std::path::Path;
use std::sync::Arc;

use session_journal::format::{Codec, FrameHeader, HEADER_LEN};
use session_journal::{Hole, Reader, Verification, verify_with};

use crate::check::tag_of;
use crate::client::look;
use crate::disk::SimDisk;
use crate::history::{History, Tag};
use crate::world::{Actor, World};

/// Bytes of a file that were damaged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wound {
    pub(crate) from: u64,
    pub(crate) until: u64,
}

impl Wound {
    fn touches(&self, start: u64, end: u64) -> bool {
        start < self.until && end > self.from
    }
}

/// A file right before it is damaged.
#[derive(Debug)]
pub(crate) struct Before {
    verified: Verification,
    /// Where each record stands.
    records: Vec<(Tag, u64, u64)>,
}

impl Before {
    /// Of the file at a path; none where it cannot be read as it is.
    pub(crate) fn of(world: &Arc<World>, path: &Path, history: &History) -> Option<Self> {
        let disk = SimDisk::new(world, Actor::Checker);
        let verified = verify_with(path, &disk, &mut |_, _| {}).ok()?;
        let (records, _) = look(&Reader::open_with(path, Arc::new(disk)).ok()?).ok()?;
        let bytes = world.with(|state| {
            let file = state.find(path).ok()?;
            Some(state.files[file].bytes().to_vec())
        })?;
        let codec = Codec::new(session_journal::format::decode_identity(&bytes).ok()?.salt);
        let placed = records.iter().map(|record| {
            let at = usize::try_from(record.offset.get()).ok()?;
            let header = FrameHeader::decode(bytes.get(at..at + HEADER_LEN)?, &codec).ok()?;
            Some((tag_of(history, record).ok()?, header.offset, header.end()))
        });
        Some(Self { verified, records: placed.collect::<Option<_>>()? })
    }

    /// What the wound costs, and whether all of it is told.
    pub(crate) fn check(
        &self,
        world: &Arc<World>,
        path: &Path,
        wound: &Wound,
        history: &History,
    ) -> Result<(), String> {
        let disk = SimDisk::new(world, Actor::Checker);
        let after = verify_with(path, &disk, &mut |_, _| {}).map_err(|error| error.to_string())?;
        let hit: Vec<Tag> = self
            .records
            .iter()
            .filter(|(_, start, end)| wound.touches(*start, *end))
            .map(|(tag, _, _)| *tag)
            .collect();
        let batch_of = |tag: &Tag| {
            let attempt = history.attempts.iter().find(|attempt| attempt.tags.contains(tag));
            attempt.map(|attempt| attempt.tags.clone()).unwrap_or_default()
        };
        let of_batches: Vec<Tag> = hit.iter().flat_map(batch_of).collect();
        let (few, many) = (hit.len() as u64, hit.len().max(of_batches.len()) as u64);
        let there = Self::of(world, path, history).ok_or("it cannot be read any more")?;
        let holds = |of: &Self, tag: &Tag| of.records.iter().any(|(one, ..)| one == tag);
        let gone = self.records.iter().filter(|(tag, ..)| !holds(&there, tag)).count() as u64;
        // What was refused may come back where all that told of it is lost (decision 1).
        let back = there.records.iter().filter(|(tag, ..)| !holds(self, tag)).count() as u64;
        if gone < few || gone > many {
            return Err(format!("{wound:?} hit the records {hit:?} and cost {gone}: {after:?}"));
        }
        // At the end of a file nothing tells whether a batch that is not whole was durable.
        let is_last = self.is_last(wound, &of_batches);
        let durable = of_batches.iter().all(|tag| history.durable.contains(tag));
        if durable && gone != few && !is_last {
            return Err(format!("{wound:?} hit the durable {hit:?} and cost {gone}: {after:?}"));
        }
        self.check_holes(wound, &after, &of_batches, gone, back)
    }

    /// No record stays behind it.
    fn is_last(&self, wound: &Wound, of_batches: &[Tag]) -> bool {
        let mut behind = self.records.iter().filter(|(_, start, _)| *start >= wound.until);
        behind.all(|(tag, _, _)| of_batches.contains(tag))
    }

    fn check_holes(
        &self,
        wound: &Wound,
        after: &Verification,
        of_batches: &[Tag],
        gone: u64,
        back: u64,
    ) -> Result<(), String> {
        let all = |of: &Verification| [of.torn.clone(), of.damage.clone()].concat();
        let (before, now) = (all(&self.verified), all(after));
        let covers = |hole: &Hole| wound.touches(hole.offset.get(), hole.offset.get() + hole.bytes);
        if gone > 0 && !now.iter().any(covers) {
            return Err(format!("{wound:?} cost {gone} records, and no hole is there: {now:?}"));
        }
        let lost = |holes: &[Hole]| -> u64 { holes.iter().map(|hole| hole.records_lost).sum() };
        let told = lost(&now).saturating_sub(lost(&before));
        // What the end of the file lost only a slot knows; before it the next record tells.
        let is_last = self.is_last(wound, of_batches);
        if told > gone || (told + back < gone && !is_last) {
            return Err(format!("{wound:?} cost {gone} records, and {told} are told: {now:?}"));
        }
        Ok(())
    }
}
