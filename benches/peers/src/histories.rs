//! The other stores as histories that are read: `SQLite`, redb, fjall, raft-engine, and a file of lines.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use protobuf::descriptor::UninterpretedOption;
use raft_engine::{Config, LogBatch, MessageExt, ReadableSize};
use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use serde_json::{Value, json};
use session_journal_benches::{Entries, History, Result};

pub(crate) const HISTORIES: [History; 5] = [
    History {
        name: "a file of lines",
        told: "the status quo: the whole file is read and each line parsed, whatever is asked for",
        fill: fill_lines,
        end: |folder, last, count| Ok(lines(folder)?.skip_to(count - last)),
        one: Some(one_line),
        all: |folder| Ok(lines(folder)?.skip_to(0)),
    },
    History {
        name: "SQLite",
        told: "rusqlite, WAL; a table with an index of the keys; opened read-only; no checksums",
        fill: fill_sqlite,
        end: |folder, last, _| {
            let sql = "SELECT payload FROM records ORDER BY id DESC LIMIT ?1";
            selected(folder, sql, i64::try_from(last)?)
        },
        one: Some(one_of_sqlite),
        all: |folder| selected(folder, "SELECT payload FROM records WHERE id > ?1 ORDER BY id", 0),
    },
    History {
        name: "redb",
        told: "a table of records and one of keys; opened read-only",
        fill: fill_redb,
        end: end_of_redb,
        one: Some(one_of_redb),
        all: all_of_redb,
    },
    History {
        name: "fjall",
        told: "a keyspace of records and one of keys",
        fill: fill_fjall,
        end: end_of_fjall,
        one: Some(one_of_fjall),
        all: all_of_fjall,
    },
    History {
        name: "raft-engine",
        told: "opening reads where every entry is into memory; it has no keys",
        fill: fill_raft_engine,
        end: end_of_raft_engine,
        one: None,
        all: |folder| end_of_raft_engine(folder, u64::MAX, 0),
    },
];

// ---- lines ---------------------------------------------------------------------------------

fn fill_lines(folder: &Path, entries: &Entries) -> Result<()> {
    let mut file = BufWriter::new(File::create(folder.join("history.jsonl"))?);
    let text = String::from_utf8_lossy(&entries.payload);
    for (_, key) in entries.each() {
        writeln!(file, "{}", json!({ "id": key, "payload": text }))?;
    }
    Ok(file.into_inner()?.sync_all()?)
}

/// All lines, parsed.
struct Lines(Vec<Value>);

fn lines(folder: &Path) -> Result<Lines> {
    let file = BufReader::new(File::open(folder.join("history.jsonl"))?);
    let parse = |line: std::io::Result<String>| Ok(serde_json::from_str(&line?)?);
    Ok(Lines(file.lines().map(parse).collect::<Result<_>>()?))
}

fn payload_of(line: &Value) -> u64 {
    line["payload"].as_str().map_or(0, |text| text.len() as u64)
}

impl Lines {
    /// The bytes of payload behind so many lines.
    fn skip_to(&self, lines: u64) -> u64 {
        let from = usize::try_from(lines).unwrap_or(usize::MAX).min(self.0.len());
        self.0[from..].iter().map(payload_of).sum()
    }
}

fn one_line(folder: &Path, key: &str) -> Result<u64> {
    let lines = lines(folder)?;
    let found = lines.0.iter().find(|line| line["id"] == key);
    Ok(found.map(payload_of).ok_or("no such key")?)
}

// ---- SQLite --------------------------------------------------------------------------------

fn sqlite(folder: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Connection::open_with_flags(folder.join("history.sqlite"), flags)?)
}

fn fill_sqlite(folder: &Path, entries: &Entries) -> Result<()> {
    let mut connection = Connection::open(folder.join("history.sqlite"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.execute_batch(
        "CREATE TABLE records (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, \
         payload BLOB NOT NULL) STRICT",
    )?;
    let transaction = connection.transaction()?;
    for (n, key) in entries.each() {
        let sql = "INSERT INTO records (id, key, payload) VALUES (?1, ?2, ?3)";
        let n = i64::try_from(n)?;
        transaction.prepare_cached(sql)?.execute((n, key, &entries.payload[..]))?;
    }
    transaction.commit()?;
    connection.pragma_update(None, "wal_checkpoint", "TRUNCATE")?;
    Ok(())
}

fn selected(folder: &Path, sql: &str, argument: i64) -> Result<u64> {
    let connection = sqlite(folder)?;
    let mut select = connection.prepare(sql)?;
    let mut rows = select.query([argument])?;
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        bytes += row.get_ref(0)?.as_blob()?.len() as u64;
    }
    Ok(bytes)
}

fn one_of_sqlite(folder: &Path, key: &str) -> Result<u64> {
    let connection = sqlite(folder)?;
    let mut select = connection.prepare("SELECT payload FROM records WHERE key = ?1")?;
    let found = select.query_row([key], |row| Ok(row.get_ref(0)?.as_blob()?.len())).optional()?;
    Ok(found.ok_or("no such key")? as u64)
}

// ---- redb ----------------------------------------------------------------------------------

const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
const KEYS: TableDefinition<'_, &str, u64> = TableDefinition::new("keys");

fn redb(folder: &Path) -> Result<redb::ReadOnlyDatabase> {
    Ok(redb::ReadOnlyDatabase::open(folder.join("history.redb"))?)
}

fn fill_redb(folder: &Path, entries: &Entries) -> Result<()> {
    let database = redb::Database::create(folder.join("history.redb"))?;
    let write = database.begin_write()?;
    {
        let (mut records, mut keys) = (write.open_table(RECORDS)?, write.open_table(KEYS)?);
        for (n, key) in entries.each() {
            records.insert(n, &entries.payload[..])?;
            keys.insert(&*key, n)?;
        }
    }
    Ok(write.commit()?)
}

fn end_of_redb(folder: &Path, last: u64, _count: u64) -> Result<u64> {
    let database = redb(folder)?;
    let records = database.begin_read()?.open_table(RECORDS)?;
    let mut bytes = 0;
    for record in records.iter()?.rev().take(usize::try_from(last)?) {
        bytes += record?.1.value().len() as u64;
    }
    Ok(bytes)
}

fn all_of_redb(folder: &Path) -> Result<u64> {
    let database = redb(folder)?;
    let records = database.begin_read()?.open_table(RECORDS)?;
    let mut bytes = 0;
    for record in records.iter()? {
        bytes += record?.1.value().len() as u64;
    }
    Ok(bytes)
}

fn one_of_redb(folder: &Path, key: &str) -> Result<u64> {
    let database = redb(folder)?;
    let read = database.begin_read()?;
    let n = read.open_table(KEYS)?.get(key)?.ok_or("no such key")?.value();
    let record = read.open_table(RECORDS)?.get(n)?.ok_or("no such record")?;
    Ok(record.value().len() as u64)
}

// ---- fjall ---------------------------------------------------------------------------------

fn fjall(folder: &Path) -> Result<(Database, fjall::Keyspace, fjall::Keyspace)> {
    let database = Database::builder(folder.join("fjall")).open()?;
    let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default);
    let (records, keys) = (keyspace("records")?, keyspace("keys")?);
    Ok((database, records, keys))
}

fn fill_fjall(folder: &Path, entries: &Entries) -> Result<()> {
    let (database, records, keys) = fjall(folder)?;
    for (n, key) in entries.each() {
        records.insert(n.to_be_bytes(), &entries.payload[..])?;
        keys.insert(key, n.to_be_bytes())?;
    }
    database.persist(PersistMode::SyncAll)?;
    // Or every opening would read what it keeps in memory from its log.
    for keyspace in [records, keys] {
        keyspace.rotate_memtable_and_wait()?;
    }
    Ok(())
}

fn end_of_fjall(folder: &Path, last: u64, _count: u64) -> Result<u64> {
    let (_database, records, _) = fjall(folder)?;
    let mut bytes = 0;
    for record in records.iter().rev().take(usize::try_from(last)?) {
        bytes += record.value()?.len() as u64;
    }
    Ok(bytes)
}

fn all_of_fjall(folder: &Path) -> Result<u64> {
    let (_database, records, _) = fjall(folder)?;
    let mut bytes = 0;
    for record in records.iter() {
        bytes += record.value()?.len() as u64;
    }
    Ok(bytes)
}

fn one_of_fjall(folder: &Path, key: &str) -> Result<u64> {
    let (_database, records, keys) = fjall(folder)?;
    let n = keys.get(key)?.ok_or("no such key")?;
    Ok(records.get(n)?.ok_or("no such record")?.len() as u64)
}

// ---- raft-engine ---------------------------------------------------------------------------

const REGION: u64 = 1;
const AT_ONCE: u64 = 1000;

/// The message that comes with the library: a number and bytes.
struct Numbered;

impl MessageExt for Numbered {
    type Entry = UninterpretedOption;

    fn index(entry: &Self::Entry) -> u64 {
        entry.get_positive_int_value()
    }
}

fn raft_engine(folder: &Path) -> Result<raft_engine::Engine> {
    let dir = folder.join("raft").to_string_lossy().into_owned();
    let batch_compression_threshold = ReadableSize(0);
    Ok(raft_engine::Engine::open(Config { dir, batch_compression_threshold, ..Config::default() })?)
}

fn fill_raft_engine(folder: &Path, entries: &Entries) -> Result<()> {
    let engine = raft_engine(folder)?;
    for first in (1..=entries.count).step_by(usize::try_from(AT_ONCE)?) {
        let entry = |n| {
            let mut entry = UninterpretedOption::new();
            entry.set_positive_int_value(n);
            entry.set_string_value(entries.payload.to_vec());
            entry
        };
        let end = entries.count.min(first + AT_ONCE - 1);
        let mut batch = LogBatch::default();
        batch.add_entries::<Numbered>(REGION, &(first..=end).map(entry).collect::<Vec<_>>())?;
        engine.write(&mut batch, false)?;
    }
    Ok(engine.sync()?)
}

fn end_of_raft_engine(folder: &Path, last: u64, _count: u64) -> Result<u64> {
    let engine = raft_engine(folder)?;
    let end = engine.last_index(REGION).ok_or("no entries")? + 1;
    let mut next = end.saturating_sub(last).max(1);
    let mut bytes = 0;
    while next < end {
        let (mut some, until) = (Vec::new(), end.min(next + AT_ONCE));
        engine.fetch_entries_to::<Numbered>(REGION, next, until, None, &mut some)?;
        bytes += some.iter().map(|one| one.get_string_value().len() as u64).sum::<u64>();
        next = until;
    }
    Ok(bytes)
}
