//! The rows of a session as lines: in order, a line feed behind each, unpacked where they were packed.

use std::fmt;
use std::io::{self, BufRead, Cursor, Read};
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};

use super::database::Database;
use crate::content::{Content, PackedFile};
use crate::role::Role;

/// Rows that are fetched at a time; one has at most a few MiB.
const PAGE_ROWS: u32 = 8;
/// The most that a packed row may unpack to; the database itself allows 4 MiB.
const UNPACKED_MAX: u64 = 64 << 20;

/// Where the rows of a part are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Transcript,
    Trajectory,
    Stream,
}

impl Table {
    pub(super) fn of(role: Role) -> Self {
        match role {
            Role::Trajectory => Self::Trajectory,
            Role::Stream => Self::Stream,
            _ => Self::Transcript,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Transcript => "transcript_events",
            Self::Trajectory => "trajectory_runtime_events",
            Self::Stream => "acp_parent_stream_events",
        }
    }

    /// The rows behind a place, in order. Those of a stream are numbered run by run.
    fn behind(self) -> (&'static str, &'static str) {
        match self {
            Self::Stream => ("run_id", "(run_id, seq) > (?2, ?3) order by run_id, seq"),
            _ => ("''", "seq > ?3 order by seq"),
        }
    }
}

/// The rows of one part.
pub(super) struct Rows {
    database: Mutex<Database>,
    page: String,
    stamp_query: String,
    id: String,
    stamp: Stamp,
    metadata: Option<std::fs::Metadata>,
}

/// What shows that rows were added, changed or removed: how many there are, the last, and how much
/// they hold.
type Stamp = (i64, Option<i64>, Option<i64>);

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("id", &self.id)
            .field("stamp", &self.stamp)
            .finish_non_exhaustive()
    }
}

impl Rows {
    pub(super) fn open(database: Database, table: Table, id: &str) -> rusqlite::Result<Self> {
        let connection = &database.connection;
        let sql = format!(
            "select count(*) from pragma_table_info('{}') where name = 'event_zstd'",
            table.name()
        );
        let is_packed = connection.query_row(&sql, [], |row| row.get::<_, i64>(0))? > 0;
        let packed = if is_packed { "event_zstd" } else { "null" };
        let (name, (run, behind)) = (table.name(), table.behind());
        let page = format!(
            "select {run}, seq, event_json, {packed} from {name}
             where session_id = ?1 and {behind} limit {PAGE_ROWS}"
        );
        // Lengths are told without reading what has them.
        let stamp_query = format!(
            "select count(*), max(seq),
                    sum(coalesce(octet_length(event_json), octet_length({packed})))
             from {name} where session_id = ?1"
        );
        let stamp = stamp(connection, &stamp_query, id)?;
        let metadata = database.metadata();
        let database = Mutex::new(database);
        Ok(Self { database, page, stamp_query, id: id.to_owned(), stamp, metadata })
    }

    fn lock(&self) -> MutexGuard<'_, Database> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamp(connection: &Connection, sql: &str, id: &str) -> rusqlite::Result<Stamp> {
    connection.query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
}

impl Content for Rows {
    fn read_from(&self, offset: u64) -> io::Result<Box<dyn BufRead + '_>> {
        let database = self.lock();
        // One snapshot from the first row to the last, whatever is written meanwhile.
        database.connection.execute_batch("begin").map_err(io::Error::other)?;
        let mut reader = Reader {
            rows: self,
            database,
            at: (String::new(), i64::MIN),
            buffer: Cursor::default(),
        };
        io::copy(&mut (&mut reader).take(offset), &mut io::sink())?;
        Ok(Box::new(reader))
    }

    fn is_unchanged(&self) -> bool {
        let database = self.lock();
        let now = stamp(&database.connection, &self.stamp_query, &self.id);
        database.is_unchanged() && now.is_ok_and(|now| now == self.stamp)
    }

    fn modified_ms(&self) -> Option<i64> {
        let metadata = self.metadata.as_ref()?;
        Some(metadata.mtime().saturating_mul(1000) + metadata.mtime_nsec() / 1_000_000)
    }

    fn mode(&self) -> Option<u32> {
        self.metadata.as_ref().map(|metadata| metadata.mode() & 0o777)
    }
}

/// Reads rows page by page.
struct Reader<'a> {
    rows: &'a Rows,
    database: MutexGuard<'a, Database>,
    at: (String, i64),
    buffer: Cursor<Vec<u8>>,
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        // Nothing was written; where this fails the connection ends the snapshot.
        let _ = self.database.connection.execute_batch("rollback");
    }
}

impl Reader<'_> {
    fn fetch(&mut self) -> rusqlite::Result<()> {
        let mut bytes = std::mem::take(&mut self.buffer).into_inner();
        bytes.clear();
        let mut statement = self.database.connection.prepare_cached(&self.rows.page)?;
        let mut rows = statement.query(params![self.rows.id, self.at.0, self.at.1])?;
        let mut last = None;
        while let Some(row) = rows.next()? {
            match (row.get_ref(2)?, row.get_ref(3)?) {
                (ValueRef::Text(text) | ValueRef::Blob(text), _) => bytes.extend_from_slice(text),
                (_, ValueRef::Blob(packed)) => unpack(packed, &mut bytes),
                // The table does not allow it; an empty line keeps the place.
                _ => {}
            }
            bytes.push(b'\n');
            last = Some((row.get(0)?, row.get(1)?));
        }
        if let Some(last) = last {
            self.at = last;
        }
        self.buffer = Cursor::new(bytes);
        Ok(())
    }
}

/// Unpacks a row; where that fails its packed bytes stand for it, so that nothing is lost.
fn unpack(packed: &[u8], bytes: &mut Vec<u8>) {
    let begin = bytes.len();
    let unpacked = zstd::stream::read::Decoder::with_buffer(packed)
        .and_then(|decoder| decoder.take(UNPACKED_MAX).read_to_end(bytes));
    if unpacked.is_err() {
        bytes.truncate(begin);
        bytes.extend_from_slice(packed);
    }
}

impl BufRead for Reader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.buffer.fill_buf()?.is_empty() {
            self.fetch().map_err(io::Error::other)?;
        }
        self.buffer.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.buffer.consume(amount);
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.fill_buf()?;
        self.buffer.read(out)
    }
}

/// An archive: a transcript in one value, unpacked.
#[derive(Debug)]
pub(super) struct Blob {
    database: Mutex<Database>,
    bytes: Vec<u8>,
}

impl Blob {
    pub(super) fn unpack(database: Database, blob: &[u8]) -> Self {
        let packed = PackedFile::recognises(blob);
        let unpacked = packed.then(|| zstd::stream::decode_all(blob).ok()).flatten();
        let bytes = unpacked.unwrap_or_else(|| blob.to_owned());
        Self { database: Mutex::new(database), bytes }
    }
}

impl Content for Blob {
    fn read_from(&self, offset: u64) -> io::Result<Box<dyn BufRead + '_>> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(self.bytes.len());
        Ok(Box::new(&self.bytes[offset..]))
    }

    fn is_unchanged(&self) -> bool {
        self.database.lock().unwrap_or_else(PoisonError::into_inner).is_unchanged()
    }

    fn modified_ms(&self) -> Option<i64> {
        None
    }

    fn mode(&self) -> Option<u32> {
        None
    }
}
