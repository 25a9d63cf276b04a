//! A checkpoint: where things are, so that nobody reads the history to find them. Never the truth:
//! what it points at is verified there, and what it lost is found by reading.
//!
//! ```text
//! preamble   16 bytes: samples (32 bits), keys (32), runs (32), zero (32)
//! samples    blocks of 341 entries of 12 bytes (sequence, offset), each block with a checksum
//! keys       blocks of 409 entries of 10 bytes (hash, offset), sorted, each with a checksum
//! summary    what the file holds up to here
//! runs       every live run of the index, oldest first; the last one is this checkpoint's own
//! ```
//!
//! The blocks carry checksums of their own, so that one can be read without the rest.

use siphasher::sip::SipHasher13;
use std::hash::Hasher;

use crate::identity::JournalId;

use super::Codec;
use super::wire::{Fields, Malformed, put_u48};

/// Samples in a full block.
pub const SAMPLES_PER_BLOCK: usize = 341;
/// Keys in a full block.
pub const KEYS_PER_BLOCK: usize = 409;
/// Where the tables begin in the body.
pub const TABLES_START: u64 = 16;
const SAMPLE_LEN: usize = 12;
const KEY_LEN: usize = 10;
const SUM_LEN: usize = 4;

/// The frame of a record every now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sample {
    /// The record.
    pub sequence: u64,
    /// Where its frame begins.
    pub offset: u64,
}

/// The frame of a record with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyEntry {
    /// 32 bits of the key's hash.
    pub hash: u32,
    /// Where the frame begins.
    pub offset: u64,
}

/// 32 bits of the hash of a key, keyed with the journal's identity so that nobody can make
/// collisions for a journal that he has not seen.
#[must_use]
pub fn key_hash(journal: JournalId, key: &str) -> u32 {
    let mut hasher = SipHasher13::new_with_key(&journal.to_bytes());
    hasher.write(key.as_bytes());
    let [.., a, b, c, d] = hasher.finish().to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// A stretch of the file with an index of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The checkpoint that holds its tables.
    pub checkpoint: u64,
    /// Where the stretch begins.
    pub start: u64,
    /// Where it ends: at the checkpoint, or before it where the checkpoint merged older ones.
    pub end: u64,
    /// The last record before it.
    pub before: u64,
    /// The last record in it.
    pub last: u64,
    /// Samples in its table.
    pub samples: u32,
    /// Keys in its table.
    pub keys: u32,
    /// 0 for a stretch between two checkpoints; one higher for several of one level that were merged.
    pub level: u8,
    /// Records of it were lost before it was indexed: their keys are not in the table.
    pub lossy: bool,
}

/// What the file holds up to a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records.
    pub records: u64,
    /// Bytes that are no frame of the chain.
    pub void_bytes: u64,
    /// Records known to be lost.
    pub records_lost: u64,
    /// The opening of the generation that wrote the checkpoint.
    pub opening: u64,
}

/// A checkpoint's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its own table of samples, by sequence.
    pub samples: Vec<Sample>,
    /// Its own table of keys, by hash and offset.
    pub keys: Vec<KeyEntry>,
    /// What the file holds up to here.
    pub summary: Summary,
    /// Every live run, oldest first.
    pub runs: Vec<Run>,
}

/// What of a checkpoint whoever begins there has to know: all but its tables, which verify with the frame and
/// are asked one block at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// What the file holds up to here.
    pub summary: Summary,
    /// Every live run, oldest first.
    pub runs: Vec<Run>,
}

impl Directory {
    /// Reads it from the body of a checkpoint, without looking at the tables before it.
    ///
    /// # Errors
    /// `Malformed` where the bytes are no checkpoint.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(body, "checkpoint");
        let [samples, keys, runs] = counts(&mut fields)?;
        for (count, per_block, entry_len) in
            [(samples, SAMPLES_PER_BLOCK, SAMPLE_LEN), (keys, KEYS_PER_BLOCK, KEY_LEN)]
        {
            let table = usize::try_from(table_len(count, per_block, entry_len));
            fields.bytes(table.map_err(|_| fields.malformed())?)?;
        }
        Self::take(&mut fields, runs)
    }

    /// The rest of the fields.
    fn take(fields: &mut Fields<'_>, runs: usize) -> Result<Self, Malformed> {
        let summary = Summary {
            records: fields.number()?,
            void_bytes: fields.number()?,
            records_lost: fields.number()?,
            opening: fields.number()?,
        };
        let runs = (0..runs).map(|_| decode_run(fields)).collect::<Result<_, _>>()?;
        fields.end()?;
        Ok(Self { summary, runs })
    }
}

impl Checkpoint {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self, codec: &Codec) -> Vec<u8> {
        let mut out = Vec::new();
        for count in [self.samples.len(), self.keys.len(), self.runs.len(), 0] {
            out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
        }
        blocks(&mut out, codec, &self.samples, SAMPLES_PER_BLOCK, |out, sample| {
            put_u48(out, sample.sequence);
            put_u48(out, sample.offset);
        });
        blocks(&mut out, codec, &self.keys, KEYS_PER_BLOCK, |out, key| {
            out.extend_from_slice(&key.hash.to_le_bytes());
            put_u48(out, key.offset);
        });
        let Summary { records, void_bytes, records_lost, opening } = self.summary;
        for value in [records, void_bytes, records_lost, opening] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        for run in &self.runs {
            encode_run(run, &mut out);
        }
        out
    }

    /// Reads it whole.
    ///
    /// # Errors
    /// `Malformed` where the bytes are no checkpoint.
    pub fn decode(body: &[u8], codec: &Codec) -> Result<Self, Malformed> {
        let mut fields = Fields::new(body, "checkpoint");
        let [samples, keys, runs] = counts(&mut fields)?;
        let samples = read_blocks(&mut fields, samples, SAMPLES_PER_BLOCK, SAMPLE_LEN, |bytes| {
            sample_block(bytes, codec)
        })?;
        let keys = read_blocks(&mut fields, keys, KEYS_PER_BLOCK, KEY_LEN, |bytes| {
            key_block(bytes, codec)
        })?;
        let Directory { summary, runs } = Directory::take(&mut fields, runs)?;
        Ok(Self { samples, keys, summary, runs })
    }
}

/// What the preamble says: how many samples, keys and runs there are.
fn counts(fields: &mut Fields<'_>) -> Result<[usize; 3], Malformed> {
    let counts = [fields.u32()?, fields.u32()?, fields.u32()?];
    fields.u32()?;
    Ok(counts.map(|count| count as usize))
}

fn blocks<T>(
    out: &mut Vec<u8>,
    codec: &Codec,
    entries: &[T],
    per_block: usize,
    put: impl Fn(&mut Vec<u8>, &T),
) {
    for chunk in entries.chunks(per_block) {
        let start = out.len();
        for entry in chunk {
            put(out, entry);
        }
        let sum = codec.checksum(&[out.get(start..).unwrap_or_default()]);
        out.extend_from_slice(&sum.to_le_bytes());
    }
}

fn read_blocks<T>(
    fields: &mut Fields<'_>,
    count: usize,
    per_block: usize,
    entry_len: usize,
    read: impl Fn(&[u8]) -> Option<Vec<T>>,
) -> Result<Vec<T>, Malformed> {
    let mut entries = Vec::new();
    let mut left = count;
    while left > 0 {
        let here = left.min(per_block);
        let bytes = fields.bytes(here.saturating_mul(entry_len).saturating_add(SUM_LEN))?;
        entries.extend(read(bytes).ok_or_else(|| fields.malformed())?);
        left = left.saturating_sub(here);
    }
    Ok(entries)
}

fn verified<'a>(bytes: &'a [u8], codec: &Codec) -> Option<&'a [u8]> {
    let (entries, sum) = bytes.split_last_chunk::<SUM_LEN>()?;
    (codec.checksum(&[entries]) == u32::from_le_bytes(*sum)).then_some(entries)
}

/// Reads one block of samples; `None` where it does not verify.
#[must_use]
pub fn sample_block(bytes: &[u8], codec: &Codec) -> Option<Vec<Sample>> {
    let mut fields = Fields::new(verified(bytes, codec)?, "samples");
    let mut samples = Vec::new();
    while fields.end().is_err() {
        samples.push(Sample { sequence: fields.u48().ok()?, offset: fields.u48().ok()? });
    }
    Some(samples)
}

/// Reads one block of keys; `None` where it does not verify.
#[must_use]
pub fn key_block(bytes: &[u8], codec: &Codec) -> Option<Vec<KeyEntry>> {
    let mut fields = Fields::new(verified(bytes, codec)?, "keys");
    let mut keys = Vec::new();
    while fields.end().is_err() {
        keys.push(KeyEntry { hash: fields.u32().ok()?, offset: fields.u48().ok()? });
    }
    Some(keys)
}

/// The keys of one block that have a hash, found without reading the others; `None` where the block
/// does not verify. Says besides whether more of them may stand in the block before or behind.
#[must_use]
pub fn key_block_search(bytes: &[u8], hash: u32, codec: &Codec) -> Option<KeyMatches> {
    let (entries, _) = verified(bytes, codec)?.as_chunks::<KEY_LEN>();
    let hash_of = |entry: &[u8; KEY_LEN]| entry.first_chunk().map_or(0, |h| u32::from_le_bytes(*h));
    let first = entries.partition_point(|entry| hash_of(entry) < hash);
    let rest = entries.get(first..)?;
    let matches = rest.partition_point(|entry| hash_of(entry) == hash);
    let offsets = rest.get(..matches)?.iter().filter_map(|entry| {
        let mut fields = Fields::new(entry, "keys");
        fields.u32().and_then(|_| fields.u48()).ok()
    });
    Some(KeyMatches {
        offsets: offsets.collect(),
        may_begin_before: first == 0,
        may_go_on_behind: first.saturating_add(matches) == entries.len(),
    })
}

/// What a block of keys holds of one hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyMatches {
    /// Offsets of the frames, in file order.
    pub offsets: Vec<u64>,
    /// The block begins with this hash, or above it.
    pub may_begin_before: bool,
    /// The block ends with this hash, or below it.
    pub may_go_on_behind: bool,
}

/// Where block `index` of a run's samples stands in its checkpoint's body, and its length.
#[must_use]
pub fn sample_block_at(run: &Run, index: usize) -> (u64, usize) {
    block_at(run.samples as usize, index, SAMPLES_PER_BLOCK, SAMPLE_LEN, TABLES_START)
}

/// Where block `index` of a run's keys stands in its checkpoint's body, and its length.
#[must_use]
pub fn key_block_at(run: &Run, index: usize) -> (u64, usize) {
    let samples = table_len(run.samples as usize, SAMPLES_PER_BLOCK, SAMPLE_LEN);
    let start = TABLES_START.saturating_add(samples);
    block_at(run.keys as usize, index, KEYS_PER_BLOCK, KEY_LEN, start)
}

fn table_len(count: usize, per_block: usize, entry_len: usize) -> u64 {
    let sums = count.div_ceil(per_block).saturating_mul(SUM_LEN);
    count.saturating_mul(entry_len).saturating_add(sums) as u64
}

fn block_at(
    count: usize,
    index: usize,
    per_block: usize,
    entry_len: usize,
    start: u64,
) -> (u64, usize) {
    let full = per_block.saturating_mul(entry_len).saturating_add(SUM_LEN);
    let here = count.saturating_sub(index.saturating_mul(per_block)).min(per_block);
    let offset = start.saturating_add(index.saturating_mul(full) as u64);
    (offset, here.saturating_mul(entry_len).saturating_add(SUM_LEN))
}

fn encode_run(run: &Run, out: &mut Vec<u8>) {
    for value in [run.checkpoint, run.start, run.end, run.before, run.last] {
        put_u48(out, value);
    }
    out.extend_from_slice(&run.samples.to_le_bytes());
    out.extend_from_slice(&run.keys.to_le_bytes());
    out.push(run.level);
    out.push(u8::from(run.lossy));
}

fn decode_run(fields: &mut Fields<'_>) -> Result<Run, Malformed> {
    Ok(Run {
        checkpoint: fields.u48()?,
        start: fields.u48()?,
        end: fields.u48()?,
        before: fields.u48()?,
        last: fields.u48()?,
        samples: fields.u32()?,
        keys: fields.u32()?,
        level: fields.u8()?,
        lossy: fields.u8()? != 0,
    })
}
