//! Runs `checks/open.rs` on whatever the fuzzer thinks of.
#![no_main]

#[path = "../checks/open.rs"]
mod open;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| open::check(bytes));
