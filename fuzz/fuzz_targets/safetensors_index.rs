//! `cargo fuzz run safetensors_index`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| crane_fuzz::safetensors_index(bytes));
