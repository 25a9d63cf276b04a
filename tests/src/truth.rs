//! What a journal must be, whatever happened to it.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use session_journal::{
    HistoryEvent, HistoryKind, Item, Reader, Record, Sequence, Verdict, history, verify,
};

use crate::acks::{Acks, Stored};
use crate::spec::{id_of, is_sound};

/// All records from scratch. They must be dense, of rising generations, sound, each id once, and
/// every batch whole.
#[must_use]
pub fn scan(path: &Path) -> Vec<Record> {
    let reader = Reader::open(path).expect("a journal opens for reading");
    let records: Result<Vec<Record>, _> = reader.records().collect();
    let records = records.expect("a journal without gaps");
    let mut ids = HashSet::new();
    let mut generation = 0;
    for (record, sequence) in records.iter().zip(1..) {
        assert_eq!(record.sequence.get(), sequence, "sequences are dense");
        assert!(record.generation.get() >= generation, "generations never fall");
        generation = record.generation.get();
        assert!(is_sound(record), "record {sequence} holds something else");
        assert!(ids.insert(id_of(record)), "{} stands twice", id_of(record));
    }
    must_be_whole_batches(&records);
    records
}

fn must_be_whole_batches(records: &[Record]) {
    let mut expected: Option<String> = None;
    for record in records.iter().filter(|record| record.kind.is_none()) {
        let id = id_of(record);
        let mut parts = id.rsplitn(3, '.');
        let (n, i) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let batch = parts.next().unwrap_or_default();
        let (Ok(n), Ok(i)) = (n.parse::<u64>(), i.parse::<u64>()) else {
            panic!("{id:?} is no id");
        };
        let first = expected.take().unwrap_or_else(|| format!("{batch}.0.{n}"));
        assert_eq!(id, first, "batches are whole");
        expected = (i + 1 < n).then(|| format!("{batch}.{}.{n}", i + 1));
    }
    assert_eq!(expected, None, "the last batch is whole");
}

/// Every way to read gives the same, and nothing is damaged. Gives the records.
pub fn agree(path: &Path) -> Vec<Record> {
    let records = scan(path);
    let reader = Reader::open(path).expect("a journal opens for reading");
    let backwards: Result<Vec<Record>, _> = reader.backwards().collect();
    let mut backwards = backwards.expect("it reads backwards");
    backwards.reverse();
    assert_eq!(backwards.len(), records.len(), "backwards and forwards have as many");
    assert!(backwards == records, "backwards is forwards");
    let last = records.len() as u64;
    for from in [1, 2, last / 3, last / 2, last.saturating_sub(1), last] {
        let from = from.max(1);
        let tail: Result<Vec<Record>, _> =
            reader.records_from(Sequence::new(from)).expect("it reads from anywhere").collect();
        let start = usize::try_from(from - 1).unwrap_or_default().min(records.len());
        let tail = tail.expect("without gaps");
        let is = (tail.first().map(place_of), tail.len());
        let expected = (records[start..].first().map(place_of), records.len() - start);
        assert!(tail == records[start..], "from {from} on: {is:?} instead of {expected:?}");
    }
    let verification = verify(path, &mut |_, _| ()).expect("it can be verified");
    assert!(verification.ok, "{verification:?}");
    assert_eq!(verification.records, last);
    records
}

fn place_of(record: &Record) -> (u64, u64) {
    (record.sequence.get(), record.offset.get())
}

/// Everything acknowledged is there, once, where it was said to be, in order; everything unknown
/// is there once or not at all; nothing else is there.
pub fn holds(records: &[Record], acks: &Acks) {
    let by_id: HashMap<String, &Record> = records.iter().map(|r| (id_of(r), r)).collect();
    assert_eq!(by_id.len(), records.len(), "each id once");
    let mut known = HashSet::new();
    for stored in &acks.stored {
        let id = &stored.spec.id;
        let Some(record) = by_id.get(id) else { panic!("acknowledged and lost: {stored:?}") };
        let is = (record.sequence.get(), record.generation.get());
        assert_eq!(is, (stored.sequence, stored.generation), "{stored:?} is another one");
        known.insert(id.clone());
    }
    for batch in &acks.unknown {
        let there = batch.iter().filter(|spec| by_id.contains_key(&spec.id)).count();
        assert!(there == 0 || there == batch.len(), "half of a batch: {batch:?}");
        known.extend(batch.iter().map(|spec| spec.id.clone()));
    }
    for record in records.iter().filter(|record| record.kind.is_none()) {
        assert!(known.contains(&id_of(record)), "nobody appended {}", id_of(record));
    }
}

/// The same records stand there and one more; where they stand a compaction may change, which the
/// next owner finishes in the stead of one that was killed.
pub fn goes_on(before: &[Record], after: &[Record]) {
    assert_eq!(after.len(), before.len() + 1, "one more");
    for (before, after) in before.iter().zip(after) {
        assert_eq!(&Record { offset: before.offset, ..after.clone() }, before);
    }
}

/// The durable acknowledgements that a journal does not hold after a power cut, and its records. What
/// else is there was appended by somebody, once; what is missing was never durable, and is told.
#[must_use]
pub fn lost(path: &Path, durable: &Acks, all: &Acks) -> (Vec<Stored>, Vec<Record>) {
    let records = scan_over_gaps(path);
    let by_id: HashMap<String, &Record> = records.iter().map(|r| (id_of(r), r)).collect();
    assert_eq!(by_id.len(), records.len(), "each id once");
    let is_there = |stored: &&Stored| {
        let record = by_id.get(&stored.spec.id);
        let place = record.map(|record| (record.sequence.get(), record.generation.get()));
        place == Some((stored.sequence, stored.generation))
    };
    let acknowledged = durable.stored.iter().filter(|stored| stored.durable);
    let lost = acknowledged.filter(|stored| !is_there(stored)).cloned().collect();
    let tried = all.unknown.iter().flatten().chain(all.stored.iter().map(|stored| &stored.spec));
    let known: HashSet<&str> = tried.map(|spec| spec.id.as_str()).collect();
    for id in by_id.keys() {
        assert!(known.contains(id.as_str()), "nobody appended {id}");
    }
    (lost, records)
}

/// The records of a journal that may have holes where something was never durable.
fn scan_over_gaps(path: &Path) -> Vec<Record> {
    let verification = verify(path, &mut |_, _| ()).expect("it can be verified");
    assert!(verification.ok, "{verification:?}");
    let reader = Reader::open(path).expect("a journal opens for reading");
    let mut records: Vec<Record> = Vec::new();
    for item in reader.records().with_gaps() {
        match item.expect("it can be read") {
            Item::Gap(gap) => assert_eq!(gap.verdict, Verdict::Torn, "{gap:?}"),
            Item::Record(record) => {
                let before = records.last().map(|record| (record.generation, record.sequence));
                assert!(before.is_none_or(|(generation, _)| generation <= record.generation));
                assert!(before.is_none_or(|(_, sequence)| sequence < record.sequence));
                assert!(is_sound(&record), "{} holds something else", record.sequence);
                records.push(record);
            }
        }
    }
    must_be_whole_batches(&records);
    in_order(&records);
    records
}

/// Whoever appended one record after the other finds them in that order, tried again or not.
pub fn in_order(records: &[Record]) {
    let mut last: HashMap<String, (u64, u64)> = HashMap::new();
    for record in records.iter().filter(|record| record.kind.is_none()) {
        let id = id_of(record);
        let mut parts = id.rsplitn(4, '.').skip(1).map(str::to_owned);
        let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok());
        let (Some(i), Some(batch)) = (number(), number()) else { panic!("{id:?} is no id") };
        let prefix = parts.next().unwrap_or_default();
        let before = last.insert(prefix, (batch, i));
        assert!(before < Some((batch, i)), "{id} stands behind {before:?} of the same producer");
    }
}

/// Everybody who was told to own the journal stands in its history, alone in his generation. Gives
/// the openings.
#[must_use]
pub fn owners(path: &Path, acks: &Acks) -> Vec<HistoryEvent> {
    let openings = openings(path);
    let opened: HashSet<u64> = openings.iter().map(|o| o.generation.get()).collect();
    let mut told = HashSet::new();
    for said in &acks.opened {
        let generation = said["generation"].as_u64().expect("a generation");
        assert!(told.insert(generation), "one owner each: {said}");
        assert!(opened.contains(&generation), "not in the history: {said}");
    }
    openings
}

/// The openings in the history; their generations must rise and their claims come before them, but
/// for those that a compaction copied without their claims.
#[must_use]
pub fn openings(path: &Path) -> Vec<HistoryEvent> {
    let events = history(path).expect("a history");
    let claims: HashSet<u64> = events
        .iter()
        .filter(|event| event.event == HistoryKind::Claim)
        .map(|event| event.generation.get())
        .collect();
    let is_copy = events.iter().any(|event| event.event == HistoryKind::Compacted);
    let openings: Vec<HistoryEvent> =
        events.into_iter().filter(|event| event.event == HistoryKind::Opening).collect();
    let mut before = 0;
    for opening in &openings {
        let generation = opening.generation.get();
        assert!(generation > before, "an owner per generation: {generation} after {before}");
        let is_claimed = generation == 1 || is_copy || claims.contains(&generation);
        assert!(is_claimed, "claimed first: {opening:?}");
        before = generation;
    }
    openings
}

/// What a folder holds, sorted.
#[must_use]
pub fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
