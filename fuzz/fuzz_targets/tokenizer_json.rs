//! `cargo fuzz run tokenizer_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| crane_fuzz::tokenizer_json(bytes));
