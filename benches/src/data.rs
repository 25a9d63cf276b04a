//! What is read: journals, histories and stores, made once for a run.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use session_journal::storage::Staging;
use session_journal::{AppendOptions, Durability, Journal, NewRecord, Options};
use tempfile::TempDir;

use crate::Result;
use crate::engine::{name, options};
use crate::machine::folder;
use crate::workload::{Mix, RECORD_BYTES, payload};

/// Entries on the path to the root of a history.
pub(crate) const PATH: u64 = 200;
/// Payload of an entry of a history.
const ENTRY_BYTES: usize = 200;
const BATCH: u64 = 256;
/// Journals that one `syncfs` makes durable.
const STAGED: usize = 1000;

/// Made when it is asked for, and kept to the end of the run.
#[derive(Debug)]
pub(crate) struct Data {
    folder: TempDir,
}

/// The key of a record.
pub(crate) fn key(n: u64) -> String {
    format!("{n:08x}")
}

impl Data {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { folder: folder()? })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A journal of about so many bytes, released: records of 1 KiB, each with a kind and a key, and a path
    /// of 200 spread over all of them. With the number of its records.
    pub(crate) fn journal(&self, bytes: u64) -> Result<(PathBuf, u64)> {
        let path = self.path().join(format!("{bytes}.journal"));
        let records = (bytes / RECORD_BYTES as u64).max(200);
        if !path.exists() {
            let payload = payload(RECORD_BYTES);
            fill(&path, records, |n| in_path(&payload, n, records))?;
        }
        Ok((path, records))
    }

    /// A history of so many entries, with a path of 200 spread over all of it: whoever reads it jumps.
    pub(crate) fn history(&self, entries: u64) -> Result<(PathBuf, u64)> {
        let path = self.path().join("history.journal");
        let last = last_of_path(entries);
        if !path.exists() {
            let payload = payload(ENTRY_BYTES);
            fill(&path, last, |n| in_path(&payload, n, entries))?;
        }
        Ok((path, last))
    }

    /// A store of so many released sessions of a few records.
    pub(crate) fn store(&self, sessions: usize) -> Result<PathBuf> {
        let store = self.path().join(format!("store-{sessions}"));
        if store.exists() {
            return Ok(store);
        }
        fs::create_dir_all(store.join("bench"))?;
        let payload = payload(RECORD_BYTES);
        let mut made = 0;
        while made < sessions {
            let staging = Arc::new(Staging::new());
            let journal =
                Options { disk: Arc::clone(&staging) as _, ..options(Durability::Written) };
            for n in made..sessions.min(made + STAGED) {
                let name = name(n)?;
                let path = store.join(name.relative_path());
                let mut journal = Journal::create(path, &name, &journal)?;
                for _ in 0..3 {
                    journal.append(&NewRecord::new(payload.clone()).kind("message"))?;
                }
                journal.close()?;
            }
            for (_, published) in staging.publish() {
                published?;
            }
            made += STAGED;
        }
        Ok(store)
    }

    /// Session files as pi writes them, in the users' mix. With their bytes.
    pub(crate) fn sessions(&self, files: usize, lines: usize, seed: u64) -> Result<(PathBuf, u64)> {
        let home = self.path().join("sessions");
        fs::create_dir_all(&home)?;
        let mix = Mix::new(seed, 1);
        // Text of any bytes is no JSON string: only how long it is counts here.
        let filler = "lorem ipsum dolor sit amet ".repeat((11 << 20) / 27 + 1);
        let mut sizes = mix.payloads().iter().map(bytes::Bytes::len).cycle();
        let mut bytes = 0;
        for file in 0..files {
            let mut text = format!(
                "{{\"type\":\"session\",\"version\":3,\"id\":\"{file:08}\",\
                 \"timestamp\":\"2026-01-10T08:00:00.000Z\",\"cwd\":\"/\"}}\n"
            );
            for line in 0..lines {
                let parent = match line {
                    0 => "null".to_owned(),
                    line => format!("\"{:08x}\"", line - 1),
                };
                let size = sizes.next().unwrap_or_default();
                writeln!(
                    text,
                    "{{\"type\":\"message\",\"id\":\"{line:08x}\",\"parentId\":{parent},\
                     \"timestamp\":\"2026-01-10T08:00:00.000Z\",\"message\":{{\"role\":\"user\",\
                     \"content\":\"{}\",\"timestamp\":1768032000000}}}}",
                    &filler[..size]
                )?;
            }
            bytes += text.len() as u64;
            fs::write(home.join(format!("2026-01-10T08-00-00-000Z_{file:08}.jsonl")), text)?;
        }
        Ok((home, bytes))
    }
}

/// The record at the end of the path through so many records.
pub(crate) fn last_of_path(records: u64) -> u64 {
    records / PATH * PATH
}

/// One of so many records: it follows the one before it, or on the path the one a stride before.
pub(crate) fn in_path(payload: &Bytes, n: u64, records: u64) -> NewRecord {
    let stride = records / PATH;
    let parent = if n.is_multiple_of(stride) { n - stride } else { n - 1 };
    let record = journal_record(payload, n);
    if parent == 0 { record } else { record.parent(key(parent)) }
}

/// A record of a kind, with a key of its own.
pub(crate) fn journal_record(payload: &Bytes, n: u64) -> NewRecord {
    NewRecord::new(payload.clone()).kind("message").key(key(n))
}

/// Makes a journal of so many records, and releases it.
pub(crate) fn fill(path: &Path, records: u64, record: impl Fn(u64) -> NewRecord) -> Result<()> {
    let mut journal = Journal::create(path, &name(0)?, &options(Durability::Written))?;
    // All of them are new: nothing is looked for.
    let options = AppendOptions { allow_duplicate_keys: true, ..AppendOptions::default() };
    let mut next = 1;
    while next <= records {
        let end = records.min(next + BATCH - 1);
        let batch: Vec<NewRecord> = (next..=end).map(&record).collect();
        journal.append_all(&batch, &options)?;
        next = end + 1;
    }
    Ok(journal.close()?)
}
