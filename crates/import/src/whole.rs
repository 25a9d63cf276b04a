//! Files that are kept whole: a record for each version that was met, and a receipt behind it.

use std::io::Read;

use bytes::Bytes;
use session_journal::{Journal, NewRecord, Sequence};

use crate::attempt::{Attempt, Candidates};
use crate::attributes::Attributes;
use crate::batch::foreign;
use crate::control::Control;
use crate::copy::{Copied, blank};
use crate::error::{Error, Problem, Result};
use crate::format::Format;
use crate::lines;
use crate::object::Object;
use crate::original::Original;
use crate::receipt::Receipt;
use crate::report::{Outcome, SourceReport};
use crate::role::Role;
use crate::sources::{Facts, Registry, source_of};
use crate::stored::Stored;
use crate::turn::{LONG_LINE, Turn};

/// How much is read between two looks at whether to stop. A longer file waits for its turn.
const CHUNK_BYTES: u64 = LONG_LINE;

/// How many entries a warning names.
const NAMED_MAX: usize = 8;

/// What a session is to a file.
enum Verdict {
    /// Its newest version is exactly these bytes.
    Same(Box<Receipt>),
    /// Its newest version is older.
    Older(Place),
    /// It is another file's; why.
    Other(String),
}

/// Where the next version goes.
struct Place {
    records: u64,
    previous: Option<u64>,
}

/// A file as it is now.
struct Version<'a> {
    receipt: Receipt,
    facts: Facts,
    bytes: &'a Bytes,
}

impl Attempt<'_> {
    /// A file that is kept whole: a record for each version, in one session.
    pub(crate) fn run_whole(&self) -> Result<Option<SourceReport>> {
        // Others wait for the memory of a long file until it is stored.
        let (bytes, _turn) = read(self.original, self.limit(), &self.import.control)?;
        let mut report = self.keep_whole(&bytes)?;
        if let Some(report) = &mut report {
            report.warnings.extend(registry_warnings(self.original, &bytes));
        }
        Ok(report)
    }

    fn keep_whole(&self, bytes: &Bytes) -> Result<Option<SourceReport>> {
        let Candidates { stored, mut reasons, free } = self.candidates()?;
        let format = self.format(None)?;
        let facts = learn(format, bytes);
        let receipt = receipt(self.original, format, bytes, &facts);
        let mine = stored.iter().find(|one| one.is_from(self.original));
        for one in stored.iter().filter(|one| mine.is_none_or(|mine| mine.name == one.name)) {
            match one.judge_whole(self.original, &receipt) {
                Verdict::Same(receipt) => return self.unchanged(one, &receipt).map(Some),
                Verdict::Older(place) => {
                    let version = Version { receipt, facts, bytes };
                    return self.replace(one, version, &place);
                }
                Verdict::Other(why) => reasons.push(format!("session {}: {why}", one.name)),
            }
        }
        if self.import.options.dry_run {
            let copied = copied(receipt, facts, bytes);
            return Ok(Some(self.created(&free, copied, reasons)));
        }
        let Some(mut journal) = self.make(&free)? else { return Ok(None) };
        let attributes = self.attributes(format, &facts, None);
        let stored = store(&mut journal, receipt, bytes, Some((1, &attributes)));
        let receipt = self.settled(journal, stored)?;
        let mut report = self.created(&free, copied(receipt, facts, bytes), reasons);
        report.attributes = Some(attributes);
        Ok(Some(report))
    }

    /// A file that is kept whole, and was written anew.
    fn replace(
        &self,
        stored: &Stored,
        Version { receipt, facts, bytes }: Version<'_>,
        place: &Place,
    ) -> Result<Option<SourceReport>> {
        let receipt = Receipt { records: place.records + 1, previous: place.previous, ..receipt };
        let format = self.format(None)?;
        let (number, attributes) = self.next_attributes(stored, format, &facts);
        let receipt = if self.import.options.dry_run {
            receipt
        } else {
            let mut journal = Journal::open(&stored.path, &self.import.options.journal)?;
            if journal.last_sequence() != stored.last_sequence() {
                journal.close()?;
                return Ok(None);
            }
            let attributes = number.map(|number| (number, &attributes));
            let done = store(&mut journal, receipt, bytes, attributes);
            let closed = journal.close();
            let receipt = done?;
            closed?;
            receipt
        };
        let copied = copied(receipt, facts, bytes);
        let mut report = if stored.is_blank() {
            // An import was killed before the first version.
            self.created(&stored.name, copied, Vec::new())
        } else {
            let reason = "the file was written anew; its session has the older ones too";
            self.copied(Outcome::Extended, &stored.name, copied).because(reason)
        };
        report.attributes = Some(attributes);
        Ok(Some(report))
    }
}

/// The bytes of a file, and the turn of a long one.
fn read<'a>(
    original: &Original,
    limit: u64,
    control: &'a Control,
) -> Result<(Bytes, Option<Turn<'a>>)> {
    let mut input = original.read_from(0)?;
    let (mut bytes, mut turn) = (Vec::new(), None);
    loop {
        control.check(original.path())?;
        let read = (&mut input).take(CHUNK_BYTES).read_to_end(&mut bytes);
        let read = read.map_err(|error| original.failed("read it", error))?;
        control.advance(read as u64);
        if bytes.len() as u64 > limit {
            return Err(Error::file(original.path(), Problem::TooLong { limit }));
        }
        if read == 0 {
            return Ok((bytes.into(), turn));
        }
        if turn.is_none() && bytes.len() as u64 >= LONG_LINE {
            turn = Some(control.turns.take());
        }
    }
}

/// What a receipt says of a file, before it is known where its record stands.
fn receipt(original: &Original, format: Format, bytes: &[u8], facts: &Facts) -> Receipt {
    let mut place = lines::Place::default();
    place.pass(bytes);
    let header_id = facts.header_id.clone();
    let records = u64::from(!bytes.is_empty());
    Receipt { records, header_id, whole: true, ..blank(original, format, &place) }
}

/// What a file says about its session, where it is one JSON object.
fn learn(format: Format, bytes: &[u8]) -> Facts {
    let mut facts = Facts::default();
    if let Some(object) = Object::parse(bytes) {
        source_of(format).learn(&object, &mut facts);
    }
    facts
}

/// What is worth knowing about a registry: whether it can be read, and which of its files are there.
fn registry_warnings(original: &Original, bytes: &[u8]) -> Vec<String> {
    if original.role() != Role::Registry {
        return Vec::new();
    }
    let Some(registry) = Registry::parse(bytes) else {
        let what = "is no JSON object; its sessions are imported without what it would tell";
        return vec![what.to_owned()];
    };
    let is_missing = |file: &String| !original.place().with_file_name(file).exists();
    let missing = registry.files().filter(|(_, file)| is_missing(file));
    let mut named: Vec<_> = missing.map(|(key, file)| format!("{key} ({file})")).collect();
    if named.is_empty() {
        return Vec::new();
    }
    let count = named.len();
    named.truncate(NAMED_MAX);
    let more = if count > NAMED_MAX { ", …" } else { "" };
    vec![format!(
        "{count} of its entries name files that are not there: {}{more}",
        named.join(", ")
    )]
}

/// Appends a version and its receipt, both or neither. They are durable when the journal is closed.
fn store(
    journal: &mut Journal,
    receipt: Receipt,
    bytes: &Bytes,
    attributes: Option<(u64, &Attributes)>,
) -> Result<Receipt> {
    let mut receipt = receipt;
    let mut records = Vec::new();
    if !bytes.is_empty() {
        let here = journal.last_sequence().next().get();
        (receipt.first_seq, receipt.last_seq) = (Some(here), Some(here));
        receipt.unterminated = Some(here);
        records.push(NewRecord::new(bytes.clone()).kind(receipt.format.clone()));
    }
    records.extend(attributes.map(|(number, attributes)| attributes.to_record(number)));
    records.push(receipt.to_record());
    journal.append_all(&records, &foreign(session_journal::Durability::Written))?;
    Ok(receipt)
}

/// What storing a version did.
fn copied(receipt: Receipt, facts: Facts, bytes: &[u8]) -> Copied {
    let bytes = bytes.len() as u64;
    let added_records = u64::from(bytes > 0);
    Copied {
        added_records,
        added_bytes: bytes,
        added_payload: bytes,
        facts,
        ..Copied::nothing(receipt)
    }
}

impl Stored {
    /// What it is to a file that is kept whole.
    fn judge_whole(&self, original: &Original, now: &Receipt) -> Verdict {
        let Some((sequence, receipt)) = self.receipt() else {
            return match self.last_sequence() {
                // An import was killed before the first version.
                Sequence::ZERO => Verdict::Older(Place { records: 0, previous: None }),
                _ => Verdict::Other("holds records that did not come from this source".to_owned()),
            };
        };
        if !receipt.whole {
            return Verdict::Other("holds lines, and this is kept whole".to_owned());
        }
        if let Some(why) = self.another(original) {
            return Verdict::Other(why);
        }
        let is_same = (receipt.bytes, &receipt.sha256) == (now.bytes, &now.sha256);
        if is_same && !self.has_holes() {
            return Verdict::Same(Box::new(receipt.clone()));
        }
        Verdict::Older(Place { records: receipt.records, previous: Some(sequence.get()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::Spec;
    use crate::sources::Copies;

    #[test]
    fn a_long_file_has_its_turn_until_it_is_stored_and_a_short_one_needs_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, control) = (folder.path().join("a.json"), Control::default());
        for (length, is_long) in [(0, false), (CHUNK_BYTES - 1, false), (CHUNK_BYTES + 1, true)] {
            let bytes = vec![b'x'; usize::try_from(length).expect("fits")];
            std::fs::write(&path, &bytes).expect("writes");
            let original = Original::open(&Spec::named(&path, length), &Copies::default());
            let kept = read(&original.expect("opens"), u64::MAX, &control).expect("reads");
            assert_eq!((kept.0 == bytes, control.turns.is_taken()), (true, is_long), "{length}");
            drop(kept);
            assert!(!control.turns.is_taken());
        }
    }
}
