//! Claims that others have built on, and that were lost before they were durable: their sync failed,
//! or power went. What the exhaustive model found (`crates/model`: `SlotRevivesClaim`,
//! `UnverifiedClaim`), on files.

mod support;

use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::channel;

use session_journal::format::{FrameKind, PAGE_LEN};
use session_journal::{ErrorKind, Journal, Options, Takeover, verify};
use support::disk::{EIO, FaultDisk, Op};
use support::{
    Bench, by_force, cut, frames, last_frame, name, options_on, overwrite, record, take_over,
};

/// Claims the next generation and goes no further: the sync of its claim fails. Gives where the
/// claim stands.
fn claim_and_go(path: &Path) -> Range<u64> {
    let disk = FaultDisk::new();
    disk.fail(Op::Sync, 1, EIO);
    let options = Options { disk: options_on(&disk).disk, ..by_force("gone") };
    assert_eq!(Journal::open(path, &options).unwrap_err().kind(), ErrorKind::Io);
    let (at, claim) = frames(path).into_iter().rfind(|(_, f)| f.kind == FrameKind::Claim).unwrap();
    at..at + claim.frame_len()
}

fn lose(path: &Path, range: &Range<u64>) {
    let len = usize::try_from(range.end - range.start).unwrap();
    overwrite(path, range.start, &vec![0; len]);
}

/// A released journal behind whose release a claim stands that was never durable; gives where.
fn released_and_claimed(bench: &Bench) -> Range<u64> {
    let mut first = bench.create();
    first.append(&record("one")).unwrap();
    first.close().unwrap();
    bench.disk.forget_calls();
    claim_and_go(&bench.path)
}

/// How often an opener of such a journal has read when it begins to settle.
fn reads_until_settling() -> u64 {
    let bench = Bench::new();
    released_and_claimed(&bench);
    bench.open().unwrap();
    let calls = bench.disk.calls();
    let settles = calls.iter().position(|call| call.op == Op::WriteAt).unwrap();
    calls[..settles].iter().filter(|call| call.op == Op::ReadAt).count() as u64
}

/// B12, I6: a claim that was void when the journal was opened behind it stays void. Else who takes
/// over would replace a generation that the owner knows nothing of, and would not fence it.
#[test]
fn a_claim_whose_base_was_lost_does_not_come_to_life_behind_a_later_owner() {
    let bench = Bench::new();
    drop(bench.create());
    let base = claim_and_go(&bench.path);
    claim_and_go(&bench.path);
    lose(&bench.path, &base);
    let mut owner = Journal::open(&bench.path, &by_force("owner")).unwrap();
    assert_eq!(owner.generation().get(), 2, "the claim of 3 replaces one that is not there");

    // It appends between the claim and the opening of who takes over.
    let (said, hear) = channel();
    let append = move || said.send(owner.append(&record("late"))).unwrap();
    bench.disk.before(Op::Append, 2, append);
    let options = Options { takeover: Takeover::Always, ..bench.options() };
    let taken = Journal::open(&bench.path, &options);
    assert_eq!(hear.recv().unwrap().unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(taken.unwrap().generation().get(), 3);
}

/// I8, H9, H11: behind a sound release too, what a claim counts by is made durable with it.
#[test]
fn a_generation_that_was_opened_is_not_claimed_again_where_the_claim_before_it_was_lost() {
    let bench = Bench::new();
    let base = released_and_claimed(&bench);
    let page = bench.bytes()[..usize::try_from(PAGE_LEN).unwrap()].to_vec();

    // The page of the claim that could not be synced leaves the memory once the next one has won.
    let path = bench.path.clone();
    bench.disk.before(Op::ReadAt, reads_until_settling(), move || lose(&path, &base));
    let opened = bench.open().unwrap();
    let generation = opened.generation();
    drop(opened);

    // Power takes the opening and the slot, which were not synced.
    let opening = last_frame(&bench.path, FrameKind::Opening);
    assert_eq!(opening.generation, generation.get());
    cut(&bench.path, opening.offset);
    overwrite(&bench.path, 0, &page);
    let next = Journal::open(&bench.path, &by_force("next")).unwrap();
    assert!(next.generation() > generation, "{} again behind {generation}", next.generation());
}

/// A journal with one durable record, and one whose sync failed: its pages are clean in memory and
/// not on the disk.
fn one_durable_and_one_unsettled(bench: &Bench) -> Range<u64> {
    let mut owner = bench.create();
    owner.append(&record("one")).unwrap();
    bench.disk.fail(Op::Sync, 1, EIO);
    assert_eq!(owner.append(&record("lost").key("lost")).unwrap_err().kind(), ErrorKind::Unknown);
    let lost = last_frame(&bench.path, FrameKind::Record);
    lost.offset..lost.end()
}

fn once(bench: &Bench) -> Options {
    Options { takeover: Takeover::Always, claim_attempts: 1, ..bench.options() }
}

/// I13, H9: an opener has read a record whose sync had failed and is stopped before it writes it again.
/// The record leaves the memory, another one opens without it, and appends. The first one wakes and
/// brings the record back: it must not stand in the place of one that was acknowledged since.
#[test]
fn what_a_stopped_opener_brings_back_stands_in_nobodys_place() {
    let bench = Bench::new();
    let lost = one_durable_and_one_unsettled(&bench);
    let path = bench.path.clone();
    bench.disk.before(Op::WriteAt, 1, move || {
        lose(&path, &lost);
        let mut next = take_over(&path, "next");
        let appended = next.append(&record("next")).unwrap();
        assert!(appended.durable && appended.sequence.get() == 3, "{appended:?}");
        let keyed = next.append(&record("once").key("key")).unwrap_err();
        assert_eq!(keyed.kind(), ErrorKind::Unknown, "the key may come back with the record");
    });
    assert_eq!(Journal::open(&bench.path, &once(&bench)).unwrap_err().kind(), ErrorKind::HeldBy);
    assert_eq!(bench.texts(), ["one", "lost", "next"]);
    let verified = verify(&bench.path, &mut |_, _| {}).unwrap();
    assert!(verified.damage.is_empty(), "{verified:?}");
}

/// I13: the same where the record came between the opener's look and its claim. Such a claim does not
/// name all that would be settled, so its author claims again, in the place of whoever held it.
#[test]
fn who_is_displaced_by_a_record_claims_again_before_settling_it() {
    let bench = Bench::new();
    let mut owner = Journal::create(&bench.path, &name("s"), &by_force("owner")).unwrap();
    owner.append(&record("one")).unwrap();
    let (path, (said, hear)) = (bench.path.clone(), channel());
    bench.disk.before(Op::Append, 1, move || {
        owner.append(&record("late")).unwrap();
        said.send(last_frame(&path, FrameKind::Record)).unwrap();
    });
    let path = bench.path.clone();
    bench.disk.before(Op::WriteAt, 1, move || {
        let late = hear.recv().unwrap();
        lose(&path, &(late.offset..late.end()));
        take_over(&path, "next").append(&record("next")).unwrap();
    });
    assert_eq!(Journal::open(&bench.path, &once(&bench)).unwrap_err().kind(), ErrorKind::HeldBy);
    assert_eq!(bench.texts(), ["one", "late", "next"]);
}

/// I13, H9: a record had left the memory when one opener read what it settles, and another one brings it
/// back before that is written again. A third one opens with it and calls it durable: what was missing
/// is not written over it.
#[test]
fn what_was_missing_when_it_was_read_is_not_written_over_what_came_back() {
    let bench = Bench::new();
    let lost = one_durable_and_one_unsettled(&bench);
    let (has_read, read) = channel();
    let (go_on, goes_on) = channel::<()>();
    let path = bench.path.clone();
    let without = move || {
        let disk = FaultDisk::new();
        disk.before(Op::WriteAt, 1, move || {
            has_read.send(()).unwrap();
            goes_on.recv().unwrap();
        });
        let options = Options { disk: options_on(&disk).disk, ..by_force("without") };
        Journal::open(&path, &Options { claim_attempts: 1, ..options }).map(drop)
    };
    let (said, hear) = channel();
    let path = bench.path.clone();
    bench.disk.before(Op::WriteAt, 1, move || {
        lose(&path, &lost);
        said.send(std::thread::spawn(without)).unwrap();
        read.recv().unwrap();
    });
    assert_eq!(Journal::open(&bench.path, &once(&bench)).unwrap_err().kind(), ErrorKind::HeldBy);

    let mut next = take_over(&bench.path, "next");
    let again = next.append(&record("lost").key("lost")).unwrap();
    assert!(again.duplicate && again.durable && again.sequence.get() == 2, "{again:?}");
    go_on.send(()).unwrap();
    let without = hear.recv().unwrap().join().unwrap();
    assert_eq!(without.unwrap_err().kind(), ErrorKind::HeldBy);
    assert_eq!(bench.texts(), ["one", "lost"]);
    let verified = verify(&bench.path, &mut |_, _| {}).unwrap();
    assert!(verified.damage.is_empty(), "{verified:?}");
}

/// A12, I13: who claimed twice has taken the journal from the owner before, not from itself.
#[test]
fn who_claims_again_names_the_owner_that_it_took_the_journal_from() {
    let bench = Bench::new();
    let mut owner = Journal::create(&bench.path, &name("s"), &by_force("owner")).unwrap();
    let late = move || drop(owner.append(&record("late")).unwrap());
    bench.disk.before(Op::Append, 1, late);
    let taken = Journal::open(&bench.path, &once(&bench)).unwrap();
    let opening = taken.opening();
    assert_eq!(opening.previous_owner.as_ref().unwrap().label, "owner");
    assert_eq!((opening.generation.get(), opening.previous_generation.get()), (3, 1));
    assert_eq!(bench.texts(), ["late"]);
}
