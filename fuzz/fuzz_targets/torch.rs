//! `cargo fuzz run torch`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| crane_fuzz::torch(bytes));
