//! Runs `checks/frame.rs` on whatever the fuzzer thinks of.
#![no_main]

#[path = "../checks/mod.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::frame::check(bytes));
