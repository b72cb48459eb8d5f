//! `crane show`: what a checkpoint is, without loading it.

use serde_json::Value;

use super::fixture::{DECODERS, model};
use super::support::Home;

#[test]
fn a_checkpoint_is_described() {
    let home = Home::new();
    for name in DECODERS {
        let text = home.run(["show", &model(name)]).ok();
        for part in ["architecture", "parameters", "context", "template", "tokenizer"] {
            assert!(text.contains(part), "{name}: {part}: {text}");
        }
        assert!(!text.contains("proj"), "{text}");
    }
}

#[test]
fn tensors_are_listed_on_request() {
    let home = Home::new();
    let text = home.run(["show", &model("qwen2_untied_sharded"), "--tensors"]).ok();
    let line =
        text.lines().find(|line| line.contains("model.layers.0.self_attn.q_proj.weight")).unwrap();
    assert!(line.contains("96") && line.to_lowercase().contains("bf16"), "{line}");
}

#[test]
fn json_says_the_same() {
    let home = Home::new();
    let text = home.run(["show", &model("qwen2_tied"), "--json", "--tensors"]).ok();
    let shown: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(shown["architecture"], "Qwen2ForCausalLM");
    assert_eq!(shown["context_length"], 32768);
    assert_eq!(shown["chat_template"], true);
    let elements: u64 = shown["tensors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tensor| {
            tensor["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).product::<u64>()
        })
        .sum();
    assert_eq!(shown["parameters"], elements);
}
