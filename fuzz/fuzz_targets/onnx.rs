//! `cargo fuzz run onnx`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| crane_fuzz::onnx(bytes));
