//! Settling: writing inherited bytes again, identical, in place, so that the next sync makes them
//! durable. A sync that failed for an owner or a claimer before left pages in memory that the kernel
//! calls clean and does not write (H9).
//!
//! It writes what was read a moment ago, and nothing keeps a process from being
//! stopped in between for as long as it takes others to own the journal. Where the bytes left the
//! memory meanwhile (their sync had failed), it brings them back when it wakes. So nobody settles
//! but behind a claim that is durable and that names the end of the very chain which it settles:
//! whoever opens without those records sees from the claim how many they were, and numbers its own
//! above them.
//!
//! Where bytes are missing nothing is written. Somebody who had read them before may bring them back,
//! and others open with them, between our reading and our writing: zeros would take them away again.

use std::ops::Range;

use memchr::memmem;

use crate::error::{Error, Result};
use crate::format::{Codec, FrameHeader, FrameKind, HEADER_LEN, MAGIC, PAGE_LEN};
use crate::index::Source;
use crate::mutation::{self, Mutation};

/// How much is settled at once.
const CHUNK: u64 = 1 << 20;
/// Every sector is a multiple of it, and every frame is longer.
const BLOCK: u64 = 64;

/// Settles what stands between two offsets, the first of which is a batch's end. Says how many bytes
/// were looked at.
pub(crate) fn settle(source: &Source, from: u64, to: u64) -> Result<u64> {
    let io = |operation| move |e| Error::io(&source.path, operation, e);
    let from = from.max(PAGE_LEN);
    let mut at = from;
    let mut bytes = Vec::new();
    while at < to {
        let len = usize::try_from((to - at).min(CHUNK)).unwrap_or(0);
        bytes.resize(len, 0);
        let read = source.file.read_at(at, &mut bytes).map_err(io("read"))?;
        if read == 0 {
            break;
        }
        let (runs, done) = what_is_there(&source.codec, at, &bytes[..read]);
        for run in runs {
            let run_at = at + run.start as u64;
            source.file.write_at(run_at, &bytes[run]).map_err(io("settle"))?;
        }
        at += done as u64;
    }
    Ok(at.saturating_sub(from))
}

/// Of bytes that stand at `at`, those that are surely not missing: frames that verify, whole, and of the
/// rest what [`not_missing`] says. And how many bytes that was about: a frame that goes on behind them
/// is left for the next time, unless it is all there is.
fn what_is_there(codec: &Codec, at: u64, bytes: &[u8]) -> (Vec<Range<usize>>, usize) {
    if mutation::broken(Mutation::MissingIsSettled) {
        return (std::iter::once(0..bytes.len()).collect(), bytes.len());
    }
    let mut runs = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let rest = &bytes[start..];
        match frame_in(codec, at + start as u64, rest) {
            Some(len) if len <= rest.len() => {
                join(&mut runs, start..start + len);
                start += len;
            }
            Some(_) if start > 0 => return (runs, start),
            _ => {
                let next = memmem::find(&rest[1..], &MAGIC).map_or(rest.len(), |found| found + 1);
                for run in not_missing(at + start as u64, &rest[..next]) {
                    join(&mut runs, start + run.start..start + run.end);
                }
                start += next;
            }
        }
    }
    (runs, bytes.len())
}

/// The length of the frame that begins here: one that verifies, or one of which only the front is there.
fn frame_in(codec: &Codec, at: u64, bytes: &[u8]) -> Option<usize> {
    let header = FrameHeader::decode(bytes.first_chunk::<HEADER_LEN>()?, codec).ok()?;
    let in_place = header.kind == FrameKind::Claim || header.is_self_placed(at);
    let len = usize::try_from(header.frame_len()).ok().filter(|_| in_place)?;
    let verifies = |body: &[u8]| codec.checksum(&[body]) == header.body_checksum;
    bytes.get(HEADER_LEN..len).is_none_or(verifies).then_some(len)
}

/// Of bytes that stand at `at` and do not verify, those that are surely not missing: in each block, from
/// the first that is no zero to the last. What is missing reaches over the edge of a block: it is
/// whole frames, or it begins or ends where a sector does.
fn not_missing(at: u64, bytes: &[u8]) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let behind = BLOCK - (at + start as u64) % BLOCK;
        let end = bytes.len().min(start + usize::try_from(behind).unwrap_or(usize::MAX));
        let there = |byte: &u8| *byte != 0;
        let block = &bytes[start..end];
        if let (Some(first), Some(last)) =
            (block.iter().position(there), block.iter().rposition(there))
        {
            join(&mut runs, start + first..start + last + 1);
        }
        start = end;
    }
    runs
}

/// Adds a run, or makes the last one longer.
fn join(runs: &mut Vec<Range<usize>>, run: Range<usize>) {
    match runs.last_mut() {
        Some(before) if before.end == run.start => before.end = run.end,
        _ => runs.push(run),
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::{BLOCK, not_missing};
    use crate::format::HEADER_LEN;

    /// How much of bytes that stand at `at` is written where this range of the file is missing.
    fn written_without(missing: &Range<usize>, at: usize) -> usize {
        let bytes: Vec<u8> = (at..1024).map(|at| u8::from(!missing.contains(&at))).collect();
        not_missing(at as u64, &bytes).iter().map(ExactSizeIterator::len).sum()
    }

    /// I13, H9: what is missing is a frame, or the part of one that begins or ends with a sector.
    #[test]
    fn nothing_is_written_where_a_frame_is_missing_or_the_part_of_one_in_a_sector() {
        assert!(HEADER_LEN as u64 > BLOCK);
        for start in 0..160 {
            for end in [start + 80, start + 81, start + 300] {
                for sector in [64, 512] {
                    let cut = (end / sector * sector).max(start);
                    for missing in [start..end, start..cut, cut..end] {
                        let at = start / 2;
                        let there = 1024 - at - missing.len();
                        assert_eq!(written_without(&missing, at), there, "{missing:?} from {at}");
                    }
                }
            }
        }
    }

    /// Zeros within a block are nobody's frame, and not worth a write of their own.
    #[test]
    fn zeros_within_a_block_are_written_with_what_is_around_them() {
        let mut bytes = [1_u8; 128];
        bytes[1..63].fill(0);
        assert_eq!(not_missing(0, &bytes), vec![0..128; 1]);
        assert_eq!(not_missing(32, &bytes), [0..1, 63..128], "a block ends within these zeros");
    }
}
