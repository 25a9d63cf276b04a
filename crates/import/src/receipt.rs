//! Receipts: records behind the imported lines that say which bytes of which source they are.

use serde::{Deserialize, Serialize};
use session_journal::{ErrorKind, Item, NewRecord, Reader, Record, RecordRef, Sequence};

use crate::format::Format;

/// The kind of a receipt.
pub const RECEIPT_KIND: &str = "sj.import";

/// What the kinds of the tools' own records begin with. They are no lines, and not exported.
pub const TOOL_KIND_PREFIX: &str = "sj.";

/// What an import took from its source, counted from the source's beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Absolute path of the source.
    pub source: String,
    /// Its file name.
    pub file_name: String,
    /// The id that the source itself states.
    #[serde(default)]
    pub header_id: Option<String>,
    /// Name of the format that it was read as.
    pub format: String,
    /// Bytes of the source that the journal holds.
    pub bytes: u64,
    /// Their SHA-256, in hexadecimal.
    pub sha256: String,
    /// Records that hold them.
    pub records: u64,
    /// How many of those are no JSON objects.
    pub opaque: u64,
    /// The first record since the receipt before.
    pub first_seq: Option<u64>,
    /// The last record since the receipt before.
    pub last_seq: Option<u64>,
    /// The last record, where its line did not end in a line feed.
    #[serde(default)]
    pub unterminated: Option<u64>,
    /// The unterminated record of the receipt before, where the first record of this one is the
    /// rest of its line.
    #[serde(default)]
    pub continues: Option<u64>,
    /// Its one record is the whole source; earlier ones are what it was before.
    #[serde(default)]
    pub whole: bool,
    /// The receipt before.
    #[serde(default)]
    pub previous: Option<u64>,
}

impl Receipt {
    /// The record that keeps it.
    pub(crate) fn to_record(&self) -> NewRecord {
        let json = serde_json::to_vec(self).unwrap_or_default();
        NewRecord::new(json).kind(RECEIPT_KIND)
    }

    /// Reads it back from its record.
    #[must_use]
    pub fn from_record(record: &Record) -> Option<Self> {
        let is_receipt = record.kind.as_deref() == Some(RECEIPT_KIND);
        is_receipt.then(|| serde_json::from_slice(&record.payload).ok())?
    }

    /// The format, where this program knows it.
    pub(crate) fn format(&self) -> Option<Format> {
        self.format.parse().ok()
    }
}

/// Whether a record holds a line, and not a note of a tool.
pub(crate) fn is_line(record: &RecordRef<'_>) -> bool {
    !record.kind.is_some_and(|kind| kind.starts_with(TOOL_KIND_PREFIX))
}

/// What to do where records are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gaps {
    Stop,
    StepOver,
}

/// All receipts of a journal, oldest first, with where they stand. The last one is looked for from
/// the end; each names the one before.
pub(crate) fn receipts(
    reader: &Reader,
    gaps: Gaps,
) -> session_journal::Result<Vec<(Sequence, Receipt)>> {
    let mut all = Vec::new();
    let mut next = last(reader, gaps)?;
    while let Some((sequence, receipt)) = next {
        let previous = receipt.previous.filter(|previous| *previous < sequence.get());
        all.push((sequence, receipt));
        next = match previous {
            Some(previous) => get(reader, Sequence::new(previous), gaps)?,
            None => None,
        };
    }
    all.reverse();
    Ok(all)
}

fn last(reader: &Reader, gaps: Gaps) -> session_journal::Result<Option<(Sequence, Receipt)>> {
    let records: &mut dyn Iterator<Item = session_journal::Result<Record>> = match gaps {
        Gaps::Stop => &mut reader.backwards(),
        Gaps::StepOver => &mut reader.backwards().with_gaps().filter_map(record_of),
    };
    for record in records {
        let record = record?;
        if let Some(receipt) = Receipt::from_record(&record) {
            return Ok(Some((record.sequence, receipt)));
        }
    }
    Ok(None)
}

fn record_of(item: session_journal::Result<Item>) -> Option<session_journal::Result<Record>> {
    match item {
        Ok(Item::Record(record)) => Some(Ok(record)),
        Ok(Item::Gap(_)) => None,
        Err(error) => Some(Err(error)),
    }
}

fn get(
    reader: &Reader,
    at: Sequence,
    gaps: Gaps,
) -> session_journal::Result<Option<(Sequence, Receipt)>> {
    match reader.get(at) {
        Err(error) if error.kind() == ErrorKind::Corrupt && gaps == Gaps::StepOver => Ok(None),
        Err(error) => Err(error),
        Ok(record) => Ok(record.as_ref().and_then(Receipt::from_record).map(|found| (at, found))),
    }
}
