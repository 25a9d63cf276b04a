//! Opening a database without leaving a trace: no lock file, no write-ahead log and no index of one
//! is made, whoever else has it open.
//!
//! | beside the database | it is opened |
//! |---|---|
//! | nothing | as a file that does not change; that it did not is checked behind the last read |
//! | a log and its index: a gateway lives, or was killed | with both, read-only |
//! | a log alone: copied or restored | as a private copy of both files |
//! | a rollback journal: a writer was killed, or is at it | as a private copy of both, rolled back |

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use crate::error::{Error, Problem, Result};
use crate::place::{escaped, with_end};

/// How the name of a rollback journal ends.
const ROLLBACK: &str = "-journal";

/// How long to wait for a writer that holds the database for itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// Private copies of databases, one each for as long as it is imported from.
#[derive(Debug, Default)]
pub struct Copies(Mutex<HashMap<PathBuf, (Stamp, Arc<TempDir>)>>);

impl Copies {
    /// The copy of a database that is as it was when this stamp was taken.
    fn of(&self, path: &Path, stamp: Stamp) -> std::io::Result<Arc<TempDir>> {
        // Others wait: it would be the same copy.
        let mut copies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, copy)) = copies.get(path)
            && *known == stamp
        {
            return Ok(Arc::clone(copy));
        }
        let copy = Arc::new(private_copy(path)?);
        copies.insert(path.to_owned(), (stamp, Arc::clone(&copy)));
        Ok(copy)
    }
}

/// An open database.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) connection: Connection,
    /// What is worth knowing about how it was opened.
    pub(super) warnings: Vec<String>,
    path: PathBuf,
    /// What the file was, where it was opened as one that does not change.
    frozen: Option<Stamp>,
    _copy: Option<Arc<TempDir>>,
}

/// What shows that a database was not written to. Looked at without opening the file: to close it
/// again would drop the locks that this process has on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
    has_log: bool,
}

impl Database {
    pub(super) fn open(path: &Path, copies: &Copies) -> Result<Self> {
        let fail = |error| Error::file(path, Problem::Database(error));
        let (has_log, has_rollback) = (bytes(path, "-wal") > 0, bytes(path, ROLLBACK) > 0);
        if !has_log && !has_rollback {
            let stamp = Stamp::of(path).map_err(|error| Error::io(path, "look at it", error))?;
            let connection = connect(path, "mode=ro&immutable=1").map_err(fail)?;
            return Ok(Self::new(path, connection, Some(stamp), None, Vec::new()));
        }
        if !has_rollback
            && bytes(path, "-shm") > 0
            && let Ok(connection) = connect(path, "mode=ro&readonly_shm=1")
        {
            return Ok(Self::new(path, connection, None, None, Vec::new()));
        }
        let stamp = Stamp::of(path).map_err(|error| Error::io(path, "look at it", error))?;
        let copy = copies.of(path, stamp).map_err(|error| Error::io(path, "copy it", error))?;
        let inside = copy.path().join(path.file_name().unwrap_or_default());
        // The copy is ours: SQLite may roll it back, and make its index there.
        let connection = connect(&inside, "mode=rw").map_err(fail)?;
        let what = if has_rollback {
            "a write to it was not finished"
        } else {
            "it has a log without index"
        };
        let warning = format!("{what}; it was read from a private copy");
        Ok(Self::new(path, connection, Some(stamp), Some(copy), vec![warning]))
    }

    fn new(
        path: &Path,
        connection: Connection,
        frozen: Option<Stamp>,
        copy: Option<Arc<TempDir>>,
        warnings: Vec<String>,
    ) -> Self {
        Self { connection, warnings, path: path.to_owned(), frozen, _copy: copy }
    }

    /// Whether what was read of it still counts. Where it was opened beside a living writer, the
    /// database itself sees to that.
    pub(super) fn is_unchanged(&self) -> bool {
        let Some(frozen) = self.frozen else { return true };
        Stamp::of(&self.path).is_ok_and(|stamp| stamp == frozen)
    }

    /// The permissions of its file, and when it was last modified.
    pub(super) fn metadata(&self) -> Option<Metadata> {
        fs::metadata(&self.path).ok()
    }
}

impl Stamp {
    fn of(path: &Path) -> std::io::Result<Self> {
        let metadata = fs::metadata(path)?;
        let has_log = bytes(path, "-wal") > 0;
        Ok(Self { bytes: metadata.len(), modified: metadata.modified().ok(), has_log })
    }
}

fn bytes(path: &Path, end: &str) -> u64 {
    fs::metadata(with_end(path, end)).map_or(0, |metadata| metadata.len())
}

fn connect(path: &Path, options: &str) -> rusqlite::Result<Connection> {
    let uri = format!("file:{}?{options}", escaped(path));
    // The mode in the name can only take away from these.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags)?;
    connection.busy_timeout(PATIENCE)?;
    // What the file says about itself is not to run anything.
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "query_only", true)?;
    // Only a first read shows whether it can be read.
    connection.query_row("select count(*) from sqlite_master", [], |_| Ok(()))?;
    Ok(connection)
}

fn private_copy(path: &Path) -> std::io::Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("session-journal-").tempdir()?;
    let name = path.file_name().unwrap_or_default();
    let inside = folder.path().join(name);
    fs::copy(path, &inside)?;
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o600))?;
    for end in ["-wal", ROLLBACK] {
        if bytes(path, end) > 0 {
            fs::copy(with_end(path, end), with_end(&inside, end))?;
        }
    }
    Ok(folder)
}
