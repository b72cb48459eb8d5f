//! `cargo fuzz run tokenizer_gguf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| crane_fuzz::tokenizer_gguf(bytes));
