//! Tests of the tests: every mutation of the engine breaks a promise in a schedule that the sound
//! engine keeps. So each rule of the engine is one that something rests on.
//!
//! A schedule says by `Err` which promise was broken. It runs twice: with the sound engine, and with
//! one rule taken away.

mod support;

#[path = "mutations/appending.rs"]
mod appending;
#[path = "mutations/chain.rs"]
mod chain;
#[path = "mutations/durable.rs"]
mod durable;
#[path = "mutations/lost.rs"]
mod lost;
#[path = "mutations/names.rs"]
mod names;
#[path = "mutations/taking.rs"]
mod taking;
#[path = "mutations/told.rs"]
mod told;

use std::collections::BTreeSet;

use session_journal::mutation::{self, Mutation};

/// Whether the promises held, or which one did not.
type Outcome = Result<(), String>;

/// Each of them breaks where the rule is taken away: a rule may have several places.
fn schedules(mutation: Mutation) -> &'static [fn() -> Outcome] {
    match mutation {
        Mutation::TailIsFileLength => &[
            appending::a_takeover_between_the_look_and_the_tail,
            taking::a_takeover_between_a_claim_and_its_opening,
        ],
        Mutation::SkipLandingCheck => &[appending::foreign_bytes_right_before_an_append],
        Mutation::ScanFromTail => &[appending::a_claim_and_an_opening_seen_by_halves],
        Mutation::NoReread => &[appending::a_takeover_that_was_read_as_zeros],
        Mutation::DisplacedRetried => &[appending::a_descriptor_that_lies_about_the_position],
        Mutation::ReadErrorIsDamage => &[appending::a_read_error_while_looking_who_came],
        Mutation::ConditionIgnored => &[appending::a_condition_that_does_not_hold],
        Mutation::RefusedNotUnknown => &[appending::a_sync_that_fails_behind_a_write],
        Mutation::KeyForgotten => &[appending::a_key_whose_record_is_damaged],
        Mutation::KeysNotInherited => &[appending::a_retry_by_the_next_owner],
        Mutation::NoSecondLook => &[taking::a_takeover_right_behind_a_claim],
        Mutation::EveryClaimWins => &[taking::a_takeover_right_before_a_claim],
        Mutation::UnverifiedSettling => &[taking::a_page_that_is_again_as_it_was_on_the_disk],
        Mutation::UnnamedSettling => &[lost::an_opener_that_brings_back_what_displaced_its_claim],
        Mutation::PendingForgotten => &[lost::an_opener_that_brings_a_record_back],
        Mutation::MissingIsSettled => {
            &[lost::an_opener_that_had_read_a_hole_where_a_record_is_back]
        }
        Mutation::UnverifiedClaim => {
            &[lost::a_claim_whose_base_leaves_the_memory_before_it_settles]
        }
        Mutation::SlotRevivesClaim => &[lost::a_claim_whose_base_was_lost_behind_a_later_owner],
        Mutation::TruncateTornTail => &[taking::an_append_between_the_look_and_the_claim],
        Mutation::ReuseSequenceAfterLoss => &[taking::a_file_that_lost_its_end],
        Mutation::MisplacedFrames => &[chain::an_append_behind_a_claim],
        Mutation::OlderGenerations => &[chain::an_append_behind_an_opening],
        Mutation::TrustLength => &[chain::an_append_behind_a_torn_one],
        Mutation::QuotesCount => {
            &[chain::a_torn_quotation_of_a_copy_that_went_on, chain::a_torn_quotation_of_a_claim]
        }
        Mutation::IncompleteIsDead => &[chain::a_record_that_an_opener_saw_by_halves],
        Mutation::BatchWithoutWitness => &[chain::a_batch_that_was_cut_short],
        Mutation::AcknowledgeBeforeSync => &[durable::a_power_loss_behind_a_durable_append],
        Mutation::DuplicateBeforeSync => &[durable::a_power_loss_behind_a_durable_duplicate],
        Mutation::RetryFailedSync => &[durable::a_power_loss_behind_a_failed_sync],
        Mutation::NoSettling => &[durable::a_power_loss_behind_a_failed_sync_of_the_owner_before],
        Mutation::UnsoundRelease => &[durable::a_power_loss_behind_a_close_that_failed],
        Mutation::SlotBeyondDurable => &[durable::a_power_loss_that_leaves_the_slots],
        Mutation::UnsyncedClaim => &[durable::a_power_loss_behind_a_takeover],
        Mutation::UnsyncedSuccessor => &[durable::a_power_loss_behind_a_compaction],
        Mutation::UnsyncedRename => &[durable::a_power_loss_behind_an_append_to_a_compacted_file],
        Mutation::UnsyncedName => &[durable::a_power_loss_behind_the_first_append],
        Mutation::FloatingSeal => &[
            names::a_takeover_between_the_copy_and_the_seal,
            names::a_compaction_that_dies_behind_a_late_seal,
        ],
        Mutation::BlindUnlink => {
            &[names::a_deleter_that_is_slow, names::an_opener_that_is_slow_to_finish_a_deletion]
        }
        Mutation::CreateInPlace => &[names::a_creator_that_dies],
        Mutation::DetachedUnnoticed => &[names::a_file_that_is_removed_under_its_owner],
    }
}

#[test]
fn the_sound_engine_keeps_its_promises_in_every_schedule() {
    for mutation in Mutation::ALL {
        for (nth, schedule) in schedules(mutation).iter().enumerate() {
            let outcome = mutation::with(None, schedule);
            assert_eq!(outcome, Ok(()), "schedule {nth} of {}", mutation.name());
        }
    }
}

#[test]
#[allow(clippy::print_stdout, reason = "the table, where it is asked for")]
fn every_mutation_breaks_a_promise_in_its_schedules() {
    let mut harmless = Vec::new();
    for mutation in Mutation::ALL {
        for (nth, schedule) in schedules(mutation).iter().enumerate() {
            let broken = mutation::with(Some(mutation), schedule);
            println!("{:<26} {broken:?}", mutation.name());
            if broken.is_ok() {
                harmless.push((mutation.name(), nth));
            }
        }
    }
    assert!(
        harmless.is_empty(),
        "they broke nothing, in the schedules of these places: {harmless:?}"
    );
}

#[test]
fn every_mutation_has_a_name_of_its_own_and_says_what_it_breaks() {
    let names: BTreeSet<&str> = Mutation::ALL.into_iter().map(Mutation::name).collect();
    assert_eq!(names.len(), Mutation::ALL.len());
    for (place, mutation) in Mutation::ALL.into_iter().enumerate() {
        assert_eq!(mutation as usize, place, "the table is in the order of the variants");
        assert_eq!(Mutation::named(mutation.name()), Some(mutation));
        assert!(mutation.breaks().contains(": "), "{}", mutation.breaks());
    }
}

/// A mutation is of one thread, and ends with what it was given for, also behind a panic.
#[test]
fn a_mutation_reaches_no_further_than_its_closure() {
    let breaks = chain::an_append_behind_an_opening;
    mutation::with(Some(Mutation::OlderGenerations), || {
        std::thread::scope(|scope| scope.spawn(|| assert_eq!(breaks(), Ok(()))).join().unwrap());
        mutation::with(None, || assert_eq!(breaks(), Ok(())));
        assert!(breaks().is_err());
    });
    let panics = || mutation::with(Some(Mutation::OlderGenerations), || panic!("on purpose"));
    assert!(std::panic::catch_unwind(panics).is_err());
    assert_eq!(breaks(), Ok(()));
}
