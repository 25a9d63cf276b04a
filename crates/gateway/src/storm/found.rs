//! What the files hold when everything has stopped. Read with the engine's own readers, or line by
//! line where they are transcripts.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use serde_json::Value;
use session_journal::{HistoryKind, Item, OpenReason, Store, StoreOptions, history, verify};

use super::StormError;
use crate::conversation::HEARTBEAT;

/// All sessions, and what was found wrong with them.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) sessions: BTreeMap<String, Session>,
    /// Places that cannot be read, in words.
    pub(super) damage: Vec<String>,
    /// How often a session was opened for writing, and why.
    pub(super) openings: Openings,
    /// Records that share their parent with another one where nobody wanted a branch.
    pub(super) forks: u64,
    pub(super) bytes: u64,
}

/// Why generations began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Openings {
    pub(super) released: u64,
    pub(super) crashed: u64,
    pub(super) taken: u64,
}

/// One session.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// What keys of deliveries from it begin with.
    pub(super) id: String,
    /// Every key, and the numbers of the records that have it.
    pub(super) keys: HashMap<String, Vec<u64>>,
    /// The notes of signs of life, and how often each is there.
    pub(super) notes: HashMap<String, Vec<u64>>,
    pub(super) records: u64,
}

impl Session {
    fn add(&mut self, sequence: u64, kind: Option<&str>, key: Option<&str>, payload: &[u8]) {
        self.records += 1;
        if let Some(key) = key {
            self.keys.entry(key.to_owned()).or_default().push(sequence);
        }
        if kind == Some(HEARTBEAT) {
            let line: Value = serde_json::from_slice(payload).unwrap_or_default();
            let note = line["note"].as_str().unwrap_or_default();
            self.notes.entry(note.to_owned()).or_default().push(sequence);
        }
    }

    /// How often a key is there.
    pub(super) fn count(&self, key: &str) -> usize {
        self.keys.get(key).map_or(0, Vec::len)
    }
}

/// The journals of a store. Every byte is read.
pub(super) fn journals(store: &Path) -> Result<Found, StormError> {
    let store = Store::open(store, StoreOptions::default())?;
    let mut found = Found::default();
    for listed in store.list()? {
        let name = listed.name.to_string();
        let verified = verify(&listed.path, &mut |_, _| {})?;
        found.bytes += verified.bytes;
        if !verified.ok {
            found.damage.push(format!("{name}: {} damaged places", verified.damage.len()));
        }
        for event in history(&listed.path)? {
            if event.event == HistoryKind::Opening {
                match event.reason {
                    Some(OpenReason::Released) => found.openings.released += 1,
                    Some(OpenReason::Crashed) => found.openings.crashed += 1,
                    Some(OpenReason::TakenOver) => found.openings.taken += 1,
                    _ => {}
                }
            }
        }
        let reader = store.reader(&listed.name)?;
        let mut session = Session { id: reader.id().to_string(), ..Session::default() };
        for item in reader.records().with_gaps() {
            match item? {
                Item::Record(record) => session.add(
                    record.sequence.get(),
                    record.kind.as_deref(),
                    record.key.as_deref(),
                    &record.payload,
                ),
                Item::Gap(gap) => found.damage.push(format!("{name}: a gap at {}", gap.first)),
            }
        }
        found.sessions.insert(name, session);
    }
    Ok(found)
}

/// The transcripts of a folder. A record's number is that of its line.
pub(super) fn transcripts(folder: &Path) -> Result<Found, StormError> {
    let mut found = Found::default();
    let entries = fs::read_dir(folder).map_err(StormError::io("list the transcripts"))?;
    for entry in entries {
        let path = entry.map_err(StormError::io("list the transcripts"))?.path();
        let Some(stem) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Some(stem) = stem.strip_suffix(".jsonl") else { continue };
        let bytes = fs::read(&path).map_err(StormError::io("read a transcript"))?;
        let name = stem.replacen('+', "/", 1);
        found.bytes += bytes.len() as u64;
        let session = transcript(&name, &bytes, &mut found);
        found.sessions.insert(name, session);
    }
    Ok(found)
}

fn transcript(name: &str, bytes: &[u8], found: &mut Found) -> Session {
    let mut session = Session { id: name.to_owned(), ..Session::default() };
    let mut parents: HashMap<String, u64> = HashMap::new();
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    for (number, line) in (1..).zip(lines) {
        let Ok(entry) = serde_json::from_slice::<Value>(line) else {
            found.damage.push(format!("{name}: line {number} is no JSON"));
            continue;
        };
        if let Some(parent) = entry["parentId"].as_str() {
            *parents.entry(parent.to_owned()).or_default() += 1;
        }
        session.add(number, entry["type"].as_str(), entry["idempotencyKey"].as_str(), line);
    }
    found.forks += parents.values().map(|children| children - 1).sum::<u64>();
    session
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcript_is_read_line_by_line_and_says_where_it_is_broken() {
        let lines = br#"{"type":"message","id":"1","idempotencyKey":"a"}
{"type":"message","id":"2","parentId":"1","idempotencyKey":"b"}
{"type":"heartbeat","id":"3","parentId":"1","note":"n"}
{"type":"mess
{"type":"message","id":"4","parentId":"3","idempotencyKey":"b"}
"#;
        let mut found = Found::default();
        let session = transcript("a/s", lines, &mut found);
        assert_eq!((session.count("a"), session.count("b"), session.count("c")), (1, 2, 0));
        assert_eq!(session.notes["n"], [3]);
        assert_eq!(found.forks, 1, "two lines follow the first");
        assert_eq!(found.damage, ["a/s: line 4 is no JSON"]);
    }
}
