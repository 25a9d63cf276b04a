//! Sessions: many producers in front of one actor. Order, cancelling, a bounded inbox.

mod support;

use std::future::Future;
use std::pin::pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use session_journal::{
    AppendOptions, Durability, ErrorKind, NewRecord, OpenReason, Options, Reader, Rejected,
    Session, Store, StoreOptions,
};
use support::disk::{EIO, Op};
use support::held_up::{Pending, hold_up, poll};
use support::{
    Bench, Random, by_force, lazily, name, record, runtime, seed, session_in, store_in, take_over,
};

/// A store whose inboxes hold so many requests.
fn narrow(bench: &Bench, inbox_max: usize) -> Store {
    let options = StoreOptions { journal: bench.options(), inbox_max, ..StoreOptions::default() };
    Store::open(bench.folder().join("store"), options).unwrap()
}

#[test]
fn public_types_can_be_shared_between_threads() {
    fn both<T: Send + Sync>() {}
    fn send<T: Send>() {}
    both::<Session>();
    both::<Store>();
    both::<Reader>();
    both::<Options>();
    both::<StoreOptions>();
    both::<session_journal::Error>();
    both::<Rejected>();
    both::<session_journal::Record>();
    both::<session_journal::Mark>();
    both::<session_journal::Opening>();
    both::<session_journal::Owner>();
    both::<session_journal::Listed>();
    both::<session_journal::Info>();
    both::<session_journal::HistoryEvent>();
    send::<session_journal::Journal>();
    send::<session_journal::Follower>();
    send::<session_journal::Records>();
    send::<session_journal::GapRecords>();
    send::<session_journal::Backwards>();
    send::<session_journal::GapBackwards>();
    send::<session_journal::PathToRoot>();
}

/// Their futures move between the threads of a runtime.
#[test]
fn futures_of_a_session_are_send() {
    fn send<T: Send>(_: &T) {}
    let bench = Bench::new();
    let (store, session) = session_in(&bench);
    send(&session.append("x"));
    send(&session.append_all(Vec::new(), AppendOptions::default()));
    send(&session.sync());
    send(&session.compact());
    send(&session.clone().close());
    send(&store.open_session(&name("a")));
    let mut follower = session.follow(session.mark()).unwrap();
    send(&follower.next());
}

/// B3: eight producers, one session: all records once, each producer's own in its order.
#[test]
fn eight_producers_keep_each_their_own_order() {
    let bench = Bench::new();
    let (_store, session) = session_in(&bench);
    runtime().block_on(async {
        let producers: Vec<_> = (0..8)
            .map(|producer| {
                let session = session.clone();
                tokio::spawn(async move {
                    let mut last = 0;
                    for i in 0..200 {
                        let payload = format!("{producer} {i}").into_bytes();
                        let appended = session.append(payload).await.unwrap();
                        assert!(appended.sequence.get() > last && appended.durable);
                        last = appended.sequence.get();
                    }
                })
            })
            .collect();
        for producer in producers {
            producer.await.unwrap();
        }
    });
    let texts = support::texts(session.path());
    assert_eq!(texts.len(), 1600);
    for producer in 0..8 {
        let own = texts.iter().filter(|text| text.starts_with(&format!("{producer} ")));
        let order: Vec<String> = (0..200).map(|i| format!("{producer} {i}")).collect();
        assert!(own.eq(order.iter()), "producer {producer}");
    }
}

/// Requests of one producer that are all under way at once go in as they were made.
#[test]
fn appends_enter_in_the_order_in_which_they_were_first_polled() {
    let bench = Bench::new();
    let (_store, session) = session_in(&bench);
    let mut under_way: Vec<Pending<'_>> =
        (0..100).map(|i| Box::pin(session.append(format!("{i}").into_bytes())) as _).collect();
    let mut done = Vec::new();
    for one in &mut under_way {
        done.push(poll(one));
    }
    runtime().block_on(async {
        for (one, early) in under_way.into_iter().zip(done) {
            if early.is_pending() {
                one.await.unwrap();
            }
        }
    });
    let expected: Vec<String> = (0..100).map(|i| i.to_string()).collect();
    assert_eq!(support::texts(session.path()), expected);
}

/// C8: an append whose future is dropped was never made, or runs to its end; memory and disk agree.
#[test]
fn an_append_dropped_at_any_await_point_leaves_memory_and_disk_in_step() {
    let bench = Bench::new();
    let store = narrow(&bench, 3);
    let session = store.create_blocking(&name("a")).unwrap();
    for round in 0..20 {
        // Never polled: never made.
        drop(session.append(record("x").key(format!("never {round}"))));
        let held = hold_up(&bench, &session);
        // In the inbox: runs to its end, and only the answer is lost.
        let mut entered: Pending<'_> =
            Box::pin(session.append(record("x").key(format!("entered {round}"))));
        assert!(poll(&mut entered).is_pending());
        let mut filler: Pending<'_> = Box::pin(session.append("filler"));
        assert!(poll(&mut filler).is_pending());
        // In front of the full inbox: was never made.
        let mut waiting: Pending<'_> =
            Box::pin(session.append(record("x").key(format!("waiting {round}"))));
        assert!(poll(&mut waiting).is_pending());
        drop(entered);
        drop(waiting);
        held.let_go();
        runtime().block_on(filler).unwrap();

        let reader = session.reader().unwrap();
        assert_eq!(reader.mark(), session.mark());
        assert!(reader.by_key(&format!("entered {round}")).unwrap().is_some());
        for never in ["never", "waiting"] {
            assert_eq!(reader.by_key(&format!("{never} {round}")).unwrap(), None);
        }
        until_empty(&session);
        assert_eq!(session.append_blocking("next").unwrap().sequence.get(), 4 * (round + 1));
    }
    assert_eq!(support::texts(session.path()).len(), 80);
}

/// C8, C3: at random moments, with keys: whoever asks again finds out, and nothing is there twice.
#[test]
fn appends_cancelled_at_random_are_stored_once_or_not_at_all() {
    let mut random = Random::new(seed("--test session appends_cancelled"));
    let bench = Bench::new();
    let (_store, session) = session_in(&bench);
    let runtime = runtime();
    let mut sure = Vec::new();
    for number in 0..300 {
        let one = || record("x").key(format!("{number}"));
        let patience = Duration::from_micros(random.below(120));
        let answer =
            runtime.block_on(async { tokio::time::timeout(patience, session.append(one())).await });
        if answer.is_ok_and(|answer| answer.is_ok()) || random.below(2) == 0 {
            session.append_blocking(one()).unwrap();
            sure.push(format!("{number}"));
        }
    }
    session.sync_blocking().unwrap();
    assert_eq!(session.reader().unwrap().mark(), session.mark());
    let mut found: Vec<String> =
        support::records(session.path()).into_iter().map(|one| one.key.unwrap()).collect();
    assert!(sure.iter().all(|key| found.contains(key)));
    let all = found.len();
    found.sort();
    found.dedup();
    assert_eq!(found.len(), all);
}

/// C11: the inbox is bounded and its depth is to be seen; a full one is `Busy` or waited for.
#[test]
fn a_full_inbox_is_busy_or_waited_for_and_nothing_is_lost() {
    let bench = Bench::new();
    let store = narrow(&bench, 4);
    let session = store.create_blocking(&name("a")).unwrap();
    let held = hold_up(&bench, &session);
    assert_eq!(session.inbox_depth(), 1);
    let mut inside: Vec<Pending<'_>> =
        (0..3).map(|i| Box::pin(session.append(format!("in {i}").into_bytes())) as _).collect();
    for (i, one) in inside.iter_mut().enumerate() {
        assert!(poll(one).is_pending());
        assert_eq!(session.inbox_depth(), i + 2);
    }
    let records = vec![record("refused").key("k"), record("too")];
    let mut asked = pin!(session.try_append_all(records.clone(), AppendOptions::default()));
    let Poll::Ready(Err(rejected)) = asked.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    else {
        panic!("it does not wait");
    };
    assert_eq!(rejected.error.kind(), ErrorKind::Busy);
    assert!(rejected.error.to_string().contains('4'), "{}", rejected.error);
    assert_eq!(rejected.records, records);
    let mut outside: Vec<Pending<'_>> =
        (0..5).map(|i| Box::pin(session.append(format!("out {i}").into_bytes())) as _).collect();
    for one in &mut outside {
        assert!(poll(one).is_pending());
    }
    assert_eq!(session.inbox_depth(), 4, "those that wait in front are not in it");
    held.let_go();
    in_time(async {
        for one in inside.into_iter().chain(outside) {
            one.await.unwrap();
        }
    });
    assert_eq!(session.last_sequence().get(), 9);
    until_empty(&session);
    assert_eq!(support::texts(session.path()).len(), 9);
}

/// The deadline is there for what would never end.
fn in_time<T>(work: impl Future<Output = T>) -> T {
    let deadline = Duration::from_mins(1);
    let done = runtime().block_on(async { tokio::time::timeout(deadline, work).await });
    done.expect("an append that waited was never woken")
}

/// A store with one thread for file work: whoever waits for a sync is not counted, or the second of these
/// would wait for the first, which waits for it.
#[test]
fn syncs_of_two_sessions_are_under_way_at_once_though_one_thread_works() {
    let bench = Bench::new();
    let options = StoreOptions { journal: bench.options(), threads_max: 1, ..Default::default() };
    let store = Store::open(bench.folder().join("store"), options).unwrap();
    let sessions = ["a", "b"].map(|id| store.create_blocking(&name(id)).unwrap());
    let both = std::sync::Arc::new(std::sync::Barrier::new(2));
    for nth in [1, 2] {
        let both = std::sync::Arc::clone(&both);
        bench.disk.before(Op::Sync, nth, move || {
            both.wait();
        });
    }
    let [a, b] = sessions;
    in_time(async {
        let appends = [a, b].map(|one| tokio::spawn(async move { one.append("x").await }));
        for append in appends {
            assert!(append.await.unwrap().unwrap().durable);
        }
    });
}

fn with_durability(durability: Durability) -> AppendOptions {
    AppendOptions { durability: Some(durability), ..AppendOptions::default() }
}

/// The next sync waits for what is to be heard first; says whether it was.
fn hold_sync_until_heard(bench: &Bench) -> (Sender<()>, Receiver<bool>) {
    let ((heard, is_heard), (told, tells)) = (channel(), channel());
    bench.disk.before(Op::Sync, 1, move || {
        told.send(is_heard.recv_timeout(Duration::from_secs(20)).is_ok()).unwrap();
    });
    (heard, tells)
}

/// An append that needs no sync, and a sync behind it, in one turn: the first is answered before the second
/// waits for the disk.
#[test]
fn an_append_is_answered_before_a_sync_of_the_same_turn() {
    let bench = Bench::new();
    let (_store, session) = session_in(&bench);
    let held = hold_up(&bench, &session);
    let written = with_durability(Durability::Written);
    let mut append = Box::pin(session.append_all(vec![record("written")], written));
    let mut context = Context::from_waker(Waker::noop());
    assert!(append.as_mut().poll(&mut context).is_pending());
    let mut sync = Box::pin(session.sync());
    assert!(sync.as_mut().poll(&mut context).is_pending());
    let (heard, tells) = hold_sync_until_heard(&bench);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            in_time(append).unwrap();
            heard.send(()).unwrap();
        });
        held.let_go();
        assert!(tells.recv().unwrap(), "it was heard of while the sync was under way");
        in_time(sync).unwrap();
    });
}

/// Whoever serves a turn on its own thread serves more behind it, but none that waits for the disk.
#[test]
fn a_blocking_append_does_not_wait_for_the_sync_of_another_one() {
    let bench = Bench::new();
    let store = store_in(bench.folder(), lazily(bench.options()));
    let session = store.create_blocking(&name("a")).unwrap();
    session.append_blocking("first").unwrap();
    let (go, may_go) = channel();
    bench.disk.before(Op::Append, 1, move || may_go.recv().unwrap());
    let (heard, tells) = hold_sync_until_heard(&bench);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            session.append_blocking("written").unwrap();
            heard.send(()).unwrap();
        });
        while session.inbox_depth() < 1 {
            std::thread::yield_now();
        }
        let durable = scope.spawn(|| {
            let options = with_durability(Durability::Durable);
            session.append_all_blocking(vec![record("durable")], options).unwrap();
        });
        while session.inbox_depth() < 2 {
            std::thread::yield_now();
        }
        go.send(()).unwrap();
        assert!(tells.recv().unwrap(), "the written one was answered while the other one synced");
        durable.join().unwrap();
    });
}

/// A2: behind the last handle the owner is gone, also where a thread of the engine's is still at a turn that
/// nobody waits for any more: another store of this process is not told that it is alive.
#[test]
fn whoever_gives_the_last_handle_up_owns_nothing_more() {
    let bench = Bench::new();
    let (store, session) = session_in(&bench);
    let (entered, at_sync) = channel();
    let (go, may_go) = channel::<()>();
    bench.disk.before(Op::Sync, 1, move || {
        entered.send(()).unwrap();
        may_go.recv().unwrap();
    });
    let mut first: Pending<'_> = Box::pin(session.append("first"));
    assert!(poll(&mut first).is_pending());
    at_sync.recv().unwrap();
    drop(first);
    let another = session.clone();
    drop(session);
    let other = store_in(bench.folder(), bench.options());
    let refused = other.open_session_blocking(&name("a")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::HeldBy, "a clone is left");
    drop((another, store));
    let next = other.open_session_blocking(&name("a")).unwrap();
    next.append_blocking("second").unwrap();
    go.send(()).unwrap();
    assert_eq!(support::texts(next.path()), ["first", "second"]);
}

/// C11: however many wait in front of however few places, tasks and threads, all of them get in.
#[test]
fn every_producer_in_front_of_a_narrow_inbox_gets_in() {
    for inbox_max in [1, 2, 3, 7] {
        let bench = Bench::new();
        let session = narrow(&bench, inbox_max).create_blocking(&name("a")).unwrap();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let session = session.clone();
                std::thread::spawn(move || {
                    for _ in 0..50 {
                        session.append_blocking("x").unwrap();
                    }
                })
            })
            .collect();
        in_time(async {
            let tasks: Vec<_> = (0..20)
                .map(|_| {
                    let session = session.clone();
                    tokio::spawn(async move {
                        for _ in 0..20 {
                            session.append("x").await.unwrap();
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(session.last_sequence().get(), 600, "{inbox_max} places");
        until_empty(&session);
    }
}

/// A5: a producer that hangs holds nobody up; turns do not own the file.
#[test]
fn a_producer_that_never_comes_back_holds_nobody_up() {
    let bench = Bench::new();
    let (_store, session) = session_in(&bench);
    let mut hung: Vec<Pending<'_>> =
        (0..10).map(|_| Box::pin(session.append("hung")) as _).collect();
    for one in &mut hung {
        let _ = poll(one);
    }
    for _ in 0..50 {
        session.append_blocking("x").unwrap();
    }
    assert_eq!(session.last_sequence().get(), 60);
    drop(hung);
}

#[test]
fn every_call_has_a_blocking_twin_that_does_the_same() {
    let bench = Bench::new();
    let (store, session) = session_in(&bench);
    runtime().block_on(async {
        assert_eq!(session.append("1").await.unwrap().sequence.get(), 1);
        let two = vec![record("2"), record("3")];
        session.append_all(two, AppendOptions::default()).await.unwrap();
        session.sync().await.unwrap();
        assert_eq!(session.compact().await.unwrap().records, 3);
        session.clone().close().await.unwrap();
    });
    let session = store.open_session_blocking(&name("a")).unwrap();
    assert_eq!(session.append_blocking("4").unwrap().sequence.get(), 4);
    let two = vec![record("5"), record("6")];
    session.append_all_blocking(two, AppendOptions::default()).unwrap();
    session.sync_blocking().unwrap();
    assert_eq!(session.compact_blocking().unwrap().records, 6);
    session.close_blocking().unwrap();
    runtime().block_on(async {
        let session = store.open_session(&name("a")).await.unwrap();
        assert_eq!(session.last_sequence().get(), 6);
        session.delete().await.unwrap();
        let session = store.open_or_create(&name("a")).await.unwrap();
        assert_eq!(session.last_sequence().get(), 0);
        session.close().await.unwrap();
        let session = store.take_over(&name("a")).await.unwrap();
        assert_eq!(session.opening().reason, OpenReason::Released);
    });
    assert!(store.open_session_blocking(&name("a")).is_ok());
}

/// `Written` is synced within the interval by the engine's own timer, though nobody appends. The
/// deadline is there for a broken timer only.
#[test]
fn written_records_become_durable_without_further_appends() {
    let bench = Bench::new();
    let journal = Options {
        durability: Durability::Written,
        sync_interval: Duration::from_millis(50),
        ..bench.options()
    };
    let store = store_in(bench.folder(), journal);
    let session = store.create_blocking(&name("a")).unwrap();
    for number in 1..=3 {
        assert!(!session.append_blocking("x").unwrap().durable);
        let deadline = Instant::now() + Duration::from_mins(1);
        while session.durable_through() != session.last_sequence() {
            assert!(Instant::now() < deadline, "nobody synced record {number}");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(session.durable_through().get(), number);
    }
}

/// A sync that fails in the background is told to the next append, not hidden.
#[test]
fn a_background_sync_that_fails_is_told_to_the_next_append() {
    let bench = Bench::new();
    let journal = Options {
        durability: Durability::Written,
        sync_interval: Duration::from_millis(20),
        ..bench.options()
    };
    let store = store_in(bench.folder(), journal);
    let session = store.create_blocking(&name("a")).unwrap();
    bench.disk.fail_always(Op::Sync, EIO);
    session.append_blocking("one").unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    let error = loop {
        assert!(Instant::now() < deadline, "the failed sync was never told");
        match session.append_blocking("more") {
            Ok(appended) => assert!(!appended.durable),
            Err(rejected) => break rejected.error,
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(matches!(error.kind(), ErrorKind::Poisoned | ErrorKind::Unknown), "{error}");
    assert_eq!(session.durable_through().get(), 0);
}

/// B6: fenced once, the old session says so for ever; opening again gives a clean one.
#[test]
fn a_fenced_session_stays_fenced_and_the_store_opens_a_fresh_one() {
    let bench = Bench::new();
    let (store, session) = session_in(&bench);
    session.append_blocking("one").unwrap();
    let mut other = take_over(session.path(), "other");
    let rejected = session.append_blocking(record("late").key("k")).unwrap_err();
    assert_eq!(rejected.error.kind(), ErrorKind::Fenced);
    assert_eq!(rejected.records.len(), 1);
    other.append(&record("two")).unwrap();
    for _ in 0..3 {
        assert_eq!(session.append_blocking("late").unwrap_err().error.kind(), ErrorKind::Fenced);
    }
    let fresh = store.open_session_with(&name("a"), &by_force("fresh")).unwrap();
    let again: Vec<NewRecord> = rejected.records;
    let stored = fresh.append_all_blocking(again, AppendOptions::default()).unwrap();
    assert_eq!(stored[0].sequence.get(), 3);
    assert_eq!(session.append_blocking("late").unwrap_err().error.kind(), ErrorKind::Fenced);
    assert_eq!(support::texts(session.path()), ["one", "two", "late"]);
}

/// `mark`, `last_sequence` and `durable_through` never run ahead of what was acknowledged.
#[test]
fn what_a_session_publishes_is_never_ahead_of_the_file() {
    let bench = Bench::new();
    let store = store_in(bench.folder(), lazily(bench.options()));
    let session = store.create_blocking(&name("a")).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..300 {
                let appended = session.append_blocking("x").unwrap();
                assert!(session.last_sequence() >= appended.sequence, "one's own is seen");
            }
        });
        while !writer.is_finished() {
            let mark = session.mark();
            let reader = session.reader().unwrap();
            assert!(reader.last_sequence() >= mark.sequence);
            reader.records_after(&mark).expect("the file holds the very record");
            assert!(session.durable_through() <= mark.sequence);
        }
    });
}

/// An answer goes out before its place is given back: no place in the inbox is lost.
fn until_empty(session: &Session) {
    for _ in 0..1000 {
        if session.inbox_depth() == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} places of the inbox were never given back", session.inbox_depth());
}
