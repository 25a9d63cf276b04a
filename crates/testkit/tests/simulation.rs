//! The simulator itself: that a seed is a run, and that what fails can be made small.

use session_journal_testkit::{Choices, Simulator};

/// Everything is decided by the seed, so a failure can be run again (issue: replay from a seed).
#[test]
fn a_seed_is_a_run() {
    let (mut one, mut other) = (Simulator::default(), Simulator::default());
    for seed in 0..100 {
        let first = one.run(Choices::seeded(seed), true);
        let second = other.run(Choices::seeded(seed), true);
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.choices, second.choices, "seed {seed}");
        let again = other.run(Choices::recorded(first.choices.clone()), true);
        assert_eq!(first.trace, again.trace, "seed {seed}, by its decisions");
    }
}

#[test]
fn a_run_without_decisions_is_the_quietest_one() {
    let outcome = Simulator::default().run(Choices::recorded(Vec::new()), true);
    assert_eq!(outcome.violation, None);
    assert!(outcome.choices.iter().all(|choice| *choice == 0));
    assert!(outcome.counts.operations.contains_key("append"));
    assert!(outcome.counts.faults.is_empty(), "{:?}", outcome.counts.faults);
}

/// A to D, G, I: no schedule of these breaks a promise. `simulate` runs many more.
#[test]
fn no_promise_is_broken() {
    let mut simulator = Simulator::default();
    for seed in 0..500 {
        let outcome = simulator.run(Choices::seeded(seed), false);
        let replay = "cargo run --release -p session-journal-testkit -- replay";
        assert_eq!(outcome.violation, None, "{replay} {seed}");
    }
}

/// A broken engine is noticed, and the schedule that shows it gets shorter.
#[cfg(feature = "mutations")]
#[test]
fn a_broken_engine_is_noticed_and_its_schedule_shrinks() {
    use session_journal::mutation::{self, Mutation};
    use session_journal_testkit::shrink;

    mutation::with(Some(Mutation::ConditionIgnored), || {
        let mut simulator = Simulator::default();
        let mut outcomes = (0..100).map(|seed| simulator.run(Choices::seeded(seed), false));
        let failed = outcomes.find(|outcome| outcome.violation.is_some()).expect("it is noticed");
        let before = failed.choices.len();
        let shortest = shrink(&mut Simulator::default(), failed);
        assert!(shortest.violation.is_some());
        assert!(shortest.choices.len() < before);
    });
}
