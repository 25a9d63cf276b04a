//! What is measured when a history is read: something that was filled, is opened anew and asked.

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use session_journal::Reader;

use crate::Result;
use crate::data::{fill, journal_record};

/// Records of a history, in order: a key and a payload each.
#[derive(Debug)]
pub struct Entries {
    /// How many there are.
    pub count: u64,
    /// The payload of each of them.
    pub payload: Bytes,
}

impl Entries {
    /// The key of one, counted from 1.
    pub fn key(n: u64) -> String {
        crate::data::key(n)
    }

    /// Each with its number, from 1.
    pub fn each(&self) -> impl Iterator<Item = (u64, String)> {
        (1..=self.count).map(|n| (n, Self::key(n)))
    }
}

/// A way to keep a history and to read it again. Each reading opens it anew, and says how many bytes of
/// payload it was given.
#[derive(Clone, Copy)]
pub struct History {
    /// What tables call it.
    pub name: &'static str,
    /// What a reader of its figures must know; empty for nothing.
    pub told: &'static str,
    /// Stores these in a new folder and closes it.
    pub fill: fn(&Path, &Entries) -> Result<()>,
    /// Reads the last so many of so many.
    pub end: fn(&Path, u64, u64) -> Result<u64>,
    /// Reads the one with this key; none where it has no keys.
    pub one: Option<fn(&Path, &str) -> Result<u64>>,
    /// Reads all of them.
    pub all: fn(&Path) -> Result<u64>,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What tables call the engine here.
pub(crate) const ENGINE: &str = "session-journal";

/// The engine.
pub(crate) fn engine() -> History {
    History {
        name: ENGINE,
        told: "",
        fill: fill_journal,
        end: read_end,
        one: Some(read_one),
        all: read_all,
    }
}

fn fill_journal(folder: &Path, entries: &Entries) -> Result<()> {
    let path = folder.join("history.journal");
    fill(&path, entries.count, |n| journal_record(&entries.payload, n))
}

fn open(folder: &Path) -> Result<Reader> {
    Ok(Reader::open(folder.join("history.journal"))?)
}

fn read_end(folder: &Path, last: u64, _count: u64) -> Result<u64> {
    let mut bytes = 0;
    for record in open(folder)?.last(last)? {
        bytes += record?.payload.len() as u64;
    }
    Ok(bytes)
}

fn read_one(folder: &Path, key: &str) -> Result<u64> {
    let record = open(folder)?.by_key(key)?.ok_or("no such key")?;
    Ok(record.payload.len() as u64)
}

fn read_all(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for record in open(folder)?.records() {
        bytes += record?.payload.len() as u64;
    }
    Ok(bytes)
}
