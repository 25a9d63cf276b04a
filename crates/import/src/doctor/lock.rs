//! A lock file beside a transcript: whose it is, whether that process runs, and why it counts as
//! stale. An import neither needs nor makes locks; this is for people who wonder about them.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use super::Finding;
use super::code::Code;
use super::process::{Process, Running, look};
use crate::naming::file_name;
use crate::shell::shell_path;

/// A lock that is older is stale to `OpenClaw`, whoever holds it.
const STALE_MS: i64 = 30 * 60 * 1000;

/// A process that began so much later than a lock cannot have made it; clocks are no better.
const CLOCK_MS: i64 = 5000;

const LOCKS: [&str; 2] = [".jsonl.lock", "sessions.json.lock"];

/// Whether this is a lock file of a session or a registry.
pub(super) fn is_lock(path: &Path) -> bool {
    let name = file_name(path);
    LOCKS.iter().any(|end| name.ends_with(end))
}

/// What a lock file holds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lock {
    pid: u32,
    created_at: String,
    max_hold_ms: Option<i64>,
    starttime: Option<u64>,
}

/// What is to be said of a lock.
struct Verdict {
    code: Code,
    why: String,
}

/// Explains a lock file.
pub(super) fn examine(path: &Path) -> Finding {
    let Verdict { code, why } = match fs::read(path) {
        Ok(bytes) => read(&bytes),
        Err(error) => broken(&format!("it cannot be read: {error}")),
    };
    let of = path.with_extension("");
    let mut what = why;
    if !of.exists() {
        let name = file_name(&of);
        what = format!("{what}; {name}, which it is for, is not there");
    }
    code.about(path, what, next(code, path))
}

fn next(code: Code, path: &Path) -> String {
    match code {
        Code::LockHeld => "nothing; an import reads beside it, and another one takes up what came \
                           later"
            .to_owned(),
        Code::LockUnknown => {
            "nothing for an import; look on the machine, or in the container, that made it"
                .to_owned()
        }
        Code::LockOverdue => "nothing for an import; see what that process does, and end it if it \
                              hangs"
            .to_owned(),
        _ => format!(
            "nothing for an import; for its program, while no gateway runs: rm {}",
            shell_path(path)
        ),
    }
}

fn read(bytes: &[u8]) -> Verdict {
    if bytes.trim_ascii().is_empty() {
        return broken("it is empty: whoever made it stopped before it wrote its pid");
    }
    let Ok(lock) = serde_json::from_slice::<Lock>(bytes) else {
        return broken("it does not say whose it is: no JSON with a pid and a time");
    };
    let Ok(created) = lock.created_at.parse::<jiff::Timestamp>() else {
        return broken("it does not say when it was made");
    };
    judge(&lock, created.as_millisecond(), &look(lock.pid), now_ms())
}

fn broken(why: &str) -> Verdict {
    let why = format!("{why}; its program takes such a lock for stale after some seconds");
    Verdict { code: Code::LockBroken, why }
}

fn judge(lock: &Lock, created_ms: i64, process: &Process, now_ms: i64) -> Verdict {
    let (pid, made) = (lock.pid, &lock.created_at);
    let running = match process {
        Process::Running(running) => running,
        Process::Gone => {
            let why = format!(
                "stale: process {pid}, which made it at {made}, is gone; it was killed, or the \
                 machine stopped"
            );
            return Verdict { code: Code::LockDeadOwner, why };
        }
        Process::Unknown => {
            let why = format!("made by process {pid} at {made}; whether that runs cannot be seen");
            return Verdict { code: Code::LockUnknown, why };
        }
    };
    let name = running.name.as_deref().unwrap_or("a program without a name");
    if let Some(proof) = recycled(lock, created_ms, running) {
        let why = format!(
            "stale: pid {pid} is now another process ({name}): {proof}; the one that made it at \
             {made} is gone"
        );
        return Verdict { code: Code::LockRecycledPid, why };
    }
    let held_ms = now_ms.saturating_sub(created_ms);
    let most_ms = lock.max_hold_ms.filter(|most| *most > 0).unwrap_or(STALE_MS).min(STALE_MS);
    let held = format!("process {pid} ({name}), which runs, holds it since {made}");
    if held_ms > most_ms {
        let (held_s, most_s) = (held_ms / 1000, most_ms / 1000);
        let why = format!("{held}: {held_s} s, where {most_s} s are the most; it may hang");
        return Verdict { code: Code::LockOverdue, why };
    }
    Verdict { code: Code::LockHeld, why: held }
}

/// What shows that the pid was given to another process since.
fn recycled(lock: &Lock, created_ms: i64, running: &Running) -> Option<&'static str> {
    match (lock.starttime, running.start_ticks) {
        (Some(then), Some(now)) if then == now => None,
        (Some(_), Some(_)) => Some("its start time is not the one in the lock"),
        _ => {
            let started = running.started_ms?;
            (started > created_ms.saturating_add(CLOCK_MS)).then_some("it began after the lock")
        }
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: i64 = 1_779_354_000_000;

    fn code(starttime: Option<u64>, running: &Process, later_ms: i64) -> Code {
        let created_at = "2026-05-21T09:00:00.000Z".to_owned();
        let lock = Lock { pid: 7, created_at, max_hold_ms: Some(300_000), starttime };
        judge(&lock, CREATED, running, CREATED + later_ms).code
    }

    fn running(start_ticks: u64, started_ms: i64) -> Process {
        let name = Some("node".to_owned());
        Process::Running(Running {
            name,
            start_ticks: Some(start_ticks),
            started_ms: Some(started_ms),
        })
    }

    #[test]
    fn tells_every_state_of_a_lock() {
        let before = running(42, CREATED - 1000);
        let after = running(42, CREATED + 60_000);
        assert_eq!(code(Some(42), &before, 1000), Code::LockHeld);
        assert_eq!(code(None, &before, 1000), Code::LockHeld);
        assert_eq!(code(Some(42), &before, 300_001), Code::LockOverdue);
        assert_eq!(code(Some(41), &before, 1000), Code::LockRecycledPid);
        assert_eq!(code(None, &after, 61_000), Code::LockRecycledPid);
        // The start time is exact; the clock may have been set since.
        assert_eq!(code(Some(42), &after, 61_000), Code::LockHeld);
        assert_eq!(code(None, &Process::Gone, 1000), Code::LockDeadOwner);
        assert_eq!(code(None, &Process::Unknown, 1000), Code::LockUnknown);
    }

    #[test]
    fn a_lock_that_says_nothing_is_broken() {
        let no_time = r#"{"pid":1,"createdAt":"soon"}"#;
        for text in ["", " \n", "{{", "{}", "7", r#"{"pid":"x","createdAt":"y"}"#, no_time] {
            assert_eq!(read(text.as_bytes()).code, Code::LockBroken, "{text}");
        }
    }

    #[test]
    fn locks_are_those_of_sessions_and_registries() {
        for (name, expected) in [
            ("a.jsonl.lock", true),
            ("sessions.json.lock", true),
            ("yarn.lock", false),
            ("a.jsonl", false),
        ] {
            assert_eq!(is_lock(Path::new(name)), expected, "{name}");
        }
    }
}
