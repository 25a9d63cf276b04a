//! What every damaged copy must answer, to readers and to owners.

use std::collections::BTreeSet;
use std::path::Path;

use session_journal::format::IDENTITY_LEN;
use session_journal::{
    Cause, ErrorKind, Gap, Hole, Item, ItemRef, Journal, NewRecord, Options, Reader, Record,
    Result, verify,
};

use super::host::options;
use super::sample::{Left, PAGE, Sample, fits};

/// Readers see every record that is not hit, and gaps of exactly the rest: forwards, backwards and
/// strictly; `verify` counts the same. `what` names the damage where a check fails.
pub(crate) fn readers(sample: &Sample, path: &Path, damaged: &[u8], what: &str) {
    let Some((reader, left)) = forwards(sample, path, damaged, what) else { return };
    let expected = expected(sample, &left);
    let (mut records, gaps) = split(reader.backwards().with_gaps(), what);
    records.reverse();
    assert!(
        records.iter().eq(expected.iter().copied()),
        "{what}, backwards: {}",
        told(&records, &left)
    );
    assert_eq!(sequences(&gaps), left.lost, "{what}: gaps backwards");
    strict(&reader, &expected, &left.lost, what);
}

/// The same, of the forward reader and `verify` alone.
pub(crate) fn forwards(
    sample: &Sample,
    path: &Path,
    damaged: &[u8],
    what: &str,
) -> Option<(Reader, Left)> {
    let Some(left) = sample.left(damaged) else {
        let error = Reader::open(path).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::NotAJournal, "{what}: {error}");
        return None;
    };
    let reader = Reader::open(path).unwrap_or_else(|error| panic!("{what}: {error}"));
    let (records, gaps) = split(reader.records().with_gaps(), what);
    assert!(records.iter().eq(expected(sample, &left)), "{what}: {}", told(&records, &left));
    assert_eq!(sequences(&gaps), left.lost, "{what}: gaps forwards");
    lent_is_what_is_given(&reader, what);

    let found = verify(path, &mut |_, _| {}).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(found.records, left.records.len() as u64, "{what}: records counted");
    assert_eq!(found.header_damaged, !left.header, "{what}: header page");
    let holes = || found.torn.iter().chain(&found.damage);
    assert_eq!(lost_by(holes()), left.lost, "{what}: lost, as verify tells: {found:?}");
    assert!(!found.ok || (left.lost_at_end.is_empty() && left.header), "{what}: it is not well");
    every_wound_is_in_a_hole(sample, damaged, holes(), what);
    Some((reader, left))
}

/// Records that are lent are those that are given away, also where both are asked for in turns.
fn lent_is_what_is_given(reader: &Reader, what: &str) {
    let mut given = reader.records().with_gaps();
    let mut lent = reader.records().with_gaps();
    for turn in 0.. {
        let expected = given.next().map(Result::unwrap);
        let item = if turn % 3 == 2 {
            lent.next().map(Result::unwrap)
        } else {
            lent.next_ref().map(|item| match item.unwrap() {
                ItemRef::Record(record) => Item::Record(record.to_record()),
                ItemRef::Gap(gap) => Item::Gap(gap),
            })
        };
        assert_eq!(item, expected, "{what}: lent");
        if expected.is_none() {
            break;
        }
    }
    let (mut given, mut lent) = (reader.records(), reader.records());
    loop {
        let (expected, record) = (given.next(), lent.next_ref());
        match (expected, record) {
            (None, None) => break,
            (Some(Ok(expected)), Some(Ok(record))) => assert_eq!(record, expected.lent(), "{what}"),
            (Some(Err(expected)), Some(Err(error))) => {
                assert_eq!(error.to_string(), expected.to_string(), "{what}");
            }
            (expected, record) => panic!("{what}: {record:?} is lent, {expected:?} is given"),
        }
    }
}

fn expected<'a>(sample: &'a Sample, left: &Left) -> Vec<&'a Record> {
    let is_left = |record: &&Record| left.records.contains(&record.sequence.get());
    sample.records.iter().filter(is_left).collect()
}

/// The strict reader gives what comes before the first gap, and then says what is missing.
fn strict(reader: &Reader, expected: &[&Record], lost: &BTreeSet<u64>, what: &str) {
    let first_lost = lost.first().copied();
    let is_before = |record: &&&Record| first_lost.is_none_or(|lost| record.sequence.get() < lost);
    let mut strict = reader.records();
    for record in expected.iter().take_while(is_before) {
        let read = strict.next().and_then(Result::ok);
        assert_eq!(read.as_ref(), Some(*record), "{what}: strict");
    }
    match (strict.next(), first_lost) {
        (None, None) => {}
        (Some(Err(error)), Some(lost)) => {
            let Cause::Corrupt { sequence, .. } = error.cause() else { panic!("{what}: {error}") };
            assert_eq!(sequence.get(), lost, "{what}: {error}");
        }
        (answer, lost) => panic!("{what}: {answer:?} where {lost:?} is lost"),
    }
    assert!(strict.next().is_none(), "{what}: it ends with the error");
}

/// Frames that are hit lie in a hole; what the file does not reach is missing, not a hole.
fn every_wound_is_in_a_hole<'a>(
    sample: &Sample,
    damaged: &[u8],
    holes: impl Iterator<Item = &'a Hole>,
    what: &str,
) {
    let holes: Vec<&Hole> = holes.collect();
    for span in &sample.frames {
        let range = span.range.start..span.range.end.min(damaged.len());
        if range.is_empty() || damaged[range.clone()] == sample.bytes[range.clone()] {
            continue;
        }
        let covered = holes.iter().any(|hole| {
            let start = fits(hole.offset.get());
            start <= range.start && range.start < start + fits(hole.bytes)
        });
        assert!(covered, "{what}: the frame at {} is in no hole", range.start);
    }
}

/// An owner opens it, is told exactly what is lost, and appends; nothing before is changed, and
/// the next opening has nothing new to tell.
pub(crate) fn owner(sample: &Sample, path: &Path, damaged: &[u8], what: &str) {
    let options = Options { full_scan: true, ..options(&sample.host) };
    let Some(left) = sample.left(damaged) else {
        let error = Journal::open(path, &options).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::NotAJournal, "{what}: {error}");
        assert!(std::fs::read(path).expect("read") == damaged, "{what}: the file was touched");
        return;
    };
    let mut journal = Journal::open(path, &options).unwrap_or_else(|e| panic!("{what}: {e}"));
    let report = journal.opening().report.clone();
    assert_eq!(lost_by(report.holes.iter()), left.lost, "{what}: lost, as told: {report:?}");
    assert_eq!(report.header_damaged, !left.header, "{what}: header page");

    let next = left.records.union(&left.lost).last().map_or(1, |last| last + 1);
    let appended = journal.append(&NewRecord::new("behind the damage").kind("new"));
    let appended = appended.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(appended.sequence.get(), next, "{what}: sequence");
    journal.close().unwrap_or_else(|error| panic!("{what}: {error}"));

    let after = std::fs::read(path).expect("read");
    assert!(is_kept(sample, damaged, &after), "{what}: bytes before the append were changed");

    let again = Journal::open(path, &options).unwrap_or_else(|e| panic!("{what}: {e}"));
    let second = &again.opening().report;
    assert!(second.is_clean(), "{what}: told twice: {second:?}");
    let reader = again.reader().unwrap_or_else(|error| panic!("{what}: {error}"));
    let (records, gaps) = split(reader.records().with_gaps(), what);
    let read: BTreeSet<u64> = records.iter().map(|record| record.sequence.get()).collect();
    let expected: BTreeSet<u64> = left.records.iter().copied().chain([next]).collect();
    assert_eq!(read, expected, "{what}: read after the repair");
    assert_eq!(sequences(&gaps), left.lost, "{what}: gaps after the repair");
}

/// Everything but the slots is as it was; an identity that was damaged may be put right again.
fn is_kept(sample: &Sample, before: &[u8], after: &[u8]) -> bool {
    let front = before.len().min(IDENTITY_LEN);
    let frames = before.len().min(PAGE);
    after.len() >= before.len()
        && (after[..front] == before[..front] || after[..front] == sample.bytes[..front])
        && after[frames..before.len()] == before[frames..]
}

pub(crate) fn split(
    items: impl Iterator<Item = Result<Item>>,
    what: &str,
) -> (Vec<Record>, Vec<Gap>) {
    let (mut records, mut gaps) = (Vec::new(), Vec::new());
    for item in items {
        match item.unwrap_or_else(|error| panic!("{what}: {error}")) {
            Item::Record(record) => records.push(record),
            Item::Gap(gap) => gaps.push(gap),
        }
    }
    (records, gaps)
}

pub(crate) fn sequences(gaps: &[Gap]) -> BTreeSet<u64> {
    gaps.iter().flat_map(|gap| range(gap.first.get(), gap.records)).collect()
}

/// The records that these holes say are lost; each is said once.
pub(crate) fn lost_by<'a>(holes: impl Iterator<Item = &'a Hole>) -> BTreeSet<u64> {
    let mut lost = BTreeSet::new();
    for sequence in holes.flat_map(|hole| range(hole.first.get(), hole.records_lost)) {
        assert!(lost.insert(sequence), "record {sequence} is lost twice");
    }
    lost
}

fn range(first: u64, count: u64) -> std::ops::Range<u64> {
    first..first + count
}

fn told(records: &[Record], left: &Left) -> String {
    let read: Vec<u64> = records.iter().map(|record| record.sequence.get()).collect();
    format!("read {read:?}, expected {:?}", left.records)
}
