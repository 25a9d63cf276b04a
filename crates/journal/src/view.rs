//! What a reader and its iterators share: a file up to a point, how to find things in it, and what
//! is missing.

use std::io;
use std::path::Path;

use bytes::Bytes;

use crate::error::{Cause, Error, Result};
use crate::format::{CompactedBody, FrameHeader, FrameKind, HEADER_LEN, Identity, PAGE_LEN};
use crate::index::{Index, Source, meta_of};
use crate::locate::read_frame;
use crate::position::{Generation, Offset, Sequence};
use crate::record::{Gap, Record, RecordRef, Verdict};
use crate::survey::Survey;
use crate::window::Window;

/// What a tolerant reader gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A record.
    Record(Record),
    /// Records that are missing here.
    Gap(Gap),
}

/// The same, where the record is lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemRef<'a> {
    /// A record.
    Record(RecordRef<'a>),
    /// Records that are missing here.
    Gap(Gap),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) source: Source,
    pub(crate) identity: Identity,
    pub(crate) index: Index,
    /// The end of the chain.
    pub(crate) end: u64,
    pub(crate) last_offset: u64,
    pub(crate) last: u64,
    pub(crate) records: u64,
    /// Records behind the end that a slot knows were durable.
    pub(crate) lost_at_end: u64,
    pub(crate) last_checksum: u32,
    pub(crate) durable: u64,
    pub(crate) declared: Vec<(u64, u64)>,
}

impl View {
    pub(crate) fn new(
        source: Source,
        identity: Identity,
        survey: &Survey,
        index: &Index,
    ) -> Result<Self> {
        let chain = &survey.chain;
        let last = chain.sequence();
        let last_checksum = match survey.last_record_checksum {
            0 => index.checksum_of(&source, last, chain.end)?,
            known => known,
        };
        Ok(Self {
            declared: declared(&source, &identity)?,
            source,
            identity,
            index: index.clone(),
            end: chain.end,
            last_offset: chain.last_offset(),
            last,
            records: survey.summary.records,
            lost_at_end: survey.lost_at_end(),
            last_checksum,
            durable: survey.durable_through,
        })
    }

    /// Whether a compaction has declared these records as lost before it.
    pub(crate) fn is_declared(&self, first: u64, records: u64) -> bool {
        self.declared
            .iter()
            .any(|(start, count)| *start <= first && first + records <= start + count)
    }

    pub(crate) fn gap_at_end(&self, first: u64, records: u64) -> Gap {
        Gap { verdict: Verdict::Corrupt, ..self.gap(first, records, self.end, self.end) }
    }

    pub(crate) fn gap(&self, first: u64, records: u64, offset: u64, end: u64) -> Gap {
        Gap {
            first: Sequence::new(first),
            records,
            offset: Offset::new(offset),
            bytes: end - offset,
            verdict: if end <= self.durable { Verdict::Corrupt } else { Verdict::Torn },
        }
    }
}

/// What the first frame of a compacted file declares.
fn declared(source: &Source, identity: &Identity) -> Result<Vec<(u64, u64)>> {
    if identity.compactions == 0 {
        return Ok(Vec::new());
    }
    let at = PAGE_LEN;
    let first = read_frame(&*source.file, &source.path, &source.codec, at)?;
    let lost = first
        .filter(|(header, _)| header.kind == FrameKind::Compacted)
        .and_then(|(_, body)| CompactedBody::decode(&body).ok());
    Ok(lost.map(|compacted| compacted.lost).unwrap_or_default())
}

/// The record of a frame; `None` where it is not one, or has not its shape.
pub(crate) fn record_of(header: &FrameHeader, body: &Bytes) -> Option<Record> {
    let record = described(header, body)?;
    Some(record.with_payload(body.slice(usize::from(header.meta_len)..)))
}

/// The same from a window that shows the frame.
#[inline]
pub(crate) fn record_in(window: &mut Window, header: &FrameHeader) -> io::Result<Option<Record>> {
    window.get(header.offset + HEADER_LEN as u64, header.body_len())?;
    Ok(shown_record(window, header))
}

/// The same of a body that is in memory.
#[inline]
pub(crate) fn shown_record(window: &Window, header: &FrameHeader) -> Option<Record> {
    let at = header.offset + HEADER_LEN as u64;
    let record = described(header, window.shown(at, header.body_len())?)?;
    let payload = at + u64::from(header.meta_len);
    Some(record.with_payload(window.keep(payload, u64::from(header.payload_len))?))
}

/// The same, lent.
#[inline]
pub(crate) fn described<'a>(header: &FrameHeader, body: &'a [u8]) -> Option<RecordRef<'a>> {
    if header.kind != FrameKind::Record {
        return None;
    }
    let meta = meta_of(header, body)?;
    Some(RecordRef {
        sequence: Sequence::new(header.sequence),
        generation: Generation::new(header.generation),
        offset: Offset::new(header.offset),
        time_ms: header.time_ms,
        kind: meta.kind,
        key: meta.key,
        parent: meta.parent,
        payload: body.get(usize::from(header.meta_len)..)?,
        checksum: header.body_checksum,
    })
}

pub(crate) fn corrupt(path: &Path, gap: &Gap) -> Error {
    let cause = Cause::Corrupt { sequence: gap.first, records: gap.records, offset: gap.offset };
    Error::new(path, cause)
}

/// Turns what a tolerant reader gives into what a strict one gives: at a gap `Corrupt`, once, and
/// then the end.
#[inline]
pub(crate) fn strictly(
    item: Option<Result<Item>>,
    done: &mut bool,
    path: &Path,
) -> Option<Result<Record>> {
    if *done {
        return None;
    }
    let error = match item? {
        Ok(Item::Record(record)) => return Some(Ok(record)),
        Ok(Item::Gap(gap)) => corrupt(path, &gap),
        Err(error) => error,
    };
    *done = true;
    Some(Err(error))
}
