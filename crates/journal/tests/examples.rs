//! Every example does what it says. Included as modules, so that running them costs no process.

#![allow(dead_code, reason = "the examples' main functions are not called here")]
#![allow(clippy::duplicate_mod, reason = "each example is a program of its own")]

use std::fs;
use std::path::Path;

#[path = "../examples/append.rs"]
mod append;
#[path = "../examples/conditional.rs"]
mod conditional;
#[path = "../examples/follow.rs"]
mod follow;
#[path = "../examples/takeover.rs"]
mod takeover;

type Example = fn(&Path) -> session_journal::Result<Vec<String>>;

fn lines(example: Example, folder: &Path) -> Vec<String> {
    example(folder).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn append_stores_a_message_and_reads_it_back_each_time_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(lines(append::run, folder.path()), ["1: the first message"]);
    assert_eq!(lines(append::run, folder.path()), ["1: the first message", "2: the first message"]);
}

#[test]
fn follow_sees_every_record_once_across_a_resumption() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(lines(follow::run, folder.path()), ["one", "two", "three"]);
}

// C6, B12: the second opener is told who holds it, the first what became of it.
#[test]
fn takeover_tells_both_owners_what_happened() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        lines(takeover::run, folder.path()),
        ["held-by", "fenced", "generation 1: first, created", "generation 2: second, taken-over"]
    );
}

// C3: one delivery, one record.
#[test]
fn conditional_refuses_what_was_not_expected_and_stores_a_key_once() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        lines(conditional::run, folder.path()),
        [
            "conflict of a turn made at record 0",
            "stored as 3",
            "key at 4, again at 4",
            "duplicate: true"
        ]
    );
}

#[test]
fn no_example_is_left_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let programs = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = programs
        .filter(|path| path.is_file())
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["append", "conditional", "follow", "takeover"]);
}
