//! Schedules in which bytes that others have built on are lost: their sync had failed, or power went.

use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::channel;

use session_journal::format::{FrameKind, PAGE_LEN};
use session_journal::{ErrorKind, Journal, Options, Takeover, verify};

use super::Outcome;
use crate::support::disk::{EIO, FaultDisk, Op};
use crate::support::{
    Bench, by_force, cut, frames, last_frame, name, options_on, overwrite, record, take_over,
    with_gaps,
};

/// Claims the next generation and goes no further: the sync of its claim fails. Gives where the
/// claim stands.
pub(crate) fn claim_and_go(path: &Path) -> Range<u64> {
    let disk = FaultDisk::new();
    disk.fail(Op::Sync, 1, EIO);
    let options = Options { disk: options_on(&disk).disk, ..by_force("gone") };
    assert_eq!(Journal::open(path, &options).unwrap_err().kind(), ErrorKind::Io);
    let (at, claim) = frames(path).into_iter().rfind(|(_, f)| f.kind == FrameKind::Claim).unwrap();
    at..at + claim.frame_len()
}

pub(crate) fn lose(path: &Path, range: &Range<u64>) {
    let len = usize::try_from(range.end - range.start).unwrap();
    overwrite(path, range.start, &vec![0; len]);
}

/// The opener under test tries once.
pub(crate) fn once(bench: &Bench) -> Options {
    Options { takeover: Takeover::Always, claim_attempts: 1, ..bench.options() }
}

pub(crate) fn holds(path: &Path, texts: &[&str]) -> Outcome {
    let found: Vec<String> =
        with_gaps(path).into_iter().map(|text| text.unwrap_or("(missing)".into())).collect();
    if found == texts { Ok(()) } else { Err(format!("there is {found:?}, not {texts:?}")) }
}

/// B12, I6: a claim that was void when the journal was opened behind it stays void. Else who takes
/// over replaces a generation that the owner knows nothing of, and does not fence it.
pub(crate) fn a_claim_whose_base_was_lost_behind_a_later_owner() -> Outcome {
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
    let taken = Journal::open(&bench.path, &options).map(|journal| journal.generation());
    match (hear.recv().unwrap().map_err(|error| error.kind()), taken) {
        (Err(ErrorKind::Fenced), Ok(generation)) if generation.get() == 3 => Ok(()),
        (late, taken) => Err(format!("the owner before is told {late:?}, the next one {taken:?}")),
    }
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

/// I8, H9, H11: behind a sound release too, what a claim counts by is made durable with it. Else power
/// gives a generation away again that had an owner.
pub(crate) fn a_claim_whose_base_leaves_the_memory_before_it_settles() -> Outcome {
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
    let next = Journal::open(&bench.path, &by_force("next")).unwrap().generation();
    if next > generation { Ok(()) } else { Err(format!("generation {next} was given away twice")) }
}

/// A journal with one durable record, and one whose sync failed: its pages are clean in memory and
/// not on the disk.
pub(crate) fn one_durable_and_one_unsettled(bench: &Bench) -> Range<u64> {
    let mut owner = bench.create();
    owner.append(&record("one")).unwrap();
    bench.disk.fail(Op::Sync, 1, EIO);
    assert_eq!(owner.append(&record("lost").key("lost")).unwrap_err().kind(), ErrorKind::Unknown);
    let lost = last_frame(&bench.path, FrameKind::Record);
    lost.offset..lost.end()
}

/// I13, H9: an opener has read a record whose sync had failed and is stopped before it writes it again.
/// The record leaves the memory, another one opens without it, and appends. The first one wakes and
/// brings the record back: it must not stand in the place of one that was acknowledged since.
pub(crate) fn an_opener_that_brings_a_record_back() -> Outcome {
    let bench = Bench::new();
    let lost = one_durable_and_one_unsettled(&bench);
    let path = bench.path.clone();
    let (said, hear) = channel();
    bench.disk.before(Op::WriteAt, 1, move || {
        lose(&path, &lost);
        let mut next = take_over(&path, "next");
        next.append(&record("next")).unwrap();
        // The record that may come back may have any key.
        said.send(next.append(&record("once").key("key"))).unwrap();
    });
    assert_eq!(Journal::open(&bench.path, &once(&bench)).unwrap_err().kind(), ErrorKind::HeldBy);
    let keyed = hear.recv().unwrap().map_err(|error| error.kind());
    if keyed != Err(ErrorKind::Unknown) {
        return Err(format!("a keyed record is told {keyed:?}, while its first may come back"));
    }
    holds(&bench.path, &["one", "lost", "next"])?;
    is_undamaged(&bench.path)
}

/// I13, H9: a record had left the memory when an opener read what it settles, and somebody who had read
/// it before brings it back. Another one opens with it and calls it durable: what was missing is not
/// written over it.
pub(crate) fn an_opener_that_had_read_a_hole_where_a_record_is_back() -> Outcome {
    let bench = Bench::new();
    let lost = one_durable_and_one_unsettled(&bench);
    let [start, end] = [lost.start, lost.end].map(|at| usize::try_from(at).unwrap());
    let bytes = bench.bytes()[start..end].to_vec();
    lose(&bench.path, &lost);
    let path = bench.path.clone();
    bench.disk.before(Op::WriteAt, 1, move || {
        overwrite(&path, lost.start, &bytes);
        let mut next = take_over(&path, "next");
        let again = next.append(&record("lost").key("lost")).unwrap();
        assert!(again.duplicate && again.durable && again.sequence.get() == 2, "{again:?}");
    });
    assert_eq!(Journal::open(&bench.path, &once(&bench)).unwrap_err().kind(), ErrorKind::HeldBy);
    holds(&bench.path, &["one", "lost"])?;
    is_undamaged(&bench.path)
}

fn is_undamaged(path: &Path) -> Outcome {
    let damage = verify(path, &mut |_, _| {}).unwrap().damage;
    if damage.is_empty() { Ok(()) } else { Err(format!("damage is told of: {damage:?}")) }
}

/// I13: the same where the record came between the opener's look and its claim. Such a claim does not
/// name all that would be settled, so its author claims again.
pub(crate) fn an_opener_that_brings_back_what_displaced_its_claim() -> Outcome {
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
    holds(&bench.path, &["one", "late", "next"])
}
