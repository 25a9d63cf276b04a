//! Copies the lines of a source to a journal, from where the last import stopped.

use session_journal::{Durability, Journal, Sequence};

use crate::attributes::Attributes;
use crate::batch::{Batch, foreign};
use crate::control::Control;
use crate::damage::Damage;
use crate::error::{Error, Problem, Result};
use crate::format::Format;
use crate::lines::{LineError, Place};
use crate::mapper::Mapper;
use crate::naming::file_name;
use crate::original::Original;
use crate::place::readable;
use crate::receipt::Receipt;
use crate::sources::{Facts, source_of};

/// What is said of a source whose last line may be about to grow.
pub(crate) const NO_LINE_FEED: &str = "the last line has no line feed";

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
    /// What the lines say that are stored and were never signed for.
    pub(crate) facts: Facts,
}

/// What a copy did.
pub(crate) struct Copied {
    pub(crate) receipt: Receipt,
    pub(crate) added_records: u64,
    pub(crate) added_bytes: u64,
    /// How many of the bytes are line feeds, which stand between records and not in them.
    pub(crate) added_line_feeds: u64,
    /// How many of them are in records.
    pub(crate) added_payload: u64,
    pub(crate) facts: Facts,
    pub(crate) damage: Vec<Damage>,
    pub(crate) warnings: Vec<String>,
}

impl Copied {
    /// Nothing, up to this receipt.
    pub(crate) fn nothing(receipt: Receipt) -> Self {
        Self {
            receipt,
            added_records: 0,
            added_bytes: 0,
            added_line_feeds: 0,
            added_payload: 0,
            facts: Facts::default(),
            damage: Vec::new(),
            warnings: Vec::new(),
        }
    }
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
    // Before the lines: one reader at a time.
    let mut begin = match start.open {
        Some(_) => Some(original.line_up_to(start.place.offset)?),
        None => None,
    };
    let mut lines = original.lines_from(start.place.clone(), limit, &control.turns)?;
    let mut open = start.open;
    let mut line_feeds = 0;
    if open.is_some() && lines.skip_line_feed().map_err(|e| original.failed("read it", e))? {
        (open, begin) = (None, None);
        line_feeds = 1;
    }
    let lines_before = start.lines.saturating_sub(u64::from(open.is_some()));
    let mut mapper = Mapper::new(source_of(format), original.role(), lines_before);
    mapper.facts = start.facts;
    let (mut is_terminated, mut payload) = (true, 0);
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
        line_feeds += u64::from(line.terminated);
        payload += line.bytes.len() as u64;
        batch.push(match begin.take() {
            Some(begin) => mapper.rest(&begin, line),
            None => mapper.record(line),
        })?;
        if lines.is_long() {
            // Others wait for its memory.
            batch.flush()?;
        }
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
        header_id: start.header_id.or_else(|| mapper.facts.header_id.clone()),
        first_seq: batch.first.map(Sequence::get),
        last_seq: batch.last.map(Sequence::get),
        unterminated: unterminated.map(Sequence::get),
        continues: continues.map(Sequence::get),
        previous: start.previous.map(Sequence::get),
        ..blank(original, format, lines.place())
    };
    let damage = mapper.damages.into_all();
    let kept = |damage: &Damage| if damage.what.is_opaque() { ", kept as it is" } else { "" };
    let mut warnings: Vec<_> =
        damage.iter().map(|damage| format!("{damage}{}", kept(damage))).collect();
    if !is_terminated {
        warnings.push(NO_LINE_FEED.to_owned());
    }
    if continues.is_some() {
        warnings.push("the last line had grown; its two parts are two records".to_owned());
    }
    Ok(Copied {
        receipt,
        added_records,
        added_bytes,
        added_line_feeds: line_feeds,
        added_payload: payload,
        facts: mapper.facts,
        damage,
        warnings,
    })
}

/// Closes an import. It is durable, and everything before it, when the journal is closed.
pub(crate) fn sign(
    journal: &mut Journal,
    receipt: &Receipt,
    attributes: Option<(u64, &Attributes)>,
) -> Result<Option<Sequence>> {
    let attributes = attributes.map(|(number, attributes)| attributes.to_record(number));
    // The receipt comes last: it is looked for from the end.
    let records: Vec<_> = attributes.into_iter().chain([receipt.to_record()]).collect();
    let appended = journal.append_all(&records, &foreign(Durability::Written))?;
    Ok(appended.last().map(|one| one.sequence))
}

/// A receipt with what the source itself says, up to this place.
pub(crate) fn blank(original: &Original, format: Format, place: &Place) -> Receipt {
    Receipt {
        source: readable(original.place()),
        file_name: file_name(original.place()),
        format: format.to_string(),
        bytes: place.offset,
        sha256: place.sha256(),
        ..Receipt::default()
    }
}

fn too_long(original: &Original, line: u64, limit: u64) -> Error {
    Error::file(original.path(), Problem::LineTooLong { line, limit })
}
