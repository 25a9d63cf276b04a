//! Taking an import back: journals that an import made, and nobody has appended to since, are
//! removed. Those whose source is gone or was changed stay: they may be the only copy.

use std::path::{Path, PathBuf};

use session_journal::{ErrorKind, Journal, Options, Reader, SessionName, history};

use crate::catalogue::Entry;
use crate::content::Links;
use crate::control::Control;
use crate::discover::Spec;
use crate::error::Result;
use crate::fingerprint::Fingerprint;
use crate::format::Format;
use crate::import::LABEL;
use crate::original::Original;
use crate::place::with_end;
use crate::receipt::{Gaps, Receipt, is_line, receipts};
use crate::role::{Role, Shape};
use crate::sources::Copies;

/// What to do with a journal that holds what may be nowhere else.
const KEEP_BYTES: &str =
    "sjournal export it first; then its file can go, as docs/migrating.md says under Going back";

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
    pub next: &'static str,
}

/// Removes a journal, where nothing is lost by that. `None` where no import made it.
///
/// # Errors
/// What the journal answers, or its source.
pub fn roll_back(entry: &Entry, options: &Options, dry_run: bool) -> Result<Option<RolledBack>> {
    let reader = Reader::open(&entry.path)?;
    let receipts = receipts(&reader, Gaps::StepOver)?;
    let done = |is_removed, reason: &str, next| {
        let (session, source) = (entry.name.clone(), entry.attributes.source.clone());
        Ok(Some(RolledBack { session, source, is_removed, reason: reason.to_owned(), next }))
    };
    let Some((_, last)) = receipts.last() else {
        if !is_of_an_import(&entry.path)? {
            return Ok(None);
        }
        // Nothing says which source its lines are from, and that they are nothing else.
        let next = "sjournal import its source once more, then run this again";
        return done(false, "its import was cut short", next);
    };
    if has_own_records(&reader, receipts.iter().map(|(_, receipt)| receipt))? {
        return done(false, "somebody appended to it since", "sjournal export it, if you leave");
    }
    if let Some(why) = is_only_copy(entry, last)? {
        return done(false, why, KEEP_BYTES);
    }
    if !dry_run {
        let mark = reader.last_sequence();
        let mut journal = match Journal::open(&entry.path, options) {
            Err(error) if matches!(error.kind(), ErrorKind::HeldBy | ErrorKind::Sealed) => {
                return done(false, "somebody has it open", "close it there, and run this again");
            }
            opened => opened?,
        };
        if journal.last_sequence() != mark {
            journal.sync()?;
            journal.close()?;
            return done(
                false,
                "somebody appended to it since",
                "sjournal export it, if you leave",
            );
        }
        journal.delete()?;
    }
    done(true, "its source is there, byte for byte", "nothing to do")
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
        if is_line(&record) && !is_imported {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Why the session may hold what is nowhere else.
fn is_only_copy(entry: &Entry, last: &Receipt) -> Result<Option<&'static str>> {
    let known = &entry.attributes;
    let place =
        if known.source.is_empty() { last.source.clone().into() } else { known.source_path() };
    let Some(spec) = spec_of(&place, last, entry) else {
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
    with_end(place, ".zst")
}
