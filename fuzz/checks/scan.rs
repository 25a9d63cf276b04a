//! Scanning whatever stands in a file: however it is read, the answers agree. Strict reading is
//! tolerant reading up to the first gap, verifying counts what readers see and lack, the records
//! from some number on are the end of all of them, backwards is forwards turned, and reading on as a
//! file grows ends where reading it from the start ends (I5).
//!
//! The first byte of an input chooses the file: frames written step by step, the input itself behind
//! a header page, or a small journal with edits.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use session_journal::{
    Cause, Gap, Hole, Item, Reader, Record, Result, Sequence, Verification, history, verify,
};

use super::edits::{base, edited};
use super::frames::{Written, behind_a_page, written};
use super::memory::MemoryDisk;

/// See the module.
pub(crate) fn check(bytes: &[u8]) {
    let Some((which, rest)) = bytes.split_first() else { return };
    match which % 4 {
        0 | 1 => made(&written(rest)),
        2 => made(&behind_a_page(rest)),
        _ => {
            let (bytes, is_forged) = edited(&base(which & 4 != 0), rest);
            if !is_forged {
                drop(agreed(&bytes, false, true));
            }
        }
    }
}

/// A file without slots: nothing but its frames says where anything is.
fn made(written: &Written) {
    let Written { bytes, lengths, is_forged } = written;
    let all = agreed(bytes, *is_forged, false);
    let grown = grown(bytes, lengths);
    // A liar may contradict what was read before.
    assert!(*is_forged || grown == all, "reading on ends elsewhere than reading anew");
}

fn on_disk(bytes: &[u8]) -> (MemoryDisk, &'static Path) {
    let (disk, path) = (MemoryDisk::new(), Path::new("/scanned.journal"));
    disk.put(path, bytes.to_vec());
    (disk, path)
}

fn read(bytes: &[u8]) -> Result<Reader> {
    let (disk, path) = on_disk(bytes);
    Reader::open_with(path, Arc::new(disk))
}

fn verified(bytes: &[u8]) -> Result<Verification> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("scanned.journal");
    fs::write(&path, bytes).expect("writes");
    // It is told or refused; what it says is the business of other tests.
    drop(history(&path));
    verify(&path, &mut |_, _| ())
}

/// Everything that a file holds, after it was read in every way; `None` where it cannot be read.
fn agreed(bytes: &[u8], is_forged: bool, has_slots: bool) -> Option<Vec<Item>> {
    let (reader, verified) = (read(bytes), verified(bytes));
    let (reader, verified) = match (reader, verified) {
        (Ok(reader), Ok(verified)) => (reader, verified),
        (reader, verified) => {
            assert_eq!(reader.is_ok(), verified.is_ok(), "one reads what the other refuses");
            return None;
        }
    };
    let all: Vec<Item> =
        reader.records().with_gaps().collect::<Result<_>>().expect("an open view can be read");
    ascending(&all);
    strict(&reader, &all);
    backwards(&reader, &all, is_forged);
    // What a liar says of one place need not fit what he says of another.
    if !is_forged {
        counted(&verified, &all);
        from_everywhere(&reader, &all);
    }
    // Counted backwards. A slot spares readers a look at the history: of damage there they do not
    // know.
    if !is_forged && !has_slots {
        last(&reader, &all);
    }
    Some(all)
}

fn records(items: &[Item]) -> impl Iterator<Item = &Record> {
    items.iter().filter_map(|item| match item {
        Item::Record(record) => Some(record),
        Item::Gap(_) => None,
    })
}

fn gaps(items: &[Item]) -> impl Iterator<Item = &Gap> {
    items.iter().filter_map(|item| match item {
        Item::Gap(gap) => Some(gap),
        Item::Record(_) => None,
    })
}

/// Every number is told once: as a record, or in a gap.
fn ascending(all: &[Item]) {
    let mut next = 1;
    for item in all {
        let (first, count) = match item {
            Item::Record(record) => (record.sequence.get(), 1),
            Item::Gap(gap) => (gap.first.get(), gap.records),
        };
        assert_eq!(first, next, "a number is missing, or told twice");
        next += count;
    }
}

fn strict(reader: &Reader, all: &[Item]) {
    let mut strict = reader.records();
    for item in all {
        match (item, strict.next()) {
            (Item::Record(record), Some(Ok(strictly))) => assert_eq!(strictly, *record),
            (Item::Gap(gap), Some(Err(error))) => {
                let Cause::Corrupt { sequence, records, .. } = error.cause() else {
                    panic!("a gap is told as {error}");
                };
                assert_eq!((*sequence, *records), (gap.first, gap.records));
                break;
            }
            (item, strictly) => panic!("strict {strictly:?}, tolerant {item:?}"),
        }
    }
    assert!(strict.next().is_none(), "strict reading goes on behind its end");
}

fn counted(verified: &Verification, all: &[Item]) {
    assert_eq!(verified.records, records(all).count() as u64, "verify counts what readers read");
    let lost = |holes: &[Hole]| -> u64 { holes.iter().map(|hole| hole.records_lost).sum() };
    let missing: u64 = gaps(all).map(|gap| gap.records).sum();
    assert_eq!(lost(&verified.torn) + lost(&verified.damage), missing, "verify counts the gaps");
    assert_eq!(verified.ok, verified.damage.is_empty() && !verified.header_damaged);
}

fn from_everywhere(reader: &Reader, all: &[Item]) {
    for record in records(all).take(16) {
        let from = reader.records_from(record.sequence).expect("there is a place to read from");
        let from: Vec<Item> = from.with_gaps().collect::<Result<_>>().expect("reads");
        let rest = all.iter().position(|item| *item == Item::Record(record.clone()));
        assert_eq!(from, all[rest.expect("is there")..], "reading from record {}", record.sequence);
        let after = reader.records_after(&record.mark(reader.id())).expect("the mark is held");
        assert_eq!(after.with_gaps().count(), from.len() - 1);
    }
    assert!(matches!(reader.get(Sequence::new(0)), Ok(None)));
}

/// The last so many are so many, wherever some are missing.
fn last(reader: &Reader, all: &[Item]) {
    let count = records(all).count();
    for n in [1, 2, 3, count] {
        let last = reader.last(n as u64).expect("there is a place to read from").with_gaps();
        let last: Vec<Item> = last.collect::<Result<_>>().expect("an open view can be read");
        let expected = records(all).skip(count.saturating_sub(n));
        assert!(records(&last).eq(expected), "the last {n} records");
    }
}

fn backwards(reader: &Reader, all: &[Item], is_forged: bool) {
    let turned: Vec<Item> =
        reader.backwards().with_gaps().collect::<Result<_>>().expect("an open view can be read");
    // A liar's frames may point anywhere, but not for ever.
    if is_forged {
        return;
    }
    let turned: Vec<&Record> = records(&turned).collect();
    assert!(turned.into_iter().rev().eq(records(all)), "backwards is forwards turned");
}

/// What a reader has in the end that read the file on as it grew from length to length.
fn grown(bytes: &[u8], lengths: &[usize]) -> Option<Vec<Item>> {
    let first = *lengths.first().unwrap_or(&bytes.len());
    let (disk, path) = on_disk(&bytes[..first]);
    let mut reader = Reader::open_with(path, Arc::new(disk.clone())).ok()?;
    for len in lengths.iter().copied().chain([bytes.len()]) {
        disk.meddle(path, |content| {
            let from = content.bytes.len();
            content.bytes.extend_from_slice(&bytes[from..len]);
        });
        reader.refresh().ok()?;
    }
    Some(reader.records().with_gaps().collect::<Result<_>>().expect("an open view can be read"))
}
