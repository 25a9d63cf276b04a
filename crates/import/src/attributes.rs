//! What is known of a session beside its lines: its key, title, model and counters, where it comes
//! from, and which file it was. Kept in the journal as records of a tool, beside the receipts: the
//! newest counts, and none is ever rewritten.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use session_journal::{ErrorKind, NewRecord, Reader, Record, SessionName};

use crate::lineage::Lineage;
use crate::naming::number;
use crate::place::{escaped_bytes, path_of, readable};
use crate::role::Role;

/// The kind of a record that holds attributes. Its key has a number behind it, from 1 on, so that
/// the newest is found without reading the journal.
pub const ATTRIBUTES_KIND: &str = "sj.attributes";

/// What is known of a session beside its lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attributes {
    /// What part its source plays.
    pub role: Role,
    /// Absolute path of the source; for a session in a database, the database's path and its own
    /// name.
    pub source: String,
    /// Its bytes, percent-encoded, where they are no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_bytes: Option<String>,
    /// The folder that was named when it was imported; the path below it comes back on export.
    pub root: String,
    /// Its bytes, percent-encoded, where they are no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_bytes: Option<String>,
    /// The id that the source itself states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_id: Option<String>,
    /// The key under which its program's registry has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_key: Option<String>,
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Where its messages come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The provider of its model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model that it used last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The folder in which it worked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// How its registry says that it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The numbers that its registry keeps, under the registry's names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub counters: BTreeMap<String, serde_json::Number>,
    /// When its registry says that it was updated, in milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_ms: Option<i64>,
    /// Which state of its source it is, where it became that again, or came behind one that did: the
    /// source was last what the greatest is. Else the number in its name counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// How the source was packed; it comes back unpacked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packed: Option<String>,
    /// Where it comes from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lineage: Vec<Lineage>,
    /// The permissions of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// When the source was last modified, in milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified_ms: Option<i64>,
}

/// Attributes as they stand in a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) number: u64,
    pub(crate) attributes: Attributes,
}

impl Attributes {
    /// The newest attributes of a session; `None` where it has none.
    ///
    /// # Errors
    /// What reading the journal answers.
    pub fn of(reader: &Reader) -> session_journal::Result<Option<Self>> {
        Ok(Self::standing(reader)?.map(|standing| standing.attributes))
    }

    /// The source's path, byte for byte.
    #[must_use]
    pub fn source_path(&self) -> PathBuf {
        path_of(&self.source, self.source_bytes.as_deref())
    }

    /// The path of the folder that was named.
    #[must_use]
    pub fn root_path(&self) -> PathBuf {
        path_of(&self.root, self.root_bytes.as_deref())
    }

    /// Which state of its source the session of this name is.
    pub(crate) fn version(&self, name: &SessionName) -> u32 {
        self.version.unwrap_or_else(|| number(name))
    }

    /// Says where the source is.
    pub(crate) fn place(&mut self, source: &Path, root: &Path) {
        (self.source, self.source_bytes) = (readable(source), escaped_bytes(source));
        (self.root, self.root_bytes) = (readable(root), escaped_bytes(root));
    }

    pub(crate) fn standing(reader: &Reader) -> session_journal::Result<Option<Standing>> {
        let Some(number) = newest(|number| Ok(look_up(reader, number)?.is_some()))? else {
            return Ok(None);
        };
        let record = look_up(reader, number)?;
        let attributes = record.and_then(|record| Self::from_record(&record));
        Ok(attributes.map(|attributes| Standing { number, attributes }))
    }

    /// Reads attributes back from their record.
    #[must_use]
    pub fn from_record(record: &Record) -> Option<Self> {
        let is_one = record.kind.as_deref() == Some(ATTRIBUTES_KIND);
        is_one.then(|| serde_json::from_slice(&record.payload).ok())?
    }

    /// The number of the next attributes of a session. Who appends them under it and is told of a
    /// duplicate was not the only one: ask again.
    ///
    /// # Errors
    /// What reading the journal answers.
    pub fn next_number(reader: &Reader) -> session_journal::Result<u64> {
        Ok(newest(|number| Ok(look_up(reader, number)?.is_some()))?.unwrap_or(0) + 1)
    }

    /// The record that keeps them, as the n-th of the journal.
    #[must_use]
    pub fn to_record(&self, number: u64) -> NewRecord {
        let json = serde_json::to_vec(self).unwrap_or_default();
        NewRecord::new(json).kind(ATTRIBUTES_KIND).key(key(number))
    }

    /// Whether they say the same. A time of modification alone is nothing new.
    pub(crate) fn say_the_same(&self, other: &Self) -> bool {
        Self { modified_ms: None, ..self.clone() } == Self { modified_ms: None, ..other.clone() }
    }

    /// Adds a relation, unless it is known.
    pub(crate) fn relate(&mut self, lineage: Lineage) {
        if !self.lineage.contains(&lineage) {
            self.lineage.push(lineage);
        }
    }
}

fn key(number: u64) -> String {
    format!("{ATTRIBUTES_KIND}/{number}")
}

fn look_up(reader: &Reader, number: u64) -> session_journal::Result<Option<Record>> {
    match reader.by_key(&key(number)) {
        // Damage hides it, or may: the one before counts.
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unknown) => Ok(None),
        found => found,
    }
}

/// The greatest number that is there, where all from 1 on are.
fn newest(
    mut is_there: impl FnMut(u64) -> session_journal::Result<bool>,
) -> session_journal::Result<Option<u64>> {
    let (mut there, mut missing) = (0, 1);
    while is_there(missing)? {
        (there, missing) = (missing, missing * 2);
    }
    while missing - there > 1 {
        let middle = there + (missing - there) / 2;
        if is_there(middle)? { there = middle } else { missing = middle }
    }
    Ok((there > 0).then_some(there))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_newest_in_few_steps() {
        for last in 0..70 {
            let mut steps = 0;
            let found = newest(|number| {
                steps += 1;
                Ok(number <= last)
            });
            assert_eq!(found.expect("finds"), (last > 0).then_some(last));
            assert!(steps <= 15, "{steps} steps for {last}");
        }
    }

    #[test]
    fn records_of_before_have_their_paths() {
        let old = r#"{"role":"transcript","source":"/a/\ufffd%41.jsonl","root":"/a"}"#;
        let old: Attributes = serde_json::from_str(old).expect("reads");
        assert_eq!(old.source_path(), Path::new("/a/\u{fffd}%41.jsonl"));
        assert_eq!(old.root_path(), Path::new("/a"));
        let again = serde_json::to_string(&old).expect("writes");
        assert!(!again.contains("bytes"), "{again}");
    }

    #[test]
    fn a_newer_time_alone_says_nothing_new() {
        let old = Attributes { modified_ms: Some(1), ..Attributes::default() };
        let new = Attributes { modified_ms: Some(2), ..Attributes::default() };
        assert!(old.say_the_same(&new));
        assert!(!old.say_the_same(&Attributes { title: Some("t".to_owned()), ..new }));
    }
}
