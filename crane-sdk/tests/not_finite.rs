//! Weights that hold NaN or infinity: a model that would speak noise says which of its layers does.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::ops::ControlFlow;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use crane_sdk::generate::{
    CancelToken, GenerationConfig, Pooling, Session, embed, perplexity, step_together,
};
use crane_sdk::models::{CausalLm, LoadOptions, TextEncoder, load};
use crane_sdk::sample::SamplingParams;
use crane_sdk::source::MemorySource;
use crane_sdk::text::Tokenizer;
use crane_sdk::weights::Quantization;
use crane_sdk::{Error, ErrorKind, Result};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use support::{GgufWriter, files, source};

const PROMPT: [u32; 4] = [39, 307, 275, 11];

/// A fixture one number of one of whose tensors is another. `untied` is the tiny Qwen2 with an output head of its own.
fn with(fixture: &str, tensor: &str, at: usize, value: f32) -> MemorySource {
    let untied = fixture == "untied";
    let mut all = files(if untied { "qwen2_tied" } else { fixture });
    let stored = SafeTensors::deserialize(&all["model.safetensors"]).unwrap();
    let mut tensors: Vec<(String, Vec<u8>, TensorView<'_>)> = stored
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, view.data().to_vec(), view))
        .collect();
    if untied {
        let view = stored.tensor("model.embed_tokens.weight").unwrap();
        tensors.push(("lm_head.weight".to_owned(), view.data().to_vec(), view));
        let config = String::from_utf8(all["config.json"].clone()).unwrap();
        let config =
            config.replace("\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false");
        all.insert("config.json".to_owned(), config.into_bytes());
    }
    let found = tensors.iter_mut().find(|(name, ..)| name == tensor).unwrap();
    found.1[4 * at..4 * at + 4].copy_from_slice(&value.to_le_bytes());
    let views = tensors.iter().map(|(name, data, view)| {
        (name.as_str(), TensorView::new(view.dtype(), view.shape().to_vec(), data).unwrap())
    });
    let bytes = safetensors::serialize(views, None).unwrap();
    all.insert("model.safetensors".to_owned(), bytes);
    source(all)
}

fn loaded(source: &MemorySource) -> Arc<dyn CausalLm> {
    load(source, &LoadOptions::default()).unwrap().model
}

fn place(error: Error) -> String {
    assert_eq!(error.kind(), ErrorKind::Model, "{error}");
    match error {
        Error::NotFinite { place } => place,
        other => unreachable!("{other}"),
    }
}

fn tokenizer() -> Arc<Tokenizer> {
    Arc::new(Tokenizer::from_source(&source(files("qwen2_tied"))).unwrap())
}

fn reply(model: &Arc<dyn CausalLm>, prompt: &[u32], chunk: usize) -> Result<()> {
    let mut session = Session::new(model.clone(), tokenizer(), 64)?;
    let config = GenerationConfig {
        max_new_tokens: Some(3),
        prefill_chunk: chunk,
        ..GenerationConfig::default()
    };
    session.generate(prompt, &config, &CancelToken::new())?.complete().map(drop)
}

#[test]
fn the_first_bad_layer_is_named() {
    for (tensor, value, expected) in [
        ("model.layers.0.self_attn.v_proj.weight", f32::NAN, "layer 0 of the model"),
        ("model.layers.1.self_attn.q_proj.weight", f32::NAN, "layer 1 of the model"),
        ("model.layers.1.mlp.down_proj.weight", f32::INFINITY, "layer 1 of the model"),
        ("model.layers.2.mlp.gate_proj.weight", f32::NAN, "layer 2 of the model"),
    ] {
        let model = loaded(&with("qwen2_tied", tensor, 7, value));
        for chunk in [1, 256] {
            assert_eq!(place(reply(&model, &PROMPT, chunk).unwrap_err()), expected, "{tensor}");
        }
        assert_eq!(
            place(embed(model.as_ref(), &PROMPT, Pooling::Mean, &CancelToken::new()).unwrap_err()),
            expected
        );
        let tokens: Vec<u32> = (0..32).collect();
        let measured = perplexity(model.as_ref(), &tokens, 16, None, |_| ControlFlow::Continue(()));
        assert_eq!(place(measured.unwrap_err()), expected);
    }
    let model = loaded(&with("untied", "lm_head.weight", 70, f32::NAN));
    assert_eq!(place(reply(&model, &PROMPT, 256).unwrap_err()), "the output head");
    // The head is not asked for an embedding.
    embed(model.as_ref(), &PROMPT, Pooling::Mean, &CancelToken::new()).unwrap();
}

/// A row of the table is bad for those who say its token, and for nobody else.
#[test]
fn a_bad_token_fails_its_own_reply_alone() {
    // Row 307 of 64 numbers.
    let model = loaded(&with("untied", "model.embed_tokens.weight", 307 * 64, f32::NAN));
    assert_eq!(place(reply(&model, &PROMPT, 256).unwrap_err()), "the table of token embeddings");
    let vectors =
        |tokens: &[u32]| embed(model.as_ref(), tokens, Pooling::Last, &CancelToken::new());
    assert!(vectors(&[39, 275, 11]).unwrap().iter().all(|x| x.is_finite()));
    assert_eq!(place(vectors(&PROMPT).unwrap_err()), "the table of token embeddings");
}

#[test]
fn others_of_a_batch_go_on() {
    let model = loaded(&with("untied", "model.embed_tokens.weight", 307 * 64, f32::NAN));
    let config = GenerationConfig {
        sampling: SamplingParams::greedy(),
        max_new_tokens: Some(3),
        ..GenerationConfig::default()
    };
    let session = || Session::new(model.clone(), tokenizer(), 64).unwrap();
    let (mut bad, mut good) = (session(), session());
    bad.begin(&PROMPT, &config, &CancelToken::new()).unwrap();
    good.begin(&[39, 275, 11], &config, &CancelToken::new()).unwrap();
    let mut failed = Vec::new();
    while bad.is_running() || good.is_running() {
        let [first, second] =
            step_together(&mut [&mut bad, &mut good]).unwrap().try_into().unwrap();
        failed.extend(first.err());
        second.unwrap();
    }
    let [error] = failed.try_into().unwrap();
    assert_eq!(place(error), "the table of token embeddings");
    assert_eq!(good.finish().unwrap().ids.len(), 3);
}

/// Norms, biases and the scales of blocks are looked at while they are read: products that round activations would hide them.
#[test]
fn bad_tensors_of_few_numbers_are_named_at_load() {
    for tensor in [
        "model.norm.weight",
        "model.layers.1.post_attention_layernorm.weight",
        "model.layers.2.self_attn.k_proj.bias",
    ] {
        for value in [f32::NAN, f32::INFINITY] {
            let error = load(&with("qwen2_tied", tensor, 3, value), &LoadOptions::default());
            let error = error.unwrap_err().to_string();
            assert!(error.contains(tensor) && error.contains("NaN or infinite"), "{error}");
        }
    }
    let quantised = LoadOptions { quantize: Some(Quantization::Q8_0), ..LoadOptions::default() };
    let dense = with("qwen2_tied", "model.layers.1.mlp.up_proj.weight", 9, f32::NAN);
    assert!(load(&dense, &quantised).unwrap_err().to_string().contains("NaN"));
}

/// A model of one layer in blocks of 32, one of whose scales may be NaN.
fn blocks(bad: Option<&str>) -> MemorySource {
    let width = 64usize;
    let key = |suffix: &str| format!("llama.{suffix}");
    let mut gguf = GgufWriter::default()
        .string("general.architecture", "llama")
        .u32(&key("embedding_length"), 64)
        .u32(&key("feed_forward_length"), 64)
        .u32(&key("block_count"), 1)
        .u32(&key("attention.head_count"), 2)
        .u32(&key("attention.head_count_kv"), 2)
        .u32(&key("context_length"), 64)
        .u32(&key("vocab_size"), 64)
        .f32(&key("attention.layer_norm_rms_epsilon"), 1e-5);
    let numbers: Vec<f32> = (0..width * width).map(|i| (i as f32 * 0.7).sin() / 8.0).collect();
    let tensor = Tensor::from_vec(numbers, (width, width), &Device::Cpu).unwrap();
    let sound = QTensor::quantize(&tensor, GgmlDType::Q8_0).unwrap().data().unwrap().to_vec();
    let parts = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];
    let names = parts.map(|part| format!("blk.0.{part}.weight"));
    for name in names.into_iter().chain(["token_embd.weight", "output.weight"].map(str::to_owned)) {
        let mut data = sound.clone();
        if bad == Some(name.as_str()) {
            let at = 34 * 77;
            data[at..at + 2].copy_from_slice(&half_nan());
        }
        gguf = gguf.tensor(&name, &[width, width], 8, data);
    }
    let ones: Vec<u8> = 1f32.to_le_bytes().repeat(width);
    for name in ["blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"] {
        gguf = gguf.tensor(name, &[width], 0, ones.clone());
    }
    MemorySource::new("blocks").with("model.gguf", gguf.finish())
}

fn half_nan() -> [u8; 2] {
    0x7e00u16.to_le_bytes()
}

#[test]
fn a_bad_scale_is_named_at_load() {
    load(&blocks(None), &LoadOptions::default()).unwrap();
    for tensor in [
        "blk.0.attn_q.weight",
        "blk.0.attn_v.weight",
        "blk.0.ffn_gate.weight",
        "output.weight",
        "token_embd.weight",
    ] {
        let error = load(&blocks(Some(tensor)), &LoadOptions::default()).unwrap_err().to_string();
        assert!(error.contains(tensor) && error.contains("NaN or infinite"), "{error}");
    }
}

#[test]
fn an_encoder_names_its_layer() {
    for (tensor, expected) in [
        ("encoder.layer.1.attention.self.query.weight", "layer 1 of the encoder"),
        ("encoder.layer.2.output.dense.weight", "layer 2 of the encoder"),
        ("embeddings.word_embeddings.weight", "the encoder's embeddings"),
    ] {
        let encoder =
            TextEncoder::load(&with("bert", tensor, 0, f32::NAN), &LoadOptions::default());
        let error = encoder.unwrap().forward(&[&[0, 3, 5], &[0, 4]]).unwrap_err();
        assert_eq!(place(error), expected, "{tensor}");
    }
}
