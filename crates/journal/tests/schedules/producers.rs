//! Several producers on one session: group commit, a full inbox, an append that is dropped, syncs that
//! nobody asks for, and followers.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use session_journal::{AppendOptions, ErrorKind, Expect, Mark, Session, StoreOptions};
use shuttle::future::block_on;
use shuttle::thread::{self, JoinHandle};

use super::explore::{explore, replays};
use super::machine::{Machine, Told, kind, name, record, written_soon_synced};

/// A producer that appends its records one by one, on its own thread.
fn blocking(
    machine: &Machine,
    session: &Session,
    told: &Told,
    producer: &'static str,
    texts: &'static [&'static str],
) -> JoinHandle<()> {
    let (machine, session, told) = (machine.clone(), session.clone(), told.clone());
    thread::spawn(move || {
        for text in texts {
            let appended = session.append_blocking(record(text)).unwrap();
            machine.heard(&session, &appended);
            told.stored(producer, text);
        }
    })
}

/// The same, awaiting.
fn awaiting(
    machine: &Machine,
    session: &Session,
    told: &Told,
    producer: &'static str,
    texts: &'static [&'static str],
) -> JoinHandle<()> {
    let (machine, session, told) = (machine.clone(), session.clone(), told.clone());
    thread::spawn(move || {
        block_on(async {
            for text in texts {
                let appended = session.append(record(text)).await.unwrap();
                machine.heard(&session, &appended);
                told.stored(producer, text);
            }
        });
    })
}

/// One that does not wait for a place.
fn trying(session: &Session, told: &Told, text: &'static str) -> JoinHandle<()> {
    let (session, told) = (session.clone(), told.clone());
    thread::spawn(move || {
        let records = vec![record(text)];
        match block_on(session.try_append_all(records, AppendOptions::default())) {
            Ok(_) => told.stored("trying", text),
            Err(refused) => {
                assert_eq!(kind(&refused), ErrorKind::Busy);
                assert_eq!(refused.records.len(), 1, "what was not stored comes back");
            }
        }
    })
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Whether a schedule was met in which several appends shared a sync.
static SHARED_A_SYNC: AtomicBool = AtomicBool::new(false);

pub(crate) fn many_producers(machine: &Machine) {
    let store = machine.store(1);
    let session = store.create_blocking(&name()).unwrap();
    let (told, syncs) = (Told::default(), machine.disk.syncs());
    join([
        blocking(machine, &session, &told, "one", &["a1", "a2"]),
        awaiting(machine, &session, &told, "two", &["b1", "b2"]),
        blocking(machine, &session, &told, "three", &["c1"]),
    ]);
    assert_eq!((told.count(), session.last_sequence().get()), (5, 5));
    let syncs = machine.disk.syncs() - syncs;
    assert!(syncs <= 5, "no more syncs than appends");
    SHARED_A_SYNC.fetch_or(syncs < 5, Ordering::Relaxed);
    told.check(&machine.texts(&store, &name()), &[]);
}

#[test]
fn of_many_producers_each_is_acknowledged_once_and_in_its_order() {
    explore("of_many_producers", many_producers);
    assert!(SHARED_A_SYNC.load(Ordering::Relaxed) || replays(), "no sync was ever shared");
}

/// With one place, everybody waits for everybody.
pub(crate) fn a_full_inbox(machine: &Machine) {
    let store = machine.store_with(StoreOptions { inbox_max: 1, ..machine.settings(1) });
    let session = store.create_blocking(&name()).unwrap();
    let told = Told::default();
    join([
        blocking(machine, &session, &told, "one", &["a1", "a2"]),
        awaiting(machine, &session, &told, "two", &["b1", "b2"]),
        awaiting(machine, &session, &told, "three", &["c1"]),
        blocking(machine, &session, &told, "four", &["d1"]),
        trying(&session, &told, "e1"),
    ]);
    assert!(told.count() >= 6);
    told.check(&machine.texts(&store, &name()), &[]);
    while session.inbox_depth() > 0 {
        thread::yield_now();
    }
}

#[test]
fn whoever_waits_for_a_place_in_a_full_inbox_gets_one() {
    explore("whoever_waits_for_a_place", a_full_inbox);
}

pub(crate) fn a_dropped_append(machine: &Machine) {
    let store = machine.store_with(StoreOptions { inbox_max: 1, ..machine.settings(1) });
    let session = store.create_blocking(&name()).unwrap();
    let told = Told::default();
    let dropping = {
        let (session, told) = (session.clone(), told.clone());
        thread::spawn(move || {
            let mut append = pin!(session.append(record("dropped")));
            for _ in 0..3 {
                let polled = append.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                if let Poll::Ready(answer) = polled {
                    answer.unwrap();
                    return told.stored("dropping", "dropped");
                }
                thread::yield_now();
            }
        })
    };
    let others = [
        awaiting(machine, &session, &told, "one", &["a1", "a2"]),
        blocking(machine, &session, &told, "two", &["b1"]),
    ];
    dropping.join().unwrap();
    join(others);
    // Behind everything that entered the inbox.
    session.sync_blocking().unwrap();
    told.check(&machine.texts(&store, &name()), &["dropped"]);
}

#[test]
fn an_append_that_is_dropped_is_stored_once_or_not_at_all_and_keeps_no_place() {
    explore("an_append_that_is_dropped", a_dropped_append);
}

pub(crate) fn nobody_syncs(machine: &Machine) {
    let settings = machine.settings(1);
    let journal = written_soon_synced(settings.journal.clone());
    let store = machine.store_with(StoreOptions { journal, ..settings });
    let session = store.create_blocking(&name()).unwrap();
    let told = Told::default();
    join([
        blocking(machine, &session, &told, "one", &["a1", "a2"]),
        awaiting(machine, &session, &told, "two", &["b1"]),
    ]);
    while session.durable_through() < session.last_sequence() {
        thread::yield_now();
    }
    told.check(&machine.texts(&store, &name()), &[]);
}

#[test]
fn what_was_written_becomes_durable_though_nobody_asks_for_it() {
    explore("what_was_written_becomes_durable", nobody_syncs);
}

/// The first record of all, of a session that is as good as new.
fn beginning(session: &Session) -> Mark {
    let mark = session.mark();
    assert_eq!(mark.sequence.get(), 0);
    mark
}

pub(crate) fn followers(machine: &Machine) {
    let store = machine.store(1);
    let session = store.create_blocking(&name()).unwrap();
    let start = beginning(&session);
    let mut task = session.follow(start).unwrap();
    let mut blocked = session.follow(start).unwrap();
    let told = Told::default();
    let producers = [
        blocking(machine, &session, &told, "one", &["a1", "a2"]),
        awaiting(machine, &session, &told, "two", &["b1"]),
    ];
    let task = thread::spawn(move || {
        let mut next = async || task.next().await.unwrap().sequence.get();
        assert_eq!(block_on(async { [next().await, next().await, next().await] }), [1, 2, 3]);
    });
    let thread = thread::spawn(move || {
        for sequence in 1..=3 {
            let next = blocked.next_timeout(Duration::MAX).unwrap().unwrap();
            assert_eq!(next.sequence.get(), sequence);
        }
    });
    join(producers);
    join([task, thread]);
}

#[test]
fn a_follower_is_woken_for_every_record() {
    explore("a_follower_is_woken", followers);
}

/// Two turns that began at one mark, and a record that two producers retry under one key.
pub(crate) fn conditions_and_keys(machine: &Machine) {
    let store = machine.store(1);
    let session = store.create_blocking(&name()).unwrap();
    let start = beginning(&session);
    let turns = ["a1", "b1"].map(|text| {
        let session = session.clone();
        thread::spawn(move || {
            let expect = Expect::NothingSince(start);
            let options = AppendOptions { expect, ..AppendOptions::default() };
            match block_on(session.append_all(vec![record(text)], options)) {
                Ok(_) => true,
                Err(refused) => {
                    assert_eq!(kind(&refused), ErrorKind::Conflict);
                    false
                }
            }
        })
    });
    let retries = ["c", "c"].map(|text| {
        let session = session.clone();
        thread::spawn(move || session.append_blocking(record(text).key(text)).unwrap())
    });
    let won = turns.map(|turn| turn.join().unwrap());
    let [one, two] = retries.map(|retry| retry.join().unwrap());
    assert!(won != [true, true], "both appended as if nothing had come");
    assert_eq!(one.sequence, two.sequence);
    assert!(one.duplicate != two.duplicate, "it was stored once");
    assert!(one.durable && two.durable);
    let stored = machine.texts(&store, &name());
    assert_eq!(stored.len(), 1 + usize::from(won != [false, false]), "{stored:?}");
}

#[test]
fn of_turns_under_one_mark_one_wins_and_a_key_is_stored_once() {
    explore("of_turns_under_one_mark", conditions_and_keys);
}

pub(crate) fn a_follower_and_a_compaction(machine: &Machine) {
    let store = machine.store(1);
    let session = store.create_blocking(&name()).unwrap();
    let mut follower = session.follow(beginning(&session)).unwrap();
    let told = Told::default();
    let producer = blocking(machine, &session, &told, "one", &["a1", "a2"]);
    let copy = {
        let session = session.clone();
        thread::spawn(move || session.compact_blocking().map(drop).unwrap())
    };
    let follower = thread::spawn(move || {
        block_on(async {
            for sequence in 1..=2 {
                assert_eq!(follower.next().await.unwrap().sequence.get(), sequence);
            }
        });
    });
    join([producer, copy, follower]);
    told.check(&machine.texts(&store, &name()), &[]);
}

#[test]
fn a_follower_goes_on_in_a_file_that_is_compacted_under_it() {
    explore("a_follower_goes_on", a_follower_and_a_compaction);
}
