//! The records of deliveries: how they are written, and what is read back.

use std::collections::{BTreeMap, HashMap};

use session_journal::{ErrorKind, Item, JournalId, NewRecord, Reader, Record, Sequence};

use super::{Delivery, Done, Intent, State};
use crate::conversation::{DELIVERY_BEGIN, DELIVERY_DONE, DELIVERY_INTENT};

/// The key of the record before which a session has no deliveries.
const BEGIN_KEY: &str = "delivery/begin";

/// The records that announce a delivery. They go into one batch with what is delivered, or behind it.
pub(crate) fn intent_records(key: &str, intent: &Intent) -> Vec<NewRecord> {
    let payload = serde_json::to_vec(intent).unwrap_or_default();
    vec![
        NewRecord::new("{}").kind(DELIVERY_BEGIN).key(BEGIN_KEY),
        NewRecord::new(payload).kind(DELIVERY_INTENT).key(intent_key(key)),
    ]
}

pub(super) fn done_record(key: &str, done: &Done) -> NewRecord {
    let payload = serde_json::to_vec(done).unwrap_or_default();
    NewRecord::new(payload).kind(DELIVERY_DONE).key(done_key(key))
}

pub(super) fn intent_key(key: &str) -> String {
    format!("delivery/intent/{key}")
}

fn done_key(key: &str) -> String {
    format!("delivery/done/{key}")
}

pub(crate) fn outgoing_key(journal: JournalId, key: &str) -> String {
    format!("{journal}/{key}")
}

/// The intent of this key.
pub(crate) fn intent_at(reader: &Reader, key: &str) -> session_journal::Result<Option<Intent>> {
    let record = reader.by_key(&intent_key(key))?;
    Ok(record.as_ref().and_then(intent_of))
}

/// The deliveries of numbered keys, from zero on, and how they stand.
pub(crate) fn deliveries(
    reader: &Reader,
    key_of: impl Fn(usize) -> String,
) -> session_journal::Result<Vec<Delivery>> {
    let mut deliveries = Vec::new();
    for key in (0..).map(key_of) {
        let Some(Intent { address, .. }) = intent_at(reader, &key)? else { break };
        let why = || "it is not done".to_owned();
        let state =
            done_at(reader, &key)?.map_or_else(|| State::Pending { why: why() }, State::from);
        deliveries.push(Delivery { key, address, state });
    }
    Ok(deliveries)
}

/// Not of a record that a caller appended under such a key: callers' kinds are others.
fn intent_of(record: &Record) -> Option<Intent> {
    let is_one = record.kind.as_deref() == Some(DELIVERY_INTENT);
    is_one.then(|| serde_json::from_slice(&record.payload).ok())?
}

pub(super) fn done_at(reader: &Reader, key: &str) -> session_journal::Result<Option<Done>> {
    let record = reader.by_key(&done_key(key))?;
    let record = record.filter(|record| record.kind.as_deref() == Some(DELIVERY_DONE));
    Ok(record.map(|record| serde_json::from_slice(&record.payload).unwrap_or(Done::Delivered)))
}

pub(super) fn pending_in(reader: &Reader) -> session_journal::Result<Vec<(String, Intent)>> {
    let begin = match reader.by_key(BEGIN_KEY) {
        Ok(None) => return Ok(Vec::new()),
        Ok(Some(begin)) => begin.sequence,
        // Damage may hide it: look everywhere.
        Err(error) if matches!(error.kind(), ErrorKind::Unknown | ErrorKind::Corrupt) => {
            Sequence::new(1)
        }
        Err(error) => return Err(error),
    };
    let mut open = BTreeMap::new();
    let mut places = HashMap::new();
    for item in reader.records_from(begin)?.with_gaps() {
        // An intent that is lost cannot be delivered, and `verify` tells of it.
        let Item::Record(record) = item? else { continue };
        let key = record.key.as_deref().unwrap_or_default();
        match record.kind.as_deref() {
            Some(DELIVERY_INTENT) => {
                let Some(key) = key.strip_prefix("delivery/intent/") else { continue };
                let Some(intent) = intent_of(&record) else { continue };
                places.insert(key.to_owned(), record.sequence);
                open.insert(record.sequence, (key.to_owned(), intent));
            }
            Some(DELIVERY_DONE) => {
                let place = key.strip_prefix("delivery/done/").and_then(|key| places.remove(key));
                place.and_then(|place| open.remove(&place));
            }
            _ => {}
        }
    }
    Ok(open.into_values().collect())
}
