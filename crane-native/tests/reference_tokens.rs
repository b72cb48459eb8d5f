//! Greedy tokens on real weights against transformers' own, with the logit gap where they part.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use crane_native::device::{DeviceChoice, open};
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

/// The device that `CRANE_TEST_DEVICE` names, for a machine that has one; by default the CPU.
fn device() -> Device {
    let choice = std::env::var("CRANE_TEST_DEVICE");
    open(choice.map_or(DeviceChoice::Cpu, |name| name.parse().unwrap())).unwrap()
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
    let reference = recorded(reference);
    let source = FolderSource::open_path(path).unwrap();
    let loaded =
        load(&source, &LoadOptions { dtype, device: device(), ..LoadOptions::default() }).unwrap();
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

/// f32 weights must give every token; int8 activations may swap tokens that are this close: six times what they move a
/// logit by (see [`off_by`]).
const QUANTISED_GAP: f64 = 1.0;

/// How far 8-bit activations move the logits of the reference replies from those of the same weights in f32: the root
/// mean square, each step's common shift left out, since it changes no choice.
fn off_by(file: &str, reference: &str) -> Option<f64> {
    let path = model(file)?;
    let logits = |dtype| replies(&path, dtype, reference).concat();
    let (exact, quantised) = (logits(Some(DType::F32)), logits(None));
    let (mut sum, mut count) = (0.0, 0);
    for (exact, quantised) in exact.iter().zip(&quantised) {
        let off = exact.iter().zip(quantised).map(|(a, b)| f64::from(b - a));
        let shift = off.clone().sum::<f64>() / exact.len() as f64;
        sum += off.map(|off| (off - shift).powi(2)).sum::<f64>();
        count += exact.len();
    }
    let off = (sum / count as f64).sqrt();
    println!("{file}: 8-bit activations move a logit by {off:.3}");
    Some(off)
}

/// The logits at every step of every reference reply, its own tokens given.
fn replies(path: &Path, dtype: Option<DType>, reference: &str) -> Vec<Vec<Vec<f32>>> {
    let reference = recorded(reference);
    let source = FolderSource::open_path(path).unwrap();
    let loaded =
        load(&source, &LoadOptions { dtype, device: device(), ..LoadOptions::default() }).unwrap();
    let reply = |case: &Value| {
        let (mut tokens, output) = (ids(&case["prompt_ids"]), ids(&case["output_ids"]));
        let first = tokens.len() - 1;
        tokens.extend(&output[..output.len() - 1]);
        let mut cache = loaded.model.new_cache(tokens.len()).unwrap();
        let segment = Segment { tokens: &tokens, cache: &mut cache, logits: LogitsRows::All };
        let rows = loaded.model.forward(&mut [segment]).unwrap();
        rows.to_vec2::<f32>().unwrap().split_off(first)
    };
    reference["cases"].as_array().unwrap().iter().map(reply).collect()
}

fn recorded(name: &str) -> Value {
    let refs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crane-sdk/tests/fixtures/refs");
    serde_json::from_str(&std::fs::read_to_string(refs.join(name)).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

#[test]
fn activations_of_8_bits_move_logits_little() {
    for (file, reference, most) in [(SMOLLM2, "smollm2.json", 0.2), (QWEN, "qwen.json", 0.06)] {
        if let Some(off) = off_by(file, reference) {
            // candle's kernels for GPUs round to 8 bits, too, and more coarsely.
            let most = if device().is_cpu() { most } else { 2.5 * most };
            assert!(off < most, "{file}: {off}");
        }
    }
}

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
    // On a GPU activations are rounded to the weights' type.
    let widest = if device().is_cpu() { 0.0 } else { 0.1 };
    check(SMOLLM2, Some(DType::BF16), "smollm2-bf16.json", widest);
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
