//! Greedy replies on real weights, token for token those of the reference.

use std::path::PathBuf;

use serde_json::Value;

use super::fixture::{folder, ids};
use super::support::Home;

/// Where rounding may turn a choice: the reference's two best logits lie closer than this. Activations of 8 bits move
/// SmolLM2's logits by 0.16 on average (root mean square) and 1.5 at most from those of f32.
const CLOSE: f64 = 1.0;

/// A file of test weights, or nothing where it is not there and not demanded.
pub fn weights(name: &str) -> Option<PathBuf> {
    let place = match std::env::var_os("CRANE_TEST_MODELS") {
        Some(place) => PathBuf::from(place),
        None => std::env::home_dir().unwrap().join(".cache/crane-test-models"),
    };
    let file = place.join(name);
    if file.is_file() {
        return Some(file);
    }
    let demanded = std::env::var("CRANE_REQUIRE_MODELS").is_ok_and(|value| value == "1");
    assert!(!demanded, "{} is missing; run `cargo xtask setup`", file.display());
    println!("skipped: {name}; run `cargo xtask setup`");
    None
}

fn compare(weights_file: &str, reference: &str) {
    let Some(model) = weights(weights_file) else { return };
    let home = Home::new();
    let text = std::fs::read_to_string(folder("refs").join(reference)).unwrap();
    let reference: Value = serde_json::from_str(&text).unwrap();
    for (index, case) in reference["cases"].as_array().unwrap().iter().enumerate() {
        let messages = home.file("messages.json", case["messages"].to_string());
        let stdout = home
            .run([
                "run",
                "-m",
                model.to_str().unwrap(),
                "--json",
                "--temp",
                "0",
                "-n",
                "64",
                "--messages",
                messages.to_str().unwrap(),
            ])
            .ok();
        let answer: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(answer["prompt_ids"], case["prompt_ids"], "{weights_file} case {index}");
        let (got, want) = (ids(&answer["output_ids"]), ids(&case["output_ids"]));
        if got == want {
            continue;
        }
        let step = got.iter().zip(&want).take_while(|(got, want)| got == want).count();
        let gap = case["top1_minus_top2"][step].as_f64().unwrap_or(f64::INFINITY);
        println!(
            "{weights_file} case {index} parts at step {step}, where the reference's margin is {gap}"
        );
        assert!(gap < CLOSE, "{weights_file} case {index} step {step}: {got:?} is not {want:?}");
    }
}

#[test]
fn smollm2_answers_as_the_reference() {
    compare("smollm2-135m-instruct-q4_1.gguf", "smollm2.json");
}

#[test]
fn qwen_answers_as_the_reference() {
    compare("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "qwen.json");
}

#[test]
fn a_truncated_download_is_refused() {
    let Some(model) = weights("smollm2-135m-instruct-q4_1.gguf") else { return };
    let home = Home::new();
    let bytes = std::fs::read(model).unwrap();
    for length in [24, 4096, 1_000_000, bytes.len() / 2, bytes.len() - 1] {
        let file = home.file("cut.gguf", &bytes[..length]);
        home.run(["run".as_ref(), "-m".as_ref(), file.as_os_str(), "Hello".as_ref()])
            .fails(3, &["cut.gguf"]);
    }
}
