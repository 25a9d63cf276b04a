//! A lock file, an append, an unlink: how session files are guarded today, written anew.
//!
//! The lock file stands beside the session and is created exclusively. It names the process, when that
//! process took it, how long it may hold it and when it started. A lock whose process is gone, was
//! recycled or holds it for too long is stale, as is one that stays empty for five seconds; it is
//! removed where it is still the same. Whoever finds a lock that is not stale looks again after 50 ms.
//! Nothing is synced.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use session_journal_benches::Durability;
use session_journal_benches::{Asked, Candidate, Log, Result, Role, Writer};

pub(crate) const CANDIDATE: Candidate = Candidate {
    role: Role::LockFile,
    name: "lock file + append + unlink",
    told: "the status quo, written anew; never synced, no checksum, no fencing",
    open,
};

static STARTED: OnceLock<Option<u64>> = OnceLock::new();
const POLL: Duration = Duration::from_millis(50);
const WAIT: Duration = Duration::from_mins(1);
const STALE: Duration = Duration::from_mins(30);
const EMPTY_FOR: Duration = Duration::from_secs(5);
const MAX_HOLD_MS: u64 = 300_000;

struct Folder(PathBuf);

#[allow(clippy::unnecessary_wraps, reason = "what a candidate answers")]
fn open(folder: &Path, asked: Asked) -> Result<Option<Box<dyn Log>>> {
    if asked.durability == Durability::Durable {
        return Ok(None);
    }
    Ok(Some(Box::new(Folder(folder.to_owned()))))
}

impl Log for Folder {
    fn writer(&self, session: usize) -> Result<Box<dyn Writer>> {
        let path = self.0.join(format!("{session}.jsonl"));
        OpenOptions::new().create(true).append(true).open(&path)?;
        Ok(Box::new(Guarded { path }))
    }
}

struct Guarded {
    path: PathBuf,
}

impl Writer for Guarded {
    fn append(&mut self, payload: &Bytes) -> Result<()> {
        let lock = Lock::acquire(&self.path)?;
        let mut file = OpenOptions::new().append(true).open(&self.path)?;
        file.write_all(payload)?;
        drop(file);
        lock.release()
    }
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    pid: u32,
    created_at: Timestamp,
    max_hold_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    starttime: Option<u64>,
}

/// A lock file that this process made.
struct Lock {
    path: PathBuf,
    text: String,
}

impl Lock {
    fn acquire(session: &Path) -> Result<Self> {
        if let Some(folder) = session.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut name = session.canonicalize()?.into_os_string();
        name.push(".lock");
        let path = PathBuf::from(name);
        let begin = Instant::now();
        loop {
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Self::fill(path, file),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
            if remove_if_stale(&path)? {
                continue;
            }
            if begin.elapsed() > WAIT {
                return Err(format!("{} was held for a minute", path.display()).into());
            }
            thread::sleep(POLL);
        }
    }

    fn fill(path: PathBuf, mut file: File) -> Result<Self> {
        let payload = Payload {
            pid: std::process::id(),
            created_at: Timestamp::now(),
            max_hold_ms: MAX_HOLD_MS,
            // Looked up once: the real one may do the same.
            starttime: *STARTED.get_or_init(|| started(std::process::id())),
        };
        let text = serde_json::to_string_pretty(&payload)? + "\n";
        file.write_all(text.as_bytes())?;
        Ok(Self { path, text })
    }

    /// Only where it is still ours.
    fn release(self) -> Result<()> {
        if fs::read_to_string(&self.path)? != self.text {
            return Err(format!("{} is somebody else's", self.path.display()).into());
        }
        Ok(fs::remove_file(&self.path)?)
    }
}

/// When a process started, in ticks since boot: field 22 of its stat, the twentieth behind its name.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name.split_whitespace().nth(19)?.parse().ok()
}

fn remove_if_stale(path: &Path) -> Result<bool> {
    let gone = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Ok(true),
        _ => Err(error.into()),
    };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return gone(error),
    };
    let changed = match fs::metadata(path).and_then(|metadata| metadata.modified()) {
        Ok(changed) => changed,
        Err(error) => return gone(error),
    };
    if !is_stale(&text, changed) || fs::read_to_string(path).is_ok_and(|again| again != text) {
        return Ok(false);
    }
    fs::remove_file(path).map(|()| true).or_else(gone)
}

fn is_stale(text: &str, changed: SystemTime) -> bool {
    let Ok(payload) = serde_json::from_str::<Payload>(text) else {
        return changed.elapsed().is_ok_and(|age| age > EMPTY_FOR);
    };
    let Payload { pid, created_at, max_hold_ms, starttime } = payload;
    let held = Timestamp::now().duration_since(created_at).unsigned_abs();
    let now = started(pid);
    let is_recycled = starttime.is_some() && now.is_some() && starttime != now;
    now.is_none() || is_recycled || held > STALE || held > Duration::from_millis(max_hold_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(pid: u32, starttime: Option<u64>, created_at: Timestamp) -> String {
        let payload = Payload { pid, created_at, max_hold_ms: MAX_HOLD_MS, starttime };
        serde_json::to_string(&payload).expect("is JSON")
    }

    #[test]
    fn a_lock_of_this_process_is_not_stale_and_others_are() {
        let (own, now) = (std::process::id(), Timestamp::now());
        let started = started(own);
        let changed = SystemTime::now();
        assert!(started.is_some());
        assert!(!is_stale(&payload(own, started, now), changed));
        assert!(is_stale(&payload(own, started.map(|ticks| ticks + 1), now), changed));
        assert!(is_stale(&payload(4_194_305, None, now), changed), "no process has this id");
        let long_ago = now - Duration::from_millis(MAX_HOLD_MS + 1000);
        assert!(is_stale(&payload(own, started, long_ago), changed));
        assert!(!is_stale("", changed), "its owner may be about to fill it");
        assert!(is_stale("", changed - EMPTY_FOR - POLL));
    }

    #[test]
    fn a_lock_is_there_while_it_is_held_and_not_after() {
        let folder = tempfile::tempdir().expect("a folder");
        let session = folder.path().join("s.jsonl");
        fs::write(&session, "").expect("writes");
        let lock = Lock::acquire(&session).expect("is free");
        assert!(folder.path().join("s.jsonl.lock").exists());
        assert!(!remove_if_stale(&lock.path).expect("looks"));
        lock.release().expect("is ours");
        assert!(!folder.path().join("s.jsonl.lock").exists());
    }
}
