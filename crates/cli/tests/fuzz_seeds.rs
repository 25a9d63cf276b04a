//! Replays the inputs that the fuzzer has found worth keeping, on stable: `fuzz/seeds/arguments` holds
//! them, and `fuzz/run` finds more.

#[path = "../../../fuzz/checks/arguments.rs"]
mod arguments;
#[path = "../../../fuzz/checks/replay.rs"]
mod replay;

#[test]
fn arguments_and_input_keep_every_seed_that_the_fuzzer_found() {
    replay::replay("arguments", arguments::check);
}
