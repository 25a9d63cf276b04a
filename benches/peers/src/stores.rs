//! Databases, each with a record per transaction: `SQLite`, redb, fjall.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use redb::{ReadableDatabase as _, TableDefinition};
use rusqlite::Connection;
use session_journal_benches::Durability;
use session_journal_benches::{Asked, Candidate, Log, Result, Role, Writer};

pub(crate) const CANDIDATES: [Candidate; 4] = [
    Candidate {
        role: Role::Sqlite,
        name: "SQLite, WAL, a connection a thread",
        told: "rusqlite; synchronous NORMAL where written, FULL where durable; one database",
        open: open_sqlite,
    },
    Candidate {
        role: Role::Sqlite,
        name: "SQLite, WAL, one connection behind a mutex",
        told: "rusqlite; as above, for producers of one process",
        open: open_shared_sqlite,
    },
    Candidate {
        role: Role::Other,
        name: "redb",
        told: "where not durable it keeps appends in its own memory: they do not survive a kill, and are not comparable",
        open: open_redb,
    },
    Candidate {
        role: Role::Other,
        name: "fjall",
        told: "each insert goes to the kernel, as by default; with manual persist it would not; SyncData where durable; no compression",
        open: open_fjall,
    },
];

// ---- SQLite --------------------------------------------------------------------------------

struct Sqlite {
    path: PathBuf,
    durability: Durability,
}

/// Other connections may write for so long.
const BUSY: Duration = Duration::from_mins(1);

impl Sqlite {
    fn create(folder: &Path, asked: Asked) -> Result<Self> {
        let sqlite = Self { path: folder.join("log.sqlite"), durability: asked.durability };
        sqlite.connect()?.execute_batch(
            "CREATE TABLE records (id INTEGER PRIMARY KEY, session INTEGER NOT NULL, \
             payload BLOB NOT NULL) STRICT",
        )?;
        Ok(sqlite)
    }

    fn connect(&self) -> Result<Connection> {
        let connection = Connection::open(&self.path)?;
        connection.busy_timeout(BUSY)?;
        let synchronous = match self.durability {
            Durability::Durable => "FULL",
            Durability::Written => "NORMAL",
        };
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", synchronous)?;
        Ok(connection)
    }
}

fn insert(connection: &Connection, session: i64, payload: &Bytes) -> Result<()> {
    let sql = "INSERT INTO records (session, payload) VALUES (?1, ?2)";
    connection.prepare_cached(sql)?.execute((session, &payload[..]))?;
    Ok(())
}

fn open_sqlite(folder: &Path, asked: Asked) -> Result<Option<Box<dyn Log>>> {
    Ok(Some(Box::new(Sqlite::create(folder, asked)?)))
}

impl Log for Sqlite {
    fn writer(&self, session: usize) -> Result<Box<dyn Writer>> {
        Ok(Box::new(OwnConnection(self.connect()?, i64::try_from(session)?)))
    }
}

struct OwnConnection(Connection, i64);

impl Writer for OwnConnection {
    fn append(&mut self, payload: &Bytes) -> Result<()> {
        insert(&self.0, self.1, payload)
    }
}

fn open_shared_sqlite(folder: &Path, asked: Asked) -> Result<Option<Box<dyn Log>>> {
    if asked.producers == 1 {
        return Ok(None);
    }
    let connection = Sqlite::create(folder, asked)?.connect()?;
    Ok(Some(Box::new(SharedConnection(Arc::new(Mutex::new(connection)), 0))))
}

struct SharedConnection(Arc<Mutex<Connection>>, i64);

impl Log for SharedConnection {
    fn writer(&self, session: usize) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Self(Arc::clone(&self.0), i64::try_from(session)?)))
    }
}

impl Writer for SharedConnection {
    fn append(&mut self, payload: &Bytes) -> Result<()> {
        let connection = self.0.lock().map_err(|_| "a producer panicked")?;
        insert(&connection, self.1, payload)
    }
}

// ---- redb ----------------------------------------------------------------------------------

const RECORDS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("records");

#[derive(Clone)]
struct Redb {
    database: Arc<redb::Database>,
    durability: redb::Durability,
    next: Arc<AtomicU64>,
    session: u64,
}

fn open_redb(folder: &Path, asked: Asked) -> Result<Option<Box<dyn Log>>> {
    let database = Arc::new(redb::Database::create(folder.join("log.redb"))?);
    let durability = match asked.durability {
        Durability::Durable => redb::Durability::Immediate,
        Durability::Written => redb::Durability::None,
    };
    drop(database.begin_read()?);
    Ok(Some(Box::new(Redb { database, durability, next: Arc::default(), session: 0 })))
}

impl Log for Redb {
    fn writer(&self, session: usize) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Self { session: session as u64, ..self.clone() }))
    }
}

impl Writer for Redb {
    fn append(&mut self, payload: &Bytes) -> Result<()> {
        let mut write = self.database.begin_write()?;
        write.set_durability(self.durability)?;
        let key = (self.session, self.next.fetch_add(1, Ordering::Relaxed));
        write.open_table(RECORDS)?.insert(key, &payload[..])?;
        Ok(write.commit()?)
    }
}

// ---- fjall ---------------------------------------------------------------------------------

struct Fjall {
    database: Database,
    durability: Durability,
    next: Arc<AtomicU64>,
}

fn open_fjall(folder: &Path, asked: Asked) -> Result<Option<Box<dyn Log>>> {
    let builder = Database::builder(folder.join("fjall"));
    let database = builder.journal_compression(CompressionType::None).open()?;
    let durability = asked.durability;
    Ok(Some(Box::new(Fjall { database, durability, next: Arc::default() })))
}

impl Log for Fjall {
    fn writer(&self, session: usize) -> Result<Box<dyn Writer>> {
        let name = format!("session-{session}");
        let keyspace = self.database.keyspace(&name, KeyspaceCreateOptions::default)?;
        let database = self.database.clone();
        let (durability, next) = (self.durability, Arc::clone(&self.next));
        Ok(Box::new(FjallWriter { database, keyspace, durability, next }))
    }
}

struct FjallWriter {
    database: Database,
    keyspace: Keyspace,
    durability: Durability,
    next: Arc<AtomicU64>,
}

impl Writer for FjallWriter {
    fn append(&mut self, payload: &Bytes) -> Result<()> {
        let key = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        self.keyspace.insert(key, &payload[..])?;
        if self.durability == Durability::Durable {
            self.database.persist(PersistMode::SyncData)?;
        }
        Ok(())
    }
}
