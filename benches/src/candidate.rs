//! What is measured: something that takes appends.

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use session_journal::Durability;

use crate::Result;

/// What a candidate is opened for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// When an append may return.
    pub durability: Durability,
    /// How many sessions there are. One that has no sessions keeps them apart in its own way.
    pub sessions: usize,
    /// How many threads append at the same time.
    pub producers: usize,
}

impl Asked {
    /// One writer, one session.
    pub fn alone(durability: Durability) -> Self {
        Self { durability, sessions: 1, producers: 1 }
    }

    /// Whether more than one producer writes to one session.
    pub fn is_shared(&self) -> bool {
        self.producers > self.sessions
    }
}

/// A log that is open, and gives each producer a way to append.
pub trait Log: Send + Sync {
    /// A way to append to one of its sessions, for one thread.
    fn writer(&self, session: usize) -> Result<Box<dyn Writer>>;
}

/// One producer's way to append.
pub trait Writer: Send {
    /// Returns when the payload is as safe as was asked for.
    fn append(&mut self, payload: &Bytes) -> Result<()>;
}

type Open = fn(&Path, Asked) -> Result<Option<Box<dyn Log>>>;

/// What a candidate stands for in the bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The limit of the machine.
    Limit,
    /// This project.
    Engine,
    /// A lock file, an append, an unlink.
    LockFile,
    /// `SQLite`.
    Sqlite,
    /// One of the log crates that the bar names.
    LogCrate,
    /// Another store, for comparison.
    Other,
}

/// A log that takes part.
#[derive(Clone, Copy)]
pub struct Candidate {
    /// What it stands for.
    pub role: Role,
    /// What tables call it.
    pub name: &'static str,
    /// What a reader of its figures must know; empty for nothing.
    pub told: &'static str,
    /// Opens it in a new folder; none where it has no such mode.
    pub open: Open,
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
