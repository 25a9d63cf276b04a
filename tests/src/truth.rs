//! What a journal must be, whatever happened to it.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use session_journal::{HistoryEvent, HistoryKind, Reader, Record, Sequence, history, verify};

use crate::acks::Acks;
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

/// The openings in the history; their generations must rise and their claims come before them.
#[must_use]
pub fn openings(path: &Path) -> Vec<HistoryEvent> {
    let events = history(path).expect("a history");
    let claims: HashSet<u64> = events
        .iter()
        .filter(|event| event.event == HistoryKind::Claim)
        .map(|event| event.generation.get())
        .collect();
    let openings: Vec<HistoryEvent> =
        events.into_iter().filter(|event| event.event == HistoryKind::Opening).collect();
    let mut before = 0;
    for opening in &openings {
        let generation = opening.generation.get();
        assert!(generation > before, "an owner per generation: {generation} after {before}");
        assert!(generation == 1 || claims.contains(&generation), "claimed first: {opening:?}");
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
