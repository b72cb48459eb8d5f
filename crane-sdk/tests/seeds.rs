//! The fuzz targets' seeds, whole and damaged, through every parser, on stable.
//!
//! libFuzzer searches further; what it finds becomes a seed, and so a part of this test.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../fuzz/src/targets.rs"]
mod targets;

/// How many damaged copies of each kind are made of a seed.
const DAMAGED: usize = 64;

fn fuzz_folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(name)
}

fn replay(name: &str, run: fn(&[u8])) {
    let mut seeds: Vec<PathBuf> = fs::read_dir(fuzz_folder("seeds").join(name))
        .unwrap_or_else(|error| panic!("seeds of {name}: {error}"))
        .map(|entry| entry.unwrap().path())
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{name} has no seed");
    for seed in seeds {
        let whole = fs::read(&seed).unwrap();
        run(&whole);
        for i in 0..DAMAGED {
            let place = whole.len() * i / DAMAGED;
            run(&whole[..place]);
            let mut flipped = whole.clone();
            if let Some(byte) = flipped.get_mut(place) {
                // Another bit each time: lengths grow by powers of two, types and brackets change.
                *byte ^= 1 << (i % 8);
            }
            run(&flipped);
        }
    }
}

macro_rules! replayed {
    ($($target:ident)*) => {
        $(
            #[test]
            fn $target() {
                replay(stringify!($target), targets::$target);
            }
        )*

        #[test]
        fn every_fuzz_target_is_replayed() {
            let mut replayed = vec![$(concat!(stringify!($target), ".rs")),*];
            replayed.sort_unstable();
            let mut targets: Vec<String> = fs::read_dir(fuzz_folder("fuzz_targets"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            targets.sort_unstable();
            assert_eq!(replayed, targets);
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
    generation_config
    tokenizer_json
    tokenizer_gguf
    chat_template
}
