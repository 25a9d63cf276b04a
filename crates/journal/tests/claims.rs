//! Ownership as a compare-and-swap in the file: two and three owners, with schedules chosen by hooks
//! between the operations of one of them.

mod support;

use std::ops::Range;
use std::sync::{Arc, Mutex};

use session_journal::format::FrameKind;
use session_journal::{
    Cause, Error, ErrorKind, HistoryKind, Journal, OpenReason, Options, Takeover, history,
};
use support::disk::{EIO, ENOSPC, FaultDisk, Op};
use support::{Bench, by_force, frames, options_on, record, scribble, take_over};

/// What a hook opened, for the test to look at.
type Other = Arc<Mutex<Option<Journal>>>;

/// A hook in which another owner takes the journal, and where it is kept.
fn taker(bench: &Bench, label: &str) -> (Other, impl FnOnce() + Send + use<>) {
    let other = Other::default();
    let (kept, path, label) = (Arc::clone(&other), bench.path.clone(), label.to_owned());
    let hook = move || *kept.lock().unwrap() = Some(take_over(&path, &label));
    (other, hook)
}

fn took(other: &Other) -> Journal {
    other.lock().unwrap().take().expect("the hook ran")
}

/// A journal with some records and an owner that is still there.
fn owned(bench: &Bench) -> Journal {
    let mut journal = bench.create_with(&Options { label: "first".into(), ..bench.options() });
    journal.append(&record("one")).unwrap();
    journal.append(&record("two")).unwrap();
    journal
}

/// The owner under test takes once and does not try again.
fn once(bench: &Bench) -> Options {
    Options { takeover: Takeover::Always, claim_attempts: 1, ..bench.options() }
}

/// Claims the next generation and dies there: the sync behind its claim fails. Gives where the
/// claim stands.
fn claim_only(path: &std::path::Path) -> Range<u64> {
    let disk = FaultDisk::new();
    disk.fail(Op::Sync, 1, EIO);
    let options = Options { label: "half".into(), ..by_force("half") };
    let options = Options { disk: options_on(&disk).disk, ..options };
    assert_eq!(Journal::open(path, &options).unwrap_err().kind(), ErrorKind::Io);
    let (at, claim) = frames(path).into_iter().rfind(|(_, f)| f.kind == FrameKind::Claim).unwrap();
    at..at + claim.frame_len()
}

fn assert_fenced(error: &Error, held: u64, by: u64, label: &str) {
    let Cause::Fenced { held: ours, current, owner } = error.cause() else { panic!("{error}") };
    assert_eq!((ours.get(), current.get()), (held, by));
    assert_eq!(owner.as_ref().expect("names the new owner").label, label);
    assert!(error.to_string().contains(label), "{error}");
}

// ---- races ---------------------------------------------------------------------------------

/// A6: of two that open at once exactly one wins, and the other says who.
#[test]
fn a_claim_that_lands_behind_a_whole_takeover_is_void() {
    let bench = Bench::new();
    drop(owned(&bench));
    let (other, hook) = taker(&bench, "winner");
    bench.disk.before(Op::Append, 1, hook);
    let error = Journal::open(&bench.path, &once(&bench)).unwrap_err();
    let Cause::HeldBy { generation, owner, .. } = error.cause() else { panic!("{error}") };
    assert_eq!(generation.get(), 2);
    assert_eq!(owner.as_ref().unwrap().label, "winner");
    let mut winner = took(&other);
    assert_eq!(winner.append(&record("three")).unwrap().sequence.get(), 3);
    let void = history(&bench.path).unwrap();
    assert_eq!(void.iter().filter(|one| one.event == HistoryKind::VoidClaim).count(), 1);
}

/// H1: the winner of a generation may be fenced already, and looks.
#[test]
fn a_higher_claim_between_our_claim_and_our_look_means_that_we_do_not_own() {
    let bench = Bench::new();
    drop(owned(&bench));
    let (other, hook) = taker(&bench, "higher");
    bench.disk.after(Op::Append, 1, hook);
    let error = Journal::open(&bench.path, &once(&bench)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HeldBy, "{error}");
    let mut higher = took(&other);
    assert_eq!(higher.generation().get(), 3, "it replaced our claim, which was valid");
    assert_eq!(higher.append(&record("three")).unwrap().sequence.get(), 3);
    assert_eq!(bench.texts(), ["one", "two", "three"]);
}

/// H1 once more, each step later: between the look and the sync, between the sync and the opening.
#[test]
fn a_higher_claim_before_our_opening_means_that_we_do_not_own() {
    for (op, nth) in [(Op::Sync, 1), (Op::WriteAt, 1), (Op::Append, 2)] {
        let bench = Bench::new();
        drop(owned(&bench));
        let (other, hook) = taker(&bench, "higher");
        bench.disk.before(op, nth, hook);
        let error = Journal::open(&bench.path, &once(&bench)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::HeldBy | ErrorKind::Fenced), "{op:?}: {error}");
        let mut higher = took(&other);
        assert_eq!(higher.append(&record("three")).unwrap().sequence.get(), 3);
        assert_eq!(bench.texts(), ["one", "two", "three"], "{op:?} {nth}");
    }
}

/// H1: and one that comes behind our opening fences our first append.
#[test]
fn a_takeover_right_behind_our_opening_fences_our_first_append() {
    let bench = Bench::new();
    drop(owned(&bench));
    let (other, hook) = taker(&bench, "later");
    bench.disk.after(Op::Append, 2, hook);
    let mut ours = Journal::open(&bench.path, &once(&bench)).unwrap();
    assert_fenced(&ours.append(&record("late")).unwrap_err(), 2, 3, "later");
    // Our slot was written over the later one's: that costs time, never data.
    let mut later = took(&other);
    later.append(&record("three")).unwrap();
    drop(later);
    let next = bench.open().unwrap();
    assert!(next.generation().get() > 3);
    assert_eq!(bench.texts(), ["one", "two", "three"]);
}

/// A6: whoever is willing to try again wins in the end, and only one at a time owns.
#[test]
fn a_loser_that_may_try_again_takes_the_next_generation() {
    let bench = Bench::new();
    drop(owned(&bench));
    let (other, hook) = taker(&bench, "first winner");
    bench.disk.before(Op::Append, 1, hook);
    let options = Options { claim_attempts: 5, label: "second winner".into(), ..once(&bench) };
    let mut ours = Journal::open(&bench.path, &options).unwrap();
    assert_eq!(ours.append(&record("three")).unwrap().sequence.get(), 3);
    let mut other = took(&other);
    let error = other.append(&record("late")).unwrap_err();
    assert_fenced(&error, 2, ours.generation().get(), "second winner");
}

/// H27: two willing takers do not alternate for ever.
#[test]
fn a_taker_that_always_loses_gives_up_after_its_attempts() {
    let bench = Bench::new();
    drop(owned(&bench));
    let mut others = Vec::new();
    for attempt in 1..=4 {
        let (other, hook) = taker(&bench, &format!("winner {attempt}"));
        bench.disk.before(Op::Append, attempt, hook);
        others.push(other);
    }
    let options = Options { claim_attempts: 4, ..once(&bench) };
    bench.disk.forget_calls();
    let error = Journal::open(&bench.path, &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HeldBy);
    assert!(error.to_string().contains("winner 4"), "{error}");
    assert_eq!(bench.disk.count(Op::Append), 4, "a claim per attempt and nothing else");
    took(&others[3]).append(&record("three")).unwrap();
}

/// L1: a peer that claims and crashes in a loop starves nobody.
#[test]
fn a_crash_looping_taker_does_not_starve_a_healthy_one() {
    let bench = Bench::new();
    drop(owned(&bench));
    for round in 0..30 {
        claim_only(&bench.path);
        let mut healthy = Journal::open(&bench.path, &Options::default()).unwrap();
        assert_eq!(healthy.append(&record("x")).unwrap().sequence.get(), 3 + round);
        if round % 2 == 0 {
            healthy.close().unwrap();
        }
    }
    assert_eq!(bench.texts().len(), 32);
}

// ---- the old owner -------------------------------------------------------------------------

/// B6, B12: a late append is void, says who took over, and opening again gives a clean handle.
#[test]
fn an_owner_that_was_taken_over_hears_by_whom_and_nothing_of_its_late_append_shows() {
    let bench = Bench::new();
    let mut old = owned(&bench);
    let mut new = bench.take_over("the new one");
    assert_eq!(new.opening().reason, OpenReason::TakenOver);
    assert_eq!(new.opening().previous_owner.as_ref().unwrap().label, "first");
    new.append(&record("three")).unwrap();
    assert_fenced(&old.append(&record("late")).unwrap_err(), 1, 2, "the new one");
    let after = bench.bytes();
    for _ in 0..3 {
        assert_fenced(&old.append(&record("later")).unwrap_err(), 1, 2, "the new one");
        assert_fenced(&old.sync().unwrap_err(), 1, 2, "the new one");
    }
    assert_eq!(old.close().unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(bench.bytes(), after, "a fenced owner writes neither release nor slot (H13)");
    new.append(&record("four")).unwrap();
    assert_eq!(bench.texts(), ["one", "two", "three", "four"]);

    let mut again = bench.take_over("the old one again");
    assert_eq!(again.append(&record("five")).unwrap().sequence.get(), 5);
    assert_fenced(&new.append(&record("late")).unwrap_err(), 2, 3, "the old one again");
}

/// The swap is one append: a takeover between "the tail is here" and the write makes it void.
#[test]
fn a_takeover_right_before_the_write_fences_it() {
    let bench = Bench::new();
    let mut old = owned(&bench);
    let (other, hook) = taker(&bench, "just now");
    bench.disk.before(Op::Append, 1, hook);
    assert_fenced(&old.append(&record("late")).unwrap_err(), 1, 2, "just now");
    took(&other).append(&record("three")).unwrap();
    assert_eq!(bench.texts(), ["one", "two", "three"]);
}

/// B5: a record that was written before the takeover counts, and its sync may be acknowledged.
#[test]
fn a_takeover_between_write_and_sync_does_not_take_the_record() {
    let bench = Bench::new();
    let mut old = owned(&bench);
    let (other, hook) = taker(&bench, "just after");
    bench.disk.before(Op::Sync, 1, hook);
    old.append(&record("three")).unwrap();
    let mut new = took(&other);
    assert_eq!(new.append(&record("four")).unwrap().sequence.get(), 4);
    assert_eq!(old.append(&record("late")).unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(bench.texts(), ["one", "two", "three", "four"]);
}

/// H3: of three owners in a row each hears of the newest.
#[test]
fn three_owners_in_a_row_fence_each_other_in_order() {
    let bench = Bench::new();
    let mut first = owned(&bench);
    let mut second = bench.take_over("second");
    second.append(&record("three")).unwrap();
    let mut third = bench.take_over("third");
    third.append(&record("four")).unwrap();
    assert_fenced(&first.append(&record("late")).unwrap_err(), 1, 3, "third");
    assert_fenced(&second.append(&record("late")).unwrap_err(), 2, 3, "third");
    third.append(&record("five")).unwrap();
    let events: Vec<HistoryKind> =
        history(&bench.path).unwrap().into_iter().map(|one| one.event).collect();
    let (claim, opening) = (HistoryKind::Claim, HistoryKind::Opening);
    assert_eq!(events, [opening, claim, opening, claim, opening]);
}

/// Foreign bytes are dead: the record is appended again behind them, once.
#[test]
fn an_append_displaced_by_dead_bytes_is_made_again_once() {
    let bench = Bench::new();
    let mut journal = owned(&bench);
    let whole = bench.bytes();
    let quoted = whole[4096..].to_vec();
    let half = quoted[..quoted.len() / 2].to_vec();
    let rubbish = [b"rubbish".to_vec(), vec![0], vec![0; 5000], quoted, half];
    for (i, bytes) in rubbish.into_iter().enumerate() {
        let path = bench.path.clone();
        bench.disk.before(Op::Append, 1, move || scribble(&path, &bytes));
        let appended = journal.append(&record(&format!("behind {i}")).key(format!("{i}"))).unwrap();
        assert_eq!(appended.sequence.get(), 3 + i as u64);
        let found = support::records(&bench.path).pop().unwrap();
        assert_eq!((found.sequence, found.offset), (appended.sequence, appended.offset));
    }
    assert_eq!(bench.texts().len(), 7);
    assert_eq!(bench.disk.count(Op::Append), 2 + 5 * 2, "each of the five was written twice");
    drop(journal);
    assert_eq!(bench.open().unwrap().opening().report.records_lost(), 0);
    assert_eq!(bench.texts().len(), 7);
}

/// H2: a frame becomes visible page by page. Half a claim is seen, then our append lands behind the
/// whole of it: that half must be read again from its start.
#[test]
fn half_a_claim_that_was_looked_over_still_fences() {
    let len = {
        let bench = Bench::new();
        drop(owned(&bench));
        let claim = claim_only(&bench.path);
        claim.end - claim.start
    };
    for part in [1, 3, 4, 40, 79, 80, 81, len / 2, len - 1] {
        let bench = Bench::new();
        let mut old = owned(&bench);
        let (path, disk) = (bench.path.clone(), bench.disk.clone());
        // The first write is displaced by rubbish, so the owner looks; while it looks it sees a
        // part of a claim that comes in behind its own dead bytes.
        bench.disk.before(Op::Append, 1, move || scribble(&path, b"rubbish"));
        let path = bench.path.clone();
        bench.disk.after(Op::Append, 1, move || {
            let claim = claim_only(&path);
            disk.show_up_to(Some(claim.start + part));
        });
        let disk = bench.disk.clone();
        bench.disk.before(Op::Append, 2, move || disk.show_up_to(None));
        let error = old.append(&record("late")).unwrap_err();
        assert_fenced(&error, 1, 2, "half");
        assert_eq!(bench.texts(), ["one", "two"], "{part} bytes of the claim were visible");
    }
}

/// H20: old zeros were read where a claim stood, and the next append landed right behind it.
#[test]
fn zeros_that_were_read_in_place_of_a_claim_are_looked_at_again_before_acknowledging() {
    let bench = Bench::new();
    let mut old = owned(&bench);
    let path = bench.path.clone();
    bench.disk.before(Op::Append, 1, move || scribble(&path, b"rubbish"));
    let (path, disk) = (bench.path.clone(), bench.disk.clone());
    bench.disk.after(Op::Append, 1, move || disk.blank(Some(claim_only(&path))));
    let disk = bench.disk.clone();
    bench.disk.before(Op::Append, 2, move || disk.blank(None));
    let error = old.append(&record("late")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unknown | ErrorKind::Fenced), "{error}");
    assert_fenced(&old.append(&record("later")).unwrap_err(), 1, 2, "half");
}

// ---- claims that lead nowhere ---------------------------------------------------------------

/// H11: a claim whose sync fails is abandoned; its generation is never used again.
#[test]
fn a_claim_whose_sync_failed_is_abandoned_and_the_next_open_works() {
    let bench = Bench::new();
    let mut old = owned(&bench);
    claim_only(&bench.path);
    assert_fenced(&old.append(&record("late")).unwrap_err(), 1, 2, "half");
    let mut next = bench.open().unwrap();
    assert_eq!(next.generation().get(), 3);
    assert_eq!(next.opening().reason, OpenReason::Crashed);
    assert_eq!(next.opening().previous_owner.as_ref().unwrap().label, "half");
    assert_eq!(next.append(&record("three")).unwrap().sequence.get(), 3);
    assert_eq!(bench.texts(), ["one", "two", "three"]);
}

/// H24: a claim that does not fit leaves an owner that can be claimed from again.
#[test]
fn a_claim_or_an_opening_that_does_not_fit_is_no_space_and_harms_nobody() {
    for (op, nth, short) in [
        (Op::Reserve, 1, None),
        (Op::Append, 1, None),
        (Op::Append, 1, Some(50)),
        (Op::Append, 2, None),
        (Op::Append, 2, Some(50)),
    ] {
        let bench = Bench::new();
        drop(owned(&bench));
        match short {
            Some(bytes) => bench.disk.short(nth, bytes),
            None => bench.disk.fail(op, nth, ENOSPC),
        }
        let error = bench.open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{op:?} {nth} {short:?}: {error}");
        let mut next = bench.open().unwrap();
        assert_eq!(next.append(&record("three")).unwrap().sequence.get(), 3);
        assert_eq!(bench.texts(), ["one", "two", "three"]);
    }
}
