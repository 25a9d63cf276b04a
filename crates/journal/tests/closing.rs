//! The end of a session's handles: closed, deleted, dropped in the middle of things.

mod support;

use std::future::Future;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use session_journal::{ErrorKind, OpenReason, Options};
use support::held_up::{Pending, hold_up, poll};
use support::{Bench, name, record, runtime, session_in};

/// B6, A2: whoever heard that it is closed or deleted opens it again, at once and for good.
#[test]
fn a_session_can_be_opened_again_right_behind_its_close_or_deletion() {
    let bench = Bench::new();
    let (store, mut session) = session_in(&bench);
    runtime().block_on(async {
        let mut count = 0;
        for round in 0..300 {
            if round % 3 == 2 {
                session.delete().await.unwrap();
                count = 0;
            } else {
                session.close().await.unwrap();
            }
            session = store.open_or_create(&name("a")).await.unwrap();
            count += 1;
            assert_eq!(session.append("x").await.unwrap().sequence.get(), count, "round {round}");
        }
    });
}

/// A2: a closed handle answers `Closed`, to every clone and every call, and never opens again.
#[test]
fn closing_closes_every_clone_for_good() {
    let bench = Bench::new();
    let (store, session) = session_in(&bench);
    session.append_blocking("one").unwrap();
    let (path, clone, closer) = (session.path().to_owned(), session.clone(), session.clone());
    closer.close_blocking().unwrap();
    let after = std::fs::read(&path).unwrap();
    for late in [&session, &clone] {
        let rejected = late.append_blocking(record("late")).unwrap_err();
        assert_eq!(rejected.error.kind(), ErrorKind::Closed);
        assert_eq!(rejected.records, [record("late")], "and gives it back");
        assert_eq!(late.sync_blocking().unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(late.compact_blocking().unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(late.clone().close_blocking().unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(late.clone().delete_blocking().unwrap_err().kind(), ErrorKind::Closed);
    }
    assert_eq!(std::fs::read(&path).unwrap(), after);
    let again = store.open_session_blocking(&name("a")).unwrap();
    assert_eq!(again.opening().reason, OpenReason::Released);
    assert_eq!(again.append_blocking("two").unwrap().sequence.get(), 2);
    let late = session.append_blocking("late").unwrap_err();
    assert_eq!(late.error.kind(), ErrorKind::Closed, "the old handle stays closed");
}

/// What entered the inbox before a close is served before it.
#[test]
fn a_close_serves_what_waits_first() {
    let bench = Bench::new();
    let (_store, session) = session_in(&bench);
    let held = hold_up(&bench, &session);
    let mut before: Pending<'_> = Box::pin(session.append("before"));
    assert!(poll(&mut before).is_pending());
    let mut close = Box::pin(session.clone().close());
    let mut context = Context::from_waker(Waker::noop());
    assert!(close.as_mut().poll(&mut context).is_pending());
    let mut behind: Pending<'_> = Box::pin(session.append("behind"));
    assert!(poll(&mut behind).is_pending());
    held.let_go();
    runtime().block_on(async {
        assert_eq!(before.await.unwrap().sequence.get(), 2);
        close.await.unwrap();
        assert_eq!(behind.await.unwrap_err().error.kind(), ErrorKind::Closed);
    });
    assert_eq!(support::texts(session.path()), ["first", "before"]);
}

/// A1, A2: dropping all handles is like a crash: nothing is written, and the next opening waits for
/// nobody.
#[test]
fn a_session_whose_handles_are_dropped_opens_again_as_crashed() {
    let bench = Bench::new();
    let (store, session) = session_in(&bench);
    for round in 0..10 {
        let mut abandoned: Pending<'_> = Box::pin(session.append("never polled"));
        if round == 5 {
            let _ = poll(&mut abandoned);
        }
    }
    session.sync_blocking().unwrap();
    let (path, count) = (session.path().to_owned(), session.last_sequence().get());
    assert_eq!(count, 1);
    drop((session.clone(), session));
    for generation in 2..12 {
        let before = std::fs::read(&path).unwrap();
        // A turn that is just ending may keep the actor a moment longer: then one joins it.
        let deadline = Instant::now() + Duration::from_mins(1);
        let again = loop {
            let again = store.open_session_blocking(&name("a")).unwrap();
            if again.generation().get() == generation {
                break again;
            }
            assert!(Instant::now() < deadline, "the actor never went");
        };
        assert_eq!(again.opening().reason, OpenReason::Crashed);
        drop(again);
        assert_eq!(std::fs::read(&path).unwrap()[4096..before.len()], before[4096..]);
    }
}

/// Dropping everything in the middle of things panics nobody, and loses nothing acknowledged.
#[test]
fn dropping_store_and_sessions_in_the_middle_of_work_is_quiet() {
    for round in 0..20_u64 {
        let bench = Bench::new();
        let (store, session) = session_in(&bench);
        let path = session.path().to_owned();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let session = session.clone();
                std::thread::spawn(move || {
                    for _ in 0..round {
                        session.append_blocking("x").unwrap();
                    }
                    round
                })
            })
            .collect();
        drop(store);
        drop(session);
        let acknowledged: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(support::texts(&path).len() as u64, acknowledged);
        // A turn that is just ending may keep the actor a moment longer.
        let deadline = Instant::now() + Duration::from_mins(1);
        while let Err(error) = session_journal::Journal::open(&path, &Options::default()) {
            assert_eq!(error.kind(), ErrorKind::HeldBy);
            assert!(Instant::now() < deadline, "{error}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
