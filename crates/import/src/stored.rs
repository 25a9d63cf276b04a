//! What a session holds already of a source: by its receipts, and by its lines where an import was
//! killed before its receipt.

use std::path::{Path, PathBuf};

use session_journal::{ErrorKind, Info, LocalHost, Reader, Sequence, SessionName, info};

use crate::attributes::{Attributes, Standing};
use crate::control::Control;
use crate::copy::Start;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::format::Format;
use crate::lines::{LineError, Place};
use crate::mapper::OPAQUE;
use crate::naming::number;
use crate::object::Object;
use crate::original::{Original, is_there};
use crate::place::{packed, readable};
use crate::receipt::{Gaps, Receipt, is_line, receipts};
use crate::sources::{Facts, source_of};

/// A session that has the name of a source.
pub(crate) struct Stored {
    pub(crate) name: SessionName,
    pub(crate) path: PathBuf,
    reader: Reader,
    receipts: Vec<(Sequence, Receipt)>,
    /// Its newest attributes.
    pub(crate) standing: Option<Standing>,
    /// Which state of its source it would be, where it is not what the source was last.
    pub(crate) next_version: Option<u32>,
    /// Imported records are missing: power was cut before they were synced, whatever their receipt
    /// says.
    has_holes: bool,
}

/// What a session is to a source.
pub(crate) enum Verdict {
    /// It holds exactly these bytes.
    Same(Box<Receipt>),
    /// It holds the beginning of them.
    Beginning(Box<(Start, Loose)>),
    /// It holds something else; why.
    Other(String),
}

/// Lines of the source that stand behind the last receipt: an import was killed.
#[derive(Default)]
pub(crate) struct Loose {
    /// How many records hold them.
    pub(crate) records: u64,
    /// How many of those are no JSON objects.
    pub(crate) opaque: u64,
    /// The first of them.
    pub(crate) first: Option<Sequence>,
    /// The last of them.
    pub(crate) last: Option<Sequence>,
    /// Whether the first of them is the rest of the line that was open.
    pub(crate) is_rest: bool,
    /// Whether the last of them is not a whole line.
    pub(crate) is_open: bool,
    /// How much of the source there is up to there.
    pub(crate) place: Place,
}

impl Stored {
    /// Reads what receipts the session has. `Err(why)` in the inner result where the session is
    /// damaged or no session, so that it can be passed over.
    pub(crate) fn open(name: SessionName, path: PathBuf) -> Result<Result<Self, String>> {
        let read = || {
            let reader = Reader::open(&path)?;
            let receipts = receipts(&reader, Gaps::Stop)?;
            let standing = Attributes::standing(&reader)?;
            let has_holes = has_holes(&info(&path, &LocalHost)?, &receipts);
            Ok((reader, receipts, standing, has_holes))
        };
        match read() {
            Ok((reader, receipts, standing, has_holes)) => {
                let next_version = None;
                Ok(Ok(Self { name, path, reader, receipts, standing, next_version, has_holes }))
            }
            Err(error) => unusable(&path, error).map(Err),
        }
    }

    /// Whether records are missing that nobody took away.
    pub(crate) fn has_holes(&self) -> bool {
        self.has_holes
    }

    /// The last receipt.
    pub(crate) fn receipt(&self) -> Option<&(Sequence, Receipt)> {
        self.receipts.last()
    }

    /// Whether it came from this source.
    pub(crate) fn is_from(&self, original: &Original) -> bool {
        self.source().is_some_and(|source| source == original.place())
            && self.beside(original).is_none()
    }

    /// Which state of its source it is.
    pub(crate) fn version(&self) -> u32 {
        let attributes = self.standing.as_ref().map(|standing| &standing.attributes);
        attributes.map_or_else(|| number(&self.name), |known| known.version(&self.name))
    }

    /// Where its source is, as far as is known: a source that was moved is known again, and its new
    /// place is in the attributes.
    fn source(&self) -> Option<PathBuf> {
        let newest = self.standing.as_ref().map(|standing| standing.attributes.source_path());
        newest.or_else(|| Some(PathBuf::from(&self.receipts.last()?.1.source)))
    }

    /// Why it is another source's: that one is still there, so this one was not moved.
    pub(crate) fn another(&self, original: &Original) -> Option<String> {
        let source = self.source()?;
        let another = if source == original.place() {
            self.beside(original)?
        } else {
            Some(source).filter(|source| is_there(source))?
        };
        Some(format!("was imported from {}, which is still there", readable(another)))
    }

    /// The file that it came from, where this source is another one of the same plain name: one of the
    /// two is packed.
    fn beside(&self, original: &Original) -> Option<PathBuf> {
        let standing = self.standing.as_ref()?;
        let was_packed = standing.attributes.packed.is_some();
        let place = original.place();
        let file = if was_packed { packed(place) } else { place.to_owned() };
        (was_packed != original.is_packed() && file.is_file()).then_some(file)
    }

    /// The offsets that its receipts cover.
    pub(crate) fn offsets(&self) -> impl Iterator<Item = u64> {
        self.receipts.iter().map(|(_, receipt)| receipt.bytes)
    }

    /// The format of its last import.
    pub(crate) fn format(&self) -> Option<Format> {
        self.receipts.last().and_then(|(_, receipt)| receipt.format())
    }

    /// Its last record, as it was when it was looked at.
    pub(crate) fn last_sequence(&self) -> Sequence {
        self.reader.last_sequence()
    }

    /// Whether nothing was ever stored in it.
    pub(crate) fn is_blank(&self) -> bool {
        self.last_sequence() == Sequence::ZERO
    }

    /// What it is to a source.
    pub(crate) fn judge(
        &self,
        original: &Original,
        print: &Fingerprint,
        limit: u64,
        control: &Control,
    ) -> Result<Verdict> {
        let whole = print.whole();
        let sha256 = whole.sha256();
        if self.has_holes {
            return Ok(Verdict::Other("records of it are missing; verify it".to_owned()));
        }
        let is_same = |r: &Receipt| r.bytes == whole.offset && r.sha256 == sha256;
        // Only the last receipt: a source that was cut back to what it once was is not what the
        // session gives back.
        if let Some((_, receipt)) = self.receipts.last().filter(|(_, r)| is_same(r)) {
            if let Some(other) = self.another(original) {
                return Ok(Verdict::Other(other));
            }
            return Ok(Verdict::Same(Box::new(receipt.clone())));
        }
        if self.receipts.last().is_some_and(|(_, receipt)| receipt.whole) {
            return Ok(Verdict::Other("holds a file that was kept whole".to_owned()));
        }
        let start = match self.start(original, print) {
            Ok(start) => start,
            Err(why) => return Ok(Verdict::Other(why)),
        };
        match self.loose(original, &start, limit, control) {
            Ok(Some(loose)) => Ok(Verdict::Beginning(Box::new((start, loose)))),
            Ok(None) if start.previous.is_none() => {
                Ok(Verdict::Other("holds records that did not come from this source".to_owned()))
            }
            // Somebody else's records stand behind the import.
            Ok(None) => Ok(Verdict::Beginning(Box::new((start, Loose::default())))),
            Err(Error::Journal(error)) => unusable(&self.path, error).map(Verdict::Other),
            Err(error) => Err(error),
        }
    }

    /// Where a copy would begin, going by the last receipt; or why there is no going on from it.
    fn start(&self, original: &Original, print: &Fingerprint) -> Result<Start, String> {
        let Some((sequence, receipt)) = self.receipts.last() else { return Ok(Start::default()) };
        let Some(place) = print.at(receipt.bytes) else {
            return Err("the source is shorter than what was imported from it".to_owned());
        };
        if place.sha256() != receipt.sha256 {
            return Err("the source was rewritten since it was imported, or is another".to_owned());
        }
        if let Some(other) = self.another(original) {
            return Err(other);
        }
        let continued = self.receipts.iter().filter(|(_, r)| r.continues.is_some()).count() as u64;
        Ok(Start {
            place: place.clone(),
            records: receipt.records,
            opaque: receipt.opaque,
            lines: receipt.records.saturating_sub(continued),
            open: receipt.unterminated.map(Sequence::new),
            previous: Some(*sequence),
            header_id: receipt.header_id.clone(),
            facts: Facts::default(),
        })
    }

    /// What the lines say about the session that an import left without a receipt.
    pub(crate) fn facts(&self, format: Format, loose: &Loose) -> Result<Facts> {
        let (mut facts, Some((first, last))) = (Facts::default(), loose.first.zip(loose.last))
        else {
            return Ok(Facts::default());
        };
        let mut records = self.reader.records_from(first)?;
        while let Some(record) = records.next_ref() {
            let record = record?;
            if record.sequence > last {
                break;
            }
            if let Some(line) = Object::parse(record.payload).filter(|_| is_line(&record)) {
                source_of(format).learn(&line, &mut facts);
            }
        }
        Ok(facts)
    }

    /// Compares the records behind the last receipt with the source. `None` where they are not all
    /// lines of it.
    fn loose(
        &self,
        original: &Original,
        start: &Start,
        limit: u64,
        control: &Control,
    ) -> Result<Option<Loose>> {
        let after = start.previous.unwrap_or(Sequence::ZERO);
        let mut loose = Loose { place: start.place.clone(), ..Loose::default() };
        if self.last_sequence() <= after {
            return Ok(Some(loose));
        }
        let failed = |error| original.failed("read it", error);
        let mut lines = original.lines_from(start.place.clone(), limit, &control.turns)?;
        loose.is_rest = start.open.is_some() && !lines.skip_line_feed().map_err(failed)?;
        let mut records = self.reader.records_from(after.next())?;
        while let Some(record) = records.next_ref() {
            let record = record?;
            if !is_line(&record) {
                continue;
            }
            let mut before = lines.place().clone();
            let line = match lines.next_line() {
                Ok(line) => line,
                // No record can hold it.
                Err(LineError::TooLong) => return Ok(None),
                Err(LineError::Io(error)) => return Err(failed(error)),
            };
            let Some(line) = line.filter(|line| fits(&line.bytes, record.payload)) else {
                return Ok(None);
            };
            // Only the last record can be a part of a line: it was the end of the source then.
            if loose.is_open {
                return Ok(None);
            }
            loose.is_open = line.bytes.len() > record.payload.len() || !line.terminated;
            loose.place = if loose.is_open {
                before.pass(record.payload);
                before
            } else {
                lines.place().clone()
            };
            loose.records += 1;
            loose.opaque += u64::from(record.kind == Some(OPAQUE));
            loose.first = loose.first.or(Some(record.sequence));
            loose.last = Some(record.sequence);
        }
        Ok(Some(loose))
    }
}

/// Tells the sessions that a source was before the last one which state of it they would be now. So
/// too those of other sources: what was moved over this one is what this one is now.
pub(crate) fn number_versions(stored: &mut [Stored], original: &Original) {
    let own = stored.iter().filter(|one| one.is_from(original));
    let Some(newest) = own.map(Stored::version).max() else { return };
    for one in stored {
        let is_newest = one.version() == newest && one.is_from(original);
        if one.version() <= newest && !is_newest {
            one.next_version = Some(newest + 1);
        }
    }
}

/// Whether some record that a receipt names is known to be missing.
fn has_holes(info: &Info, receipts: &[(Sequence, Receipt)]) -> bool {
    let ranges = receipts.iter().filter_map(|(_, one)| one.first_seq.zip(one.last_seq));
    let ranges: Vec<_> = ranges.collect();
    info.torn.iter().chain(&info.damage).any(|hole| {
        let begin = hole.first.get();
        let end = begin.saturating_add(hole.records_lost);
        ranges.iter().any(|(first, last)| *first < end && begin <= *last)
    })
}

/// Whether a record holds this line, or its beginning.
fn fits(line: &[u8], payload: &[u8]) -> bool {
    line == payload || (!payload.is_empty() && line.starts_with(payload))
}

/// Why a session is passed over; or the error itself where passing over would hide a trouble that
/// may pass.
fn unusable(path: &Path, error: session_journal::Error) -> Result<String> {
    match error.kind() {
        ErrorKind::Corrupt => Ok("is damaged; verify it".to_owned()),
        ErrorKind::NotAJournal => Ok(format!("{} is no journal", path.display())),
        _ => Err(error.into()),
    }
}
