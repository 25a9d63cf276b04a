//! Taking an import back: journals that an import made, and nobody has appended to since, are
//! removed. Those whose source is gone or was changed stay: they may be the only copy.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use session_journal::{ErrorKind, Item, Journal, Options, Reader, SessionName, history};

use crate::catalogue::Entry;
use crate::content::Links;
use crate::control::Control;
use crate::discover::Spec;
use crate::error::Result;
use crate::fingerprint::Fingerprint;
use crate::format::Format;
use crate::import::LABEL;
use crate::original::Original;
use crate::place::packed;
use crate::receipt::{Gaps, Receipt, is_line, receipts};
use crate::role::{Role, Shape};
use crate::shell::{command, import_command, shell_path};
use crate::sources::Copies;

/// What became of a journal.
#[derive(Debug)]
pub struct RolledBack {
    /// The session.
    pub session: SessionName,
    /// Its source.
    pub source: String,
    /// Whether it was removed, or would be.
    pub is_removed: bool,
    /// Why.
    pub reason: String,
    /// What to do next.
    pub next: String,
}

/// Removes a journal that was imported from below one of these paths, or from anywhere where there are
/// none, where nothing is lost by that. `None` where no import made it, or one from elsewhere. Of one
/// whose import was cut short nothing tells where it is from.
///
/// # Errors
/// What the journal answers, or its source.
pub fn roll_back(
    entry: &Entry,
    paths: &[PathBuf],
    options: &Options,
    dry_run: bool,
) -> Result<Option<RolledBack>> {
    let reader = Reader::open(&entry.path)?;
    let receipts = receipts(&reader, Gaps::StepOver)?;
    let Some((_, last)) = receipts.last() else {
        let is_begun = is_of_an_import(&entry.path)?;
        return Ok(is_begun.then(|| {
            // Nothing says which source its lines are from, and that they are nothing else.
            let next = "import its source once more, then run this again";
            kept(entry, "its import was cut short", next.to_owned())
        }));
    };
    let source = source_of(entry, last);
    if !paths.is_empty() && !paths.iter().any(|path| source.starts_with(path)) {
        return Ok(None);
    }
    if has_own_records(&reader, receipts.iter().map(|(_, receipt)| receipt))? {
        return used(entry, last).map(Some);
    }
    if let Some(why) = is_only_copy(entry, last)? {
        return Ok(Some(kept(entry, why, export(entry))));
    }
    if !dry_run {
        let mark = reader.last_sequence();
        let mut journal = match Journal::open(&entry.path, options) {
            Err(error) if matches!(error.kind(), ErrorKind::HeldBy | ErrorKind::Sealed) => {
                let next = command("info", &entry.name.to_string());
                return Ok(Some(kept(entry, "somebody has it open", next)));
            }
            opened => opened?,
        };
        if journal.last_sequence() != mark {
            journal.sync()?;
            journal.close()?;
            return used(entry, last).map(Some);
        }
        journal.delete()?;
    }
    let (reason, next) = ("its source is there, byte for byte", "nothing to do".to_owned());
    Ok(Some(RolledBack { is_removed: true, ..kept(entry, reason, next) }))
}

fn kept(entry: &Entry, reason: &str, next: String) -> RolledBack {
    let (session, source) = (entry.name.clone(), entry.attributes.source.clone());
    RolledBack { session, source, is_removed: false, reason: reason.to_owned(), next }
}

/// A journal that holds more than its receipts tell of.
fn used(entry: &Entry, last: &Receipt) -> Result<RolledBack> {
    if is_cut_short(&entry.path)? {
        let next = match spec_of(&source_of(entry, last), last, entry) {
            Some(spec) => import_command(&spec.path),
            None => export(entry),
        };
        return Ok(kept(entry, "its import was cut short", next));
    }
    Ok(kept(entry, "somebody appended to it since", export(entry)))
}

/// What keeps all that a session holds. Not under a name that its source may have.
fn export(entry: &Entry) -> String {
    let file = entry.name.relative_path().with_extension("exported.jsonl");
    let file = Path::new(file.file_name().unwrap_or_default());
    command(&format!("export -o {}", shell_path(file)), &entry.name.to_string())
}

/// Where the source of a session is, as far as is known.
fn source_of(entry: &Entry, last: &Receipt) -> PathBuf {
    let known = &entry.attributes;
    if known.source.is_empty() { last.source.clone().into() } else { known.source_path() }
}

/// Whether an import into this journal began and did not come to its end. Reads every byte of it.
///
/// # Errors
/// What reading the journal answers.
pub fn is_cut_short(path: &Path) -> Result<bool> {
    let reader = Reader::open(path)?;
    let Some((last, _)) = receipts(&reader, Gaps::StepOver)?.pop() else {
        return is_of_an_import(path);
    };
    let by_imports: HashSet<_> = history(path)?
        .into_iter()
        .filter(|event| event.owner.as_ref().is_some_and(|owner| owner.label == LABEL))
        .map(|event| event.generation)
        .collect();
    for item in reader.records_from(last.next())?.with_gaps() {
        if let Item::Record(record) = item?
            && is_line(&record.lent())
            && by_imports.contains(&record.generation)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an import made this journal.
fn is_of_an_import(path: &Path) -> Result<bool> {
    let first = history(path)?.into_iter().find_map(|event| event.owner);
    Ok(first.is_some_and(|owner| owner.label == LABEL))
}

/// Whether some record is no line of the source, and no note of a tool.
fn has_own_records<'a>(
    reader: &Reader,
    receipts: impl Iterator<Item = &'a Receipt>,
) -> Result<bool> {
    let ranges: Vec<_> = receipts.filter_map(|one| one.first_seq.zip(one.last_seq)).collect();
    for record in reader.records() {
        let record = record?;
        let at = record.sequence.get();
        let is_imported = ranges.iter().any(|(first, last)| (*first..=*last).contains(&at));
        if is_line(&record.lent()) && !is_imported {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Why the session may hold what is nowhere else.
fn is_only_copy(entry: &Entry, last: &Receipt) -> Result<Option<&'static str>> {
    let Some(spec) = spec_of(&source_of(entry, last), last, entry) else {
        return Ok(Some("its source is gone; this is the only copy"));
    };
    let original = Original::open(&spec, &Copies::default())?;
    let print = Fingerprint::of(&original, [last.bytes], &Control::default())?;
    let is_same = |bytes: u64| print.at(bytes).is_some_and(|at| at.sha256() == last.sha256);
    let is_there = if last.whole { print.whole().offset == last.bytes } else { true };
    Ok((!is_there || !is_same(last.bytes)).then_some("its source was changed since"))
}

/// The source of a session, where it is there.
fn spec_of(place: &Path, last: &Receipt, entry: &Entry) -> Option<Spec> {
    let is_part = last.format.parse() == Ok(Format::OpenClawStore);
    let (path, part) = if is_part {
        let name = place.file_name()?.to_string_lossy().into_owned();
        (place.parent()?.to_owned(), Some((Format::OpenClawStore, name)))
    } else {
        (packed_or_plain(place, entry), None)
    };
    path.is_file().then(|| Spec {
        real_path: path.clone(),
        path,
        root: PathBuf::new(),
        part,
        role: Role::Transcript,
        shape: Shape::Lines,
        links: Links::Follow,
        bytes: 0,
        agent: None,
    })
}

fn packed_or_plain(place: &Path, entry: &Entry) -> PathBuf {
    if entry.attributes.packed.is_none() {
        return place.to_owned();
    }
    packed(place)
}
