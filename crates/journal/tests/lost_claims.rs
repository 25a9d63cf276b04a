//! Claims, and records that claimers had read, that others have built on and that were lost before
//! they were durable: their sync failed, or power went.

mod support;

#[path = "mutations/lost.rs"]
mod lost;

use std::sync::mpsc::channel;

use lost::{lose, once, one_durable_and_one_unsettled};
use session_journal::{ErrorKind, Journal, Options, verify};
use support::disk::{FaultDisk, Op};
use support::{Bench, by_force, name, options_on, record, take_over};

/// Which promise was broken, if one was.
type Outcome = Result<(), String>;

#[test]
fn a_claim_whose_base_was_lost_does_not_come_to_life_behind_a_later_owner() {
    assert_eq!(lost::a_claim_whose_base_was_lost_behind_a_later_owner(), Ok(()));
}

#[test]
fn a_generation_that_was_opened_is_not_claimed_again_where_the_claim_before_it_was_lost() {
    assert_eq!(lost::a_claim_whose_base_leaves_the_memory_before_it_settles(), Ok(()));
}

#[test]
fn what_a_stopped_opener_brings_back_stands_in_nobodys_place() {
    assert_eq!(lost::an_opener_that_brings_a_record_back(), Ok(()));
}

#[test]
fn who_is_displaced_by_a_record_claims_again_before_settling_it() {
    assert_eq!(lost::an_opener_that_brings_back_what_displaced_its_claim(), Ok(()));
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
    let late = move || assert!(owner.append(&record("late")).is_ok());
    bench.disk.before(Op::Append, 1, late);
    let taken = Journal::open(&bench.path, &once(&bench)).unwrap();
    let opening = taken.opening();
    assert_eq!(opening.previous_owner.as_ref().unwrap().label, "owner");
    assert_eq!((opening.generation.get(), opening.previous_generation.get()), (3, 1));
    assert_eq!(bench.texts(), ["late"]);
}
