//! Schedules around the names of files: creation, replacement, deletion, strangers.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use session_journal::{Journal, Options};

use super::Outcome;
use super::told::{Told, must, owned};
use crate::support::disk::{FaultDisk, Op};
use crate::support::{Bench, name, options_on, record, take_over};

/// H3: the new owner's record is in no copy.
pub(crate) fn a_takeover_between_the_copy_and_the_seal() -> Outcome {
    let bench = Bench::new();
    compacted_too_late(&bench).is_there(&bench.path)
}

/// H3: the same, and the compactor dies behind its seal; whoever opens next meets it.
pub(crate) fn a_compaction_that_dies_behind_a_late_seal() -> Outcome {
    let bench = Bench::new();
    bench.disk.die_at(Op::Rename, 1);
    let told = compacted_too_late(&bench);
    drop(take_over(&bench.path, "next"));
    told.is_there(&bench.path)
}

/// A compaction whose journal is taken over, and appended to, right before its seal.
fn compacted_too_late(bench: &Bench) -> Told {
    let (told, mut old) = owned(bench);
    let (told, path) = (Arc::new(Mutex::new(told)), bench.path.clone());
    let tells = Arc::clone(&told);
    bench.disk.after(Op::SyncFolder, 1, move || {
        tells.lock().unwrap().append(&mut take_over(&path, "new"), "three");
    });
    let _ = old.compact();
    std::mem::take(&mut *told.lock().unwrap())
}

/// H4: an opener finishes the deletion, and somebody creates the journal anew.
pub(crate) fn a_deleter_that_is_slow() -> Outcome {
    let bench = Bench::new();
    let (_, slow) = owned(&bench);
    let told = created_anew_meanwhile(&bench.disk, &bench.path);
    let _ = slow.delete();
    told.lock().unwrap().is_there(&bench.path)
}

/// H4: of two openers that finish a deletion one is slow.
pub(crate) fn an_opener_that_is_slow_to_finish_a_deletion() -> Outcome {
    let bench = Bench::new();
    let (_, deleter) = owned(&bench);
    bench.disk.die_at(Op::LockFolder, 1);
    assert!(deleter.delete().is_err());
    let slow = FaultDisk::new();
    let told = created_anew_meanwhile(&slow, &bench.path);
    let _ = Journal::open(&bench.path, &options_on(&slow));
    told.lock().unwrap().is_there(&bench.path)
}

/// Right before the slow one locks the folder another one is through with it all.
fn created_anew_meanwhile(slow: &FaultDisk, path: &Path) -> Arc<Mutex<Told>> {
    let (told, path) = (Arc::new(Mutex::new(Told::default())), path.to_owned());
    let tells = Arc::clone(&told);
    slow.before(Op::LockFolder, 1, move || {
        assert!(Journal::open(&path, &Options::default()).is_err(), "it finishes the deletion");
        let mut new = Journal::create(&path, &name("a"), &Options::default()).unwrap();
        tells.lock().unwrap().append(&mut new, "newer");
    });
    told
}

/// H16: a creation that nobody finishes is none: the path is free, or leads to a journal.
pub(crate) fn a_creator_that_dies() -> Outcome {
    let bench = Bench::new();
    bench.disk.die_at(Op::Append, 1);
    drop(Journal::create(&bench.path, &name("a"), &bench.options()));
    if !bench.path.exists() {
        return Ok(());
    }
    let opened = Journal::open(&bench.path, &Options::default());
    opened.map(drop).map_err(|error| error.to_string())
}

/// H5: nobody will ever find what is written to a file without a name.
pub(crate) fn a_file_that_is_removed_under_its_owner() -> Outcome {
    let bench = Bench::new();
    let (_, mut journal) = owned(&bench);
    fs::remove_file(&bench.path).unwrap();
    let answer = journal.append(&record("three"));
    must(answer.is_err(), || "acknowledged in a file that has no name".to_owned())
}
