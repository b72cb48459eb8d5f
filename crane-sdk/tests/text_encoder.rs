//! Encoders and what is made of them, beside transformers (see `fixtures/README.md`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crane_sdk::generate::{CancelToken, Pooling};
use crane_sdk::models::{LoadOptions, TextEncoder};
use crane_sdk::pipeline::{Embedder, Task, pipeline};
use crane_sdk::source::MemorySource;
use crane_sdk::weights::Quantization;
use crane_sdk::{Error, ErrorKind};
use serde::Deserialize;
use serde_json::{Value, json};

const FILES: [&str; 7] = [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
];

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
    /// What f32 is off from f64 in transformers.
    noise: f32,
    first: Vec<f32>,
    last: Vec<f32>,
    /// The mean of all tokens, scaled to length 1.
    mean: Vec<f32>,
}

fn read(name: &str, file: &str) -> Option<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    std::fs::read(format!("{folder}/{name}/{file}")).ok()
}

fn fixture(name: &str) -> MemorySource {
    let files = FILES.into_iter().filter_map(|file| Some((file, read(name, file)?)));
    files.fold(MemorySource::new(name), |source, (file, bytes)| source.with(file, bytes))
}

fn cases(name: &str) -> Vec<Case> {
    serde_json::from_slice(&read(name, "golden.json").unwrap()).unwrap()
}

/// The fixture with another value in one of its files.
fn changed(file: &str, change: impl FnOnce(&mut Value)) -> MemorySource {
    let mut value = serde_json::from_slice(&read("bert", file).unwrap()).unwrap();
    change(&mut value);
    fixture("bert").with(file, serde_json::to_vec(&value).unwrap())
}

fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn hidden_states_are_those_of_transformers() {
    for name in ["bert", "xlm_roberta"] {
        let encoder = TextEncoder::load(&fixture(name), &LoadOptions::default()).unwrap();
        let cases = cases(name);
        let texts: Vec<&[u32]> = cases.iter().map(|case| case.ids.as_slice()).collect();
        let width = encoder.width();
        let together = encoder.forward(&texts).unwrap();
        assert_eq!(together.len(), cases.len());
        for ((case, text), states) in cases.iter().zip(&texts).zip(&together) {
            assert_eq!(states.len(), text.len() * width);
            let allowed = 8.0 * case.noise.max(5e-7);
            let off = largest_difference(&states[..width], &case.first);
            assert!(off <= allowed, "{name} {:?}: {off}", case.text);
            let off = largest_difference(&states[states.len() - width..], &case.last);
            assert!(off <= allowed, "{name} {:?}: {off}", case.text);
            // What is computed beside a text does not change it.
            assert_eq!(&encoder.forward(&[text]).unwrap()[0], states);
        }
    }
}

#[test]
fn a_text_becomes_the_vector_of_its_authors() {
    let embedder = pipeline(Task::FeatureExtraction, &fixture("bert")).unwrap();
    let cases = cases("bert");
    let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    let vectors = embedder.embed(&texts).unwrap();
    for (case, vector) in cases.iter().zip(&vectors) {
        assert_eq!(embedder.tokenizer().encode(&case.text, true).unwrap(), case.ids);
        assert!(largest_difference(vector, &case.mean) <= 1e-6, "{:?}", case.text);
        assert!((Embedder::similarity(vector, vector) - 1.0).abs() < 1e-6);
    }
    assert_eq!((embedder.pooling(), embedder.max_tokens()), (Pooling::Mean, 80));
    assert_eq!(embedder.info().architecture, "BERT");
    assert_eq!(embedder.info().context_length, 96);
    assert!(embedder.embed::<&str>(&[]).unwrap().is_empty());
}

#[test]
fn pooling_is_that_of_its_config() {
    let ids: Vec<Vec<u32>> = cases("bert").into_iter().map(|case| case.ids).collect();
    let plain = Embedder::from_source(&fixture("bert")).unwrap();
    for (key, pooling) in
        [("pooling_mode_cls_token", Pooling::Cls), ("pooling_mode_lasttoken", Pooling::Last)]
    {
        let source = changed("1_Pooling/config.json", |config| {
            config["pooling_mode_mean_tokens"] = json!(false);
            config[key] = json!(true);
        });
        let embedder = Embedder::from_source(&source).unwrap();
        assert_eq!(embedder.pooling(), pooling);
        let cancel = CancelToken::new();
        let found = embedder.embed_tokens(&ids, embedder.pooling(), &cancel).unwrap();
        assert_eq!(found, plain.embed_tokens(&ids, pooling, &cancel).unwrap());
        for (vector, case) in found.iter().zip(cases("bert")) {
            let state = if pooling == Pooling::Cls { case.first } else { case.last };
            let length = state.iter().map(|x| x * x).sum::<f32>().sqrt();
            let expected: Vec<f32> = state.iter().map(|x| x / length).collect();
            assert!(largest_difference(vector, &expected) <= 2e-6);
        }
    }
    let both = changed("1_Pooling/config.json", |config| {
        config["pooling_mode_cls_token"] = json!(true);
    });
    let refused = Embedder::from_source(&both).unwrap_err().to_string();
    assert!(refused.contains("1_Pooling/config.json"), "{refused}");
    let prompts = json!({ "prompts": { "q": "query: " }, "default_prompt_name": "q" });
    let prompts = serde_json::to_vec(&prompts).unwrap();
    let prompted = fixture("bert").with("config_sentence_transformers.json", prompts);
    let refused = Embedder::from_source(&prompted).unwrap_err().to_string();
    assert!(refused.contains("default_prompt_name \"q\""), "{refused}");
    let dense = changed("modules.json", |modules| {
        modules[2]["type"] = json!("sentence_transformers.models.Dense");
    });
    let refused = Embedder::from_source(&dense).unwrap_err().to_string();
    assert!(refused.contains("sentence_transformers.models.Dense"), "{refused}");
}

#[test]
fn long_texts_are_refused_or_cut_as_asked() {
    let embedder = Embedder::from_source(&fixture("bert")).unwrap();
    let long = "fox ".repeat(100);
    let refused = embedder.embed(&["fox", &long]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Argument);
    assert_eq!(refused.to_string(), "text 1: has 102 tokens; this model takes 1 to 80");
    let ids = embedder.tokenizer().encode(&long, true).unwrap();
    let cut = embedder.shortened(ids.clone());
    assert_eq!((cut.len(), cut.last()), (80, ids.last()));
    assert_eq!(cut[..79], ids[..79]);
    assert_eq!(embedder.shortened(cut.clone()), cut);
    embedder.embed_tokens(&[cut], Pooling::Mean, &CancelToken::new()).unwrap();
    let cancelled = CancelToken::new();
    cancelled.cancel();
    assert!(embedder.embed_tokens(&[vec![2, 3]], Pooling::Mean, &cancelled).is_err());
    assert!(embedder.embed_tokens(&[vec![]], Pooling::Mean, &CancelToken::new()).is_err());
}

#[test]
fn weights_may_be_quantised_while_loading() {
    let plain = Embedder::from_source(
        &fixture("xlm_roberta").with("tokenizer.json", read("bert", "tokenizer.json").unwrap()),
    )
    .unwrap();
    let options = LoadOptions { quantize: Some(Quantization::Q8_0), ..LoadOptions::default() };
    let source =
        fixture("xlm_roberta").with("tokenizer.json", read("bert", "tokenizer.json").unwrap());
    let small = Embedder::load_within(&source, &options, &mut |_| Ok(())).unwrap();
    assert!(small.info().weight_bytes * 3 < plain.info().weight_bytes * 2);
    let (a, b) = (plain.embed(&["Where is it?"]).unwrap(), small.embed(&["Where is it?"]).unwrap());
    let alike = Embedder::similarity(&a[0], &b[0]);
    assert!(alike > 0.995 && alike < 1.0, "{alike}");
}

#[test]
fn decoders_embed_too() {
    let embedder = Embedder::from_source(&fixture("qwen2_tied")).unwrap();
    let vectors = embedder.embed(&["one", "two"]).unwrap();
    assert!((Embedder::similarity(&vectors[0], &vectors[0]) - 1.0).abs() < 1e-5);
    let refused = embedder.embed_tokens(&[vec![1]], Pooling::Cls, &CancelToken::new());
    assert!(matches!(refused, Err(Error::Unsupported { .. })));
}

#[test]
fn what_cannot_be_run_is_refused_by_name() {
    let said = |key: &str, value: Value| {
        let source = changed("config.json", |config| config[key] = value);
        TextEncoder::load(&source, &LoadOptions::default()).unwrap_err().to_string()
    };
    assert!(said("hidden_act", json!("gelu_new")).contains("hidden_act \"gelu_new\""));
    assert!(said("position_embedding_type", json!("relative_key")).contains("relative_key"));
    assert!(said("is_decoder", json!(true)).contains("is_decoder"));
    assert!(said("num_attention_heads", json!(5)).contains("5 heads do not divide 48"));
    assert!(said("num_attention_heads", json!(0)).contains("num_attention_heads is 0"));
    assert!(said("layer_norm_eps", json!(-1.0)).contains("layer_norm_eps"));
    assert!(said("vocab_size", json!(261)).contains("word_embeddings"));
    assert!(said("num_hidden_layers", json!(2)).contains("encoder.layer.2"));
    assert!(said("num_hidden_layers", json!(4)).contains("encoder.layer.3"));
    assert!(said("architectures", json!(["T5EncoderModel"])).contains("T5EncoderModel"));
    assert!(said("quantization_config", json!({"quant_method": "gptq"})).contains("gptq"));
    let encoder = TextEncoder::load(&fixture("bert"), &LoadOptions::default()).unwrap();
    assert!(matches!(encoder.forward(&[&[]]), Err(Error::InvalidArgument { .. })));
    assert!(matches!(encoder.forward(&[&[260]]), Err(Error::InvalidArgument { .. })));
    let refused = encoder.forward(&[&[2; 97]]);
    assert!(matches!(refused, Err(Error::ContextOverflow { prompt: 97, context: 96 })));
    assert!(encoder.forward(&[]).unwrap().is_empty());
    assert!(!TextEncoder::is_one(&fixture("qwen2_tied")).unwrap());
}

#[test]
fn a_gguf_file_is_the_same_model() {
    let gguf = || {
        MemorySource::new("gguf").with("model.gguf", read("bert", "gguf/bert.f32.gguf").unwrap())
    };
    assert!(TextEncoder::is_one(&gguf()).unwrap());
    let embedder = Embedder::from_source(&gguf()).unwrap();
    assert_eq!((embedder.pooling(), embedder.max_tokens()), (Pooling::Mean, 96));
    let plain = Embedder::from_source(&fixture("bert")).unwrap();
    assert_eq!(embedder.info().weight_bytes, plain.info().weight_bytes);
    for case in cases("bert") {
        let ids = embedder.tokenizer().encode(&case.text, true).unwrap();
        assert_eq!(ids, case.ids, "{:?}", case.text);
        let found = embedder.embed(&[&case.text]).unwrap();
        assert_eq!(found, plain.embed(&[&case.text]).unwrap(), "{:?}", case.text);
        assert_eq!(
            embedder.tokenizer().decode(&ids, true).unwrap(),
            plain.tokenizer().decode(&ids, true).unwrap()
        );
    }
    let refused = crane_sdk::models::load(&gguf(), &LoadOptions::default()).unwrap_err();
    assert!(refused.to_string().contains("crane embed"), "{refused}");
}
