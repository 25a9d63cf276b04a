//! Every way to read a journal, compared with each other.

use std::collections::BTreeMap;

use session_journal::{Item, Reader, Record, Sequence};

use super::edits::was_appended;

/// The records of a journal, read in every way. Where nothing was forged all of them agree, and
/// give only what was appended.
pub(crate) fn read_every_way(reader: &Reader, is_forged: bool) -> BTreeMap<u64, Record> {
    let forwards = forwards(reader);
    let backwards = records(reader.backwards().with_gaps());
    reader.records().for_each(drop);
    reader.backwards().for_each(drop);
    reader.last(3).into_iter().flatten().for_each(drop);
    drop(reader.records_after(&reader.mark()));
    for (sequence, record) in &forwards {
        let got = reader.get(Sequence::new(*sequence));
        let by_key = record.key.as_deref().map(|key| reader.by_key(key));
        if let Some(key) = &record.key {
            reader.path_to_root(key).into_iter().flatten().take(20).for_each(drop);
        }
        if is_forged {
            continue;
        }
        assert_eq!(got.expect("a record that is read can be got").as_ref(), Some(record));
        if let Some(Ok(by_key)) = by_key {
            assert_eq!(by_key.as_ref(), Some(record), "a key leads to its record");
        }
    }
    if !is_forged {
        let turned: Vec<&Record> = backwards.iter().rev().collect();
        assert_eq!(turned, forwards.values().collect::<Vec<_>>(), "backwards is forwards turned");
        assert!(forwards.values().all(was_appended), "a record that nobody appended");
    }
    forwards
}

/// The records by their numbers, over gaps.
pub(crate) fn forwards(reader: &Reader) -> BTreeMap<u64, Record> {
    let records = records(reader.records().with_gaps());
    let ascend = |two: &[Record]| two[0].sequence < two[1].sequence;
    assert!(records.windows(2).all(ascend), "sequences rise");
    records.into_iter().map(|record| (record.sequence.get(), record)).collect()
}

/// The records until the reader says that it cannot go on.
fn records(items: impl Iterator<Item = session_journal::Result<Item>>) -> Vec<Record> {
    let record = |item| match item {
        Item::Record(record) => Some(record),
        Item::Gap(_) => None,
    };
    items.map_while(Result::ok).filter_map(record).collect()
}
