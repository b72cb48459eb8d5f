//! The fuzz targets' seeds, whole and damaged, and the inputs that once did harm, through every parser of the library.
//!
//! libFuzzer searches further (`cargo xtask fuzz`); what it finds becomes a regression, and so a part of this test.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(
    clippy::indexing_slicing,
    missing_docs,
    reason = "what is included is made for the fuzzer"
)]

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../fuzz/src/regressions.rs"]
mod regressions;
#[path = "../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../fuzz/src/targets.rs"]
mod targets;

macro_rules! replayed {
    ($($target:ident)*) => {
        $(
            #[test]
            fn $target() {
                replay::seeds(stringify!($target), targets::$target);
            }
        )*

        #[test]
        fn every_fuzz_target_is_replayed() {
            let known: Vec<&str> = targets::TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!([$(stringify!($target)),*].as_slice(), known);
        }
    };
}

replayed! {
    safetensors
    safetensors_index
    gguf
    torch
    onnx
    config
    encoder_config
    codec_config
    yaml
    generation_config
    tokenizer_json
    tokenizer_config
    tokenizer_gguf
    tokenizer_text
    chat_template
    conversation
    grammar
    schema
    voice_json
    english_tables
    english_text
}

#[test]
fn what_once_did_harm_does_none() {
    replay::regressions(&regressions::all(), targets::TARGETS);
}

#[test]
fn every_target_has_seeds() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    let folders: Vec<PathBuf> =
        fs::read_dir(seeds).unwrap().map(|entry| entry.unwrap().path()).collect();
    for (name, _) in targets::TARGETS {
        assert!(folders.iter().any(|folder| folder.ends_with(name)), "{name} has no seeds");
    }
}
