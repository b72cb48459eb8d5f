//! `cargo fuzz run chat_template`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| crane_fuzz::chat_template(bytes));
