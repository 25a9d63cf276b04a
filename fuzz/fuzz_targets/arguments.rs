//! Runs `checks/arguments.rs` on whatever the fuzzer thinks of.
#![no_main]

#[path = "../checks/arguments.rs"]
mod arguments;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| arguments::check(bytes));
