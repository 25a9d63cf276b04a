//! What an import did, per source and in all.

use std::path::{Path, PathBuf};
use std::time::Duration;

use session_journal::SessionName;

use crate::attributes::Attributes;
use crate::damage::Damage;
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
    /// It is no session; the reason says why.
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

    const fn reason(self) -> &'static str {
        match self {
            Self::Imported => "it was not here before",
            Self::Unchanged => "its session holds exactly these bytes",
            Self::Extended => "it grew since it was imported",
            Self::Empty => "it has no bytes; its session is there, and empty",
            Self::Skipped => "it is no session",
            Self::Failed => "it could not be imported",
        }
    }
}

/// What became of one source. The figures describe the whole source as its session holds it.
#[derive(Debug)]
pub struct SourceReport {
    /// The file, as it was named or found; a session in a database is named below it.
    pub source: PathBuf,
    /// Its session.
    pub session: Option<SessionName>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
    /// What to do next.
    pub next: String,
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
    /// How many of these are in records.
    pub added_payload: u64,
    /// How many of these are line feeds, which stand between records.
    pub added_line_feeds: u64,
    /// Whether a second export gave it back, byte for byte; `None` where nobody asked.
    pub verified: Option<bool>,
    /// What is odd about its lines; of lines that this run read.
    pub damage: Vec<Damage>,
    /// What is worth knowing about it, the damage included.
    pub warnings: Vec<String>,
    /// What is known of its session beside the lines.
    pub attributes: Option<Attributes>,
    /// Why it failed.
    pub error: Option<Error>,
}

impl SourceReport {
    pub(crate) fn new(source: &Path, outcome: Outcome) -> Self {
        Self {
            source: source.to_owned(),
            session: None,
            outcome,
            reason: outcome.reason().to_owned(),
            next: String::new(),
            format: None,
            records: 0,
            bytes: 0,
            opaque: 0,
            sha256: None,
            added_records: 0,
            added_bytes: 0,
            added_payload: 0,
            added_line_feeds: 0,
            verified: None,
            damage: Vec::new(),
            warnings: Vec::new(),
            attributes: None,
            error: None,
        }
    }

    pub(crate) fn skipped(source: &Path, reason: String, next: String, bytes: u64) -> Self {
        let warnings = vec![reason.clone()];
        Self { reason, next, bytes, warnings, ..Self::new(source, Outcome::Skipped) }
    }

    pub(crate) fn failed(source: &Path, error: Error) -> Self {
        Self {
            reason: error.to_string(),
            next: error.next(source),
            warnings: vec![error.to_string()],
            error: Some(error),
            ..Self::new(source, Outcome::Failed)
        }
    }

    pub(crate) fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..self }
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
    /// Bytes of all sources that are in sessions.
    pub bytes: u64,
    /// Bytes of the files that are no sessions.
    pub skipped_bytes: u64,
    /// How many of the records this run added.
    pub added_records: u64,
    /// How many of the bytes this run added.
    pub added_bytes: u64,
    /// How many of these are in records.
    pub added_payload: u64,
    /// How many of these are line feeds between records.
    pub added_line_feeds: u64,
    /// Sources that a second export gave back, byte for byte.
    pub verified: u64,
    /// How long it took.
    pub time: Duration,
}

impl Summary {
    /// Whether every byte that was read is in a record, or is a line feed between two.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        self.added_bytes == self.added_payload + self.added_line_feeds
    }

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
        if report.outcome == Outcome::Skipped {
            self.skipped_bytes += report.bytes;
        } else {
            self.bytes += report.bytes;
        }
        self.records += report.records;
        self.added_records += report.added_records;
        self.added_bytes += report.added_bytes;
        self.added_payload += report.added_payload;
        self.added_line_feeds += report.added_line_feeds;
        self.verified += u64::from(report.verified == Some(true));
    }
}
