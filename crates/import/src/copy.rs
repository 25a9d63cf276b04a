//! Copies the lines of a source to a journal, from where the last import stopped.

use session_journal::{Durability, Journal, Sequence};

use crate::batch::{Batch, foreign};
use crate::control::Control;
use crate::error::{Error, Problem, Result};
use crate::format::Format;
use crate::lines::{LineError, Place};
use crate::mapper::Mapper;
use crate::naming::file_name;
use crate::original::Original;
use crate::receipt::Receipt;
use crate::sources::source_of;

/// Where a copy begins: behind what the journal holds already.
#[derive(Clone, Default)]
pub(crate) struct Start {
    /// How much of the source that is.
    pub(crate) place: Place,
    /// Records that hold it.
    pub(crate) records: u64,
    /// How many of those are no JSON objects.
    pub(crate) opaque: u64,
    /// How many lines they are.
    pub(crate) lines: u64,
    /// The last record, where its line had no line feed yet.
    pub(crate) open: Option<Sequence>,
    /// The last receipt.
    pub(crate) previous: Option<Sequence>,
    /// The id that the source stated.
    pub(crate) header_id: Option<String>,
}

/// What a copy did.
pub(crate) struct Copied {
    pub(crate) receipt: Receipt,
    pub(crate) added_records: u64,
    pub(crate) added_bytes: u64,
    pub(crate) warnings: Vec<String>,
}

/// Copies the rest of a source, without its receipt; without a journal it only counts.
pub(crate) fn copy(
    original: &Original,
    format: Format,
    start: Start,
    journal: Option<&mut Journal>,
    limit: u64,
    control: &Control,
) -> Result<Copied> {
    let mut batch = Batch::new(journal);
    let mut lines = original.lines_from(start.place.clone(), limit)?;
    let mut open = start.open;
    if open.is_some() && lines.skip_line_feed().map_err(|e| original.failed("read it", e))? {
        open = None;
    }
    let lines_before = start.lines.saturating_sub(u64::from(open.is_some()));
    let mut mapper = Mapper::new(source_of(format), lines_before);
    let mut is_terminated = true;
    loop {
        control.check(original.path())?;
        let from = lines.place().offset;
        let line = lines.next_line().map_err(|error| match error {
            LineError::TooLong => too_long(original, lines_before + batch.records + 1, limit),
            LineError::Io(error) => original.failed("read it", error),
        })?;
        let Some(line) = line else { break };
        control.advance(lines.place().offset - from);
        is_terminated = line.terminated;
        batch.push(mapper.record(line.bytes))?;
    }
    batch.flush()?;
    let continues = open.filter(|_| batch.records > 0);
    let unterminated = match batch.records {
        0 => open,
        _ => batch.last.filter(|_| !is_terminated),
    };
    let added_bytes = lines.place().offset - start.place.offset;
    let added_records = batch.records;
    let receipt = Receipt {
        records: start.records + added_records,
        opaque: start.opaque + mapper.opaque,
        header_id: start.header_id.or(mapper.header_id),
        first_seq: batch.first.map(Sequence::get),
        last_seq: batch.last.map(Sequence::get),
        unterminated: unterminated.map(Sequence::get),
        continues: continues.map(Sequence::get),
        previous: start.previous.map(Sequence::get),
        ..blank(original, format, lines.place())
    };
    let mut warnings: Vec<_> = mapper.notes.sentences().collect();
    if !is_terminated {
        warnings.push("the last line has no line feed".to_owned());
    }
    if continues.is_some() {
        warnings.push("the last line had grown; its two parts are two records".to_owned());
    }
    Ok(Copied { receipt, added_records, added_bytes, warnings })
}

/// Closes an import: one durable append, and with it everything before.
pub(crate) fn sign(journal: &mut Journal, receipt: &Receipt) -> Result<Option<Sequence>> {
    let appended = journal.append_all(&[receipt.to_record()], &foreign(Durability::Durable))?;
    Ok(appended.first().map(|one| one.sequence))
}

/// A receipt with what the source itself says, up to this place.
pub(crate) fn blank(original: &Original, format: Format, place: &Place) -> Receipt {
    Receipt {
        source: original.place().to_string_lossy().into_owned(),
        file_name: file_name(original.place()),
        format: format.to_string(),
        bytes: place.offset,
        sha256: place.sha256(),
        modified_ms: Some(original.modified_ms()),
        ..Receipt::default()
    }
}

fn too_long(original: &Original, line: u64, limit: u64) -> Error {
    Error::file(original.path(), Problem::LineTooLong { line, limit })
}
