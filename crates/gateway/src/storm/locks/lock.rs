//! The lock file: how it is taken and let go, step by step.
//!
//! The order of the steps is that of `OpenClaw` 2026.5.26 and its file-lock package. It was read from the
//! packages that were published and agrees with the system calls that were counted; the code is our own.

mod stale;

use std::collections::HashMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::time::sleep;

use self::stale::Payload;
use super::process::Process;
use super::steps::{self, Identity, identity};
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
    /// A lock file that says nothing is stale after this.
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
    /// It was stale when it was looked at, and no more when it was to be removed. Users saw this
    /// although no lock was left on disk.
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

/// The locks of a process.
#[derive(Debug)]
pub(crate) struct Locks {
    pub(crate) times: Times,
    /// A word that the command lines of all holders have.
    program: String,
    own: Process,
    /// What this process knows it holds. One that is taken twice is in it once, and whoever was first
    /// lets go of nothing.
    table: Mutex<HashMap<PathBuf, Entry>>,
    next: AtomicU64,
}

/// A lock that this process knows it holds.
#[derive(Debug)]
struct Entry {
    number: u64,
    seen: Seen,
    file: File,
    since: Instant,
    at_most: Duration,
}

/// A lock that is held until it is released.
#[derive(Debug)]
pub(crate) struct Held {
    lock: PathBuf,
    number: u64,
    inside: Option<PathBuf>,
}

/// A lock file as it was once: which file, and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    file: Identity,
    bytes: Vec<u8>,
}

/// What came of an attempt to remove a stale lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removal {
    /// It was removed, or somebody else was there first.
    Gone,
    /// At the second look it is held.
    NotApproved,
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

    fn is_held(&self, lock: &Path) -> bool {
        self.table().contains_key(lock)
    }

    /// Takes the lock of a file, or waits for it.
    pub(crate) async fn acquire(
        &self,
        file: &Path,
        at_most: Duration,
        toll: &mut Toll,
    ) -> Result<Held, LockError> {
        let begun = Instant::now();
        let acquired = self.acquire_alone(file, at_most, begun, toll).await;
        toll.waited += begun.elapsed();
        let held = acquired?;
        toll.acquired += 1;
        Ok(self.enter(held, file, toll))
    }

    async fn acquire_alone(
        &self,
        file: &Path,
        at_most: Duration,
        begun: Instant,
        toll: &mut Toll,
    ) -> Result<Held, LockError> {
        let lock = place(file).await?;
        loop {
            if let Some(held) = self.try_create(&lock, at_most).await? {
                return Ok(held);
            }
            // What is gone again, or was removed, is asked for at once.
            let Some(seen) = Seen::of(&lock).await? else { continue };
            if self.is_stale(&lock, &seen).await {
                match self.remove_stale(&lock, &seen).await? {
                    Removal::Gone => continue,
                    Removal::NotApproved => return Err(LockError::Stale),
                }
            }
            if begun.elapsed() >= self.times.wait {
                return Err(LockError::Timeout);
            }
            toll.polls += 1;
            sleep(self.times.poll).await;
        }
    }

    /// Creates the lock file, writes who holds it, looks which file it is, and only then puts it into
    /// the table: in between this process takes its own lock for one that was left behind.
    async fn try_create(&self, lock: &Path, at_most: Duration) -> Result<Option<Held>, LockError> {
        let file = match steps::create_new(lock).await {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let bytes = Payload::of(self.own, at_most).to_bytes();
        let file = steps::write(file, bytes.clone()).await?;
        let (file, metadata) = steps::stat_open(file).await?;
        let seen = Seen { file: identity(&metadata), bytes };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let entry = Entry { number, seen, file, since: Instant::now(), at_most };
        self.table().insert(lock.to_owned(), entry);
        Ok(Some(Held { lock: lock.to_owned(), number, inside: None }))
    }

    /// It was stale. Is it still there? Is it still stale? Is it still there? Then it is removed,
    /// whatever it is by then.
    async fn remove_stale(&self, lock: &Path, seen: &Seen) -> Result<Removal, LockError> {
        if Seen::of(lock).await?.as_ref() != Some(seen) {
            return Ok(Removal::Gone);
        }
        if !self.is_stale(lock, seen).await {
            return Ok(Removal::NotApproved);
        }
        remove_if_unchanged(lock, seen).await?;
        Ok(Removal::Gone)
    }

    /// Leaves the table first and removes the file then: in between, again, it is an orphan.
    pub(crate) async fn release(&self, held: Held) -> Result<(), LockError> {
        if let Some(inside) = &held.inside {
            std::fs::remove_file(inside)?;
        }
        let entry = {
            let mut table = self.table();
            let is_it = table.get(&held.lock).is_some_and(|entry| entry.number == held.number);
            if is_it { table.remove(&held.lock) } else { None }
        };
        match entry {
            Some(entry) => let_go(&held.lock, entry).await,
            None => Ok(()),
        }
    }

    /// Releases what is held for longer than it may be, although somebody is still at it.
    pub(crate) async fn watch(self: Arc<Self>) -> std::convert::Infallible {
        loop {
            sleep(self.times.watch).await;
            self.watch_once().await;
        }
    }

    async fn watch_once(&self) {
        let overdue: Vec<(PathBuf, Entry)> = {
            let mut table = self.table();
            table.extract_if(|_, entry| entry.since.elapsed() > entry.at_most).collect()
        };
        for (lock, entry) in overdue {
            // Where that fails, it is stale for everybody else.
            let _ = let_go(&lock, entry).await;
        }
    }

    /// On an exit in good order nothing is left. SIGKILL leaves everything.
    pub(crate) async fn leave(&self) {
        let all: Vec<_> = self.table().drain().collect();
        for (lock, entry) in all {
            let _ = let_go(&lock, entry).await;
        }
    }

    // ---- who is inside ---------------------------------------------------------------------

    /// No part of the scheme, and no step of it: counts how many hold the lock of a file at once.
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

impl Seen {
    /// Which file it is, and then what it says: five steps. None where it is gone.
    async fn of(lock: &Path) -> Result<Option<Self>, LockError> {
        let seen = async {
            let file = identity(&steps::stat_link(lock).await?);
            Ok(Self { file, bytes: steps::read(lock).await? })
        };
        match seen.await {
            Ok(seen) => Ok(Some(seen)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(LockError::Io(error)),
        }
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

/// Where the lock of a file is. Both layers of the real one look where the folder really is, and make
/// it.
async fn place(file: &Path) -> Result<PathBuf, LockError> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let _ = steps::real(folder).await;
    steps::make_folder(folder).await?;
    steps::make_folder(folder).await?;
    let real = steps::real(folder).await?;
    Ok(path_of(&real.join(file.file_name().unwrap_or_default())))
}

pub(crate) fn path_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

async fn let_go(lock: &Path, entry: Entry) -> Result<(), LockError> {
    steps::close(entry.file).await?;
    remove_if_unchanged(lock, &entry.seen).await
}

/// A read, and an unlink if nothing changed: what is there by then is removed.
async fn remove_if_unchanged(lock: &Path, seen: &Seen) -> Result<(), LockError> {
    if Seen::of(lock).await?.as_ref() == Some(seen) {
        steps::remove(lock).await?;
    }
    Ok(())
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

/// How old a file is by its own time.
fn age(modified: std::io::Result<SystemTime>) -> Duration {
    modified.ok().and_then(|at| at.elapsed().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
