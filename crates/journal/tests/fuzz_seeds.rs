//! Replays the inputs that the fuzzer has found worth keeping, on stable. Each ran into something
//! once; `fuzz/seeds/<target>` holds them, and `cargo +nightly fuzz run <target>` finds more.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

#[path = "../../../fuzz/checks/canary.rs"]
mod canary;
#[path = "../../../fuzz/checks/frame.rs"]
mod frame;
#[allow(
    clippy::cast_possible_truncation,
    reason = "a forger takes whatever fits of the number that it was given"
)]
#[path = "../../../fuzz/checks/open.rs"]
mod open;

fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let paths =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut seeds: Vec<(PathBuf, Vec<u8>)> = paths
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    seeds.sort_unstable();
    assert!(!seeds.is_empty(), "{target} has no seeds");
    seeds
}

/// The names of the seeds that a check fails on.
fn failing(target: &str, check: fn(&[u8])) -> Vec<PathBuf> {
    let fails = |bytes: &[u8]| catch_unwind(|| check(bytes)).is_err();
    let seeds = seeds(target).into_iter().filter(|(_, bytes)| fails(bytes));
    seeds.map(|(path, _)| path).collect()
}

#[test]
fn decoding_keeps_every_seed_that_the_fuzzer_found() {
    assert_eq!(failing("frame", frame::check), Vec::<PathBuf>::new());
}

// D1 to D4: whatever a file holds, reading and opening it do not panic, and an owner can append.
#[test]
fn opening_keeps_every_seed_that_the_fuzzer_found() {
    assert_eq!(failing("open", open::check), Vec::<PathBuf>::new());
}

#[test]
fn the_canary_is_silent_on_its_seeds_and_sings_when_it_is_found() {
    assert_eq!(failing("canary", canary::check), Vec::<PathBuf>::new());
    assert!(catch_unwind(|| canary::check(b"\xF5SJ\x1E...")).is_err());
}
