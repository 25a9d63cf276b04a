//! The lock file.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::fs;
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use super::process::{Process, runs};
use super::{Toll, WAIT};

/// Times of the scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// A waiter looks again after this; it is not woken, and there is no queue.
    pub poll: Duration,
    /// A waiter gives up after this.
    pub wait: Duration,
    /// A lock that is older than this is stale.
    pub stale: Duration,
    /// An ordinary holder may hold it for so long.
    pub hold: Duration,
    /// An agent's run may: its timeout of 15 minutes and 2 more.
    pub hold_long: Duration,
    /// A lock file without a payload is stale after this.
    pub no_payload: Duration,
    /// Pause between two looks of the watchdog.
    pub watch: Duration,
}

impl Times {
    /// As they were.
    pub const REAL: Self = Self {
        poll: Duration::from_millis(50),
        wait: WAIT,
        stale: Duration::from_mins(30),
        hold: Duration::from_mins(5),
        hold_long: Duration::from_mins(17),
        no_payload: Duration::from_secs(5),
        watch: Duration::from_mins(1),
    };

    /// So many times shorter.
    #[must_use]
    pub fn compressed(self, by: u32) -> Self {
        Self {
            poll: self.poll / by,
            wait: self.wait / by,
            stale: self.stale / by,
            hold: self.hold / by,
            hold_long: self.hold_long / by,
            no_payload: self.no_payload / by,
            watch: self.watch / by,
        }
    }
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It was held all the time.
    #[error("timed out waiting for the session's write lock")]
    Timeout,
    /// It was stale, and somebody else was at it when it was to be removed. Users saw this although
    /// no lock was left on disk.
    #[error("the session's write lock is stale")]
    Stale,
    /// The system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl LockError {
    /// Its code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Timeout => "file_lock_timeout",
            Self::Stale => "file_lock_stale",
            Self::Io(_) => "io",
        }
    }
}

/// What a lock file says: who, since when, for how long at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Payload {
    pub(crate) pid: u32,
    pub(crate) created_at: u64,
    pub(crate) max_hold_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) starttime: Option<u64>,
}

/// The locks of a process.
#[derive(Debug)]
pub(crate) struct Locks {
    pub(crate) times: Times,
    /// A word that the command lines of all holders have.
    program: String,
    own: Process,
    table: Mutex<HashMap<PathBuf, Entry>>,
    next: AtomicU64,
}

/// A lock that this process knows it holds.
#[derive(Clone, Debug)]
struct Entry {
    number: u64,
    payload: Vec<u8>,
    since: Instant,
    at_most: Duration,
}

/// A lock that is held until it is released.
#[derive(Debug)]
pub(crate) struct Held {
    lock: PathBuf,
    number: u64,
    payload: Vec<u8>,
    inside: Option<PathBuf>,
}

/// A lock file that was there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    bytes: Vec<u8>,
    age: Duration,
}

impl Locks {
    pub(crate) fn new(times: Times, program: &str) -> Self {
        Self {
            times,
            program: program.to_owned(),
            own: Process::own(),
            table: Mutex::default(),
            next: AtomicU64::new(0),
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<PathBuf, Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock of a file, or waits for it.
    pub(crate) async fn acquire(
        &self,
        file: &Path,
        at_most: Duration,
        toll: &mut Toll,
    ) -> Result<Held, LockError> {
        let (lock, begun) = (path_of(file), Instant::now());
        loop {
            if let Some(held) = self.try_create(&lock, at_most).await? {
                toll.acquired += 1;
                toll.waited += begun.elapsed();
                return Ok(self.enter(held, file, toll));
            }
            if let Some(seen) = look(&lock).await?
                && self.is_stale(&lock, &seen)
            {
                if !remove_if_unchanged(&lock, &seen.bytes).await? {
                    toll.waited += begun.elapsed();
                    return Err(LockError::Stale);
                }
                continue;
            }
            if begun.elapsed() >= self.times.wait {
                toll.waited += begun.elapsed();
                return Err(LockError::Timeout);
            }
            toll.polls += 1;
            sleep(self.times.poll).await;
        }
    }

    /// Creates the lock file, writes who holds it, and only then puts it into the table: in between
    /// this process takes its own lock for one that was left behind.
    async fn try_create(&self, lock: &Path, at_most: Duration) -> Result<Option<Held>, LockError> {
        let created = fs::File::options().write(true).create_new(true).open(lock).await;
        let mut file = match created {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let payload = self.payload(at_most);
        file.write_all(&payload).await?;
        file.flush().await?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let entry = Entry { number, payload: payload.clone(), since: Instant::now(), at_most };
        self.table().insert(lock.to_owned(), entry);
        Ok(Some(Held { lock: lock.to_owned(), number, payload, inside: None }))
    }

    fn payload(&self, at_most: Duration) -> Vec<u8> {
        let payload = Payload {
            pid: self.own.pid,
            created_at: now_ms(),
            max_hold_ms: u64::try_from(at_most.as_millis()).unwrap_or(u64::MAX),
            starttime: self.own.started,
        };
        let mut text = serde_json::to_vec_pretty(&payload).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// Stale: no pid in it, or a dead one's, a zombie's, or one that another process has now; no time
    /// in it; too old; held for too long; of this very process and not in its table; of a process that
    /// is another program. One that is still empty gets some time.
    pub(crate) fn is_stale(&self, lock: &Path, seen: &Seen) -> bool {
        if seen.bytes.is_empty() {
            return seen.age >= self.times.no_payload;
        }
        let Ok(payload) = serde_json::from_slice::<Payload>(&seen.bytes) else {
            return seen.age >= self.times.no_payload;
        };
        let age = Duration::from_millis(now_ms().saturating_sub(payload.created_at));
        if age >= self.times.stale || age >= Duration::from_millis(payload.max_hold_ms) {
            return true;
        }
        if payload.pid == self.own.pid {
            return !self.table().contains_key(lock);
        }
        let holder = Process { pid: payload.pid, started: payload.starttime };
        !holder.is_alive() || !runs(payload.pid, &self.program)
    }

    /// Leaves the table first and removes the file then: in between, again, it is an orphan.
    pub(crate) async fn release(&self, held: Held) -> Result<(), LockError> {
        if let Some(inside) = &held.inside {
            fs::remove_file(inside).await?;
        }
        let is_it = self.table().get(&held.lock).is_some_and(|entry| entry.number == held.number);
        if is_it {
            self.table().remove(&held.lock);
        }
        remove_if_unchanged(&held.lock, &held.payload).await?;
        Ok(())
    }

    /// Releases what is held for longer than it may be, although somebody is still at it.
    pub(crate) async fn watch(self: Arc<Self>) -> std::convert::Infallible {
        loop {
            sleep(self.times.watch).await;
            let overdue: Vec<(PathBuf, Entry)> = {
                let mut table = self.table();
                table.extract_if(|_, entry| entry.since.elapsed() > entry.at_most).collect()
            };
            for (lock, entry) in overdue {
                // Where that fails, it is stale for everybody else.
                let _ = remove_if_unchanged(&lock, &entry.payload).await;
            }
        }
    }

    /// On an exit in good order nothing is left. SIGKILL leaves everything.
    pub(crate) async fn leave(&self) {
        let all: Vec<_> = self.table().drain().collect();
        for (lock, entry) in all {
            let _ = remove_if_unchanged(&lock, &entry.payload).await;
        }
    }

    // ---- who is inside ---------------------------------------------------------------------

    /// No part of the scheme: counts how many hold the lock of a file at once.
    fn enter(&self, mut held: Held, file: &Path, toll: &mut Toll) -> Held {
        let Some(folder) = inside(file) else { return held };
        let mark = folder.join(format!("{}-{}", self.own.pid, held.number));
        let entered = std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(&mark, self.own.started.unwrap_or(0).to_string()));
        if entered.is_ok() {
            let others = others(&folder, &mark);
            toll.overlaps += u64::from(others);
            held.inside = Some(mark);
        }
        held
    }
}

fn inside(file: &Path) -> Option<PathBuf> {
    Some(file.parent()?.join("inside").join(file.file_name()?))
}

/// Whether the mark of somebody else who is alive is there.
fn others(folder: &Path, own: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().map(|entry| entry.path()).filter(|path| path != own).any(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let pid = name.split('-').next().and_then(|pid| pid.parse().ok());
        let started = std::fs::read_to_string(&path).ok().and_then(|text| text.parse().ok());
        // It may have gone out just now.
        path.exists() && pid.is_some_and(|pid| Process { pid, started }.is_alive())
    })
}

pub(crate) fn path_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

async fn look(lock: &Path) -> Result<Option<Seen>, LockError> {
    let gone = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Ok(None),
        _ => Err(LockError::Io(error)),
    };
    let bytes = match fs::read(lock).await {
        Ok(bytes) => bytes,
        Err(error) => return gone(error),
    };
    let modified = match fs::metadata(lock).await.and_then(|metadata| metadata.modified()) {
        Ok(modified) => modified,
        Err(error) => return gone(error),
    };
    Ok(Some(Seen { bytes, age: modified.elapsed().unwrap_or_default() }))
}

/// A read, and an unlink if nothing changed: two steps. False where it is another one, or gone.
async fn remove_if_unchanged(lock: &Path, seen: &[u8]) -> Result<bool, LockError> {
    match fs::read(lock).await {
        Ok(now) if now == seen => {}
        Ok(_) => return Ok(false),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    match fs::remove_file(lock).await {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
