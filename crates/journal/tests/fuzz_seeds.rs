//! Replays the inputs that the fuzzer has found worth keeping, on stable: `fuzz/seeds/<target>` holds
//! them, and `fuzz/run` finds more.

use std::panic::catch_unwind;

#[path = "../../../fuzz/checks/mod.rs"]
mod checks;
#[path = "../../../fuzz/checks/replay.rs"]
mod replay;

use checks::{canary, frame, open, operations, page, scan};
use replay::replay;

#[test]
fn decoding_a_frame_keeps_every_seed_that_the_fuzzer_found() {
    replay("frame", frame::check);
}

// I11: whatever a header page holds, it costs no record.
#[test]
fn a_header_page_keeps_every_seed_that_the_fuzzer_found() {
    replay("page", page::check);
}

// I5, D5: however a file is read, the answers agree.
#[test]
fn scanning_keeps_every_seed_that_the_fuzzer_found() {
    replay("scan", scan::check);
}

// D1 to D4: whatever a file holds, reading and opening it do not panic, and an owner can append.
#[test]
fn opening_keeps_every_seed_that_the_fuzzer_found() {
    replay("open", open::check);
}

// A1, B1, C1: whatever owners do and whatever befalls them, what was stored is there, once.
#[test]
fn operations_keep_every_seed_that_the_fuzzer_found() {
    replay("operations", operations::check);
}

#[test]
fn the_canary_is_silent_on_its_seeds_and_sings_when_it_is_found() {
    replay("canary", canary::check);
    assert!(catch_unwind(|| canary::check(b"\xF5SJ\x1E...")).is_err());
}
