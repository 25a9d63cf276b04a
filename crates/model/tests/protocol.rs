//! The protocol holds in every state that is reached within small bounds, and every rule is needed:
//! broken, it shows. The larger bounds: `cargo run --release -p session-journal-model [-- --long]`.
#![allow(clippy::print_stdout, reason = "the shortest counterexamples are worth reading")]

use session_journal_model::configurations::{BRIEF, Configuration, showing};
use session_journal_model::explore::{break_rule, explore};
use session_journal_model::{Mutation, World};

fn holds(name: &str) {
    let configuration = BRIEF.iter().find(|configuration| configuration.name == name);
    let Configuration { bounds, .. } = configuration.expect("its name is in the list");
    let outcome = explore(*bounds);
    println!("{name}: {} states, {} events at most", outcome.states, outcome.depth);
    assert!(outcome.failed.is_empty(), "{name}: {:?}", outcome.shortest());
    assert!(outcome.unreached.is_empty(), "{name} never shows {:?}", outcome.unreached);
}

/// A5, B9, B12, C6, D2: no record that was acknowledged is lost, doubled or reordered, and nothing of a
/// fenced owner is seen, whoever is stopped, killed or cut short.
#[test]
fn two_processes_take_over_from_each_other_and_nothing_is_lost() {
    holds("takeovers");
}

/// C6, H1: claims of three processes race each other and the owner.
#[test]
fn three_processes_take_over_from_each_other_and_nothing_is_lost() {
    holds("three processes");
}

/// A2, H13: nobody appends behind a release, and a claim that races with one is safe.
#[test]
fn a_release_ends_a_generation_and_races_with_nothing() {
    holds("releases");
}

/// C10, H14.
#[test]
fn a_batch_is_there_whole_or_not_at_all() {
    holds("batches");
}

/// H18, decision 9.
#[test]
fn a_claim_quoted_in_a_payload_takes_nothing() {
    holds("quoted claims");
}

/// B1, C9, H3, H4, H15: compaction, deletion and creating anew, killed anywhere, the successor lost.
#[test]
fn whatever_is_sealed_goes_on_or_goes_whole() {
    holds("seals");
}

/// D3, H11, H13: any subset of what is not synced is lost.
#[test]
fn what_was_acknowledged_as_durable_survives_power_loss() {
    holds("power loss");
}

/// H9: pages whose sync failed are called clean, and are gone with the power or before.
#[test]
fn what_was_acknowledged_as_durable_survives_syncs_that_failed_for_others() {
    holds("failing syncs");
}

/// I13, H9: an opener is stopped between reading what it settles and writing it again. Pages leave the memory,
/// others open without them, and it brings them back; or it found them gone, and others brought them back.
#[test]
fn what_a_stopped_opener_settles_late_takes_nothing_from_anybody() {
    holds("stopped while settling");
}

/// I13: and each rule that this rests on is needed, where nothing else goes wrong.
#[test]
fn settling_late_takes_records_where_claims_say_nothing_or_nobody_listens_or_holes_are_settled() {
    for mutation in [Mutation::UnnamedSettling, Mutation::PendingForgotten, Mutation::SettleHoles] {
        let Configuration { name, bounds } = showing(mutation);
        assert_eq!(name, "stopped while settling", "{mutation:?} has a configuration of its own");
        let outcome = break_rule(bounds, mutation);
        let shown = outcome.shortest().map(|(property, _)| property);
        assert_eq!(shown, Some("what was acknowledged is in the chain"), "{mutation:?}");
    }
}

/// H12: openers begin at checkpoints.
#[test]
fn opening_from_a_checkpoint_loses_nothing() {
    holds("checkpoints");
}

#[test]
fn every_rule_that_is_broken_shows() {
    let mut missed = Vec::new();
    for mutation in Mutation::ALL {
        let Configuration { name, bounds } = showing(mutation);
        let outcome = break_rule(bounds, mutation);
        match outcome.shortest() {
            Some((property, way)) => {
                println!("{mutation:?} ({name}): not \"{property}\" after {} events", way.len());
            }
            None => missed.push((mutation, outcome.states)),
        }
    }
    assert!(missed.is_empty(), "nothing fails without {missed:?}");
}

/// Which process is called what means nothing, so each state stands for all its renumberings.
#[test]
fn a_state_that_stands_for_others_stands_for_itself() {
    use session_journal_model::{Bounds, Protocol};
    use stateright::Model;

    let bounds = Bounds { processes: 3, opens: 2, ..Bounds::NONE };
    let protocol = Protocol { bounds, mutation: None };
    let mut worlds: Vec<World> = protocol.init_states();
    for _ in 0..12 {
        let next = worlds.iter().flat_map(|world| protocol.next_states(world));
        let mut next: Vec<World> = next.collect();
        next.dedup();
        next.truncate(2000);
        for world in &next {
            assert_eq!(world.clone().representative(None), *world);
        }
        worlds = next;
    }
}
