//! Thousands of sessions in one process.
#![allow(missing_docs, reason = "test names are sentences")]

use std::path::Path;

use session_journal_tests::{Driver, Place, Shell, say};

const DRIVER: &str = env!("CARGO_BIN_EXE_driver");

/// A folder in memory and how many sessions to make there; fewer on a disk, where each of them
/// waits for several syncs.
fn place_for_many() -> (Place, u64) {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        return (Place::new_in(memory), 10_000);
    }
    say("1,000 sessions only, for there is no file system in memory here");
    (Place::new(), 1000)
}

/// E9: ten thousand open sessions stay below a limit of 512 descriptors, with a handful of threads.
#[test]
fn ten_thousand_open_sessions_need_few_descriptors_and_threads() {
    let (place, sessions) = place_for_many();
    let wrapper = ["prlimit", "--nofile=512:512"];
    let flags = format!("--durability written --count {sessions}");
    let asked = ("many", place.store.as_path());
    let mut process = Shell::spawn(&mut place.command(&wrapper, DRIVER, "many", asked, &flags));
    let status = process.wait_long();
    assert!(status.success(), "{status}");
    let said: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(place.says("many")).unwrap()).unwrap();
    say(&format!("{said}"));
    assert_eq!(said["listed"], sessions);
    let number = |name: &str| said[name].as_u64().unwrap();
    assert!(number("handles") < 512, "{said}");
    assert!(number("threads") < 20, "{said}");
}

/// H21: in a forked child every handle refuses, journal and session; the parent goes on as if
/// nothing had been.
#[test]
fn a_forked_child_may_read_and_not_write() {
    let place = Place::new();
    let mut process = place.start(DRIVER, "fork", "fork", "--create yes");
    assert!(process.wait().success());
    let text = std::fs::read_to_string(place.says("fork")).unwrap();
    let said: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [child, parent] = said.as_slice() else { panic!("{text}") };
    assert_eq!((&child["journal"], &child["session"]), (&"poisoned".into(), &"poisoned".into()));
    assert_eq!((&parent["journal"], &parent["session"]), (&"2".into(), &"stored".into()));
    assert_eq!(session_journal_tests::agree(&place.path).len(), 2);
    // The parent ended without closing: the next one is not refused.
    let (_next, opened) = Driver::serve(DRIVER, &place.path, "");
    assert_eq!(opened["reason"], "crashed");
}
