//! Tests of the tests: an engine whose threads meet in a broken way is noticed by one of the scenes.

use std::collections::BTreeSet;

use session_journal::mutation::races::Race;

use super::explore::{Scene, must_be_decided_by_the_schedule, noticed_after};
use super::{ending, producers, sharing};

/// So many schedules at most until a broken engine shows.
const AT_MOST: usize = 3000;

fn scene(race: Race) -> Scene {
    match race {
        Race::ClearedBlindly
        | Race::PublishesLate
        | Race::PoolAsleep
        | Race::SleepsUnlooked
        | Race::SleepersFirst
        | Race::LooksThenSees
        | Race::GathersUnwatched
        | Race::WholeUnserved
        | Race::LeavesTheRest => producers::many_producers,
        Race::FreedInSilence | Race::FreedUnlocked | Race::LooksThenRegisters => {
            producers::a_full_inbox
        }
        Race::LooksOnce => producers::nobody_syncs,
        Race::RingsUnheard => producers::followers,
        Race::OpensUnplaced => sharing::many_openers,
        Race::OwnerLingers => ending::the_last_handle,
        Race::CopiesTwice => sharing::compactions,
        Race::NeverAsked | Race::StruckOffLate => sharing::few_handles,
    }
}

#[test]
#[allow(clippy::print_stdout, reason = "the table, where it is asked for")]
fn every_race_is_noticed_within_a_bounded_number_of_schedules() {
    let mut unnoticed = Vec::new();
    for race in Race::ALL {
        let noticed = noticed_after(race, scene(race), AT_MOST);
        let after = noticed.map_or("never".to_owned(), |schedules| schedules.to_string());
        println!("| {} | {} | {after} |", race.name(), race.breaks());
        unnoticed.extend(noticed.is_none().then_some(race.name()));
    }
    assert!(unnoticed.is_empty(), "nothing noticed these: {unnoticed:?}");
}

#[test]
fn every_race_has_a_name_of_its_own() {
    let names: BTreeSet<&str> = Race::ALL.into_iter().map(Race::name).collect();
    assert_eq!(names.len(), Race::ALL.len());
    for (place, race) in Race::ALL.into_iter().enumerate() {
        assert_eq!(race as usize, place, "the table is in the order of the variants");
    }
}

#[test]
fn every_scene_is_decided_by_its_schedule_alone() {
    let scenes: [Scene; 18] = [
        producers::many_producers,
        producers::a_full_inbox,
        producers::a_dropped_append,
        producers::nobody_syncs,
        producers::followers,
        producers::conditions_and_keys,
        producers::a_follower_and_a_compaction,
        ending::a_panic,
        ending::closing,
        ending::the_last_handle,
        ending::deleting,
        ending::deleters_and_openers,
        ending::fencing,
        ending::a_compaction_is_fenced,
        sharing::many_openers,
        sharing::few_handles,
        sharing::few_handles_and_another_owner,
        sharing::compactions,
    ];
    for scene in scenes {
        must_be_decided_by_the_schedule(scene);
    }
}
