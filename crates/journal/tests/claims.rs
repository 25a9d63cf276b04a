//! Ownership as a compare-and-swap in the file: two and three owners, with schedules chosen by hooks
//! between the operations of one of them.

mod support;

use std::ops::Range;
use std::sync::{Arc, Mutex};

use session_journal::format::{
    Codec, FrameHeader, FrameKind, HEADER_LEN, Slot, SlotState, slot_offset,
};
use session_journal::{
    Cause, Error, ErrorKind, HistoryKind, Host, Journal, LocalHost, OpenReason, Options, Owner,
    Takeover, history,
};
use support::disk::{EIO, ENOSPC, FaultDisk, Op};
use support::{
    Bench, by_force, cut, frames, identity, last_frame, options_on, overwrite, record, scribble,
    take_over,
};

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
    for (op, nth) in [(Op::Sync, 1), (Op::Sync, 2), (Op::WriteAt, 1), (Op::Append, 2)] {
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
    use HistoryKind::{Claim, Opening};
    assert_eq!(events, [Opening, Claim, Opening, Claim, Opening]);
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

// ---- policy --------------------------------------------------------------------------------

/// C6: the second opener hears who holds it; nothing is written (byte for byte).
#[test]
fn what_is_held_is_refused_and_left_as_it_is() {
    let bench = Bench::new();
    let owner = owned(&bench);
    let before = bench.bytes();
    for takeover in [Takeover::IfGone, Takeover::Never] {
        let error =
            Journal::open(&bench.path, &Options { takeover, ..bench.options() }).unwrap_err();
        let Cause::HeldBy { generation, owner, alive } = error.cause() else { panic!("{error}") };
        assert_eq!((generation.get(), *alive), (1, Some(true)));
        assert_eq!(owner.as_ref().unwrap().label, "first");
        assert_eq!(bench.bytes(), before, "{takeover:?}");
    }
    drop(owner);
    let never = Options { takeover: Takeover::Never, ..bench.options() };
    let error = Journal::open(&bench.path, &never).unwrap_err();
    assert!(matches!(error.cause(), Cause::HeldBy { alive: Some(false), .. }), "{error}");
    assert_eq!(bench.bytes(), before);
}

/// A1: an owner that was dropped in this very process is gone, however alive the process is (A4).
#[test]
fn an_owner_dropped_in_this_process_is_gone() {
    let bench = Bench::new();
    drop(owned(&bench));
    let next = bench.open().unwrap();
    assert_eq!((next.generation().get(), next.opening().reason), (2, OpenReason::Crashed));
    next.close().unwrap();
    let never = Options { takeover: Takeover::Never, ..bench.options() };
    let next = Journal::open(&bench.path, &never).unwrap();
    assert_eq!((next.generation().get(), next.opening().reason), (3, OpenReason::Released));
    assert_eq!(next.opening().previous_generation.get(), 2);
}

/// L1, I1: what cannot be told from here counts as held.
#[test]
fn an_owner_on_another_host_is_held_until_taken_by_force() {
    let bench = Bench::new();
    drop(owned(&bench));
    let elsewhere = Owner { host: "elsewhere".into(), ..LocalHost.owner("far").unwrap() };
    write_slot(&bench, 1, &elsewhere);
    let before = bench.bytes();
    let error = bench.open().unwrap_err();
    assert!(matches!(error.cause(), Cause::HeldBy { alive: None, .. }), "{error}");
    assert_eq!(bench.bytes(), before);
    assert_eq!(bench.take_over("x").opening().reason, OpenReason::TakenOver);
}

/// A slot of a generation `ahead` of the frames, as newer as slots get.
fn write_slot(bench: &Bench, ahead: u64, owner: &Owner) {
    let codec = Codec::new(identity(&bench.path).salt);
    let page = bench.bytes();
    let at = usize::try_from(slot_offset(0)).unwrap();
    let best = Slot::decode(&page[at..], &codec).unwrap();
    let generation = best.generation + ahead;
    let slot = Slot { counter: 1001, generation, owner: owner.clone(), ..best };
    let slot = Slot { state: SlotState::Open, ..slot };
    overwrite(&bench.path, slot_offset(1001), &slot.encode(&codec));
}

/// A slot that is ahead of every frame is evidence: its generation is not claimed again.
#[test]
fn a_slot_of_a_higher_generation_than_the_frames_is_believed() {
    let bench = Bench::new();
    let mut old = owned(&bench);
    let gone = LocalHost.owner("only in the slot").unwrap();
    LocalHost.retire(&gone);
    write_slot(&bench, 8, &gone);
    let mut next = bench.take_over("next");
    assert_eq!(next.generation().get(), 10);
    assert_eq!(next.opening().previous_generation.get(), 9);
    assert_eq!(next.opening().previous_owner.as_ref().unwrap().label, "only in the slot");
    assert_eq!(next.append(&record("three")).unwrap().sequence.get(), 3);
    assert_eq!(old.append(&record("late")).unwrap_err().kind(), ErrorKind::Fenced);
    drop(next);
    assert_eq!(bench.open().unwrap().generation().get(), 11);
    assert_eq!(bench.texts(), ["one", "two", "three"]);
}

// ---- repair --------------------------------------------------------------------------------

#[test]
fn needs_repair_says_what_and_writes_nothing() {
    let bench = Bench::new();
    drop(owned(&bench));
    let two = last_frame(&bench.path, FrameKind::Record);
    cut(&bench.path, two.end() - 1);
    let before = bench.bytes();
    let careful = Options { auto_repair: false, ..bench.options() };
    let error = Journal::open(&bench.path, &careful).unwrap_err();
    let Cause::NeedsRepair { report } = error.cause() else { panic!("{error}") };
    assert_eq!(report.holes.len(), 1);
    assert_eq!(report.holes[0].offset.get(), two.offset);
    assert_eq!(bench.bytes(), before);

    let found = bench.open().unwrap().opening().report.clone();
    assert_eq!(found.holes, report.holes, "the opening records what the refusal reported");
    let after = Journal::open(&bench.path, &careful).unwrap();
    assert!(after.opening().report.is_clean(), "what was reported once is not reported again");
}

/// A7: a read error is not damage, and unknown never means free.
#[test]
fn a_read_error_at_any_point_of_an_opening_is_io_and_loses_nothing() {
    let reads = {
        let bench = Bench::new();
        drop(owned(&bench));
        bench.disk.forget_calls();
        drop(bench.open().unwrap());
        bench.disk.count(Op::ReadAt) as u64
    };
    assert!(reads > 3);
    for nth in 1..=reads {
        let bench = Bench::new();
        drop(owned(&bench));
        let before = bench.bytes();
        bench.disk.forget_calls();
        bench.disk.fail(Op::ReadAt, nth, EIO);
        let error = bench.open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "read {nth} of {reads}: {error}");
        if bench.disk.count(Op::Append) == 0 {
            assert_eq!(bench.bytes(), before, "read {nth}: nothing was written");
        }
        assert!(nth > 1 || bench.disk.count(Op::Append) == 0, "the first read precedes the claim");
        let mut next = bench.open().unwrap();
        assert_eq!(next.append(&record("three")).unwrap().sequence.get(), 3);
        assert_eq!(bench.texts(), ["one", "two", "three"], "read {nth}");
    }
}

/// A12, D4: who, from whom, why, what was found: kept in the journal itself.
#[test]
fn an_opening_records_reason_previous_owner_and_report() {
    let bench = Bench::new();
    owned(&bench).close().unwrap();
    drop(Journal::open(&bench.path, &Options { label: "b".into(), ..bench.options() }).unwrap());
    scribble(&bench.path, b"torn");
    drop(Journal::open(&bench.path, &Options { label: "c".into(), ..bench.options() }).unwrap());
    let taken = bench.take_over("d");
    let opening = taken.opening().clone();
    let openings: Vec<_> = history(&bench.path)
        .unwrap()
        .into_iter()
        .filter(|one| one.event == HistoryKind::Opening)
        .map(|one| (one.reason.unwrap(), one.owner.unwrap().label))
        .collect();
    let expected = [
        (OpenReason::Created, "first"),
        (OpenReason::Released, "b"),
        (OpenReason::Crashed, "c"),
        (OpenReason::Crashed, "d"),
    ];
    assert_eq!(openings, expected.map(|(reason, label)| (reason, label.to_owned())));
    assert_eq!(opening.previous_owner.unwrap().label, "c");
    let repairs: Vec<_> = history(&bench.path)
        .unwrap()
        .into_iter()
        .filter(|one| one.event == HistoryKind::Repair)
        .collect();
    assert_eq!(repairs.len(), 1);
    assert_eq!(repairs[0].report.as_ref().unwrap().holes[0].bytes, 4);
}

// ---- settling ------------------------------------------------------------------------------

/// H9: what an unclean owner left is written again, identical; a clean one left nothing to do.
#[test]
fn settling_happens_after_a_crash_only_and_changes_no_byte() {
    let bench = Bench::new();
    let mut journal = bench.create_with(&support::lazily(bench.options()));
    for _ in 0..100 {
        journal.append(&record("not synced")).unwrap();
    }
    let inherited = 100 * (80 + 10);
    drop(journal);
    let before = bench.bytes();
    let next = bench.open().unwrap();
    assert!(next.opening().report.settled_bytes >= inherited);
    assert!(next.opening().report.is_clean());
    assert_eq!(bench.bytes()[4096..before.len()], before[4096..]);
    next.close().unwrap();
    let next = bench.open().unwrap();
    assert_eq!(next.opening().report.settled_bytes, 0);
}

/// H9: an opening whose settling fails acknowledges nothing; the next one settles again.
#[test]
fn an_opening_that_cannot_settle_fails_and_the_next_one_settles() {
    for (op, nth) in [(Op::WriteAt, 1), (Op::Sync, 2)] {
        let bench = Bench::new();
        drop(owned(&bench));
        bench.disk.fail(op, nth, EIO);
        assert_eq!(bench.open().unwrap_err().kind(), ErrorKind::Io);
        let next = bench.open().unwrap();
        assert!(next.opening().report.settled_bytes > 0, "{op:?}");
        assert_eq!(bench.texts(), ["one", "two"]);
    }
}

/// H13: a release is believed only if it says of everything before it that it was synced.
#[test]
fn an_unsound_release_is_settled_like_a_crash() {
    let bench = Bench::new();
    drop(owned(&bench));
    let last = last_frame(&bench.path, FrameKind::Record);
    let codec = Codec::new(identity(&bench.path).salt);
    let release = FrameHeader {
        kind: FrameKind::Release,
        flags: 0,
        meta_len: 0,
        payload_len: 0,
        body_checksum: codec.checksum(&[]),
        offset: last.end(),
        batch_before: 0,
        batch_len: u32::try_from(HEADER_LEN).unwrap(),
        previous: last.offset,
        durable_through: last.offset,
        ..last
    };
    scribble(&bench.path, &release.encode(&codec));
    let next = bench.open().unwrap();
    assert!(next.opening().report.settled_bytes > 0);
    assert_eq!(bench.texts(), ["one", "two"]);
}

/// H13: behind its release a generation has ended; frames of it there are void.
#[test]
fn a_closed_journal_does_not_take_frames_of_its_released_generation() {
    let bench = Bench::new();
    owned(&bench).close().unwrap();
    let whole = bench.bytes();
    let codec = Codec::new(identity(&bench.path).salt);
    let two = last_frame(&bench.path, FrameKind::Record);
    let release = last_frame(&bench.path, FrameKind::Release);
    let late = FrameHeader { sequence: 3, offset: release.end(), previous: release.offset, ..two };
    let body = usize::try_from(two.offset).unwrap() + HEADER_LEN;
    let body = &whole[body..body + 3];
    scribble(&bench.path, &[&late.encode(&codec), body].concat());
    assert_eq!(bench.texts(), ["one", "two"]);
    let mut next = bench.open().unwrap();
    assert_eq!(next.append(&record("three")).unwrap().sequence.get(), 3);
    assert_eq!(bench.texts(), ["one", "two", "three"]);
}
