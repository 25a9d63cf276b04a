//! What callers put in and get out: records, marks, gaps.

use bytes::Bytes;

use crate::identity::JournalId;
use crate::position::{Generation, Offset, Sequence};

/// A record to append: payload bytes, and optionally a kind, a key, a parent key and a time.
///
/// A key makes the append idempotent: a key that the journal already holds is not stored again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// The bytes; never looked into.
    pub payload: Bytes,
    /// What kind of record it is, at most 255 bytes. Kinds that begin with `sj.` are the engine's
    /// and its tools' own.
    pub kind: Option<String>,
    /// Unique name within the journal, at most 1,024 bytes.
    pub key: Option<String>,
    /// The key of the record that this one follows, at most 1,024 bytes. It need not exist.
    pub parent: Option<String>,
    /// Milliseconds since the epoch; the time of the append where absent.
    pub time_ms: Option<i64>,
}

impl NewRecord {
    /// A record of these bytes and nothing else.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self { payload: payload.into(), ..Self::default() }
    }

    /// Sets the kind.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// Sets the key.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the key of the parent record.
    #[must_use]
    pub fn parent(mut self, parent: impl Into<String>) -> Self {
        self.parent = Some(parent.into());
        self
    }

    /// Sets the time, in milliseconds since the epoch.
    #[must_use]
    pub fn time_ms(mut self, time_ms: i64) -> Self {
        self.time_ms = Some(time_ms);
        self
    }
}

impl<T: Into<Bytes>> From<T> for NewRecord {
    fn from(payload: T) -> Self {
        Self::new(payload)
    }
}

/// A record as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub sequence: Sequence,
    /// The generation of the owner that wrote it.
    pub generation: Generation,
    /// Where its frame begins.
    pub offset: Offset,
    /// Milliseconds since the epoch.
    pub time_ms: i64,
    /// What kind of record it is.
    pub kind: Option<String>,
    /// Its unique name.
    pub key: Option<String>,
    /// The key of the record that it follows.
    pub parent: Option<String>,
    /// The bytes that were appended.
    pub payload: Bytes,
    /// Checksum of kind, key, parent and payload; with the sequence it makes a [`Mark`].
    pub checksum: u32,
}

/// A record as it stands in the journal, lent by whoever read it. Its fields are those of [`Record`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "`Record` has them")]
pub struct RecordRef<'a> {
    pub sequence: Sequence,
    pub generation: Generation,
    pub offset: Offset,
    pub time_ms: i64,
    pub kind: Option<&'a str>,
    pub key: Option<&'a str>,
    pub parent: Option<&'a str>,
    pub payload: &'a [u8],
    pub checksum: u32,
}

impl RecordRef<'_> {
    /// A record of the caller's own. Its payload is a copy.
    #[must_use]
    pub fn to_record(&self) -> Record {
        self.with_payload(Bytes::copy_from_slice(self.payload))
    }

    #[inline]
    pub(crate) fn with_payload(&self, payload: Bytes) -> Record {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Record {
            sequence: self.sequence,
            generation: self.generation,
            offset: self.offset,
            time_ms: self.time_ms,
            kind: text(self.kind),
            key: text(self.key),
            parent: text(self.parent),
            payload,
            checksum: self.checksum,
        }
    }

    /// The place of this record in its journal.
    #[must_use]
    pub fn mark(&self, journal: JournalId) -> Mark {
        Mark { journal, sequence: self.sequence, checksum: self.checksum }
    }
}

/// A place in a journal: which journal, which record, and the checksum of that record.
///
/// Made by `Journal::mark`, `Session::mark` or [`Record::mark`]. A conditional append compares
/// it with the tail; a reader resumes at it and answers `Diverged` where the journal does not hold
/// that very record (power loss may take records that were written but not durable, and their
/// sequences are then used again).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The journal.
    pub journal: JournalId,
    /// The last record that was seen; zero for none.
    pub sequence: Sequence,
    /// The checksum of that record; zero for none.
    pub checksum: u32,
}

impl Record {
    /// This record, lent.
    #[must_use]
    pub fn lent(&self) -> RecordRef<'_> {
        RecordRef {
            sequence: self.sequence,
            generation: self.generation,
            offset: self.offset,
            time_ms: self.time_ms,
            kind: self.kind.as_deref(),
            key: self.key.as_deref(),
            parent: self.parent.as_deref(),
            payload: &self.payload,
            checksum: self.checksum,
        }
    }

    /// The place of this record in its journal.
    #[must_use]
    pub fn mark(&self, journal: JournalId) -> Mark {
        Mark { journal, sequence: self.sequence, checksum: self.checksum }
    }
}

/// Answer to an append: the record is stored, and how safely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its number.
    pub sequence: Sequence,
    /// The generation that wrote it.
    pub generation: Generation,
    /// Where its frame begins.
    pub offset: Offset,
    /// True when it survives power loss, not only a crash of the process.
    pub durable: bool,
    /// True when its key was there already: nothing was stored, and the other fields tell of the
    /// first record of that key.
    pub duplicate: bool,
}

/// Sequences that are not there any more, between two records or at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first missing record.
    pub first: Sequence,
    /// How many records are missing.
    pub records: u64,
    /// Where the bytes that do not verify begin.
    pub offset: Offset,
    /// How many bytes there are up to the next sound frame.
    pub bytes: u64,
    /// Whether they were ever acknowledged as durable.
    pub verdict: Verdict,
}

/// What a hole in the file means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Never acknowledged as durable: the remains of a write that was cut short.
    Torn,
    /// It was there and durable once, and does not verify any more.
    Corrupt,
}
