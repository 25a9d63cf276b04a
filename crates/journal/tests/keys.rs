//! Idempotency keys: stored once, across retries, openings and crashes; `Unknown` where damage may
//! hide one, never a false "absent".

mod support;

use session_journal::{AppendOptions, ErrorKind, Expect, Journal, Options, Reader};
use support::disk::{EIO, Op};
use support::{Bench, damage, expecting, frames, lazily, name, record, store_in};

fn plain() -> AppendOptions {
    AppendOptions::default()
}

/// C3: the same key a hundred times is one record, whoever asks and whatever happened meanwhile.
#[test]
fn one_key_appended_a_hundred_times_is_one_record() {
    let bench = Bench::new();
    let options = Options { checkpoint_records: 3, ..bench.options() };
    let mut journal = bench.create_with(&options);
    let first = journal.append(&record("first").key("k").kind("inbound")).unwrap();
    assert!(!first.duplicate);
    for round in 0..100 {
        let again = journal.append(&record("again").key("k")).unwrap();
        assert!(again.duplicate && again.durable);
        assert_eq!((again.sequence, again.offset), (first.sequence, first.offset));
        assert_eq!(again.generation.get(), 1, "that of the first record");
        journal.append(&record("filler")).unwrap();
        match round % 4 {
            1 => {
                journal.close().unwrap();
                journal = Journal::open(&bench.path, &options).unwrap();
            }
            3 => {
                drop(journal);
                journal = Journal::open(&bench.path, &options).unwrap();
            }
            _ => {}
        }
    }
    let found = support::records(&bench.path);
    assert_eq!(found.iter().filter(|one| one.key.is_some()).count(), 1);
    assert_eq!(found.len(), 101);
}

/// C3, H22: the process dies between the write and the acknowledgement; the retry finds the record.
#[test]
fn a_retry_after_a_crash_before_the_acknowledgement_is_a_duplicate() {
    let bench = Bench::new();
    let mut journal = bench.create();
    bench.disk.die_at(Op::Sync, 1);
    let error = journal.append(&record("message").key("inbound-1")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown);
    drop(journal);
    let mut next = Journal::open(&bench.path, &Options::default()).unwrap();
    let retried = next.append(&record("message").key("inbound-1")).unwrap();
    assert!(retried.duplicate && retried.durable);
    assert_eq!(bench.texts(), ["message"]);
}

/// H22: a duplicate is durable only once the first one is.
#[test]
fn a_duplicate_of_a_written_record_is_durable_only_behind_a_sync() {
    let bench = Bench::new();
    let mut journal = bench.create_with(&lazily(bench.options()));
    journal.append(&record("x").key("k")).unwrap();
    let again = journal.append(&record("x").key("k")).unwrap();
    assert!(again.duplicate && !again.durable);
    let durably =
        AppendOptions { durability: Some(session_journal::Durability::Durable), ..plain() };
    let before = bench.disk.count(Op::Sync);
    let again = journal.append_all(&[record("x").key("k")], &durably).unwrap()[0];
    assert!(again.duplicate && again.durable);
    assert_eq!(bench.disk.count(Op::Sync), before + 1);

    journal.append(&record("y").key("l")).unwrap();
    bench.disk.fail(Op::Sync, 1, EIO);
    let error = journal.append_all(&[record("y").key("l")], &durably).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown);
}

#[test]
fn a_key_that_stands_twice_in_one_batch_is_invalid_and_stores_nothing() {
    let bench = Bench::new();
    let mut journal = bench.create();
    let batch = [record("1").key("a"), record("2").key("b"), record("3").key("a")];
    let before = bench.bytes();
    let error = journal.append_all(&batch, &plain()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("\"a\""), "{error}");
    assert_eq!(bench.bytes(), before);
    assert_eq!(journal.append(&record("4").key("b")).unwrap().sequence.get(), 1);
}

#[test]
fn a_mixed_batch_stores_the_new_and_answers_the_old_in_order() {
    let bench = Bench::new();
    let mut journal = bench.create();
    journal.append_all(&[record("a").key("a"), record("c").key("c")], &plain()).unwrap();
    let batch =
        [record("a'").key("a"), record("b").key("b"), record("none"), record("c'").key("c")];
    let answers = journal.append_all(&batch, &plain()).unwrap();
    let told: Vec<_> = answers.iter().map(|one| (one.sequence.get(), one.duplicate)).collect();
    assert_eq!(told, [(1, true), (3, false), (4, false), (2, true)]);
    assert!(answers.iter().all(|one| one.durable));
    let found = support::records(&bench.path);
    for answer in &answers {
        let one = &found[usize::try_from(answer.sequence.get()).unwrap() - 1];
        assert_eq!(one.offset, answer.offset);
    }
    let all_old = journal.append_all(&batch[..2], &plain()).unwrap();
    assert!(all_old.iter().all(|one| one.duplicate));
    assert_eq!(bench.texts(), ["a", "c", "b", "none"]);
}

/// Two producers with one key in one group commit.
#[test]
fn producers_that_race_with_one_key_store_one_record() {
    let bench = Bench::new();
    let session = store_in(bench.folder(), bench.options()).create_blocking(&name("a")).unwrap();
    for round in 0..30 {
        let stored: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let one = record("x").key(format!("{round}"));
                        let answer = session.append_blocking(one).unwrap();
                        assert_eq!(answer.sequence.get(), round + 1);
                        usize::from(!answer.duplicate)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(stored, 1);
    }
}

#[test]
fn duplicate_keys_are_stored_where_asked_for_and_the_first_is_found() {
    let bench = Bench::new();
    let mut journal = bench.create_with(&Options { checkpoint_records: 2, ..bench.options() });
    let copies = AppendOptions { allow_duplicate_keys: true, ..plain() };
    journal.append(&record("0").key("k")).unwrap();
    for number in 1..=9 {
        let one = [record(&format!("{number}")).key("k")];
        let stored = journal.append_all(&one, &copies).unwrap()[0];
        assert_eq!((stored.sequence.get(), stored.duplicate), (number + 1, false));
    }
    let both = journal.append_all(&[record("10").key("k"), record("11").key("k")], &copies);
    assert_eq!(both.unwrap().len(), 2);
    let reader = Reader::open(&bench.path).unwrap();
    assert_eq!(support::text(&reader.by_key("k").unwrap().unwrap()), "0");
    let again = journal.append(&record("x").key("k")).unwrap();
    assert_eq!((again.sequence.get(), again.duplicate), (1, true));
}

/// C3 with a condition: a turn that is repeated under its old mark finds what it stored.
#[test]
fn a_condition_is_judged_before_keys() {
    let bench = Bench::new();
    let mut journal = bench.create();
    let mark = journal.mark();
    let batch = [record("answer").key("turn-1")];
    journal.append_all(&batch, &expecting(Expect::NothingSince(mark))).unwrap();
    let error = journal.append_all(&batch, &expecting(Expect::NothingSince(mark))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let session_journal::Cause::Conflict { came, .. } = error.cause() else { unreachable!() };
    assert_eq!(came[0].key.as_deref(), Some("turn-1"), "so the caller sees that it was its own");
}

// ---- damage --------------------------------------------------------------------------------

/// A journal of ten keyed records whose fourth is damaged. With `indexed` a checkpoint covers it.
fn damaged(bench: &Bench, indexed: bool) -> Options {
    let checkpoint_records = if indexed { 5 } else { 1000 };
    let options = Options { checkpoint_records, ..bench.options() };
    let mut journal = bench.create_with(&options);
    for number in 1..=10 {
        journal.append(&record("payload").key(format!("k{number}"))).unwrap();
    }
    drop(journal);
    let fourth = frames(&bench.path)
        .into_iter()
        .find(|(_, header)| header.sequence == 4)
        .map(|(at, _)| at)
        .unwrap();
    damage(&bench.path, fourth + 85);
    options
}

/// H22: where no index covers the damage, any key may have been in it.
#[test]
fn a_key_that_unindexed_damage_may_hide_is_unknown() {
    let bench = Bench::new();
    let options = damaged(&bench, false);
    let mut journal = Journal::open(&bench.path, &options).unwrap();
    let before = bench.bytes();
    for key in ["k4", "never seen"] {
        let error = journal.append(&record("x").key(key)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unknown, "{key}");
        let error = journal.reader().unwrap().by_key(key).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unknown, "{key}");
    }
    assert_eq!(bench.bytes(), before);
    assert!(journal.append(&record("x").key("k5")).unwrap().duplicate, "what is found is found");
    assert_eq!(journal.append(&record("no key")).unwrap().sequence.get(), 11);
    let batch = [record("x"), record("x").key("never seen")];
    assert_eq!(journal.append_all(&batch, &plain()).unwrap_err().kind(), ErrorKind::Unknown);

    let anyway = AppendOptions { ignore_gaps: true, ..plain() };
    let stored = journal.append_all(&[record("x").key("never seen")], &anyway).unwrap()[0];
    assert_eq!((stored.sequence.get(), stored.duplicate), (12, false));
    assert!(journal.append(&record("x").key("never seen")).unwrap().duplicate);
    drop(journal);
    // The next opening has an index of its own, built on the same damage.
    let mut journal = Journal::open(&bench.path, &options).unwrap();
    assert_eq!(journal.append(&record("x").key("other")).unwrap_err().kind(), ErrorKind::Unknown);
}

/// Where an index covers the damaged stretch, it knows every key that was there.
#[test]
fn a_key_that_an_index_does_not_know_is_absent_although_a_record_is_damaged() {
    let bench = Bench::new();
    let options = damaged(&bench, true);
    let mut journal = Journal::open(&bench.path, &options).unwrap();
    assert_eq!(journal.reader().unwrap().by_key("never seen").unwrap(), None);
    let stored = journal.append(&record("x").key("never seen")).unwrap();
    assert_eq!((stored.sequence.get(), stored.duplicate), (11, false));
    let error = journal.append(&record("x").key("k4")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown, "the damaged one itself may be k4");
    for number in [1, 2, 3, 5, 6, 10] {
        assert!(journal.append(&record("x").key(format!("k{number}"))).unwrap().duplicate);
    }
}

/// A checkpoint that was written after the damage does not make a false "absent" of it.
#[test]
fn an_index_built_behind_the_damage_still_says_unknown() {
    let bench = Bench::new();
    let options = damaged(&bench, false);
    let mut journal =
        Journal::open(&bench.path, &Options { checkpoint_records: 2, ..options }).unwrap();
    for number in 11..=60 {
        let one = [record("x").key(format!("k{number}"))];
        let anyway = AppendOptions { ignore_gaps: true, ..plain() };
        journal.append_all(&one, &anyway).unwrap();
    }
    journal.close().unwrap();
    let mut journal = bench.open().unwrap();
    for key in ["k4", "never seen"] {
        let error = journal.append(&record("x").key(key)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unknown, "{key}");
    }
    assert!(journal.append(&record("x").key("k33")).unwrap().duplicate);
}
