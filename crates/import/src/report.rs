//! What an import did, per source and in all.

use std::path::{Path, PathBuf};
use std::time::Duration;

use session_journal::SessionName;

use crate::error::Error;
use crate::format::Format;

/// What became of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It is a new session now.
    Imported,
    /// Its session has all of it already.
    Unchanged,
    /// Its session was there, and got the rest of it.
    Extended,
    /// It is a new session without records, for it has no bytes.
    Empty,
    /// It is no session; a warning says why.
    Skipped,
    /// It could not be imported; the error says why.
    Failed,
}

impl Outcome {
    /// The word for it in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Imported => "imported",
            Self::Unchanged => "unchanged",
            Self::Extended => "extended",
            Self::Empty => "empty",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// What became of one source. The figures describe the whole source as its session holds it.
#[derive(Debug)]
pub struct SourceReport {
    /// The file, as it was named or found.
    pub source: PathBuf,
    /// Its session.
    pub session: Option<SessionName>,
    /// What became of it.
    pub outcome: Outcome,
    /// What it was read as.
    pub format: Option<Format>,
    /// Records that hold its lines.
    pub records: u64,
    /// Its bytes.
    pub bytes: u64,
    /// How many of the records are no JSON objects.
    pub opaque: u64,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: Option<String>,
    /// Records that this run added.
    pub added_records: u64,
    /// Bytes of the source that this run added.
    pub added_bytes: u64,
    /// What is worth knowing about it.
    pub warnings: Vec<String>,
    /// Why it failed.
    pub error: Option<Error>,
}

impl SourceReport {
    pub(crate) fn new(source: &Path, outcome: Outcome) -> Self {
        Self {
            source: source.to_owned(),
            session: None,
            outcome,
            format: None,
            records: 0,
            bytes: 0,
            opaque: 0,
            sha256: None,
            added_records: 0,
            added_bytes: 0,
            warnings: Vec::new(),
            error: None,
        }
    }

    pub(crate) fn skipped(source: &Path, reason: String) -> Self {
        Self { warnings: vec![reason], ..Self::new(source, Outcome::Skipped) }
    }

    pub(crate) fn failed(source: &Path, error: Error) -> Self {
        Self {
            warnings: vec![error.to_string()],
            error: Some(error),
            ..Self::new(source, Outcome::Failed)
        }
    }
}

/// What an import did in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Sources met.
    pub sources: u64,
    /// New sessions.
    pub imported: u64,
    /// Sources whose session had all of them.
    pub unchanged: u64,
    /// Sessions that got the rest of their source.
    pub extended: u64,
    /// New sessions without records.
    pub empty: u64,
    /// Files that are no sessions.
    pub skipped: u64,
    /// Sources that could not be imported.
    pub failed: u64,
    /// Records that hold the lines of all sources.
    pub records: u64,
    /// Bytes of all sources.
    pub bytes: u64,
    /// How many of the records this run added.
    pub added_records: u64,
    /// How many of the bytes this run added.
    pub added_bytes: u64,
    /// How long it took.
    pub time: Duration,
}

impl Summary {
    pub(crate) fn count(&mut self, report: &SourceReport) {
        self.sources += 1;
        *match report.outcome {
            Outcome::Imported => &mut self.imported,
            Outcome::Unchanged => &mut self.unchanged,
            Outcome::Extended => &mut self.extended,
            Outcome::Empty => &mut self.empty,
            Outcome::Skipped => &mut self.skipped,
            Outcome::Failed => &mut self.failed,
        } += 1;
        self.records += report.records;
        self.bytes += report.bytes;
        self.added_records += report.added_records;
        self.added_bytes += report.added_bytes;
    }
}
