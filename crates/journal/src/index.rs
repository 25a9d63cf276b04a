//! Finding one sequence and one key without reading the history.
//!
//! The file is divided into stretches, each indexed by a checkpoint behind it (a *run*). Eight
//! runs are merged into one, and eight of those again, so few have to be asked. What came since the last checkpoint is
//! indexed in memory. The index is never the truth: what it finds is verified in its place, and a
//! damaged table is made up for by reading its stretch.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::chain::Chain;
use crate::error::{Error, Result};
use crate::format::{
    Checkpoint, Codec, Directory, FrameHeader, FrameKind, HEADER_LEN, KEYS_PER_BLOCK, KeyEntry,
    KeyMatches, Meta, PAGE_LEN, Run, SAMPLES_PER_BLOCK, Sample, Summary, key_block_at,
    key_block_search, key_hash, sample_block, sample_block_at,
};
use crate::identity::JournalId;
use crate::mutation::{self, Mutation};
use crate::scan::{ChainFrame, KnownDurable, Scanner, Step};
use crate::storage::Storage;

/// A sample is taken of the first record behind every so many bytes.
const SAMPLE_BYTES: u64 = 64 << 10;
/// So many runs of one level are merged into one of the next.
const MERGE_RUNS: usize = 8;
/// Runs of this level are merged no more: whoever appends waits for a merge, and a run of this level has
/// a quarter of a million records.
const LEVEL_MAX: u8 = 2;

/// Whether so much is in the tables of a checkpoint that another one is due right behind it, of nothing but
/// the list of runs: whoever opens reads the last one whole.
pub(crate) fn is_long(checkpoint: &Checkpoint) -> bool {
    checkpoint.runs.last().is_some_and(|own| own.level == LEVEL_MAX)
}

/// Where a scan for a record may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    /// The last record before that offset.
    pub(crate) before: u64,
}

/// Whether a key is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyFound {
    /// Here, verified: its header and its body.
    At(FrameHeader, Bytes),
    /// Nowhere.
    Absent,
    /// Not found, but damage may hide it.
    Hidden,
}

/// The index of one stretch, while it grows.
#[derive(Clone, Debug)]
struct Stretch {
    start: u64,
    before: u64,
    samples: Vec<Sample>,
    keys: BTreeSet<KeyEntry>,
    next_sample: u64,
    lossy: bool,
}

impl Stretch {
    fn new(start: u64, before: u64) -> Self {
        let (samples, keys) = (Vec::new(), BTreeSet::new());
        Self { start, before, samples, keys, next_sample: start, lossy: false }
    }
}

/// A journal's file, to read frames of.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) file: Arc<dyn Storage>,
    pub(crate) path: Arc<Path>,
    pub(crate) codec: Codec,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    journal: JournalId,
    codec: Codec,
    runs: Vec<Run>,
    recent: Stretch,
    records: u64,
}

impl Index {
    /// The index as a checkpoint left it; empty without one.
    pub(crate) fn new(
        journal: JournalId,
        codec: Codec,
        chain: &Chain,
        checkpoint: Option<&Directory>,
    ) -> Self {
        let runs = checkpoint.map(|checkpoint| checkpoint.runs.clone()).unwrap_or_default();
        Self { journal, codec, runs, recent: Stretch::new(chain.end, chain.sequence()), records: 0 }
    }

    /// Takes note of a record in the chain.
    pub(crate) fn note(&mut self, sequence: u64, offset: u64, key: Option<&str>) {
        self.records += 1;
        if offset >= self.recent.next_sample {
            self.recent.samples.push(Sample { sequence, offset });
            self.recent.next_sample = offset + SAMPLE_BYTES;
        }
        if let Some(key) = key {
            let hash = key_hash(self.journal, key);
            self.recent.keys.insert(KeyEntry { hash, offset });
        }
    }

    /// Takes note of what a pass found.
    pub(crate) fn note_frame(&mut self, frame: &ChainFrame<'_>) {
        let ChainFrame { header, body, .. } = *frame;
        if frame.measure.missing > 0 {
            self.recent.lossy = true;
        }
        match header.kind {
            FrameKind::Record => {
                let key = meta_of(header, body).and_then(|meta| meta.key);
                let key = key.filter(|_| !mutation::broken(Mutation::KeysNotInherited));
                self.note(header.sequence, header.offset, key);
            }
            FrameKind::Checkpoint => self.adopt(header, body),
            _ => {}
        }
    }

    /// A checkpoint on the way indexes everything before it, and knows keys of records that were
    /// lost since it was written.
    fn adopt(&mut self, header: &FrameHeader, body: &[u8]) {
        let Ok(Directory { runs, .. }) = Directory::decode(body) else { return };
        if runs.last().is_some_and(|own| own.checkpoint == header.offset) {
            self.checkpointed(runs, &Chain::behind(header));
        }
    }

    /// Takes note that records were lost here: their keys are not known.
    pub(crate) fn note_loss(&mut self) {
        self.recent.lossy = true;
    }

    /// Records noted since the last checkpoint.
    pub(crate) fn recent_records(&self) -> u64 {
        self.records
    }

    /// Where the stretch begins that no checkpoint has indexed yet.
    pub(crate) fn recent_start(&self) -> u64 {
        self.recent.start
    }

    /// The checkpoint to write at `at`, which is the end of the chain.
    pub(crate) fn checkpoint(
        &self,
        source: &Source,
        at: u64,
        last: u64,
        summary: Summary,
    ) -> Result<Checkpoint> {
        let mut runs = self.runs.clone();
        let mut samples = Vec::new();
        let mut keys: Vec<KeyEntry> = self.recent.keys.iter().copied().collect();
        let mut run = Run {
            checkpoint: at,
            start: self.recent.start,
            end: at,
            before: self.recent.before,
            last,
            samples: 0,
            keys: 0,
            level: 0,
            lossy: self.recent.lossy,
        };
        let merged = runs.split_off(unmerged(&runs));
        for old in &merged {
            let (more_samples, more_keys, lost) = self.tables(source, old)?;
            samples.extend(more_samples);
            keys.extend(more_keys);
            run.lossy |= old.lossy || lost;
        }
        samples.extend(&self.recent.samples);
        if let Some(first) = merged.first() {
            // Each table is sorted, which this sort makes use of.
            keys.sort();
            (run.start, run.before, run.level) = (first.start, first.before, first.level + 1);
        }
        run.samples = count(samples.len());
        run.keys = count(keys.len());
        runs.push(run);
        Ok(Checkpoint { samples, keys, summary, runs })
    }

    /// The checkpoint stands at the end of the chain now.
    pub(crate) fn checkpointed(&mut self, runs: Vec<Run>, chain: &Chain) {
        self.runs = runs;
        self.recent = Stretch::new(chain.end, chain.sequence());
        self.records = 0;
    }

    /// The tables of a run: from its checkpoint, or by reading its stretch again. Says besides whether
    /// records of it are lost, whose keys nobody knows any more.
    fn tables(&self, source: &Source, run: &Run) -> Result<(Vec<Sample>, Vec<KeyEntry>, bool)> {
        let frame =
            crate::locate::read_frame(&*source.file, &source.path, &source.codec, run.checkpoint)?;
        if let Some((_, body)) = frame
            && let Ok(checkpoint) = Checkpoint::decode(&body, &source.codec)
        {
            return Ok((checkpoint.samples, checkpoint.keys, false));
        }
        let chain = Chain::before(run.start, run.before);
        let mut again = Self::new(self.journal, self.codec, &chain, None);
        let last = again.read_stretch(source, run)?;
        let lost = again.recent.lossy || last < run.last;
        Ok((again.recent.samples, again.recent.keys.into_iter().collect(), lost))
    }

    /// Notes what is in a stretch; gives the last sequence that was seen.
    fn read_stretch(&mut self, source: &Source, run: &Run) -> Result<u64> {
        let mut scanner = source.stretch_scanner(run)?;
        let mut last = run.before;
        loop {
            match scanner.step()? {
                Step::Frame if scanner.header().offset < run.end => {}
                Step::Claim(_) => continue,
                Step::Frame | Step::End(_) => return Ok(last),
            }
            last = scanner.header().sequence;
            if scanner.measure().missing > 0 {
                self.recent.lossy = true;
            }
            // Not the checkpoints within: this makes one table of the whole stretch.
            if scanner.header().kind != FrameKind::Checkpoint {
                self.note_frame(&scanner.frame());
            }
        }
    }

    /// Where to begin reading to come upon a record.
    pub(crate) fn place(&self, source: &Source, sequence: u64) -> Result<Place> {
        let found = self.runs.partition_point(|run| run.last < sequence);
        let Some(run) = self.runs.get(found) else {
            return Ok(nearest(
                &self.recent.samples,
                sequence,
                Place { offset: self.recent.start, before: self.recent.before },
            ));
        };
        let start = Place { offset: run.start, before: run.before };
        let blocks = (run.samples as usize).div_ceil(SAMPLES_PER_BLOCK);
        for index in (0..blocks).rev() {
            let (at, len) = sample_block_at(run, index);
            let Some(block) = source
                .table_block(run, at, len)?
                .and_then(|bytes| sample_block(&bytes, &source.codec))
            else {
                return Ok(start);
            };
            if block.first().is_some_and(|first| first.sequence <= sequence) {
                return Ok(nearest(&block, sequence, start));
            }
        }
        Ok(start)
    }

    /// The checksum of a record; zero where there is none.
    pub(crate) fn checksum_of(&self, source: &Source, sequence: u64, limit: u64) -> Result<u32> {
        if sequence == 0 {
            return Ok(0);
        }
        let place = self.place(source, sequence)?;
        let mut scanner = source.scanner(Chain::before(place.offset, place.before), limit);
        loop {
            match scanner.step()? {
                Step::Frame if scanner.header().sequence >= sequence => {
                    let header = scanner.header();
                    let found = header.kind == FrameKind::Record && header.sequence == sequence;
                    return Ok(if found { header.body_checksum } else { 0 });
                }
                Step::Frame | Step::Claim(_) => {}
                Step::End(_) => return Ok(0),
            }
        }
    }

    /// Where to begin reading to come upon the frame before an offset.
    pub(crate) fn place_before(&self, source: &Source, offset: u64) -> Result<Place> {
        if self.recent.start < offset {
            let recent = Place { offset: self.recent.start, before: self.recent.before };
            let below = self.recent.samples.partition_point(|sample| sample.offset < offset);
            let sample = below.checked_sub(1).and_then(|i| self.recent.samples.get(i));
            return Ok(sample.map_or(recent, place_of));
        }
        // The last stretch that begins before it, so that each step back is one.
        let begin_before = self.runs.partition_point(|run| run.start < offset);
        let Some(run) = begin_before.checked_sub(1).and_then(|last| self.runs.get(last)) else {
            return Ok(Place { offset: PAGE_LEN, before: 0 });
        };
        let blocks = (run.samples as usize).div_ceil(SAMPLES_PER_BLOCK);
        for index in (0..blocks).rev() {
            let (at, len) = sample_block_at(run, index);
            let block = source.table_block(run, at, len)?;
            let Some(block) = block.and_then(|bytes| sample_block(&bytes, &source.codec)) else {
                break;
            };
            let below = block.partition_point(|sample| sample.offset < offset);
            if let Some(sample) = below.checked_sub(1).and_then(|i| block.get(i)) {
                return Ok(place_of(sample));
            }
        }
        Ok(Place { offset: run.start, before: run.before })
    }

    /// The first record with this key.
    pub(crate) fn find_key(&self, source: &Source, key: &str) -> Result<KeyFound> {
        let hash = key_hash(self.journal, key);
        let mut hidden = self.recent.lossy;
        for run in &self.runs {
            hidden |= run.lossy;
            match Self::key_in_run(source, run, hash, key)? {
                KeyFound::Absent => {}
                KeyFound::Hidden => hidden = true,
                found @ KeyFound::At(..) => return Ok(found),
            }
        }
        let (least, most) = (KeyEntry { hash, offset: 0 }, KeyEntry { hash, offset: u64::MAX });
        for entry in self.recent.keys.range(least..=most) {
            match source.key_at(entry.offset, key)? {
                KeyFound::Absent => {}
                KeyFound::Hidden => hidden = true,
                found @ KeyFound::At(..) => return Ok(found),
            }
        }
        let hidden = hidden && !mutation::broken(Mutation::KeyForgotten);
        Ok(if hidden { KeyFound::Hidden } else { KeyFound::Absent })
    }

    fn key_in_run(source: &Source, run: &Run, hash: u32, key: &str) -> Result<KeyFound> {
        let Some(offsets) = key_offsets(source, run, hash)? else {
            return Self::key_by_reading(source, run, key);
        };
        let mut hidden = false;
        for offset in offsets {
            match source.key_at(offset, key)? {
                KeyFound::Absent => {}
                KeyFound::Hidden => hidden = true,
                found @ KeyFound::At(..) => return Ok(found),
            }
        }
        Ok(if hidden { KeyFound::Hidden } else { KeyFound::Absent })
    }

    /// The table is damaged: reads the whole stretch. What is missing in it may be the key.
    fn key_by_reading(source: &Source, run: &Run, key: &str) -> Result<KeyFound> {
        let mut scanner = source.stretch_scanner(run)?;
        let mut seen = run.before;
        let mut hidden = false;
        loop {
            match scanner.step()? {
                Step::Frame => {
                    hidden |= scanner.measure().missing > 0;
                    seen = scanner.header().sequence;
                    if scanner.header().kind != FrameKind::Record {
                        continue;
                    }
                    let ChainFrame { header, body, .. } = scanner.frame();
                    if meta_of(header, body).and_then(|meta| meta.key) == Some(key) {
                        return Ok(KeyFound::At(*header, Bytes::copy_from_slice(body)));
                    }
                }
                Step::Claim(_) => {}
                Step::End(_) => break,
            }
            if scanner.chain().end >= run.end {
                break;
            }
        }
        Ok(if hidden || seen < run.last { KeyFound::Hidden } else { KeyFound::Absent })
    }
}

/// How many runs stay as they are when another one of level 0 comes: those behind them are merged with
/// it, for there are as many of a level as are merged into one, and so on, level by level. Never more
/// of a level than that, however many there are.
fn unmerged(runs: &[Run]) -> usize {
    let mut kept = runs.len();
    for level in 0..LEVEL_MAX {
        let rest = runs.get(..kept).unwrap_or_default();
        let same = rest.iter().rev().take_while(|run| run.level == level).count();
        if same + 1 < MERGE_RUNS {
            break;
        }
        kept -= MERGE_RUNS - 1;
    }
    kept
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn place_of(sample: &Sample) -> Place {
    Place { offset: sample.offset, before: sample.sequence.saturating_sub(1) }
}

fn nearest(samples: &[Sample], sequence: u64, start: Place) -> Place {
    let below = samples.partition_point(|sample| sample.sequence <= sequence);
    below.checked_sub(1).and_then(|i| samples.get(i)).map_or(start, place_of)
}

/// What describes a record; `None` where its body is not of that shape.
pub(crate) fn meta_of<'a>(header: &FrameHeader, body: &'a [u8]) -> Option<Meta<'a>> {
    let meta = body.get(..usize::from(header.meta_len))?;
    Meta::decode(header.flags, meta).ok()
}

/// Offsets of the records in a run whose key has this hash, in file order; `None` where a block
/// that had to be asked is damaged. Hashes are spread evenly, so the place to look is computed.
fn key_offsets(source: &Source, run: &Run, hash: u32) -> Result<Option<Vec<u64>>> {
    let keys = run.keys as usize;
    let blocks = keys.div_ceil(KEYS_PER_BLOCK);
    if blocks == 0 {
        return Ok(Some(Vec::new()));
    }
    let search = |index: usize| -> Result<Option<KeyMatches>> {
        let (at, len) = key_block_at(run, index);
        let bytes = source.table_block(run, at, len)?;
        Ok(bytes.and_then(|bytes| key_block_search(&bytes, hash, &source.codec)))
    };
    let guess = (u64::from(hash) * u64::from(run.keys)) >> 32;
    let mut index = usize::try_from(guess).unwrap_or(0).min(keys - 1) / KEYS_PER_BLOCK;
    let Some(mut block) = search(index)? else { return Ok(None) };
    while index > 0 && block.may_begin_before {
        index -= 1;
        let Some(left) = search(index)? else { return Ok(None) };
        block = left;
    }
    let mut offsets = Vec::new();
    loop {
        offsets.extend(block.offsets);
        index += 1;
        if !block.may_go_on_behind || index >= blocks {
            return Ok(Some(offsets));
        }
        let Some(right) = search(index)? else { return Ok(None) };
        block = right;
    }
}

impl Source {
    /// A scan up to a limit at or before the end of a chain that a whole pass has accepted: a batch
    /// that is not whole and has no witness there was accepted, or the chain would end before it.
    pub(crate) fn scanner(&self, chain: Chain, limit: u64) -> Scanner {
        let file = Arc::clone(&self.file);
        Scanner::up_to(
            file,
            Arc::clone(&self.path),
            self.codec,
            chain,
            KnownDurable::EVERYTHING,
            limit,
        )
    }

    /// A scan of a run's stretch. It sees what is behind the stretch too: that is where the witness
    /// of a torn batch at its end stands. Whoever scans stops at the end of the stretch.
    fn stretch_scanner(&self, run: &Run) -> Result<Scanner> {
        let len = self.file.len().map_err(|error| Error::io(&self.path, "look at", error))?;
        Ok(self.scanner(Chain::before(run.start, run.before), len))
    }

    /// One block of a run's tables; `None` where the file is too short for it.
    fn table_block(&self, run: &Run, at: u64, len: usize) -> Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; len];
        let offset = run.checkpoint + HEADER_LEN as u64 + at;
        let read = self.file.read_at(offset, &mut bytes);
        let read = read.map_err(|error| Error::io(&self.path, "read", error))?;
        Ok((read == len).then_some(bytes))
    }

    /// Whether the record at an offset that an index names has this key.
    fn key_at(&self, offset: u64, key: &str) -> Result<KeyFound> {
        let frame = crate::locate::read_frame(&*self.file, &self.path, &self.codec, offset)?;
        let Some((header, body)) = frame.filter(|(header, _)| header.kind == FrameKind::Record)
        else {
            return Ok(KeyFound::Hidden);
        };
        let same = meta_of(&header, &body).and_then(|meta| meta.key) == Some(key);
        Ok(if same { KeyFound::At(header, Bytes::from(body)) } else { KeyFound::Absent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_level(level: u8) -> Run {
        let (samples, keys, lossy) = (0, 0, false);
        Run { checkpoint: 0, start: 0, end: 0, before: 0, last: 0, samples, keys, level, lossy }
    }

    fn levels_after(checkpoints: usize) -> Vec<u8> {
        let mut runs: Vec<Run> = Vec::new();
        for _ in 0..checkpoints {
            let merged = runs.split_off(unmerged(&runs));
            let level = merged.first().map_or(0, |first| first.level + 1);
            runs.push(of_level(level));
        }
        runs.iter().map(|run| run.level).collect()
    }

    /// E3: how many runs have to be asked.
    #[test]
    fn runs_are_merged_by_eights_twice() {
        assert_eq!(levels_after(7), [0; 7]);
        assert_eq!(levels_after(8), [1]);
        assert_eq!(levels_after(8 + 3), [1, 0, 0, 0]);
        assert_eq!(levels_after(63), [vec![1; 7], vec![0; 7]].concat());
        assert_eq!(levels_after(64), [2]);
        assert_eq!(levels_after(1000 * 64).len(), 1000, "the highest level is merged no more");
        assert!(levels_after(2047).len() <= 31 + 7 + 7);
    }

    /// Where there are more than this writer leaves: whoever appends waits for no more than one merge.
    #[test]
    fn never_more_than_eight_runs_of_a_level_become_one() {
        let runs = [vec![of_level(1); 5], vec![of_level(0); 14]].concat();
        assert_eq!(unmerged(&runs), 5 + 7);
        let runs = [vec![of_level(1); 127], vec![of_level(0); 7]].concat();
        assert_eq!(unmerged(&runs), 127 - 7);
    }
}
