//! A disk that fails anywhere: no error renames, cuts or empties a journal, nothing is acknowledged
//! falsely, and opening again always works.

mod support;

use std::collections::BTreeSet;

use session_journal::{
    AppendOptions, Cause, Durability, ErrorKind, Journal, NewRecord, Options, Reader,
};
use support::disk::{EIO, ENOSPC, Op};
use support::{Bench, Random, name, record, scribble, seed};

/// I2: on a network file system nothing is written, unless the caller says otherwise.
#[test]
fn a_network_file_system_is_refused_by_name_and_read_all_the_same() {
    let bench = Bench::new();
    drop(bench.create());
    let before = bench.bytes();
    bench.disk.be_remote("NFS");
    for error in [
        bench.open().unwrap_err(),
        Journal::create(bench.folder().join("b"), &name("b"), &bench.options()).unwrap_err(),
    ] {
        let Cause::UnsupportedFilesystem { filesystem } = error.cause() else { panic!("{error}") };
        assert_eq!(filesystem, "NFS");
        assert!(error.to_string().contains("NFS"));
    }
    assert_eq!(bench.bytes(), before);
    assert_eq!(bench.names(), ["a.journal"]);
    let options = bench.options();
    assert_eq!(Reader::open_with(&bench.path, options.disk.clone()).unwrap().records().count(), 0);
    let mut allowed =
        Journal::open(&bench.path, &Options { allow_any_filesystem: true, ..options }).unwrap();
    allowed.append(&record("x")).unwrap();
}

/// I7: creating is whole or not at all.
#[test]
fn a_creation_that_fails_leaves_nothing_or_a_journal_that_opens() {
    let calls = {
        let bench = Bench::new();
        drop(bench.create());
        bench.disk.calls().len() as u64
    };
    assert!(calls > 3);
    for nth in 1..=calls {
        for errno in [EIO, ENOSPC] {
            let bench = Bench::new();
            bench.disk.fail_any(nth, errno);
            let made = Journal::create(&bench.path, &name("a"), &bench.options());
            bench.disk.heal();
            let there = bench.path.exists();
            if made.is_ok() {
                assert!(there);
            }
            drop(made);
            let journal = if there {
                bench.open()
            } else {
                assert!(bench.names().is_empty(), "call {nth}: {:?}", bench.names());
                Journal::create(&bench.path, &name("a"), &bench.options())
            };
            journal.unwrap().append(&record("one")).unwrap();
            assert_eq!(bench.texts(), ["one"], "call {nth}");
        }
    }
}

/// B7: whatever fails while opening, what was there is there, byte for byte.
#[test]
fn an_opening_that_fails_at_any_call_leaves_what_was_there() {
    let prepared = || {
        let bench = Bench::new();
        let mut journal = bench.create_with(&Options { checkpoint_records: 3, ..bench.options() });
        for number in 0..10 {
            journal.append(&record(&format!("{number}")).key(format!("{number}"))).unwrap();
        }
        drop(journal);
        scribble(&bench.path, b"a torn write");
        bench.disk.forget_calls();
        bench
    };
    let calls = {
        let bench = prepared();
        drop(bench.open().unwrap());
        bench.disk.calls()
    };
    for nth in 1..=calls.len() as u64 {
        for dies in [false, true] {
            let bench = prepared();
            let before = bench.bytes();
            if dies {
                bench.disk.die_at_any(nth);
            } else {
                bench.disk.fail_any(nth, EIO);
            }
            // Slots and reserved room are not needed for anything that is acknowledged.
            let opened = bench.open();
            let what = (nth, dies, calls[usize::try_from(nth).unwrap() - 1]);
            if let Err(error) = &opened {
                let kind = error.kind();
                assert!(
                    matches!(kind, ErrorKind::Io | ErrorKind::Unknown | ErrorKind::Poisoned),
                    "{what:?}: {error}"
                );
            }
            drop(opened);
            assert_eq!(bench.bytes()[4096..before.len()], before[4096..], "{what:?}");
            let mut next = Journal::open(&bench.path, &Options::default()).unwrap();
            assert_eq!(next.append(&record("10")).unwrap().sequence.get(), 11, "{what:?}");
            assert_eq!(bench.texts(), (0..=10).map(|n| n.to_string()).collect::<Vec<_>>());
        }
    }
}

/// H24: closing on a full disk loses nothing; the journal is simply not released.
#[test]
fn a_close_that_fails_at_any_call_loses_nothing() {
    let prepared = || {
        let bench = Bench::new();
        let mut journal = bench.create();
        journal.append(&record("one")).unwrap();
        bench.disk.forget_calls();
        (bench, journal)
    };
    let calls = {
        let (bench, journal) = prepared();
        journal.close().unwrap();
        bench.disk.calls().len() as u64
    };
    assert!(calls >= 3);
    for nth in 1..=calls {
        for errno in [EIO, ENOSPC] {
            let (bench, journal) = prepared();
            bench.disk.fail_any(nth, errno);
            let closed = journal.close();
            bench.disk.heal();
            let mut next = bench.open().unwrap();
            let released = next.opening().reason.as_str() == "released";
            assert!(released || closed.is_err(), "call {nth}: closed, so it is released");
            assert_eq!(next.append(&record("two")).unwrap().sequence.get(), 2);
            assert_eq!(bench.texts(), ["one", "two"]);
        }
    }
}

/// What happened to one record, as its caller was told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Stored,
    /// For this reason.
    Refused(String),
    Unknown,
}

/// H9, H22, J1: random faults under random appends. What was acknowledged is there, in order, once;
/// what was refused is not; what is unknown is there once or not at all.
#[test]
fn nothing_is_acknowledged_or_refused_falsely_under_random_faults() {
    let seed = seed("--test faults nothing_is_acknowledged");
    for round in 0..150 {
        one_story(&mut Random::new(seed.wrapping_add(round).wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    }
}

fn one_story(random: &mut Random) {
    let bench = Bench::new();
    let options = Options {
        checkpoint_records: 1 + random.below(6),
        sync_bytes: 300 + random.below(2000),
        ..bench.options()
    };
    let mut journal = Some(bench.create_with(&options));
    let mut told: Vec<(String, Told)> = Vec::new();
    let mut expected: Vec<String> = Vec::new();
    for number in 0..40 {
        let owner = match &mut journal {
            Some(owner) => owner,
            none => match Journal::open(&bench.path, &options) {
                Ok(owner) => none.insert(owner),
                Err(_) => continue,
            },
        };
        set_a_fault(random, &bench);
        let records: Vec<NewRecord> = (0..=random.below(3))
            .map(|i| {
                let key = format!("{number}.{i}");
                NewRecord::new(key.clone().repeat(1 + usize::try_from(i).unwrap() * 30)).key(key)
            })
            .collect();
        let durability =
            if random.below(2) == 0 { Durability::Durable } else { Durability::Written };
        let how = AppendOptions { durability: Some(durability), ..AppendOptions::default() };
        let answer = owner.append_all(&records, &how);
        let what = match &answer {
            Ok(_) => Told::Stored,
            Err(error) if error.kind() == ErrorKind::Unknown => Told::Unknown,
            Err(error) => Told::Refused(error.to_string()),
        };
        told.extend(records.iter().map(|one| (one.key.clone().unwrap(), what.clone())));
        if what == Told::Stored {
            expected.extend(records.iter().map(|one| one.key.clone().unwrap()));
        }
        let finished = owner.sync().is_err();
        if finished || random.below(8) == 0 {
            bench.disk.heal();
            journal = None;
        }
    }
    bench.disk.heal();
    drop(journal);
    drop(Journal::open(&bench.path, &options).unwrap());
    let found: Vec<String> =
        support::records(&bench.path).into_iter().map(|one| one.key.unwrap()).collect();
    let once: BTreeSet<&String> = found.iter().collect();
    assert_eq!(once.len(), found.len(), "nothing is there twice");
    let stored: Vec<String> = found
        .iter()
        .filter(|key| told.contains(&((*key).clone(), Told::Stored)))
        .cloned()
        .collect();
    assert_eq!(stored, expected, "all that was acknowledged, in order");
    for (key, what) in &told {
        if let Told::Refused(why) = what {
            assert!(!once.contains(key), "{key} is there, and was refused: {why}");
        }
    }
}

fn set_a_fault(random: &mut Random, bench: &Bench) {
    let soon = 1 + random.below(3);
    match random.below(12) {
        0 => bench.disk.fail(Op::Append, soon, ENOSPC),
        1 => bench.disk.short(soon, usize::try_from(random.below(400)).unwrap()),
        2 => bench.disk.fail(Op::Append, soon, EIO),
        3 => bench.disk.fail_after(Op::Append, soon, EIO),
        4 => bench.disk.fail(Op::Sync, soon, EIO),
        5 => bench.disk.fail(Op::WriteAt, soon, EIO),
        6 => bench.disk.fail(Op::ReadAt, soon, EIO),
        7 => {
            let path = bench.path.clone();
            bench.disk.before(Op::Append, soon, move || scribble(&path, b"foreign"));
        }
        8 => bench.disk.fail(Op::Attachment, soon, EIO),
        9 => bench.disk.fail(Op::Len, soon, EIO),
        _ => {}
    }
}
