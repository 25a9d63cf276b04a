//! What reviews of the engine found, one schedule each: R1 .. R15 and r2, r3 are the numbers of
//! those findings.

mod support;

use std::fs;
use std::sync::{Arc, Mutex};

use session_journal::format::FrameKind;
use session_journal::{
    AppendOptions, Cause, ErrorKind, Expect, Follower, Journal, LocalHost, Mark, Options, Sequence,
    Session, StoreOptions, Takeover, info,
};
use support::disk::{EIO, FaultDisk, Op};
use support::held_up::{Pending, hold_up, poll};
use support::{
    Bench, by_force, cut, damage, expecting, frames, lazily, name, options_on, record, runtime,
    session_in, take_over, text,
};

/// No descriptor is left in this process.
const EMFILE: i32 = 24;

fn numbered(journal: &mut Journal, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        journal.append(&record(&format!("{number}"))).unwrap();
    }
}

/// Damages the header of a record, so that it is lost.
fn lose(bench: &Bench, sequence: u64) {
    let all = frames(&bench.path);
    let is_it = |kind, number| kind == FrameKind::Record && number == sequence;
    let found = all.iter().find(|(_, one)| is_it(one.kind, one.sequence));
    damage(&bench.path, found.unwrap().0 + 20);
}

fn reading_all(options: Options) -> Options {
    Options { full_scan: true, ..options }
}

// ---- compaction ------------------------------------------------------------------------------

/// R1: the second compaction begins while the first copies; records are appended before, between
/// and behind. It is refused, or does its work; nothing acknowledged is lost, and the session lives.
#[test]
fn two_compactions_of_one_session_lose_nothing() {
    let bench = Bench::new();
    let (_store, session) = session_in(&bench);
    session.append_blocking("1").unwrap();
    let (second, answer) = (session.clone(), Arc::new(Mutex::new(None)));
    let told = Arc::clone(&answer);
    bench.disk.after(Op::CreateNew, 1, move || {
        let compacted = second.compact_blocking();
        second.append_blocking("2").unwrap();
        *told.lock().unwrap() = Some(compacted);
    });
    session.compact_blocking().unwrap();
    let second = answer.lock().unwrap().take().expect("it was asked for");
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Invalid, "one at a time");
    session.append_blocking("3").unwrap();
    assert_eq!(session.compact_blocking().unwrap().records, 3, "the next one is welcome");
    assert_eq!(support::texts(session.path()), ["1", "2", "3"]);
}

/// R1, as threads happen to run: two clones compact again and again, a third appends.
#[test]
fn two_threads_that_compact_and_one_that_appends_lose_nothing() {
    let bench = Bench::new();
    let (_store, session) = session_in(&bench);
    let compact = |session: &Session| match session.compact_blocking() {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::Invalid, "{error}"),
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..20).for_each(|_| compact(&session)));
        }
        for number in 1..=300 {
            let appended = session.append_blocking(format!("{number}").into_bytes()).unwrap();
            assert_eq!(appended.sequence.get(), number);
        }
    });
    let expected: Vec<String> = (1..=300).map(|number| number.to_string()).collect();
    assert_eq!(support::texts(session.path()), expected);
}

/// Twenty records, and a compaction that died between its seal and its rename.
fn sealed_only(bench: &Bench) {
    let mut journal = bench.create();
    numbered(&mut journal, 1..=20);
    bench.disk.die_at(Op::Rename, 1);
    assert!(journal.compact().is_err());
    assert_eq!(bench.names().len(), 2, "the successor is there");
}

/// R3: the owner died behind its seal; the opener cannot open a file just now, the successor among
/// them. It says so, and does not take the successor for missing.
#[test]
fn a_successor_that_cannot_be_opened_just_now_is_not_missing() {
    for errno in [EMFILE, EIO] {
        let mut failures = 0;
        for nth in 1.. {
            let bench = Bench::new();
            sealed_only(&bench);
            let disk = FaultDisk::new();
            disk.fail(Op::Open, nth, errno);
            let opened = Journal::open(&bench.path, &options_on(&disk));
            let has_opened = opened.is_ok();
            if let Err(error) = opened {
                assert_eq!(error.kind(), ErrorKind::Io, "open {nth}: {error}");
                failures += 1;
                disk.heal();
                drop(Journal::open(&bench.path, &options_on(&disk)).unwrap());
            }
            let reopened = frames(&bench.path).iter().any(|(_, one)| one.kind == FrameKind::Reopen);
            assert!(!reopened, "open {nth}: the seal was taken back");
            assert_eq!(info(&bench.path, &LocalHost).unwrap().compactions, 1, "open {nth}");
            assert_eq!(bench.texts().len(), 20);
            if has_opened {
                break;
            }
        }
        assert!(failures >= 2, "the journal and its successor are opened");
    }
}

/// R3: stopped behind its seal, its copy is found unfinished, the seal is taken back, and another
/// owner appends. The first one goes on: it must not put the copy over that.
#[test]
fn the_copy_of_a_seal_that_was_taken_back_cannot_take_the_place_any_more() {
    let bench = Bench::new();
    let mut old = bench.create();
    numbered(&mut old, 1..=20);
    let (path, folder) = (bench.path.clone(), bench.folder().to_owned());
    let new = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&new);
    bench.disk.before(Op::Rename, 1, move || {
        let names = fs::read_dir(&folder).unwrap().map(|one| one.unwrap().path());
        let copy = names.into_iter().find(|one| *one != path).expect("the copy");
        cut(&copy, fs::metadata(&copy).unwrap().len() - 1);
        let mut new = Journal::open(&path, &by_force("new")).unwrap();
        new.append(&record("21")).unwrap();
        *keep.lock().unwrap() = Some(new);
    });
    assert!(old.compact().is_err());
    assert!(old.append(&record("late")).is_err());
    let mut new = new.lock().unwrap().take().expect("it was taken over");
    new.append(&record("22")).unwrap();
    assert_eq!(bench.texts().len(), 22);
    assert_eq!(bench.names(), ["a.journal"]);
}

/// R4 (H22): a keyed record is lost; behind a compaction, and an opening of the new file, its key
/// may still have been stored.
#[test]
fn a_compaction_does_not_forget_that_lost_records_may_hide_a_key() {
    for checkpoint_records in [2, 1000] {
        let bench = Bench::new();
        let options = Options { checkpoint_records, ..bench.options() };
        let mut journal = bench.create_with(&options);
        for number in 1..=9 {
            journal.append(&record("x").key(format!("k{number}"))).unwrap();
        }
        journal.close().unwrap();
        lose(&bench, 4);
        let refused = |journal: &mut Journal, when: &str| {
            let error = journal.append(&record("x").key("k4")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unknown, "{when}: {error}");
            assert!(journal.append(&record("x").key("k5")).unwrap().duplicate, "{when}");
        };
        let mut journal = Journal::open(&bench.path, &reading_all(options.clone())).unwrap();
        refused(&mut journal, "before");
        journal.compact().unwrap();
        refused(&mut journal, "behind the compaction");
        journal.close().unwrap();
        for options in [options.clone(), reading_all(options)] {
            let mut journal = Journal::open(&bench.path, &options).unwrap();
            refused(&mut journal, "opened again");
            journal.close().unwrap();
        }
    }
}

/// R5 (H22): one bad block takes the last keyed record of a run and its checkpoint; sixteen runs
/// later they are merged, by reading that stretch again.
#[test]
fn a_merge_of_the_index_does_not_forget_that_a_key_may_be_lost() {
    let bench = Bench::new();
    let options = Options { checkpoint_records: 2, ..bench.options() };
    let mut journal = bench.create_with(&options);
    for number in 1..=8 {
        journal.append(&record("x").key(format!("k{number}"))).unwrap();
    }
    journal.close().unwrap();
    let all = frames(&bench.path);
    let is_one = |at: &usize| {
        all[*at].1.kind == FrameKind::Checkpoint && all[*at - 1].1.kind == FrameKind::Record
    };
    let at = (1..all.len()).find(is_one).unwrap();
    let lost = format!("k{}", all[at - 1].1.sequence);
    damage(&bench.path, all[at - 1].0 + 20);
    damage(&bench.path, all[at].0 + 20);

    let mut journal = Journal::open(&bench.path, &options).unwrap();
    for number in 9..=120 {
        let error = journal.append(&record("x").key(lost.clone())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unknown, "before record {number}: {error}");
        journal.append(&record("x")).unwrap();
    }
}

// ---- the end of a generation -----------------------------------------------------------------

/// R2: a look at the file fails while a session is closed, before its release or behind it. What a
/// clone is told to be stored then is in the journal.
#[test]
fn behind_a_release_that_failed_half_way_nothing_void_is_acknowledged() {
    let mut failed = 0;
    for op in [Op::Attachment, Op::Len, Op::ReadAt] {
        for nth in 1..=6 {
            let bench = Bench::new();
            let (_store, session) = session_in(&bench);
            session.append_blocking("1").unwrap();
            let clone = session.clone();
            bench.disk.fail(op, nth, EIO);
            let closed = session.close_blocking();
            bench.disk.heal();
            failed += u32::from(closed.is_err());
            let mut expected = vec!["1"];
            if clone.append_blocking("2").is_ok() {
                expected.push("2");
            }
            assert_eq!(support::texts(clone.path()), expected, "{op:?} {nth}: {closed:?}");
            let released =
                frames(clone.path()).iter().any(|(_, one)| one.kind == FrameKind::Release);
            assert!(!released || expected.len() == 1, "{op:?} {nth}: behind a release");
        }
    }
    assert!(failed > 0, "some of them met the close");
}

/// R11: a session gave its descriptors back, another owner took the journal and went. The first
/// append is fenced, and the store opens the session anew instead of joining the dead one.
#[test]
fn a_session_that_was_fenced_while_parked_can_be_opened_again() {
    let bench = Bench::new();
    let options =
        StoreOptions { journal: bench.options(), file_handles_max: 2, ..StoreOptions::default() };
    let store = session_journal::Store::open(bench.folder().join("store"), options).unwrap();
    let parked = store.create_blocking(&name("a")).unwrap();
    parked.append_blocking("1").unwrap();
    let other = store.create_blocking(&name("b")).unwrap();
    other.append_blocking("1").unwrap();
    let mut taker = take_over(parked.path(), "taker");
    taker.append(&record("2")).unwrap();
    taker.close().unwrap();
    let rejected = parked.append_blocking("late").unwrap_err();
    assert_eq!(rejected.error.kind(), ErrorKind::Fenced);
    let again = store.open_session_blocking(&name("a")).unwrap();
    assert_eq!(again.append_blocking("3").unwrap().sequence.get(), 3);
    assert_eq!(support::texts(again.path()), ["1", "2", "3"]);
}

// ---- appends ---------------------------------------------------------------------------------

/// R6: two groups of one turn, and between their writes a takeover. The first stands before the
/// claim and was never synced: it is not said to be stored.
#[test]
fn a_group_that_stands_before_a_claim_is_not_acknowledged_without_a_sync() {
    let bench = Bench::new();
    let (_store, session) = session_in(&bench);
    let held = hold_up(&bench, &session);
    let mut earlier: Pending<'_> = Box::pin(session.append("2"));
    assert!(poll(&mut earlier).is_pending());
    let condition = expecting(Expect::LastIs(Sequence::new(2)));
    let mut later = Box::pin(session.append_all(vec![record("3")], condition));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(std::future::Future::poll(later.as_mut(), &mut context).is_pending());
    let path = session.path().to_owned();
    bench.disk.after(Op::Append, 1, move || drop(take_over(&path, "taker")));
    held.let_go();
    let (earlier, later) = runtime().block_on(async { (earlier.await, later.await) });
    assert_eq!(earlier.unwrap_err().error.kind(), ErrorKind::Unknown);
    assert_eq!(later.unwrap_err().error.kind(), ErrorKind::Fenced);
    assert_eq!(support::texts(session.path()), ["first", "2"]);
}

/// R7: what came since the mark is lost; nobody knows what it was.
#[test]
fn records_that_came_and_were_lost_are_a_conflict() {
    let bench = Bench::new();
    let mut journal = bench.create();
    journal.append(&record("1")).unwrap();
    let mark = journal.mark();
    journal.append(&record("2").kind("note")).unwrap();
    journal.close().unwrap();
    lose(&bench, 2);
    let mut journal = Journal::open(&bench.path, &reading_all(bench.options())).unwrap();
    let notes = || Expect::OnlyKindsSince(mark, vec!["note".into()]);
    for expect in [Expect::NothingSince(mark), notes()] {
        let error = journal.append_all(&[record("x")], &expecting(expect)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    }
    journal.append(&record("3").kind("note")).unwrap();
    let error = journal.append_all(&[record("x")], &expecting(notes())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    let since = journal.mark();
    journal.append(&record("4").kind("note")).unwrap();
    let notes = Expect::OnlyKindsSince(since, vec!["note".into()]);
    journal.append_all(&[record("5")], &expecting(notes)).unwrap();
}

/// r3: the conflict names what came.
#[test]
fn a_conflict_about_the_last_record_names_what_came() {
    let bench = Bench::new();
    let mut journal = bench.create();
    for number in 1..=4 {
        journal.append(&record("x").kind(format!("kind {number}"))).unwrap();
    }
    let expect = expecting(Expect::LastIs(Sequence::new(1)));
    let error = journal.append_all(&[record("x")], &expect).unwrap_err();
    let Cause::Conflict { came, .. } = error.cause() else { panic!("{error}") };
    let came: Vec<Option<&str>> = came.iter().map(|one| one.kind.as_deref()).collect();
    assert_eq!(came, [Some("kind 2"), Some("kind 3"), Some("kind 4")], "{error}");
}

/// R13: the record was synced in the background, then its file was removed. A sync that finds
/// nothing left to do must look at the name all the same.
#[test]
fn a_sync_that_finds_its_work_done_looks_at_the_name() {
    let bench = Bench::new();
    let options = Options { sync_bytes: 1, ..lazily(bench.options()) };
    let mut journal = bench.create_with(&options);
    journal.sync().unwrap();
    journal.append(&record("1")).unwrap();
    fs::remove_file(&bench.path).unwrap();
    assert_eq!(journal.sync().unwrap_err().kind(), ErrorKind::Detached);
}

/// R15: a link that leads nowhere is not there to open and there to create.
#[test]
fn opening_or_creating_at_a_dangling_link_comes_to_an_end() {
    let bench = Bench::new();
    let (store, _session) = session_in(&bench);
    let path = store.path_of(&name("b"));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(bench.folder().join("nowhere"), &path).unwrap();
    let error = store.open_or_create_blocking(&name("b")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    fs::remove_file(&path).unwrap();
    store.open_or_create_blocking(&name("b")).unwrap().append_blocking("1").unwrap();
}

// ---- a loss at the end -----------------------------------------------------------------------

/// Three records, released, and cut in the third.
fn cut_in_the_third(bench: &Bench) {
    let mut journal = bench.create();
    numbered(&mut journal, 1..=2);
    let third = journal.append(&record(&"3".repeat(100))).unwrap().offset.get();
    journal.close().unwrap();
    cut(&bench.path, third + 120);
}

/// R8: the last record is lost; the marks that the owner and a reader give then are of this journal.
#[test]
fn a_mark_taken_behind_a_loss_at_the_end_is_ones_own() {
    let bench = Bench::new();
    cut_in_the_third(&bench);
    let mut journal = bench.open().unwrap();
    assert_eq!(journal.last_sequence().get(), 3);
    let reader = journal.reader().unwrap();
    for mark in [journal.mark(), reader.mark()] {
        assert_eq!(reader.records_after(&mark).unwrap().count(), 0);
    }
    let mark = journal.mark();
    journal.append_all(&[record("4")], &expecting(Expect::NothingSince(mark))).unwrap();
    let mut follower = Follower::new(journal.reader().unwrap(), mark).unwrap();
    assert_eq!(text(&follower.try_next().unwrap().unwrap()), "4");
}

/// R9, r1: no record stands behind the gap yet. It is told once; then there is nothing to tell,
/// until a record comes.
#[test]
fn a_follower_tells_a_gap_at_the_end_once_and_then_waits() {
    let bench = Bench::new();
    cut_in_the_third(&bench);
    let mut journal = bench.open().unwrap();
    let start = Mark { sequence: Sequence::ZERO, checksum: 0, ..journal.mark() };
    let mut follower = Follower::new(journal.reader().unwrap(), start).unwrap();
    for expected in ["1", "2"] {
        assert_eq!(text(&follower.try_next().unwrap().unwrap()), expected);
    }
    let error = follower.try_next().unwrap_err();
    assert!(matches!(error.cause(), Cause::Corrupt { records: 1, .. }), "{error}");
    for _ in 0..3 {
        assert_eq!(follower.try_next().unwrap(), None);
    }
    journal.append(&record("4")).unwrap();
    assert_eq!(text(&follower.try_next().unwrap().unwrap()), "4");
    assert_eq!(follower.try_next().unwrap(), None);
}

/// r2: the list says `damaged` right behind the opening that reported the loss, and ever after.
#[test]
fn a_loss_at_the_end_is_listed_as_damage_at_once() {
    let bench = Bench::new();
    let (store, session) = session_in(&bench);
    session.append_blocking("1").unwrap();
    let options = AppendOptions::default();
    let third = session.append_all_blocking(vec![record("2"), record("3")], options).unwrap();
    let (path, third) = (session.path().to_owned(), third[1].offset.get());
    session.close_blocking().unwrap();
    assert!(!store.list().unwrap()[0].damaged);
    cut(&path, third + 20);
    for _ in 0..3 {
        let options = Options { takeover: Takeover::Always, ..bench.options() };
        let session = store.open_session_with(&name("a"), &options).unwrap();
        assert!(store.list().unwrap()[0].damaged);
        session.close_blocking().unwrap();
        assert!(store.list().unwrap()[0].damaged);
    }
}
