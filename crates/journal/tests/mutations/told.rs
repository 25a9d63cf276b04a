//! What appends were told, against what is there.

use std::path::Path;
use std::sync::{Arc, Mutex};

use session_journal::format::FrameKind;
use session_journal::{AppendOptions, ErrorKind, Journal, NewRecord, Options, Reader};

use super::Outcome;
use crate::support::disk::{EIO, FaultDisk, Op};
use crate::support::{Bench, by_force, frames, options_on, record, text};

/// What appends were told so far. What was refused must not be there; what is unknown may be.
#[derive(Debug, Default)]
pub(crate) struct Told {
    stored: Vec<String>,
    unknown: Vec<String>,
}

impl Told {
    pub(crate) fn append(&mut self, journal: &mut Journal, text: &str) {
        self.all(journal, &[record(text)], &AppendOptions::default());
    }

    pub(crate) fn all(
        &mut self,
        journal: &mut Journal,
        records: &[NewRecord],
        how: &AppendOptions,
    ) {
        let texts = records.iter().map(|one| String::from_utf8_lossy(&one.payload).into_owned());
        match journal.append_all(records, how) {
            Ok(_) => self.stored.extend(texts),
            Err(error) if error.kind() == ErrorKind::Unknown => self.unknown.extend(texts),
            Err(_) => {}
        }
    }

    /// A reader finds what was acknowledged, in order, and nothing that was refused.
    pub(crate) fn is_there(&self, path: &Path) -> Outcome {
        let reader = Reader::open(path).map_err(|error| error.to_string())?;
        let found: Result<Vec<_>, _> = reader.records().map(|one| one.map(|r| text(&r))).collect();
        let mut found = found.map_err(|error| error.to_string())?;
        found.retain(|text| !self.unknown.contains(text));
        must(found == self.stored, || {
            let short = |texts: &[String]| -> Vec<String> {
                texts.iter().map(|text| text.chars().take(12).collect()).collect()
            };
            format!("acknowledged {:?}, found {:?}", short(&self.stored), short(&found))
        })
    }
}

pub(crate) fn must(holds: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// A journal with two records, whose owner is there.
pub(crate) fn owned(bench: &Bench) -> (Told, Journal) {
    let (mut told, mut journal) = (Told::default(), bench.create());
    told.append(&mut journal, "one");
    told.append(&mut journal, "two");
    (told, journal)
}

/// What a hook opened.
pub(crate) type Other = Arc<Mutex<Option<Journal>>>;

/// A hook in which another owner takes the journal, and where it is kept.
pub(crate) fn taker(bench: &Bench) -> (Other, impl FnOnce() + Send + use<>) {
    let other = Other::default();
    let (kept, path) = (Arc::clone(&other), bench.path.clone());
    (other, move || *kept.lock().unwrap() = Some(take_without_slot(&path)))
}

/// Takes the journal, whoever holds it, and fails to write its slot: a slot is a hint, and nothing
/// may rest on it.
pub(crate) fn take_without_slot(path: &Path) -> Journal {
    let disk = FaultDisk::new();
    let fails = disk.clone();
    disk.after(Op::Append, 2, move || fails.fail(Op::WriteAt, 1, EIO));
    let options = Options { disk: options_on(&disk).disk, ..by_force("taker") };
    Journal::open(path, &options).unwrap()
}

pub(crate) fn took(other: &Other) -> Journal {
    other.lock().unwrap().take().expect("the hook ran")
}

/// Claims the next generation and dies there; says where its claim stands.
pub(crate) fn claim_only(path: &Path) -> (u64, u64) {
    let disk = FaultDisk::new();
    disk.fail(Op::Sync, 1, EIO);
    let options = Options { disk: options_on(&disk).disk, ..by_force("half") };
    assert_eq!(Journal::open(path, &options).unwrap_err().kind(), ErrorKind::Io);
    let claim = frames(path).into_iter().rfind(|(_, frame)| frame.kind == FrameKind::Claim);
    let (at, claim) = claim.unwrap();
    (at, at + claim.frame_len())
}
