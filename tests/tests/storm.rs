//! Storms of real processes: drivers and the shipped program fight for journals while they are
//! killed, stopped and set going again at random. What each was told is compared with what the
//! journals hold and with what the program shows of them.
#![allow(missing_docs, reason = "test names are sentences")]

use std::path::Path;

use session_journal_tests::{
    Chance, Place, Program, Storm, has_namespaces, is_long, journal_of, says_of,
};

const DRIVER: &str = env!("CARGO_BIN_EXE_driver");

fn storm(takeovers: u64, kills: u64) -> Storm {
    let times = if is_long() { 10 } else { 1 };
    Storm {
        driver: DRIVER.to_owned(),
        program: Some(Program::beside(DRIVER)),
        processes: 5,
        journals: 1,
        namespaced: 0,
        compacts: false,
        flags: String::new(),
        takeovers: takeovers * times,
        kills: kills * times,
    }
}

/// A6, B12, C6, C1: of five to ten that fight for one journal, whoever is stopped or killed at
/// whatever moment, nobody loses what he was told is stored, nothing of it stands twice or in
/// another order, nothing refused is seen, and no file is left beside it. The long version is the
/// one with 20,000 takeovers and 500 kills; in memory, where a sync costs nothing.
#[test]
fn a_storm_on_one_journal_loses_doubles_and_reorders_nothing() {
    let mut chance = Chance::of_test("storm", "a_storm_on_one_journal");
    let memory = Path::new("/dev/shm");
    let place = if is_long() && memory.is_dir() { Place::new_in(memory) } else { Place::new() };
    let mut storm = storm(if is_long() { 2000 } else { 300 }, 50);
    storm.processes = 5 + chance.below(6);
    let figures = storm.rage(&place, &mut chance);
    assert!(figures.crashed > 0 && figures.released > 0, "every way to take it: {figures:?}");
    assert!(figures.refused > 0 && figures.stops > 0, "they do compete: {figures:?}");
}

/// E9, C6, A8: the same where fifty fight for many journals, and owners compact; a follower that
/// was there from the beginning has seen the same as one that comes afterwards.
#[test]
fn fifty_processes_on_many_journals_lose_nothing_while_owners_compact() {
    let mut chance = Chance::of_test("storm", "fifty_processes_on_many_journals");
    let mut place = Place::new();
    place.path = journal_of(&place.store, 0);
    let _follower = place.start(DRIVER, "follower", "follow", "");
    let storm = Storm { processes: 50, journals: 8, compacts: true, ..storm(200, 60) };
    storm.rage(&place, &mut chance);
    place.must_have_followed("follower");
}

/// A4, I1: the same where every driver is pid 1 of a namespace of its own, as in containers. What
/// such an owner's process is doing nobody outside can tell, so only force takes it.
#[test]
fn a_storm_of_equal_pids_takes_nobody_for_somebody_else() {
    if !has_namespaces() {
        return;
    }
    let mut chance = Chance::of_test("storm", "a_storm_of_equal_pids");
    let place = Place::new();
    let storm = Storm { program: None, namespaced: 1, processes: 6, ..storm(150, 20) };
    let figures = storm.rage(&place, &mut chance);
    let said = std::fs::read_to_string(says_of(&place.says("d1"), 0)).unwrap();
    assert!(said.contains("\"pid\":1,"), "{said}");
    assert!(figures.takeovers > 0);
}
