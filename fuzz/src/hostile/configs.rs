//! Configs whose numbers cannot be: divisors of 0, sizes that overflow, lists without end.

use super::build::numbers_replaced;
use super::{Case, checkpoints, fixture};

/// What stands in the place of a number.
const ODD: [&str; 12] = [
    "0",
    "-1",
    "1",
    "3",
    "0.5",
    "1e-300",
    "1e300",
    "2147483648",
    "18446744073709551615",
    "\"x\"",
    "null",
    "[]",
];

type Files<'a> = &'a [(&'a str, &'a str)];

/// Copies of a fixture's folder in which a config has other numbers, or is no config at all.
fn family(kind: &str, folder: &str, config: &str, others: Files<'_>) -> Vec<Case> {
    let sound = String::from_utf8_lossy(&fixture(&format!("{folder}/{config}"))).into_owned();
    let mut texts = numbers_replaced(&sound, &ODD);
    texts.push(("is-sound".to_owned(), sound.clone()));
    for (what, text) in [
        ("is-empty", String::new()),
        ("is-a-list", "[]".to_owned()),
        ("is-deep", "[".repeat(500_000)),
        ("has-deep-objects", "{\"a\":".repeat(200_000)),
        ("is-long", format!("[{}0]", "0,".repeat(520_000))),
        ("is-too-long", " ".repeat(5 << 20)),
        ("has-many-keys", {
            let keys = (0..150_000).map(|i| format!("\"{i}\":0")).collect::<Vec<_>>();
            sound.replacen('{', &format!("{{{},", keys.join(",")), 1)
        }),
    ] {
        texts.push((what.to_owned(), text));
    }
    let with_others = |(what, text): (String, String)| {
        let mut files = vec![(config.to_owned(), text.into_bytes())];
        let read = |(name, file): &(&str, &str)| ((*name).to_owned(), fixture(file));
        files.extend(others.iter().map(read));
        (format!("{kind}/{config}-{what}"), files)
    };
    texts.into_iter().map(with_others).collect()
}

pub fn all() -> Vec<Case> {
    let tokenizer = ("tokenizer.json", "qwen2_tied/tokenizer.json");
    let weights = ("model.safetensors", "qwen2_tied/model.safetensors");
    let mut out = family("config", "qwen2_tied", "config.json", &[weights]);
    out.extend(family("generation", "qwen2_tied", "generation_config.json", &[tokenizer]));
    let bert = [
        ("model.safetensors", "bert/model.safetensors"),
        ("tokenizer.json", "bert/tokenizer.json"),
    ];
    out.extend(family("encoder", "bert", "config.json", &bert));
    let bert = [bert.as_slice(), &[("config.json", "bert/config.json")]].concat();
    out.extend(family("encoder", "bert", "sentence_bert_config.json", &bert));
    out.extend(scalings(weights));
    out.extend(modules(&bert));
    out.extend(broken_numbers());
    out
}

fn scalings(weights: (&str, &str)) -> Vec<Case> {
    let sound = String::from_utf8_lossy(&fixture("qwen2_tied/config.json")).into_owned();
    let mut out = Vec::new();
    for scaling in [
        r#"{"rope_type": "linear", "factor": 0}"#,
        r#"{"rope_type": "linear", "factor": 1e-300}"#,
        r#"{"rope_type": "linear", "factor": -4}"#,
        r#"{"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4, "original_max_position_embeddings": 8192}"#,
        r#"{"rope_type": "llama3", "factor": 1e-300, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 8192}"#,
        r#"{"rope_type": "llama3", "factor": 8, "low_freq_factor": 1e-300, "high_freq_factor": 1e300, "original_max_position_embeddings": 1e300}"#,
        r#"{"rope_type": "yarn", "factor": 8}"#,
        r#"{"factor": 8}"#,
        "7",
    ] {
        let text = sound.replacen('{', &format!("{{\"rope_scaling\": {scaling},"), 1);
        let files = [("config.json", text.into_bytes()), (weights.0, fixture(weights.1))];
        let files = files.map(|(name, bytes)| (name.to_owned(), bytes)).to_vec();
        out.push((format!("config/rope-scaling-{}", out.len()), files));
    }
    out
}

fn modules(bert: Files<'_>) -> Vec<Case> {
    let pooling = r#"{"path":"1_Pooling","type":"sentence_transformers.models.Pooling"}"#;
    let many = |count: usize| format!("[{}]", vec![pooling; count].join(","));
    let mut out = Vec::new();
    for (what, text) in [
        ("sound", many(1)),
        ("sixteen", many(16)),
        ("thousands", many(20_000)),
        ("above", many(1).replace("1_Pooling", "../../etc")),
        ("unknown", many(1).replace("models.Pooling", "models.Dense")),
        ("a-number", "7".to_owned()),
        ("deep", "[".repeat(100_000)),
    ] {
        let read = |(name, file): &(&str, &str)| ((*name).to_owned(), fixture(file));
        let mut files: Vec<_> = bert.iter().map(read).collect();
        files.push(("modules.json".to_owned(), text.into_bytes()));
        files.push(("1_Pooling/config.json".to_owned(), fixture("bert/1_Pooling/config.json")));
        out.push((format!("encoder/modules-{what}"), files));
    }
    out
}

/// Weights that are sound but for a number that is none.
fn broken_numbers() -> Vec<Case> {
    let nan = f32::NAN.to_le_bytes();
    let infinite = f32::INFINITY.to_le_bytes();
    let huge = f32::MAX.to_le_bytes();
    let mut out = Vec::new();
    for tensor in [
        "model.embed_tokens.weight",
        "model.layers.1.input_layernorm.weight",
        "model.layers.1.self_attn.q_proj.weight",
        "model.layers.1.self_attn.k_proj.bias",
        "model.layers.2.mlp.down_proj.weight",
        "model.norm.weight",
    ] {
        for (what, value) in [("nan", nan), ("infinite", infinite), ("huge", huge)] {
            let weights = checkpoints::tiny_with(tensor, 0, &value);
            let files = [
                ("config.json", fixture("qwen2_tied/config.json")),
                ("model.safetensors", weights),
            ];
            let files = files.map(|(name, bytes)| (name.to_owned(), bytes)).to_vec();
            out.push((format!("config/{what}-in-{tensor}"), files));
        }
    }
    out
}
