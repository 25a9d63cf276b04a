//! Replays the inputs that the fuzzer has found worth keeping, on stable: `fuzz/seeds/import` holds
//! them, and `fuzz/run` finds more.

#[path = "../../../fuzz/checks/import.rs"]
mod import;
#[path = "../../../fuzz/checks/replay.rs"]
mod replay;

#[test]
fn importing_keeps_every_seed_that_the_fuzzer_found() {
    replay::replay("import", import::check);
}
