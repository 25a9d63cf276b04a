//! What a lock file says, and when it is called stale.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::process::{Process, runs};
use super::super::steps;
use super::{Locks, Seen, age, is_gone};

/// Who, since when, for how long at most. What is missing or of another kind is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) pid: Option<u32>,
    pub(crate) created_at: Option<String>,
    pub(crate) max_hold_ms: Option<u64>,
    pub(crate) starttime: Option<u64>,
}

/// Why a lock is called stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    NoPid,
    /// The process is gone, or a zombie.
    Dead,
    /// Another process has its pid.
    Recycled,
    NoTime,
    TooOld,
    HeldTooLong,
    /// Of this very process, which does not know of it.
    Orphan,
    OtherProgram,
}

impl Payload {
    pub(crate) fn of(own: Process, at_most: Duration) -> Self {
        Self {
            pid: Some(own.pid),
            created_at: Some(time(Timestamp::now())),
            max_hold_ms: Some(u64::try_from(at_most.as_millis()).unwrap_or(u64::MAX)),
            starttime: own.started,
        }
    }

    /// Pretty, and a newline.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut object = json!({
            "pid": self.pid,
            "createdAt": self.created_at,
            "maxHoldMs": self.max_hold_ms,
            "starttime": self.starttime,
        });
        if let Some(members) = object.as_object_mut() {
            members.retain(|_, value| !value.is_null());
        }
        format!("{object:#}\n").into_bytes()
    }

    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let number = |name: &str| value[name].as_u64();
        Self {
            pid: number("pid").and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0),
            created_at: value["createdAt"].as_str().map(str::to_owned),
            max_hold_ms: number("maxHoldMs").filter(|ms| *ms > 0),
            starttime: number("starttime"),
        }
    }

    /// How long ago it was made, if it says so.
    fn age(&self) -> Option<Duration> {
        let created_at: Timestamp = self.created_at.as_ref()?.parse().ok()?;
        Some(Timestamp::now().duration_since(created_at).try_into().unwrap_or_default())
    }
}

/// As JavaScript writes it: to the millisecond.
pub(crate) fn time(at: Timestamp) -> String {
    format!("{at:.3}")
}

impl Locks {
    /// Whether a lock is called stale. One of which nothing else is wrong than that it does not say
    /// whose it is, or since when, gets some time: it may not be written yet. (The real one lets
    /// everybody go first who is ready, which is no step: nothing of the file system can end meanwhile.)
    pub(super) async fn is_stale(&self, lock: &Path, seen: &Seen) -> bool {
        let is_held = self.is_held(lock);
        let reasons = self.reasons(&Payload::parse(&seen.bytes), is_held);
        if reasons.iter().any(|reason| !matches!(reason, Reason::NoPid | Reason::NoTime)) {
            return true;
        }
        if reasons.is_empty() {
            return false;
        }
        match steps::stat(lock).await {
            Ok(metadata) => age(metadata.modified()) > self.times.no_payload,
            Err(error) => !is_gone(&error),
        }
    }

    pub(super) fn reasons(&self, payload: &Payload, is_held: bool) -> Vec<Reason> {
        let (age, most) = (payload.age(), payload.max_hold_ms.map(Duration::from_millis));
        let holder = payload.pid.map(|pid| Process { pid, started: payload.starttime });
        let is_own = payload.pid == Some(self.own.pid);
        let of_process = match holder {
            None => Some(Reason::NoPid),
            Some(holder) if !(Process { started: None, ..holder }).is_alive() => Some(Reason::Dead),
            Some(holder) if !holder.is_alive() => Some(Reason::Recycled),
            Some(_) if is_own && is_held => None,
            Some(_) if is_own => Some(Reason::Orphan),
            Some(holder) if !runs(holder.pid, &self.program) => Some(Reason::OtherProgram),
            Some(_) => None,
        };
        let of_time = match age {
            None => Some(Reason::NoTime),
            Some(age) if age > self.times.stale => Some(Reason::TooOld),
            // It leaves that to its watchdog where it holds the lock itself.
            Some(age) if !is_held && most.is_some_and(|most| age > most) => {
                Some(Reason::HeldTooLong)
            }
            Some(_) => None,
        };
        of_process.into_iter().chain(of_time).collect()
    }
}
