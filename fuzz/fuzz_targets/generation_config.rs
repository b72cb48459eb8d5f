//! `cargo fuzz run generation_config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| crane_fuzz::generation_config(bytes));
