//! Greedy tokens on real weights against transformers' own, with the logit gap where they part.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use candle_core::DType;
use crane_native::folder::FolderSource;
use crane_sdk::models::{LoadOptions, LogitsRows, Segment, load};
use serde_json::Value;

/// The path of a test model; `None`, said aloud, where it is not there and need not be.
fn model(file: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CRANE_TEST_MODELS").map(PathBuf::from).unwrap_or_else(|| {
        PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/crane-test-models")
    });
    let path = folder.join(file);
    if path.exists() {
        return Some(path);
    }
    let required = std::env::var_os("CRANE_REQUIRE_MODELS").is_some_and(|value| value != "0");
    assert!(!required, "{} is missing; run `cargo xtask setup`", path.display());
    println!("skipped: {} is missing; run `cargo xtask setup`", path.display());
    None
}

/// Where a run leaves the reference: the case, the step, and the reference's gap there.
#[derive(Debug)]
#[allow(dead_code, reason = "read through Debug")]
struct Parting {
    case: usize,
    step: usize,
    gap: f64,
    /// By how much the other token leads here.
    lead: f32,
}

/// Follows the reference's tokens and notes every step at which another token would be chosen.
fn partings(path: &Path, dtype: Option<DType>, reference: &str) -> (usize, Vec<Parting>) {
    let refs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crane-sdk/tests/fixtures/refs");
    let text = std::fs::read_to_string(refs.join(reference)).unwrap();
    let reference: Value = serde_json::from_str(&text).unwrap();
    let source = FolderSource::open_path(path).unwrap();
    let loaded = load(&source, &LoadOptions { dtype, ..LoadOptions::default() }).unwrap();
    let ids = |value: &Value| -> Vec<u32> {
        value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
    };
    let (mut steps, mut partings) = (0, Vec::new());
    for (case, recorded) in reference["cases"].as_array().unwrap().iter().enumerate() {
        let (prompt, output) = (ids(&recorded["prompt_ids"]), ids(&recorded["output_ids"]));
        let mut cache = loaded.model.new_cache(prompt.len() + output.len()).unwrap();
        let mut feed = prompt;
        for (step, &expected) in output.iter().enumerate() {
            let segment = Segment { tokens: &feed, cache: &mut cache, logits: LogitsRows::Last };
            let logits = loaded.model.forward(&mut [segment]).unwrap();
            let logits: Vec<f32> = logits.flatten_all().unwrap().to_vec1().unwrap();
            let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
            if best as u32 != expected {
                let gap = recorded["top1_minus_top2"][step].as_f64().unwrap();
                let lead = logits[best] - logits[expected as usize];
                partings.push(Parting { case, step, gap, lead });
            }
            feed = vec![expected];
            steps += 1;
        }
    }
    (steps, partings)
}

/// f32 weights must give every token; int8 activations may swap tokens that are this close.
const QUANTISED_GAP: f64 = 0.5;

fn check(file: &str, dtype: Option<DType>, reference: &str, widest: f64) {
    let Some(path) = model(file) else { return };
    let (steps, partings) = partings(&path, dtype, reference);
    println!("{file} {dtype:?}: {steps} steps, parted at {partings:?}");
    assert!(steps > 50);
    assert!(partings.iter().all(|parting| parting.gap <= widest), "{partings:?}");
}

const SMOLLM2: &str = "smollm2-135m-instruct-q4_1.gguf";
const QWEN: &str = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf";

#[test]
fn smollm2_expanded_to_f32() {
    check(SMOLLM2, Some(DType::F32), "smollm2.json", 0.0);
}

#[test]
fn smollm2_expanded_to_bf16() {
    check(SMOLLM2, Some(DType::BF16), "smollm2-bf16.json", 0.0);
}

#[test]
fn smollm2_quantised() {
    check(SMOLLM2, None, "smollm2.json", QUANTISED_GAP);
}

#[test]
fn qwen_expanded_to_f16() {
    check(QWEN, Some(DType::F16), "qwen-f16.json", 0.0);
}

#[test]
fn qwen_quantised() {
    check(QWEN, None, "qwen.json", QUANTISED_GAP);
}
