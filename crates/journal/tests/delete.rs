//! Deleting: sealed first, then unlinked under the folder's lock; never somebody else's journal.

mod support;

use std::fs;
use std::sync::{Arc, Mutex};

use session_journal::{Cause, ErrorKind, HistoryKind, Journal, Options, Takeover, history};
use support::disk::{EIO, ENOSPC, FaultDisk, Op};
use support::{Bench, by_force, name, options_on, record, store_in};

fn with_two(bench: &Bench) -> Journal {
    let mut journal = bench.create();
    journal.append(&record("one")).unwrap();
    journal.append(&record("two")).unwrap();
    bench.disk.forget_calls();
    journal
}

#[test]
fn a_deleted_journal_is_gone_and_its_name_is_free() {
    let bench = Bench::new();
    let journal = with_two(&bench);
    let id = journal.id();
    journal.delete().unwrap();
    assert!(bench.names().is_empty());
    assert_eq!(bench.open().unwrap_err().kind(), ErrorKind::NotFound);
    let mut new = bench.create();
    assert_ne!(new.id(), id);
    assert_eq!(new.append(&record("new")).unwrap().sequence.get(), 1);
}

/// H4: a deleter that stops between its seal and its unlink does not remove what came meanwhile.
#[test]
fn a_slow_deleter_does_not_remove_a_newer_journal() {
    // Before the look behind the seal's sync, too.
    for (op, nth) in [(Op::Attachment, 2), (Op::WriteAt, 1), (Op::LockFolder, 1)] {
        let bench = Bench::new();
        let slow = with_two(&bench);
        let newer: Arc<Mutex<Option<Journal>>> = Arc::default();
        let (kept, path) = (Arc::clone(&newer), bench.path.clone());
        bench.disk.before(op, nth, move || {
            let error = Journal::open(&path, &Options::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "the opener finished the deletion");
            let mut new = Journal::create(&path, &name("a"), &Options::default()).unwrap();
            new.append(&record("newer")).unwrap();
            *kept.lock().unwrap() = Some(new);
        });
        slow.delete().unwrap();
        let mut newer = newer.lock().unwrap().take().expect("the hook ran");
        newer.append(&record("and on")).unwrap();
        assert_eq!(bench.texts(), ["newer", "and on"], "{op:?}");
    }
}

/// H5: a stranger put an older copy in the journal's place. It is still there behind the deletion, so the
/// deleter must not hear that the journal is gone.
#[test]
fn a_deletion_of_a_file_that_was_replaced_by_a_copy_says_detached() {
    let bench = Bench::new();
    let copy = bench.folder().join("copy");
    let deleter = with_two(&bench);
    fs::copy(&bench.path, &copy).unwrap();
    fs::rename(&copy, &bench.path).unwrap();
    assert_eq!(deleter.delete().unwrap_err().kind(), ErrorKind::Detached);
    assert_eq!(bench.texts(), ["one", "two"]);
}

/// H5: a stranger moved the file away before it was sealed: it is still there behind the deletion.
#[test]
fn a_deletion_of_a_file_that_was_moved_away_says_detached() {
    let bench = Bench::new();
    let deleter = with_two(&bench);
    let aside = bench.folder().join("aside.journal");
    fs::rename(&bench.path, &aside).unwrap();
    assert_eq!(deleter.delete().unwrap_err().kind(), ErrorKind::Detached);
    let moved = Journal::open(&aside, &by_force("finder")).unwrap();
    assert_eq!(moved.last_sequence().get(), 2);
}

/// H15: an opener removed the name of the sealed file and could not make that durable. The deleter found
/// the name gone and said that all was done: power brought the deleted journal back.
#[test]
fn a_deletion_is_durable_although_another_one_removed_the_name_and_failed() {
    let bench = Bench::new();
    let deleter = with_two(&bench);
    let helper = FaultDisk::new();
    helper.fail(Op::SyncFolder, 1, EIO);
    let (path, options) = (bench.path.clone(), options_on(&helper));
    bench.disk.before(Op::LockFolder, 1, move || {
        assert_eq!(Journal::open(&path, &options).unwrap_err().kind(), ErrorKind::Io);
        assert!(!path.exists(), "the opener removed the name");
    });
    deleter.delete().unwrap();
    let calls = bench.disk.calls();
    let locked = calls.iter().position(|call| call.op == Op::LockFolder).unwrap();
    assert!(calls[locked..].iter().any(|call| call.op == Op::SyncFolder), "{calls:?}");
}

/// H4: between its look and its unlink nobody can change the name, because the folder is locked.
#[test]
fn an_opener_waits_for_a_deleter_that_is_at_the_name() {
    for op in [Op::Attachment, Op::Remove, Op::SyncFolder] {
        let bench = Bench::new();
        let deleter = with_two(&bench);
        deleter_is_synced(&bench);
        let opener: Arc<Mutex<Option<std::thread::JoinHandle<Journal>>>> = Arc::default();
        let (kept, path) = (Arc::clone(&opener), bench.path.clone());
        bench.disk.before(Op::LockFolder, 1, {
            let disk = bench.disk.clone();
            move || {
                disk.before(op, 1, move || {
                    let thread = std::thread::spawn(move || {
                        let opened = Journal::open(&path, &Options::default());
                        assert_eq!(opened.unwrap_err().kind(), ErrorKind::NotFound);
                        let mut new =
                            Journal::create(&path, &name("a"), &Options::default()).unwrap();
                        new.append(&record("newer")).unwrap();
                        new
                    });
                    *kept.lock().unwrap() = Some(thread);
                });
            }
        });
        deleter.delete().unwrap();
        let thread = opener.lock().unwrap().take().expect("the hook ran");
        let mut newer = thread.join().unwrap();
        newer.append(&record("and on")).unwrap();
        assert_eq!(bench.texts(), ["newer", "and on"], "{op:?}");
    }
}

fn deleter_is_synced(bench: &Bench) {
    assert!(bench.disk.calls().is_empty(), "rules count from the deletion on");
}

/// A crash at any operation: every record is there, or the journal is gone. Nothing between.
#[test]
fn a_deletion_that_fails_or_dies_at_any_operation_is_done_or_not_begun() {
    let calls = {
        let bench = Bench::new();
        with_two(&bench).delete().unwrap();
        bench.disk.calls()
    };
    let seal = calls.iter().position(|call| call.op == Op::Append).unwrap() as u64 + 1;
    let mut gone = 0;
    for nth in 1..=calls.len() as u64 {
        for errno in [Some(EIO), Some(ENOSPC), None] {
            let bench = Bench::new();
            let journal = with_two(&bench);
            match errno {
                Some(errno) => bench.disk.fail_any(nth, errno),
                None => bench.disk.die_at_any(nth),
            }
            let deleted = journal.delete();
            let what = format!("operation {nth} of {}, {errno:?}: {deleted:?}", calls.len());
            match Journal::open(&bench.path, &Options::default()) {
                Ok(mut next) => {
                    assert!(deleted.is_err() && nth <= seal, "{what}");
                    assert_eq!(next.append(&record("three")).unwrap().sequence.get(), 3);
                    assert_eq!(bench.texts(), ["one", "two", "three"]);
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NotFound, "{what}: {error}");
                    assert!(bench.names().is_empty(), "{what}: the next opening finished it");
                    assert!(nth >= seal, "{what}");
                    gone += 1;
                }
            }
        }
    }
    assert!(gone > 0);
}

/// The seal is there, the name still too: it can be read, and whoever opens finishes.
#[test]
fn a_sealed_journal_can_be_read_until_somebody_finishes_the_deletion() {
    let bench = Bench::new();
    let journal = with_two(&bench);
    bench.disk.die_at(Op::LockFolder, 1);
    assert!(journal.delete().is_err());
    assert_eq!(bench.texts(), ["one", "two"]);
    let last = history(&bench.path).unwrap().pop().unwrap();
    assert_eq!(last.event, HistoryKind::Seal);
    // Creating there is refused until then: the name is taken.
    let created = Journal::create(&bench.path, &name("a"), &Options::default());
    assert_eq!(created.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let never = Options { takeover: Takeover::Never, ..Options::default() };
    assert_eq!(Journal::open(&bench.path, &never).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(bench.names().is_empty());
}

/// H15d: the hard link of a backup is not unlinked and not changed.
#[test]
fn a_hard_link_of_a_deleted_journal_stays() {
    let bench = Bench::new();
    let journal = with_two(&bench);
    let backup = bench.folder().join("backup.journal");
    fs::hard_link(&bench.path, &backup).unwrap();
    journal.delete().unwrap();
    let before = fs::read(&backup).unwrap();
    let error = Journal::open(&backup, &Options::default()).unwrap_err();
    let Cause::Sealed { purpose, .. } = error.cause() else { panic!("{error}") };
    assert_eq!(*purpose, "deleted");
    assert_eq!(fs::read(&backup).unwrap(), before);
    assert_eq!(support::texts(&backup), ["one", "two"]);
}

/// B7: who was fenced cannot delete.
#[test]
fn a_fenced_owner_cannot_delete() {
    let bench = Bench::new();
    let old = with_two(&bench);
    let mut new = Journal::open(&bench.path, &by_force("new")).unwrap();
    assert_eq!(old.delete().unwrap_err().kind(), ErrorKind::Fenced);
    new.append(&record("three")).unwrap();
    assert_eq!(bench.texts(), ["one", "two", "three"]);

    // Taken over right before its seal lands: the seal is dead.
    let path = bench.path.clone();
    bench.disk.heal();
    drop(new);
    let old = bench.open().unwrap();
    bench.disk.before(Op::Append, 1, move || drop(Journal::open(&path, &by_force("newer"))));
    assert_eq!(old.delete().unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(bench.texts(), ["one", "two", "three"]);
}

/// A takeover between the seal and the unlink: the seal stands, nobody can append behind it.
#[test]
fn nobody_takes_a_journal_that_is_sealed_for_deletion() {
    let bench = Bench::new();
    let deleter = with_two(&bench);
    let path = bench.path.clone();
    bench.disk.before(Op::LockFolder, 1, move || {
        let error = Journal::open(&path, &by_force("taker")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
    deleter.delete().unwrap();
    assert!(bench.names().is_empty());
}

/// Behind its own seal nobody appends: what is acknowledged there would be void.
#[test]
fn an_owner_whose_deletion_failed_behind_its_seal_acknowledges_nothing_more() {
    for op in [Op::Sync, Op::Attachment, Op::LockFolder, Op::Remove, Op::SyncFolder] {
        for nth in 1..=2 {
            let bench = Bench::new();
            let store = store_in(bench.folder(), bench.options());
            let session = store.create_blocking(&name("a")).unwrap();
            session.append_blocking("one").unwrap();
            let (path, clone) = (session.path().to_owned(), session.clone());
            bench.disk.fail(op, nth, EIO);
            let deleted = session.delete_blocking();
            bench.disk.heal();
            let appended = clone.append_blocking("two");
            drop(clone);
            let what = format!("{op:?} {nth}: {deleted:?}, then {appended:?}");
            let there = match Journal::open(&path, &Options::default()) {
                Ok(_) => support::texts(&path),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NotFound, "{what}");
                    Vec::new()
                }
            };
            let acknowledged = appended.is_ok();
            assert_eq!(acknowledged, there.contains(&"two".to_owned()), "{what}");
        }
    }
}
