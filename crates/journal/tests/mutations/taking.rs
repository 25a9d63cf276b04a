//! Schedules around a takeover.

use std::sync::{Arc, Mutex};

use session_journal::format::FrameKind;
use session_journal::{Journal, Options, Takeover};

use super::Outcome;
use super::told::{Told, must, owned, taker, took};
use crate::support::disk::{EIO, FaultDisk, Op};
use crate::support::{Bench, by_force, cut, last_frame, options_on, overwrite, record, scribble};

/// The owner under test takes once and does not try again.
fn once(bench: &Bench) -> Options {
    Options { takeover: Takeover::Always, claim_attempts: 1, ..bench.options() }
}

/// H1: the next generation but one is whole before the claimer looks whether it has won.
pub(crate) fn a_takeover_right_behind_a_claim() -> Outcome {
    overtaken(|bench, hook| bench.disk.after(Op::Append, 1, hook))
}

/// I6: of two claims on one generation the first has won, and its owner writes.
pub(crate) fn a_takeover_right_before_a_claim() -> Outcome {
    overtaken(|bench, hook| bench.disk.before(Op::Append, 1, hook))
}

/// I7: the claimer has won, and takes the file's length for its last look behind settling; the next
/// generation is whole before its opening.
pub(crate) fn a_takeover_between_a_claim_and_its_opening() -> Outcome {
    overtaken(|bench, hook| {
        let disk = bench.disk.clone();
        bench.disk.after(Op::Sync, 1, move || disk.after(Op::Len, 1, hook));
    })
}

/// A claimer that is overtaken at some point. Both append, if they may.
fn overtaken(at: impl FnOnce(&Bench, Box<dyn FnOnce() + Send>)) -> Outcome {
    let bench = Bench::new();
    let (mut told, first) = owned(&bench);
    first.close().unwrap();
    let (other, hook) = taker(&bench);
    at(&bench, Box::new(hook));
    if let Ok(mut claimer) = Journal::open(&bench.path, &once(&bench)) {
        told.append(&mut claimer, "late");
    }
    told.append(&mut took(&other), "three");
    told.is_there(&bench.path)
}

/// H9: a page whose sync failed leaves the memory between the look and the settling.
pub(crate) fn a_page_that_is_again_as_it_was_on_the_disk() -> Outcome {
    let bench = Bench::new();
    let (mut told, mut journal) = (Told::default(), bench.create());
    told.append(&mut journal, "one");
    bench.disk.fail(Op::Sync, 1, EIO);
    told.append(&mut journal, "two");
    drop(journal);
    let (path, lost) = (bench.path.clone(), last_frame(&bench.path, FrameKind::Record));
    let zeros = vec![0; usize::try_from(lost.frame_len()).unwrap()];
    bench.disk.before(Op::Sync, 1, move || overwrite(&path, lost.offset, &zeros));
    told.append(&mut bench.open().unwrap(), "three");
    told.is_there(&bench.path)
}

/// I1: the owner so far appends behind a torn tail that the opener has seen already.
pub(crate) fn an_append_between_the_look_and_the_claim() -> Outcome {
    let bench = Bench::new();
    let owner = Arc::new(Mutex::new(owned(&bench)));
    scribble(&bench.path, b"torn");
    let (appends, theirs) = (Arc::clone(&owner), FaultDisk::new());
    theirs.before(Op::Reserve, 1, move || {
        let (told, journal) = &mut *appends.lock().unwrap();
        told.append(journal, "three");
    });
    let options = Options { disk: options_on(&theirs).disk, ..by_force("opener") };
    let mut opener = Journal::open(&bench.path, &options).unwrap();
    let (told, _) = &mut *owner.lock().unwrap();
    told.append(&mut opener, "four");
    told.is_there(&bench.path)
}

/// H10: a number that was acknowledged as durable is never given to another record.
pub(crate) fn a_file_that_lost_its_end() -> Outcome {
    let bench = Bench::new();
    let mut journal = bench.create();
    journal.append(&record("one")).unwrap();
    let second = journal.append(&record("two")).unwrap();
    journal.close().unwrap();
    cut(&bench.path, second.offset.get() + 20);
    let next = bench.open().unwrap().append(&record("three")).unwrap();
    must(next.sequence > second.sequence, || format!("{} is given away again", next.sequence))
}
