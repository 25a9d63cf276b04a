//! A small journal with everything in it, its frames laid out, and what must be left of it after
//! damage: the oracle of the damage tests. It knows the layout of frames, not how the engine reads.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use session_journal::format::{
    Codec, FrameHeader, FrameKind, IDENTITY_LEN, SLOT_LEN, Slot, decode_identity, slot_offset,
};
use session_journal::{AppendOptions, Journal, NewRecord, Options, Reader, Record, SessionName};

use super::host::{StillHost, options};

/// Bytes of the header page.
pub(crate) const PAGE: usize = 4096;

/// How the last owner left the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Released.
    Closed,
    /// Dropped, like a crash.
    Killed,
}

/// A frame of the pristine file that stands at the offset that it names.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) header: FrameHeader,
    pub(crate) range: Range<usize>,
}

impl Span {
    pub(crate) fn is_record(&self) -> bool {
        self.header.kind == FrameKind::Record
    }
}

/// The pristine file.
pub(crate) struct Sample {
    pub(crate) bytes: Vec<u8>,
    pub(crate) codec: Codec,
    /// Chain frames, in file order.
    pub(crate) frames: Vec<Span>,
    pub(crate) records: Vec<Record>,
    pub(crate) host: Arc<StillHost>,
}

/// What must be left.
#[derive(Debug)]
pub(crate) struct Left {
    /// Whether the identity can be had from the header page.
    pub(crate) header: bool,
    /// Records that must be read.
    pub(crate) records: BTreeSet<u64>,
    /// Records that are gone, and that somebody still knows of.
    pub(crate) lost: BTreeSet<u64>,
    /// Those of them behind which no chain frame is left: only a slot knows of them.
    pub(crate) lost_at_end: BTreeSet<u64>,
    /// Everything below was durable, as far as somebody still knows.
    pub(crate) durable_through: u64,
}

/// The `i`-th record: sizes, kinds, keys and parents of every sort.
pub(crate) fn record(i: u64) -> NewRecord {
    let sizes = [3, 0, 41, 7, 130, 18, 1, 333, 64, 25];
    let size = sizes[usize::try_from(i).expect("a small number") % sizes.len()];
    let text = format!("record {i} ").into_bytes();
    let payload: Vec<u8> = text.iter().copied().cycle().take(size).collect();
    let mut record = NewRecord::new(payload);
    if i.is_multiple_of(2) {
        record = record.kind("message");
    }
    if i.is_multiple_of(3) {
        record = record.key(format!("key-{i}"));
    }
    if i.is_multiple_of(6) {
        record = record.parent(format!("key-{}", i - 3));
    }
    record
}

impl Sample {
    /// Two generations: the first is taken over while its owner lives, writes once more, and is
    /// fenced, which leaves dead frames. 40 records, of them a batch of five, and two that quote
    /// the journal's own bytes (H18).
    pub(crate) fn build(folder: &Path, ending: Ending, adjust: impl Fn(&mut Options)) -> Self {
        let host = StillHost::new(1);
        let mut options = options(&host);
        adjust(&mut options);
        let path = folder.join("sample.journal");
        let name = SessionName::new(Some("main"), "sample").expect("a name");
        let mut first = Journal::create(&path, &name, &options).expect("create");
        let quote = |range: Range<usize>| std::fs::read(&path).expect("read")[range].to_vec();
        append(&mut first, 1..=9);
        first.sync().expect("sync");
        first.append(&NewRecord::new(quote(PAGE..PAGE + 200))).expect("append");
        append(&mut first, 11..=14);
        let batch: Vec<NewRecord> = (15..=19).map(record).collect();
        first.append_all(&batch, &AppendOptions::default()).expect("append a batch");
        append(&mut first, 20..=22);

        let before = quote(0..std::fs::metadata(&path).map_or(0, |m| fits(m.len()))).len();
        let mut second = Journal::open(&path, &options).expect("open");
        let fenced = first.append(&NewRecord::new("too late")).expect_err("it is fenced");
        assert_eq!(fenced.code(), "fenced");
        append(&mut second, 23..=30);
        // The claim among it floats, and stands here once more.
        let claim = quote(before..before + 150);
        second.append(&NewRecord::new(claim).key("quote")).expect("append");
        append(&mut second, 32..=40);
        match ending {
            Ending::Closed => second.close().expect("close"),
            Ending::Killed => drop(second),
        }
        Self::of(&path, host)
    }

    /// One generation, never synced: nobody knows that anything of it was durable. Records 4 to 8
    /// are one batch, and stand between others.
    pub(crate) fn unsynced(folder: &Path) -> Self {
        let host = StillHost::new(2);
        let path = folder.join("unsynced.journal");
        let name = SessionName::new(None, "unsynced").expect("a name");
        let mut journal = Journal::create(&path, &name, &options(&host)).expect("create");
        append(&mut journal, 1..=3);
        let batch: Vec<NewRecord> = (4..=8).map(record).collect();
        journal.append_all(&batch, &AppendOptions::default()).expect("append a batch");
        append(&mut journal, 9..=10);
        drop(journal);
        Self::of(&path, host)
    }

    /// Lays out the file that is there.
    pub(crate) fn of(path: &Path, host: Arc<StillHost>) -> Self {
        let bytes = std::fs::read(path).expect("read");
        let identity = decode_identity(&bytes).expect("an identity");
        let codec = Codec::new(identity.salt);
        let mut frames: Vec<Span> = Vec::new();
        let mut at = PAGE;
        while at < bytes.len() {
            match FrameHeader::decode(&bytes[at..], &codec) {
                Ok(header) if header.is_self_placed(at as u64) => {
                    let range = at..at + fits(header.frame_len());
                    assert_eq!(codec.checksum(&[&bytes[at + 80..range.end]]), header.body_checksum);
                    at = range.end;
                    frames.push(Span { header, range });
                }
                // Claims and displaced frames are whole, and nothing else is dead in the sample.
                Ok(header) => at += fits(header.frame_len()),
                Err(fault) => panic!("no frame at {at}: {fault:?}"),
            }
        }
        let records: Vec<Record> = Reader::open(path)
            .expect("open to read")
            .records()
            .collect::<Result<_, _>>()
            .expect("the sample is sound");
        assert!(records.iter().map(|r| r.sequence.get()).eq(1..=records.len() as u64));
        Self { bytes, codec, frames, records, host }
    }

    /// Where frames of all kinds begin and end, the dead ones too: the places worth a closer look.
    pub(crate) fn boundaries(&self) -> BTreeSet<usize> {
        let ends = self.frames.iter().flat_map(|span| [span.range.start, span.range.end]);
        let headers = self.frames.iter().map(|span| span.range.start + 80);
        let page = [0, 8, 12, 16, IDENTITY_LEN, IDENTITY_LEN + SLOT_LEN, PAGE];
        ends.chain(headers).chain(page).collect()
    }

    /// Those places and their neighbours, and every `step`-th byte.
    pub(crate) fn places(&self, step: usize) -> BTreeSet<usize> {
        let near = self.boundaries().into_iter().flat_map(|at| at.saturating_sub(1)..=at + 1);
        near.chain((0..self.bytes.len()).step_by(step))
            .filter(|at| *at < self.bytes.len())
            .collect()
    }

    fn whole(&self, damaged: &[u8], range: &Range<usize>) -> bool {
        damaged.get(range.clone()) == self.bytes.get(range.clone())
    }

    /// The slot that a reader of the damaged file goes by.
    fn slot(&self, damaged: &[u8]) -> Option<Slot> {
        let sound = |counter| {
            let start = fits(slot_offset(counter));
            let range = start..start + SLOT_LEN;
            self.whole(damaged, &range).then(|| Slot::decode(&damaged[range], &self.codec))?
        };
        [0, 1].into_iter().filter_map(sound).max_by_key(|slot| (slot.generation, slot.counter))
    }

    /// What must be left of the sample in this copy of it; `None` where nobody can say who it is.
    pub(crate) fn left(&self, damaged: &[u8]) -> Option<Left> {
        let header = self.whole(damaged, &(0..IDENTITY_LEN));
        let intact: Vec<&Span> =
            self.frames.iter().filter(|span| self.whole(damaged, &span.range)).collect();
        if !header && !intact.iter().any(|span| span.header.kind == FrameKind::Opening) {
            return None;
        }
        let slot = self.slot(damaged);
        let of_slot = slot.as_ref().map_or(0, |slot| slot.durable_through);
        // A batch that is not whole counts as far as it is sound, if something behind it or a slot
        // tells that it was whole once.
        let counts = |span: &&&Span| {
            let batch = fits(span.header.batch_first())..fits(span.header.batch_end());
            let whole = self.whole(damaged, &batch);
            let witness = intact.iter().any(|other| other.range.start >= batch.end);
            whole || witness || span.header.batch_end() <= of_slot
        };
        let chain: Vec<&Span> = intact.iter().filter(counts).copied().collect();
        let records: BTreeSet<u64> =
            chain.iter().filter(|span| span.is_record()).map(|span| span.header.sequence).collect();
        let last = chain.last().map_or(0, |span| span.header.sequence);
        let known = slot.as_ref().map_or(0, |slot| slot.sequence).max(last);
        let durable = chain.iter().map(|span| span.header.durable_through).max().unwrap_or(0);
        Some(Left {
            header,
            lost: (1..=known).filter(|sequence| !records.contains(sequence)).collect(),
            lost_at_end: (last + 1..=known).collect(),
            records,
            durable_through: durable.max(of_slot),
        })
    }
}

fn append(journal: &mut Journal, numbers: impl Iterator<Item = u64>) {
    for i in numbers {
        journal.append(&record(i)).expect("append");
    }
}

pub(crate) fn fits(value: u64) -> usize {
    usize::try_from(value).expect("a small file")
}
