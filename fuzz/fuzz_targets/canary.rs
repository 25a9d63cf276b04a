//! Runs `checks/canary.rs` on whatever the fuzzer thinks of.
#![no_main]

#[path = "../checks/canary.rs"]
mod canary;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| canary::check(bytes));
