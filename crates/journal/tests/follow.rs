//! Following a journal as it grows: nothing missed, nothing twice, no spinning; behind compaction,
//! resumption, cancelling and the end of the journal.

mod support;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use session_journal::{
    Cause, ErrorKind, Follower, Journal, Mark, Options, Reader, Record, Sequence, Session,
};
use support::disk::{FaultDisk, Op};
use support::{
    Bench, by_force, cut, damage, frames, lazily, name, options_on, record, store_in, take_over,
    text,
};

/// Far longer than anything here takes; only a broken follower waits for it.
const GENEROUS: Duration = Duration::from_mins(1);

fn start_of(reader: &Reader) -> Mark {
    Mark { journal: reader.id(), sequence: Sequence::ZERO, checksum: 0 }
}

fn from_the_start(bench: &Bench) -> Follower {
    let reader = Reader::open(&bench.path).unwrap();
    let start = start_of(&reader);
    Follower::new(reader, start).unwrap()
}

fn next(follower: &mut Follower) -> Record {
    follower.next_timeout(GENEROUS).unwrap().expect("a record came in time")
}

fn drain(follower: &mut Follower) -> Vec<u64> {
    std::iter::from_fn(|| follower.try_next().unwrap()).map(|one| one.sequence.get()).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

#[test]
fn a_follower_gives_what_was_there_and_then_what_comes() {
    let bench = Bench::new();
    let mut journal = bench.create();
    for number in 1..=200 {
        journal.append(&record(&format!("{number}"))).unwrap();
    }
    let mut follower = from_the_start(&bench);
    assert_eq!(drain(&mut follower), (1..=200).collect::<Vec<_>>());
    assert_eq!(follower.try_next().unwrap(), None);
    assert_eq!(follower.next_timeout(Duration::ZERO).unwrap(), None);
    for number in 201..=210 {
        let appended = journal.append(&record(&format!("{number}"))).unwrap();
        let one = next(&mut follower);
        assert_eq!((one.sequence, text(&one)), (appended.sequence, format!("{number}")));
        assert_eq!(follower.mark(), journal.mark());
    }
}

/// Through another handle that knows nothing of this one: the system says that the file changed.
#[test]
fn a_follower_wakes_for_appends_of_a_handle_that_it_does_not_know() {
    let bench = Bench::new();
    let mut journal = bench.create();
    let mut follower = from_the_start(&bench);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=20 {
                let one = next(&mut follower);
                assert_eq!(one.sequence.get(), number);
            }
        });
        for number in 1..=20 {
            if number % 5 == 0 {
                std::thread::sleep(Duration::from_millis(20));
            }
            journal.append(&record("x")).unwrap();
        }
    });
}

#[test]
fn a_follower_of_a_session_gets_every_record_of_every_producer_once() {
    let bench = Bench::new();
    let store = store_in(bench.folder(), lazily(bench.options()));
    let session = store.create_blocking(&name("a")).unwrap();
    let start = session.mark();
    let followers: Vec<Follower> = (0..2).map(|_| session.follow(start).unwrap()).collect();
    std::thread::scope(|scope| {
        for mut follower in followers {
            scope.spawn(move || {
                for number in 1..=1000 {
                    assert_eq!(next(&mut follower).sequence.get(), number);
                }
                assert_eq!(follower.try_next().unwrap(), None);
            });
        }
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..250 {
                    session.append_blocking("x").unwrap();
                }
            });
        }
    });
}

/// Cancelling: a future that is dropped while it waits, or before it is asked again, loses nothing.
#[test]
fn a_dropped_future_loses_no_record() {
    let bench = Bench::new();
    let store = store_in(bench.folder(), bench.options());
    let session = store.create_blocking(&name("a")).unwrap();
    let mut follower = session.follow(session.mark()).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    runtime().block_on(async {
        for number in 1..=100 {
            for _ in 0..3 {
                assert!(pin!(follower.next()).poll(&mut context).is_pending());
            }
            session.append("x").await.unwrap();
            // Made and dropped without being polled.
            drop(follower.next());
            let one = tokio::time::timeout(GENEROUS, follower.next()).await.unwrap().unwrap();
            assert_eq!(one.sequence.get(), number);
        }
    });
}

/// Raced against other things, as in `select!`: many cancels, still every record once.
#[test]
fn a_follower_raced_against_a_timer_gives_everything_once() {
    let bench = Bench::new();
    let store = store_in(bench.folder(), lazily(bench.options()));
    let session = store.create_blocking(&name("a")).unwrap();
    let mut follower = session.follow(session.mark()).unwrap();
    let writer = session.clone();
    let thread = std::thread::spawn(move || {
        for _ in 0..300 {
            writer.append_blocking("x").unwrap();
        }
    });
    runtime().block_on(async {
        let mut got = Vec::new();
        let end = Instant::now() + GENEROUS;
        while got.len() < 300 && Instant::now() < end {
            tokio::select! {
                one = follower.next() => got.push(one.unwrap().sequence.get()),
                () = tokio::time::sleep(Duration::from_micros(50)) => {}
            }
        }
        assert_eq!(got, (1..=300).collect::<Vec<_>>());
    });
    thread.join().unwrap();
}

#[test]
fn a_follower_goes_through_compactions_without_repeating_or_missing() {
    let bench = Bench::new();
    let mut journal = bench.create();
    let mut follower = from_the_start(&bench);
    let mut behind = from_the_start(&bench);
    let mut got = Vec::new();
    for round in 0..10 {
        for _ in 0..7 {
            journal.append(&record("x")).unwrap();
        }
        if round % 2 == 0 {
            got.extend(drain(&mut follower));
        }
        journal.compact().unwrap();
        if round % 4 == 1 {
            got.push(next(&mut follower).sequence.get());
            // The one that is behind is in the middle of what it read ahead.
            next(&mut behind);
        }
    }
    journal.append(&record("last")).unwrap();
    got.extend(drain(&mut follower));
    assert_eq!(got, (1..=71).collect::<Vec<_>>());
    assert_eq!(drain(&mut behind), (4..=71).collect::<Vec<_>>());
    // And it still wakes for the new file.
    let mut other = take_over(&bench.path, "other");
    std::thread::scope(|scope| {
        let woken = scope.spawn(|| next(&mut follower));
        other.append(&record("72")).unwrap();
        assert_eq!(woken.join().unwrap().sequence.get(), 72);
    });
}

#[test]
fn a_follower_resumes_at_the_mark_where_another_stopped() {
    let bench = Bench::new();
    let mut journal = bench.create();
    for _ in 0..100 {
        journal.append(&record("x")).unwrap();
    }
    let mut mark = start_of(&Reader::open(&bench.path).unwrap());
    let mut got = Vec::new();
    for part in [1, 0, 30, 64, 3] {
        let mut follower = Follower::new(Reader::open(&bench.path).unwrap(), mark).unwrap();
        for _ in 0..part {
            got.push(next(&mut follower).sequence.get());
        }
        mark = follower.mark();
        journal.compact().unwrap();
    }
    assert_eq!(got, (1..=98).collect::<Vec<_>>());
}

/// H11: a mark of a record that was lost, or of another journal, is refused at once.
#[test]
fn a_mark_of_a_lost_record_is_diverged_and_names_the_last_common_one() {
    let bench = Bench::new();
    let mut journal = bench.create_with(&lazily(bench.options()));
    journal.append(&record("durable")).unwrap();
    journal.sync().unwrap();
    let (common, end) = (journal.mark(), bench.len());
    journal.append(&record("lost")).unwrap();
    let lost = journal.mark();
    drop(journal);
    cut(&bench.path, end);
    let ahead = Follower::new(Reader::open(&bench.path).unwrap(), lost).unwrap_err();
    assert_eq!(ahead.kind(), ErrorKind::Diverged);
    let mut journal = bench.open().unwrap();
    journal.append(&record("other")).unwrap();
    let error = Follower::new(Reader::open(&bench.path).unwrap(), lost).unwrap_err();
    let Cause::Diverged { mark, last_common } = error.cause() else { panic!("{error}") };
    assert_eq!((*mark, *last_common), (lost, Some(common)));
    let mut again = Follower::new(Reader::open(&bench.path).unwrap(), common).unwrap();
    assert_eq!(text(&next(&mut again)), "other");

    let foreign = Mark { journal: session_journal::JournalId::from_bytes([7; 16]), ..common };
    let error = Follower::new(Reader::open(&bench.path).unwrap(), foreign).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Diverged);
}

/// A follower that has given a record which power loss then takes must not go on as if nothing were.
#[test]
fn a_living_follower_whose_record_is_lost_says_so() {
    let bench = Bench::new();
    let mut journal = bench.create_with(&lazily(bench.options()));
    journal.append(&record("durable")).unwrap();
    journal.sync().unwrap();
    let end = bench.len();
    journal.append(&record("lost")).unwrap();
    let mut follower = from_the_start(&bench);
    assert_eq!(drain(&mut follower), [1, 2]);
    drop(journal);
    cut(&bench.path, end);
    let mut journal = bench.open().unwrap();
    journal.append(&record("other, and a good deal longer than the one that was lost")).unwrap();
    journal.append(&record("third")).unwrap();
    let error = follower.try_next().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Diverged | ErrorKind::Shortened), "{error}");
}

#[test]
fn a_follower_of_a_deleted_journal_gives_the_rest_and_is_detached() {
    let bench = Bench::new();
    let mut journal = bench.create();
    journal.append(&record("one")).unwrap();
    let mut follower = from_the_start(&bench);
    let mut idle = from_the_start(&bench);
    assert_eq!(drain(&mut idle), [1]);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| idle.next_timeout(GENEROUS).unwrap_err().kind());
        journal.delete().unwrap();
        assert_eq!(waiting.join().unwrap(), ErrorKind::Detached, "a waiting one is woken");
    });
    assert_eq!(follower.try_next().unwrap_err().kind(), ErrorKind::Detached);
    let mut new = Journal::create(&bench.path, &name("a"), &Options::default()).unwrap();
    new.append(&record("another journal")).unwrap();
    assert_eq!(follower.try_next().unwrap_err().kind(), ErrorKind::Detached);
    assert_eq!(idle.try_next().unwrap_err().kind(), ErrorKind::Detached);
}

/// H5: the file left its name without a seal.
#[test]
fn a_follower_of_a_file_that_was_moved_or_removed_is_detached() {
    for moved in [false, true] {
        let bench = Bench::new();
        let mut journal = bench.create();
        journal.append(&record("one")).unwrap();
        let mut follower = from_the_start(&bench);
        assert_eq!(drain(&mut follower), [1]);
        if moved {
            std::fs::rename(&bench.path, bench.folder().join("elsewhere")).unwrap();
        } else {
            std::fs::remove_file(&bench.path).unwrap();
        }
        let error = follower.next_timeout(GENEROUS).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Detached, "{error}");
    }
}

/// D3: a gap is told once, and the follower goes on behind it.
#[test]
fn a_gap_is_told_once_and_following_goes_on_behind_it() {
    let bench = Bench::new();
    let mut journal = bench.create();
    for _ in 0..6 {
        journal.append(&record("x")).unwrap();
    }
    let third = frames(&bench.path).into_iter().find(|(_, one)| one.sequence == 3).unwrap().0;
    damage(&bench.path, third + 80);
    let mut follower = from_the_start(&bench);
    assert_eq!([next(&mut follower), next(&mut follower)].map(|one| one.sequence.get()), [1, 2]);
    let error = follower.try_next().unwrap_err();
    let Cause::Corrupt { sequence, records, .. } = error.cause() else { panic!("{error}") };
    assert_eq!((sequence.get(), *records), (3, 1));
    assert_eq!(drain(&mut follower), [4, 5, 6]);
    journal.append(&record("x")).unwrap();
    assert_eq!(next(&mut follower).sequence.get(), 7);
}

/// L2: a follower neither holds nor fences; takeovers pass under it.
#[test]
fn a_follower_goes_through_takeovers() {
    let bench = Bench::new();
    let mut journal = bench.create();
    let mut follower = from_the_start(&bench);
    let mut expected = 0;
    for round in 0..8 {
        let mut taker = Journal::open(&bench.path, &by_force(&format!("{round}"))).unwrap();
        taker.append(&record("x")).unwrap();
        assert_eq!(journal.append(&record("late")).unwrap_err().kind(), ErrorKind::Fenced);
        expected += 1;
        let one = next(&mut follower);
        assert_eq!((one.sequence.get(), one.generation), (expected, taker.generation()));
        journal = taker;
    }
    assert_eq!(follower.try_next().unwrap(), None);
}

/// A10: an idle follower looks about once a second; it does not spin. A count, not a time: within
/// one idle second and a bit it may look a few times, not thousands.
#[test]
fn an_idle_follower_does_not_spin() {
    let bench = Bench::new();
    let mut journal = bench.create();
    journal.append(&record("one")).unwrap();
    let disk = FaultDisk::new();
    let reader = Reader::open_with(&bench.path, options_on(&disk).disk).unwrap();
    let mark = reader.mark();
    let mut follower = Follower::new(reader, mark).unwrap();
    assert_eq!(follower.try_next().unwrap(), None);
    disk.forget_calls();
    assert_eq!(follower.next_timeout(Duration::from_millis(1500)).unwrap(), None);
    assert!(disk.count(Op::Len) <= 20, "{} looks in one idle wait", disk.count(Op::Len));

    disk.forget_calls();
    runtime().block_on(async {
        let idle = tokio::time::timeout(Duration::from_millis(1500), follower.next()).await;
        assert!(idle.is_err());
    });
    assert!(disk.count(Op::Len) <= 20, "{} looks in one idle wait", disk.count(Op::Len));
    journal.append(&record("two")).unwrap();
    assert_eq!(next(&mut follower).sequence.get(), 2);
}

/// A7: a read error is told and takes nothing away.
#[test]
fn a_read_error_is_told_and_the_follower_goes_on() {
    let bench = Bench::new();
    let mut journal = bench.create();
    let disk = FaultDisk::new();
    let reader = Reader::open_with(&bench.path, options_on(&disk).disk).unwrap();
    let start = start_of(&reader);
    let mut follower = Follower::new(reader, start).unwrap();
    for number in 1..=5 {
        journal.append(&record("x")).unwrap();
        disk.fail(Op::ReadAt, 1, support::disk::EIO);
        assert_eq!(follower.try_next().unwrap_err().kind(), ErrorKind::Io);
        disk.heal();
        assert_eq!(next(&mut follower).sequence.get(), number);
    }
}

#[test]
fn a_session_can_be_followed_while_it_is_compacted_and_written() {
    let bench = Bench::new();
    let store = store_in(bench.folder(), lazily(bench.options()));
    let session: Session = store.create_blocking(&name("a")).unwrap();
    let mut follower = session.follow(session.mark()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=400 {
                assert_eq!(next(&mut follower).sequence.get(), number);
            }
        });
        scope.spawn(|| {
            for _ in 0..8 {
                session.compact_blocking().unwrap();
            }
        });
        for _ in 0..400 {
            session.append_blocking("x").unwrap();
        }
    });
    assert_eq!(support::texts(session.path()).len(), 400);
}
