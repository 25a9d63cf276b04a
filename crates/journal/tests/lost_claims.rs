//! Claims, and records that claimers had read, that others have built on and that were lost before
//! they were durable: their sync failed, or power went.

mod support;

#[path = "mutations/lost.rs"]
mod lost;

use lost::once;
use session_journal::Journal;
use support::disk::Op;
use support::{Bench, by_force, name, record};

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

#[test]
fn what_was_missing_when_it_was_read_is_not_written_over_what_came_back() {
    assert_eq!(lost::an_opener_that_had_read_a_hole_where_a_record_is_back(), Ok(()));
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
