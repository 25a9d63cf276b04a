//! The records of deliveries: how they are written, and what is read back.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use session_journal::{Item, JournalId, NewRecord, Reader, Record, Sequence};

use super::{Delivery, Done, Intent, State};
use crate::conversation::{DELIVERY_BEGIN, DELIVERY_DONE, DELIVERY_INTENT, DELIVERY_SETTLED};
use crate::gaps::{is_lost, unless_lost};

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
        let Some(Intent { address, .. }) = unless_lost(intent_at(reader, &key))? else { break };
        let why = || "it is not done".to_owned();
        let done = unless_lost(done_at(reader, &key))?;
        let state = done.map_or_else(|| State::Pending { why: why() }, State::from);
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

// ---- what is open ----------------------------------------------------------------------------

/// A place in a journal must not be kept in mind for more open deliveries than these.
const STILL_OPEN_MAX: usize = 64;

/// What a look for open deliveries found.
#[derive(Debug)]
pub(super) struct Look {
    /// The deliveries that are not done, in the order of their intents.
    pub(super) open: Vec<(String, Intent)>,
    /// So many records were read for it.
    pub(super) read: u64,
    /// What makes the next look shorter, once it stands in the journal.
    pub(super) settled: Option<Settled>,
}

/// Of every intent before a place: it is done, or it is one of these. That stays true, whatever is
/// delivered later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settled {
    #[serde(skip)]
    number: u64,
    before_seq: u64,
    open_seqs: Vec<u64>,
}

impl Settled {
    /// Says it in the journal.
    pub(super) fn record(&self) -> NewRecord {
        let payload = serde_json::to_vec(self).unwrap_or_default();
        NewRecord::new(payload).kind(DELIVERY_SETTLED).key(settled_key(self.number))
    }
}

fn settled_key(number: u64) -> String {
    format!("delivery/settled/{number}")
}

/// Looks for deliveries that are not done, from the first one on or from where it is known how all
/// before stands. `None` in a session that never delivered.
pub(super) fn look(reader: &Reader) -> session_journal::Result<Option<Look>> {
    let begin = match reader.by_key(BEGIN_KEY) {
        Ok(None) => return Ok(None),
        Ok(Some(begin)) => begin.sequence,
        // Damage may hide it: look everywhere.
        Err(error) if is_lost(&error) => Sequence::new(1),
        Err(error) => return Err(error),
    };
    let last = last_settled(reader)?;
    let (mut open, mut from) = (Open::default(), begin);
    if let Some(last) = &last {
        from = from.max(Sequence::new(last.before_seq));
        for &sequence in &last.open_seqs {
            if let Some(intent) = unless_lost(reader.get(Sequence::new(sequence)))? {
                open.see(&intent);
            }
        }
    }
    let read = open.read_on(reader, from)?;
    let number = last.map_or(0, |last| last.number) + 1;
    let open_seqs: Vec<u64> = open.intents.keys().map(|sequence| sequence.get()).collect();
    let before_seq = reader.last_sequence().next().get();
    let settled =
        (open_seqs.len() <= STILL_OPEN_MAX).then_some(Settled { number, before_seq, open_seqs });
    Ok(Some(Look { open: open.intents.into_values().collect(), read, settled }))
}

/// The intents whose end was not seen yet.
#[derive(Debug, Default)]
struct Open {
    intents: BTreeMap<Sequence, (String, Intent)>,
    places: HashMap<String, Sequence>,
    /// Of intents that were not seen: those that are lost may be written again behind their end.
    done: HashSet<String>,
}

impl Open {
    /// Gives how many records there are from there on.
    fn read_on(&mut self, reader: &Reader, from: Sequence) -> session_journal::Result<u64> {
        if from > reader.last_sequence() {
            return Ok(0);
        }
        let mut read = 0;
        for item in reader.records_from(from)?.with_gaps() {
            // An intent that is lost cannot be delivered, and `verify` tells of it.
            let Item::Record(record) = item? else { continue };
            read += 1;
            self.see(&record);
        }
        Ok(read)
    }

    fn see(&mut self, record: &Record) {
        let key = record.key.as_deref().unwrap_or_default();
        match record.kind.as_deref() {
            Some(DELIVERY_INTENT) => {
                let Some(key) = key.strip_prefix("delivery/intent/") else { return };
                let Some(intent) = intent_of(record) else { return };
                if self.done.contains(key) {
                    return;
                }
                self.places.insert(key.to_owned(), record.sequence);
                self.intents.insert(record.sequence, (key.to_owned(), intent));
            }
            Some(DELIVERY_DONE) => {
                let Some(key) = key.strip_prefix("delivery/done/") else { return };
                match self.places.remove(key) {
                    Some(place) => drop(self.intents.remove(&place)),
                    None => drop(self.done.insert(key.to_owned())),
                }
            }
            _ => {}
        }
    }
}

/// The last one that stands in the journal. They are numbered, so a few look-ups find it: up from
/// the first in growing steps, then between the last that is there and the first that is not.
fn last_settled(reader: &Reader) -> session_journal::Result<Option<Settled>> {
    let (mut last, mut step) = (None, 1);
    loop {
        let number = last.as_ref().map_or(0, |last: &Settled| last.number) + step;
        match settled_at(reader, number)? {
            Some(settled) => (last, step) = (Some(settled), step * 2),
            None if step == 1 => return Ok(last),
            None => step /= 2,
        }
    }
}

/// Where damage may hide one, an earlier one is as true, and more is read.
fn settled_at(reader: &Reader, number: u64) -> session_journal::Result<Option<Settled>> {
    let record = unless_lost(reader.by_key(&settled_key(number)))?;
    let record = record.filter(|record| record.kind.as_deref() == Some(DELIVERY_SETTLED));
    Ok(record.and_then(|record| {
        let said: Settled = serde_json::from_slice(&record.payload).ok()?;
        // It tells of what came before it.
        (said.before_seq <= record.sequence.get()).then_some(Settled { number, ..said })
    }))
}

#[cfg(test)]
mod tests;
