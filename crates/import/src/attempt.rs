//! One attempt at one source: look at the sessions of its name, decide, and do it.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use session_journal::storage::Staging;
use session_journal::{
    ErrorKind, Generation, Journal, LocalHost, Options, Sequence, SessionName, info,
};

use crate::attributes::Attributes;
use crate::batch::foreign;
use crate::copy::{Copied, Start, blank, copy, sign};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::format::Format;
use crate::import::Import;
use crate::lineage::{Lineage, Relation};
use crate::naming::{number, numbered};
use crate::original::Original;
use crate::receipt::Receipt;
use crate::report::{Outcome, SourceReport};
use crate::role::Shape;
use crate::shell::{command, import_command};
use crate::sources::{Facts, Registries};
use crate::stored::{Loose, Stored, Verdict, number_versions};

/// An attempt at a source that is open.
pub(crate) struct Attempt<'a> {
    pub(crate) import: &'a Import,
    pub(crate) registries: &'a Registries,
    pub(crate) original: &'a Original,
    pub(crate) name: &'a SessionName,
    /// Where new journals wait for their names; else they have them at once.
    pub(crate) staging: Option<&'a Arc<Staging>>,
}

/// The sessions of one name, and the first name that is free.
pub(crate) struct Candidates {
    pub(crate) stored: Vec<Stored>,
    pub(crate) reasons: Vec<String>,
    pub(crate) free: SessionName,
}

/// A session to be made, and why it does not have the plain name.
struct New {
    name: SessionName,
    reasons: Vec<String>,
    before: Option<Before>,
}

/// The session that the same source became before.
struct Before {
    name: SessionName,
    /// It lost records; else the source was rewritten.
    is_lost: bool,
    /// Which state of the source it is.
    version: u32,
}

impl Before {
    fn reason(&self) -> String {
        if self.is_lost {
            return format!("session {} lost some of it, and the source is still there", self.name);
        }
        format!("the source was rewritten since it became session {}", self.name)
    }
}

impl Attempt<'_> {
    /// Imports the source as it is now. `None` where a session changed meanwhile: try again.
    pub(crate) fn run(&self) -> Result<Option<SourceReport>> {
        let report = match self.shape() {
            Shape::Lines => self.run_lines()?,
            Shape::Whole => self.run_whole()?,
        };
        Ok(report.map(|mut report| {
            let warnings = self.original.warnings.iter().cloned();
            report.warnings.splice(0..0, warnings);
            report
        }))
    }

    fn shape(&self) -> Shape {
        match self.import.options.format {
            Some(Format::Document) => Shape::Whole,
            Some(_) => Shape::Lines,
            None => self.original.shape,
        }
    }

    fn run_lines(&self) -> Result<Option<SourceReport>> {
        let Candidates { mut stored, mut reasons, free } = self.candidates()?;
        number_versions(&mut stored, self.original);
        if stored.is_empty() {
            return self.create(New { name: free, reasons, before: None });
        }
        let offsets = stored.iter().flat_map(Stored::offsets);
        let print = Fingerprint::of(self.original, offsets, &self.import.control)?;
        let (mut beginning, mut before) = (None, None::<Before>);
        for one in stored {
            match one.judge(self.original, &print, self.limit(), &self.import.control)? {
                Verdict::Same(receipt) => return self.unchanged(&one, &receipt).map(Some),
                Verdict::Beginning(taken) => beginning = beginning.or(Some((one, taken))),
                Verdict::Other(why) => {
                    reasons.push(format!("session {}: {why}", one.name));
                    // What it was last.
                    if one.is_from(self.original) && one.next_version.is_none() {
                        let (is_lost, version) = (one.has_holes(), one.version());
                        before = Some(Before { name: one.name.clone(), is_lost, version });
                    }
                }
            }
        }
        match beginning {
            Some((stored, taken)) => {
                let (start, loose) = *taken;
                let mut report = self.go_on(&stored, start, loose, print.whole().offset)?;
                if let Some(report) = &mut report {
                    report.warnings.extend(other_than(&stored.name, self.name, reasons));
                }
                Ok(report)
            }
            None => self.create(New { name: free, reasons, before }),
        }
    }

    pub(crate) fn candidates(&self) -> Result<Candidates> {
        let (mut stored, mut reasons) = (Vec::new(), Vec::new());
        let mut number = 1;
        loop {
            let name = numbered(self.name, number, self.original.path())?;
            let path = self.path_of(&name);
            if self.import.sees_nothing || path.symlink_metadata().is_err() {
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

    pub(crate) fn attributes(
        &self,
        format: Format,
        facts: &Facts,
        before: Option<Attributes>,
    ) -> Attributes {
        self.original.attributes(format, facts, before, self.registries)
    }

    /// The attributes that a session is to have now, and their number where they are new.
    pub(crate) fn next_attributes(
        &self,
        stored: &Stored,
        format: Format,
        facts: &Facts,
    ) -> (Option<u64>, Attributes) {
        let standing = stored.standing.as_ref();
        let known = standing.map(|standing| standing.attributes.clone());
        let mut now = self.attributes(format, facts, known);
        now.version = stored.next_version.or(now.version);
        let is_new = standing.is_none_or(|standing| !standing.attributes.say_the_same(&now));
        let number = standing.map_or(1, |standing| standing.number + 1);
        (is_new.then_some(number), now)
    }

    /// All of it is stored. What is known beside the lines may be new all the same.
    pub(crate) fn unchanged(&self, stored: &Stored, receipt: &Receipt) -> Result<SourceReport> {
        let mut report = self.report(Outcome::Unchanged, &stored.name, receipt);
        let format = receipt.format().unwrap_or(Format::Jsonl);
        let (number, attributes) = self.next_attributes(stored, format, &Facts::default());
        if let Some(number) = number.filter(|_| !self.import.options.dry_run) {
            match self.add_attributes(stored, number, &attributes) {
                Err(Error::Journal(error)) if is_of_the_owner(&error) => {
                    report
                        .warnings
                        .push(format!("its attributes were not brought up to date: {error}"));
                    report.next = import_command(self.original.path());
                }
                added => added?,
            }
        }
        report.attributes = Some(attributes);
        Ok(report)
    }

    fn add_attributes(&self, stored: &Stored, number: u64, attributes: &Attributes) -> Result<()> {
        let mut journal = Journal::open(&stored.path, &self.import.options.journal)?;
        let appended = journal.append_all(
            &[attributes.to_record(number)],
            &foreign(session_journal::Durability::Written),
        );
        let closed = journal.close();
        appended?;
        Ok(closed?)
    }

    /// A new session.
    fn create(&self, new: New) -> Result<Option<SourceReport>> {
        let format = self.format(None)?;
        if self.import.options.dry_run {
            let copied = self.copy(format, Start::default(), None)?;
            return Ok(Some(self.created(&new.name, copied, new.reasons)));
        }
        let Some(mut journal) = self.make(&new.name)? else { return Ok(None) };
        let copied = self.copy(format, Start::default(), Some(&mut journal));
        let signed = copied.and_then(|copied| {
            let mut attributes = self.attributes(format, &copied.facts, None);
            let version = new.before.as_ref().map_or(0, |before| before.version + 1);
            attributes.version = (version > number(&new.name)).then_some(version);
            if let Some(before) = new.before.as_ref().filter(|before| !before.is_lost) {
                let session = Some(before.name.to_string());
                attributes.relate(Lineage { session, ..Lineage::new(Relation::RewriteOf) });
            }
            sign(&mut journal, &copied.receipt, Some((1, &attributes)))?;
            Ok((copied, attributes))
        });
        let (copied, attributes) = self.settled(journal, signed)?;
        let mut report = self.created(&new.name, copied, new.reasons);
        if let Some(before) = new.before {
            report = report.because(before.reason());
        }
        report.attributes = Some(attributes);
        Ok(Some(report))
    }

    /// Makes the journal of a new session; `None` where somebody was faster.
    pub(crate) fn make(&self, name: &SessionName) -> Result<Option<Journal>> {
        let path = self.path_of(name);
        make_folder(&path)?;
        let options = &self.import.options.journal;
        let create = |options: &Options| match Journal::create(&path, name, options) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
            created => Ok(Some(created?)),
        };
        if let Some(staging) = self.staging {
            let staged = Options { disk: Arc::clone(staging) as _, ..options.clone() };
            match create(&staged) {
                Err(Error::Journal(error)) if is_unsupported(&error) => {}
                created => return created,
            }
        }
        create(options)
    }

    /// Closes a new session; takes it back where the source could not be read to its end.
    pub(crate) fn settled<T>(&self, journal: Journal, filled: Result<T>) -> Result<T> {
        let path = journal.path().to_owned();
        let staging = self.staging.filter(|staging| staging.holds(&path));
        let cleaned = match &filled {
            // It is not there yet; nothing is to be taken back.
            Err(error) if !error.is_interrupted() && staging.is_none() => take_back(journal),
            _ => journal.close().map_err(Error::from),
        };
        if let Some(staging) = staging.filter(|_| filled.is_err() || cleaned.is_err()) {
            staging.retain(|waiting| waiting != path);
        }
        let filled = filled?;
        cleaned?;
        Ok(filled)
    }

    pub(crate) fn created(
        &self,
        name: &SessionName,
        copied: Copied,
        reasons: Vec<String>,
    ) -> SourceReport {
        let is_empty = copied.receipt.bytes == 0;
        let outcome = if is_empty { Outcome::Empty } else { Outcome::Imported };
        let mut report = self.copied(outcome, name, copied);
        report.warnings.extend(other_than(name, self.name, reasons));
        report
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
        let start = Start { facts: stored.facts(format, &loose)?, ..start };
        let (copied, attributes) = if self.import.options.dry_run {
            let (start, _) = self.take_up(start, loose, format);
            let copied = self.copy(format, start, None)?;
            let (_, attributes) = self.next_attributes(stored, format, &copied.facts);
            (copied, attributes)
        } else {
            let mut journal = Journal::open(&stored.path, &self.import.options.journal)?;
            if journal.last_sequence() != stored.last_sequence() {
                journal.close()?;
                return Ok(None);
            }
            let copied = self.append_rest(&mut journal, stored, format, start, loose, bytes);
            let closed = journal.close();
            let copied = copied?;
            closed?;
            copied
        };
        let mut report = self.copied(outcome, &stored.name, copied);
        report.attributes = Some(attributes);
        if was_cut {
            report.warnings.push("an import was cut short before; went on from there".to_owned());
        }
        Ok(Some(report))
    }

    fn append_rest(
        &self,
        journal: &mut Journal,
        stored: &Stored,
        format: Format,
        start: Start,
        loose: Loose,
        bytes: u64,
    ) -> Result<(Copied, Attributes)> {
        let (mut start, receipt) = self.take_up(start, loose, format);
        if let Some(receipt) = receipt {
            let is_all = start.place.offset == bytes;
            let (number, attributes) = self.next_attributes(stored, format, &start.facts);
            let number = number.filter(|_| is_all).map(|number| (number, &attributes));
            start.previous = sign(journal, &receipt, number)?;
            if is_all {
                return Ok((Copied::nothing(receipt), attributes));
            }
        }
        let copied = self.copy(format, start, Some(journal))?;
        let (number, attributes) = self.next_attributes(stored, format, &copied.facts);
        sign(journal, &copied.receipt, number.map(|number| (number, &attributes)))?;
        Ok((copied, attributes))
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
            header_id: next.header_id.clone().or_else(|| next.facts.header_id.clone()),
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
    pub(crate) fn limit(&self) -> u64 {
        self.import.options.journal.record_bytes_max
    }

    pub(crate) fn format(&self, stored: Option<Format>) -> Result<Format> {
        match self.import.options.format.or(stored) {
            Some(format) => Ok(format),
            None => self.original.recognise(),
        }
    }

    pub(crate) fn copied(
        &self,
        outcome: Outcome,
        name: &SessionName,
        copied: Copied,
    ) -> SourceReport {
        SourceReport {
            added_records: copied.added_records,
            added_bytes: copied.added_bytes,
            added_payload: copied.added_payload,
            added_line_feeds: copied.added_line_feeds,
            warnings: copied.warnings,
            damage: copied.damage,
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
            next: self.next_command(outcome, name),
            ..SourceReport::new(self.original.path(), outcome)
        }
    }

    fn next_command(&self, outcome: Outcome, name: &SessionName) -> String {
        match outcome {
            Outcome::Unchanged => "nothing to do".to_owned(),
            // There may be no such session yet.
            _ if self.import.options.dry_run => import_command(self.original.path()),
            _ => command("info", &name.to_string()),
        }
    }
}

/// Deletes a journal that this import made. A full disk has no room for the seal of a deletion; then
/// the name is removed without one. Nobody else was acknowledged anything in it: the generation is
/// still the first, which is ours.
fn take_back(journal: Journal) -> Result<()> {
    let (id, path) = (journal.id(), journal.path().to_owned());
    match journal.delete() {
        Err(error) if error.kind() == ErrorKind::NoSpace => {
            let now = info(&path, &LocalHost)?;
            if now.id == id && now.generation == Generation::new(1) {
                std::fs::remove_file(&path).map_err(|e| Error::io(&path, "remove it", e))?;
            }
            Ok(())
        }
        deleted => Ok(deleted?),
    }
}

/// Whether the file system has no files without a name.
fn is_unsupported(error: &session_journal::Error) -> bool {
    let source = std::error::Error::source(error);
    let source = source.and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|source| source.kind() == std::io::ErrorKind::Unsupported)
}

/// Whether a session is in use; its owner has the say.
fn is_of_the_owner(error: &session_journal::Error) -> bool {
    matches!(error.kind(), ErrorKind::HeldBy | ErrorKind::Fenced | ErrorKind::Sealed)
}

/// The reasons for a name with a number, to be told where it has one.
fn other_than(name: &SessionName, plain: &SessionName, reasons: Vec<String>) -> Vec<String> {
    if name == plain { Vec::new() } else { reasons }
}

/// Makes the folder of a journal where there is none, for this user only, as the store does.
fn make_folder(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.is_dir();
    let missing: Vec<_> = folder.ancestors().take_while(is_missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Error::io(folder, "make the folder", error))?;
    // The engine syncs the folder of the journal; the entries of those folders are ours.
    for above in missing.into_iter().filter_map(Path::parent) {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        let synced = std::fs::File::open(above).and_then(|above| above.sync_all());
        synced.map_err(|error| Error::io(above, "sync the folder", error))?;
    }
    Ok(())
}
