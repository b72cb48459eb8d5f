//! `cargo fuzz run gguf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| crane_fuzz::gguf(bytes));
