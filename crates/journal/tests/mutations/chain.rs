//! Schedules around what counts: late, torn, quoted and incomplete frames.

use std::fs;

use session_journal::format::HEADER_LEN;
use session_journal::{AppendOptions, Journal, NewRecord, Options};

use super::Outcome;
use super::told::{Told, claim_only, must, owned};
use crate::support::disk::{FaultDisk, Op};
use crate::support::{Bench, by_force, options_on, record, take_over};

/// I2: the claim took the generation, and its author has not come further.
pub(crate) fn an_append_behind_a_claim() -> Outcome {
    let bench = Bench::new();
    let (mut told, mut old) = owned(&bench);
    claim_only(&bench.path);
    told.append(&mut old, "late");
    told.is_there(&bench.path)
}

/// I3, B12: what an owner writes that was taken over is seen by nobody.
pub(crate) fn an_append_behind_an_opening() -> Outcome {
    let bench = Bench::new();
    let (mut told, mut old) = owned(&bench);
    let _new = take_over(&bench.path, "new");
    told.append(&mut old, "late");
    told.is_there(&bench.path)
}

/// H19: the disk was full in the middle of a large record; what came next stands where that one
/// would have been.
pub(crate) fn an_append_behind_a_torn_one() -> Outcome {
    let bench = Bench::new();
    let (mut told, mut journal) = owned(&bench);
    bench.disk.short(1, 100);
    told.append(&mut journal, &"large ".repeat(1000));
    told.append(&mut journal, "three");
    told.is_there(&bench.path)
}

/// H18: an agent read a copy of its own journal that somebody else went on with. The write of it is
/// cut short, so the frames in it lie bare.
pub(crate) fn a_torn_quotation_of_a_copy_that_went_on() -> Outcome {
    let bench = Bench::new();
    let (mut told, mut journal) = owned(&bench);
    quote(&bench, &mut told, &mut journal);
    told.append(&mut journal, "three");
    told.is_there(&bench.path)
}

/// H18, L1: who claimed the copy and went is not who owns the journal.
pub(crate) fn a_torn_quotation_of_a_claim() -> Outcome {
    let bench = Bench::new();
    let (mut told, mut journal) = owned(&bench);
    quote(&bench, &mut told, &mut journal);
    let taken = Journal::open(&bench.path, &Options::default()).is_ok();
    must(!taken, || "taken from an owner that is alive".to_owned())
}

fn quote(bench: &Bench, told: &mut Told, journal: &mut Journal) {
    let copy = bench.folder().join("copy");
    fs::copy(&bench.path, &copy).unwrap();
    take_over(&copy, "elsewhere").append(&record("elsewhere")).unwrap();
    let came = fs::read(&copy).unwrap().split_off(usize::try_from(bench.len()).unwrap());
    bench.disk.short(1, HEADER_LEN + came.len());
    let quotation = NewRecord::new([came.as_slice(), b"and so on"].concat());
    told.all(journal, &[quotation], &AppendOptions::default());
}

/// H18, I5: an opener looks while the owner so far writes, and sees half of the record. Its second
/// look, behind its claim, ends where reading from the start would.
pub(crate) fn a_record_that_an_opener_saw_by_halves() -> Outcome {
    let bench = Bench::new();
    let (mut told, mut old) = owned(&bench);
    let theirs = FaultDisk::new();
    theirs.show_up_to(Some(bench.len() + 40));
    let shows = theirs.clone();
    theirs.before(Op::Append, 1, move || shows.show_up_to(None));
    told.append(&mut old, "three");
    let options = Options { disk: options_on(&theirs).disk, ..by_force("opener") };
    told.append(&mut Journal::open(&bench.path, &options).unwrap(), "four");
    told.is_there(&bench.path)
}

/// I4, H14: a batch is there whole or not at all, whoever asks.
pub(crate) fn a_batch_that_was_cut_short() -> Outcome {
    let bench = Bench::new();
    let (mut told, mut journal) = owned(&bench);
    bench.disk.short(1, 2 * (HEADER_LEN + 4) + 10);
    told.all(&mut journal, &["tool", "call", "done"].map(record), &AppendOptions::default());
    told.is_there(&bench.path)?;
    told.append(&mut journal, "three");
    told.is_there(&bench.path)
}
