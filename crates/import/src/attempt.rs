//! One attempt at one source: look at the sessions of its name, decide, and do it.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use session_journal::{ErrorKind, Journal, Sequence, SessionName};

use crate::copy::{Copied, Start, blank, copy, sign};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::format::Format;
use crate::import::Import;
use crate::naming::numbered;
use crate::original::Original;
use crate::receipt::Receipt;
use crate::report::{Outcome, SourceReport};
use crate::stored::{Loose, Stored, Verdict};

/// An attempt at a source that is open.
pub(crate) struct Attempt<'a> {
    pub(crate) import: &'a Import,
    pub(crate) original: &'a Original,
    pub(crate) name: &'a SessionName,
}

/// The sessions of one name, and the first name that is free.
struct Candidates {
    stored: Vec<Stored>,
    reasons: Vec<String>,
    free: SessionName,
}

impl Attempt<'_> {
    /// Imports the source as it is now. `None` where a session changed meanwhile: try again.
    pub(crate) fn run(&self) -> Result<Option<SourceReport>> {
        let Candidates { stored, mut reasons, free } = self.candidates()?;
        if stored.is_empty() {
            return self.create(&free, reasons);
        }
        let offsets = stored.iter().flat_map(Stored::offsets);
        let print = Fingerprint::of(self.original, offsets, &self.import.control)?;
        let mut beginning = None;
        for one in stored {
            match one.judge(self.original, &print, self.limit())? {
                Verdict::Same(receipt) => return Ok(Some(self.unchanged(&one.name, &receipt))),
                Verdict::Beginning(start, loose) => {
                    beginning = beginning.or(Some((one, start, loose)));
                }
                Verdict::Other(why) => reasons.push(format!("session {}: {why}", one.name)),
            }
        }
        match beginning {
            Some((stored, start, loose)) => {
                let mut report = self.go_on(&stored, start, loose, print.whole().offset)?;
                if let Some(report) = &mut report {
                    report.warnings.extend(other_than(&stored.name, self.name, reasons));
                }
                Ok(report)
            }
            None => self.create(&free, reasons),
        }
    }

    fn candidates(&self) -> Result<Candidates> {
        let (mut stored, mut reasons) = (Vec::new(), Vec::new());
        let mut number = 1;
        loop {
            let name = numbered(self.name, number, self.original.path())?;
            let path = self.path_of(&name);
            if path.symlink_metadata().is_err() {
                return Ok(Candidates { stored, reasons, free: name });
            }
            match Stored::open(name.clone(), path)? {
                Ok(one) => stored.push(one),
                Err(why) => reasons.push(format!("session {name}: {why}")),
            }
            number += 1;
        }
    }

    fn path_of(&self, name: &SessionName) -> PathBuf {
        self.import.folder.join(name.relative_path())
    }

    fn unchanged(&self, name: &SessionName, receipt: &Receipt) -> SourceReport {
        self.report(Outcome::Unchanged, name, receipt)
    }

    /// A new session.
    fn create(&self, name: &SessionName, reasons: Vec<String>) -> Result<Option<SourceReport>> {
        let format = self.format(None)?;
        let copied = if self.import.options.dry_run {
            self.copy(format, Start::default(), None)?
        } else {
            let path = self.path_of(name);
            make_folder(&self.import.folder, &path)?;
            let journal = match Journal::create(&path, name, &self.import.options.journal) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(None),
                created => created?,
            };
            self.fill(journal, format)?
        };
        let is_empty = copied.receipt.bytes == 0;
        let outcome = if is_empty { Outcome::Empty } else { Outcome::Imported };
        let mut report = self.copied(outcome, name, copied);
        report.warnings.extend(other_than(name, self.name, reasons));
        Ok(Some(report))
    }

    /// Fills a new session; takes it back where the source cannot be read to its end.
    fn fill(&self, mut journal: Journal, format: Format) -> Result<Copied> {
        let copied = self.copy(format, Start::default(), Some(&mut journal));
        let signed = copied.and_then(|copied| sign(&mut journal, &copied.receipt).map(|_| copied));
        let cleaned = match &signed {
            Err(error) if !error.is_interrupted() => journal.delete(),
            _ => journal.close(),
        };
        let copied = signed?;
        cleaned?;
        Ok(copied)
    }

    /// The rest of a source whose beginning is stored.
    fn go_on(
        &self,
        stored: &Stored,
        start: Start,
        loose: Loose,
        bytes: u64,
    ) -> Result<Option<SourceReport>> {
        let outcome = match (stored.is_blank(), bytes) {
            (true, 0) => Outcome::Empty,
            (true, _) => Outcome::Imported,
            (false, _) => Outcome::Extended,
        };
        let format = self.format(stored.format())?;
        let was_cut = loose.records > 0;
        let copied = if self.import.options.dry_run {
            let (start, _) = self.take_up(start, loose, format);
            self.copy(format, start, None)?
        } else {
            let mut journal = Journal::open(&stored.path, &self.import.options.journal)?;
            if journal.last_sequence() != stored.last_sequence() {
                journal.close()?;
                return Ok(None);
            }
            let copied = self.append_rest(&mut journal, format, start, loose, bytes);
            let closed = journal.close();
            let copied = copied?;
            closed?;
            copied
        };
        let mut report = self.copied(outcome, &stored.name, copied);
        if was_cut {
            report.warnings.push("an import was cut short before; went on from there".to_owned());
        }
        Ok(Some(report))
    }

    fn append_rest(
        &self,
        journal: &mut Journal,
        format: Format,
        start: Start,
        loose: Loose,
        bytes: u64,
    ) -> Result<Copied> {
        let (mut start, receipt) = self.take_up(start, loose, format);
        if let Some(receipt) = receipt {
            start.previous = sign(journal, &receipt)?;
            if start.place.offset == bytes {
                let (added_records, added_bytes, warnings) = (0, 0, Vec::new());
                return Ok(Copied { receipt, added_records, added_bytes, warnings });
            }
        }
        let copied = self.copy(format, start, Some(journal))?;
        sign(journal, &copied.receipt)?;
        Ok(copied)
    }

    /// Takes up the lines that an import left without a receipt: the receipt that they lack, and
    /// the start behind them.
    fn take_up(&self, start: Start, loose: Loose, format: Format) -> (Start, Option<Receipt>) {
        if loose.records == 0 {
            return (start, None);
        }
        let open = loose.last.filter(|_| loose.is_open);
        let continues = start.open.filter(|_| loose.is_rest);
        let next = Start {
            records: start.records + loose.records,
            opaque: start.opaque + loose.opaque,
            lines: start.lines + loose.records - u64::from(continues.is_some()),
            open,
            place: loose.place,
            ..start
        };
        let receipt = Receipt {
            records: next.records,
            opaque: next.opaque,
            header_id: next.header_id.clone(),
            first_seq: loose.first.map(Sequence::get),
            last_seq: loose.last.map(Sequence::get),
            unterminated: open.map(Sequence::get),
            continues: continues.map(Sequence::get),
            previous: next.previous.map(Sequence::get),
            ..blank(self.original, format, &next.place)
        };
        (next, Some(receipt))
    }

    fn copy(&self, format: Format, start: Start, journal: Option<&mut Journal>) -> Result<Copied> {
        copy(self.original, format, start, journal, self.limit(), &self.import.control)
    }

    /// The longest line that a record can hold.
    fn limit(&self) -> u64 {
        self.import.options.journal.record_bytes_max
    }

    fn format(&self, stored: Option<Format>) -> Result<Format> {
        match self.import.options.format.or(stored) {
            Some(format) => Ok(format),
            None => self.original.recognise(),
        }
    }

    fn copied(&self, outcome: Outcome, name: &SessionName, copied: Copied) -> SourceReport {
        SourceReport {
            added_records: copied.added_records,
            added_bytes: copied.added_bytes,
            warnings: copied.warnings,
            ..self.report(outcome, name, &copied.receipt)
        }
    }

    fn report(&self, outcome: Outcome, name: &SessionName, receipt: &Receipt) -> SourceReport {
        SourceReport {
            session: Some(name.clone()),
            format: receipt.format(),
            records: receipt.records,
            bytes: receipt.bytes,
            opaque: receipt.opaque,
            sha256: Some(receipt.sha256.clone()),
            ..SourceReport::new(self.original.path(), outcome)
        }
    }
}

/// The reasons for a name with a number, to be told where it has one.
fn other_than(name: &SessionName, plain: &SessionName, reasons: Vec<String>) -> Vec<String> {
    if name == plain { Vec::new() } else { reasons }
}

/// Makes the folder of a journal, for this user only, as the store does.
fn make_folder(store: &Path, path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(store);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Error::io(folder, "make the folder", error))?;
    // The engine syncs the folder of the journal; the entry of that folder is ours.
    let synced = std::fs::File::open(store).and_then(|store| store.sync_all());
    synced.map_err(|error| Error::io(store, "sync the folder", error))
}
