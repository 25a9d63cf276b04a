//! Opening for writing: policy, what it finds and records, and settling what was inherited.

mod support;

use session_journal::format::{
    Codec, FrameHeader, FrameKind, HEADER_LEN, Slot, SlotState, slot_offset,
};
use session_journal::{
    Cause, ErrorKind, HistoryKind, Host, Journal, LocalHost, OpenReason, Options, Owner, Takeover,
    history,
};
use support::disk::{EIO, Op};
use support::{Bench, cut, identity, last_frame, overwrite, record, scribble};

/// A journal with some records and an owner that is still there.
fn owned(bench: &Bench) -> Journal {
    let mut journal = bench.create_with(&Options { label: "first".into(), ..bench.options() });
    journal.append(&record("one")).unwrap();
    journal.append(&record("two")).unwrap();
    journal
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
    for (op, nth) in [(Op::WriteAt, 1), (Op::Sync, 1)] {
        let bench = Bench::new();
        drop(owned(&bench));
        bench.disk.fail(op, nth, EIO);
        assert_eq!(bench.open().unwrap_err().kind(), ErrorKind::Io);
        let next = bench.open().unwrap();
        assert!(next.opening().report.settled_bytes > 0, "{op:?}");
        assert_eq!(bench.texts(), ["one", "two"]);
    }
}

/// I8, H11: between a claim that others have seen and its opening there is a sync, also where nothing
/// has to be settled: no generation is ever claimed twice across a power loss.
#[test]
fn a_claim_is_synced_before_its_opening_even_behind_a_clean_release() {
    let bench = Bench::new();
    owned(&bench).close().unwrap();
    bench.disk.forget_calls();
    bench.open().unwrap().close().unwrap();
    let steps: Vec<Op> = bench
        .disk
        .calls()
        .into_iter()
        .map(|call| call.op)
        .filter(|op| matches!(op, Op::Append | Op::Sync))
        .collect();
    assert_eq!(steps[..3], [Op::Append, Op::Sync, Op::Append], "{steps:?}");
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
