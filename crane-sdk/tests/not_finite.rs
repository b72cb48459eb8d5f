//! Weights that hold NaN or infinity: a model that would speak noise says which of its layers does.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::ops::ControlFlow;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
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

/// A fixture whose tensors `change` sees by their names. `untied` is the tiny Qwen2 with an output head of its own.
fn changed(fixture: &str, change: impl Fn(&str, &mut [f32])) -> MemorySource {
    let untied = fixture == "untied";
    let mut all = files(if untied { "qwen2_tied" } else { fixture });
    let bytes = all["model.safetensors"].clone();
    let stored = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<(String, TensorView<'_>)> = stored.tensors();
    if untied {
        tensors.push((
            "lm_head.weight".to_owned(),
            stored.tensor("model.embed_tokens.weight").unwrap(),
        ));
        let config = String::from_utf8(all["config.json"].clone()).unwrap();
        let config =
            config.replace("\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false");
        all.insert("config.json".to_owned(), config.into_bytes());
    }
    let tensors: Vec<(String, Vec<u8>, TensorView<'_>)> = tensors
        .into_iter()
        .map(|(name, view)| {
            let numbers = view.data().as_chunks::<4>().0.iter();
            let mut numbers: Vec<f32> = numbers.map(|x| f32::from_le_bytes(*x)).collect();
            change(&name, &mut numbers);
            (name, numbers.into_iter().flat_map(f32::to_le_bytes).collect(), view)
        })
        .collect();
    let views = tensors.iter().map(|(name, data, view)| {
        (name.as_str(), TensorView::new(view.dtype(), view.shape().to_vec(), data).unwrap())
    });
    let bytes = safetensors::serialize(views, None).unwrap();
    all.insert("model.safetensors".to_owned(), bytes);
    source(all)
}

/// A fixture one number of one of whose tensors is another.
fn with(fixture: &str, tensor: &str, at: usize, value: f32) -> MemorySource {
    changed(fixture, |name, numbers| {
        if name == tensor {
            numbers[at] = value;
        }
    })
}

/// A tiny Qwen2 one of whose layers gives infinity: each number is sound, a value of 1e30 times a weight of as much is not.
fn overflowing(layer: usize) -> MemorySource {
    let [bias, weight] = ["v_proj.bias", "o_proj.weight"]
        .map(|part| format!("model.layers.{layer}.self_attn.{part}"));
    changed("qwen2_tied", |name, numbers| {
        if name == bias || name == weight {
            numbers[0] = 1e30;
        }
    })
}

/// One that does so for the token 307 alone, which alone has a number in a column of the table.
fn overflowing_token() -> MemorySource {
    const WIDTH: usize = 64;
    changed("untied", |name, numbers| match name {
        "model.embed_tokens.weight" => {
            for (row, numbers) in numbers.chunks_exact_mut(WIDTH).enumerate() {
                numbers[5] = if row == 307 { 1.0 } else { 0.0 };
            }
        }
        "model.layers.0.self_attn.v_proj.weight" => {
            numbers[..WIDTH].fill(0.0);
            numbers[5] = 1e30;
        }
        "model.layers.0.self_attn.v_proj.bias" => numbers[0] = 0.0,
        "model.layers.0.self_attn.o_proj.weight" => numbers[0] = 1e30,
        _ => {}
    })
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
    for layer in 0..3 {
        let (model, expected) =
            (loaded(&overflowing(layer)), format!("layer {layer} of the model"));
        for chunk in [1, 256] {
            assert_eq!(place(reply(&model, &PROMPT, chunk).unwrap_err()), expected);
        }
        let vector = embed(model.as_ref(), &PROMPT, Pooling::Mean, &CancelToken::new());
        assert_eq!(place(vector.unwrap_err()), expected);
        let tokens: Vec<u32> = (0..32).collect();
        let measured = perplexity(model.as_ref(), &tokens, 16, None, |_| ControlFlow::Continue(()));
        assert_eq!(place(measured.unwrap_err()), expected);
    }
    let model = loaded(&changed("untied", |name, numbers| match name {
        "model.norm.weight" => numbers.iter_mut().for_each(|x| *x *= 1e20),
        "lm_head.weight" => numbers[..64].fill(1e30),
        _ => {}
    }));
    assert_eq!(place(reply(&model, &PROMPT, 256).unwrap_err()), "the output head");
}

/// What one token makes of a model is told those who say it, and nobody else.
#[test]
fn a_bad_token_fails_its_own_reply_alone() {
    let model = loaded(&overflowing_token());
    assert_eq!(place(reply(&model, &PROMPT, 256).unwrap_err()), "layer 0 of the model");
    let vectors =
        |tokens: &[u32]| embed(model.as_ref(), tokens, Pooling::Last, &CancelToken::new());
    assert!(vectors(&[39, 275, 11]).unwrap().iter().all(|x| x.is_finite()));
    assert_eq!(place(vectors(&PROMPT).unwrap_err()), "layer 0 of the model");
}

#[test]
fn others_of_a_batch_go_on() {
    let model = loaded(&overflowing_token());
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
    assert_eq!(place(error), "layer 0 of the model");
    assert_eq!(good.finish().unwrap().ids.len(), 3);
}

/// Tensors are looked through while they are read: attention and products that round activations would hide what is wrong.
#[test]
fn bad_tensors_are_named_at_load() {
    for tensor in [
        "model.embed_tokens.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.1.mlp.gate_proj.weight",
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
    // A number that is sound as f32 and none as f16.
    let narrow = LoadOptions { dtype: Some(DType::F16), ..LoadOptions::default() };
    let error = load(&with("qwen2_tied", "model.layers.1.mlp.up_proj.weight", 9, 1e6), &narrow);
    assert!(error.unwrap_err().to_string().contains("too large for f16"));
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
    for tensor in [
        "encoder.layer.1.attention.self.query.weight",
        "encoder.layer.2.output.LayerNorm.bias",
        "embeddings.word_embeddings.weight",
    ] {
        let error = TextEncoder::load(&with("bert", tensor, 0, f32::NAN), &LoadOptions::default());
        assert!(error.unwrap_err().to_string().contains(tensor));
    }
    for layer in 0..3 {
        let [bias, weight] = ["self.value.bias", "output.dense.weight"]
            .map(|part| format!("encoder.layer.{layer}.attention.{part}"));
        let source = changed("bert", |name, numbers| {
            if name == bias || name == weight {
                numbers[0] = 1e30;
            }
        });
        let encoder = TextEncoder::load(&source, &LoadOptions::default()).unwrap();
        let error = encoder.forward(&[&[0, 3, 5], &[0, 4]]).unwrap_err();
        assert_eq!(place(error), format!("layer {layer} of the encoder"));
    }
}
