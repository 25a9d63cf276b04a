//! Claims, and records that claimers had read, that others have built on and that were lost before
//! they were durable: their sync failed, or power went.

mod support;

#[path = "mutations/lost.rs"]
mod lost;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{fmt, io};

use lost::{claim_and_go, holds, lose, once, one_durable_and_one_unsettled};
use session_journal::{Host, Journal, Liveness, LocalHost, Options, Owner, Takeover};
use support::disk::Op;
use support::{Bench, by_force, name, overwrite, record};

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

/// This machine, where the `nth` question whether an owner lives has an effect and the answer that it is
/// gone.
struct AskedTooLate {
    calls: AtomicU32,
    nth: u32,
    before: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for AskedTooLate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AskedTooLate").finish_non_exhaustive()
    }
}

impl Host for AskedTooLate {
    fn now_ms(&self) -> i64 {
        LocalHost.now_ms()
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        LocalHost.fill_random(bytes)
    }

    fn owner(&self, label: &str) -> io::Result<Owner> {
        LocalHost.owner(label)
    }

    fn liveness(&self, _: &Owner) -> Liveness {
        if self.calls.fetch_add(1, Ordering::Relaxed) + 1 == self.nth {
            (self.before)();
        }
        Liveness::Gone
    }

    fn retire(&self, owner: &Owner) {
        LocalHost.retire(owner);
    }

    fn pid(&self) -> u32 {
        LocalHost.pid()
    }

    fn pause(&self, time: Duration) {
        LocalHost.pause(time);
    }

    fn run_aside(&self, job: Box<dyn FnOnce() + Send>) {
        LocalHost.run_aside(job);
    }
}

/// I13: a claimer that may bring a record back does so and is gone, just as an opener without that record
/// asks whether it is. The answer is about the time before the opener's last look.
#[test]
fn whether_a_claimer_is_gone_is_asked_before_the_last_look() {
    let bench = Bench::new();
    let lost = one_durable_and_one_unsettled(&bench);
    let [start, end] = [lost.start, lost.end].map(|at| usize::try_from(at).unwrap());
    let bytes = bench.bytes()[start..end].to_vec();
    claim_and_go(&bench.path);
    lose(&bench.path, &lost);
    let (path, at) = (bench.path.clone(), lost.start);
    // The policy asks first; then whether what was claimed may come back.
    let before = Box::new(move || overwrite(&path, at, &bytes));
    let host = Arc::new(AskedTooLate { calls: AtomicU32::new(0), nth: 2, before });
    let options = Options { takeover: Takeover::Always, host, ..bench.options() };
    let mut next = Journal::open(&bench.path, &options).unwrap();
    next.append(&record("next")).unwrap();
    assert_eq!(holds(&bench.path, &["one", "lost", "next"]), Ok(()));
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
