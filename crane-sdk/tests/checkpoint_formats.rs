//! Checkpoints of every format give the same model, and damaged ones a clear error, never a panic.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use candle_core::DType;
use crane_sdk::models::{LoadOptions, LogitsRows, Segment, load};
use crane_sdk::source::{MemorySource, Source};
use crane_sdk::weights::Quantization;
use crane_sdk::{Error, ErrorKind};
use support::{GgufWriter, as_gguf, files, options, source};

const PROMPT: [u32; 12] = [39, 307, 275, 11, 344, 396, 0, 220, 377, 340, 297, 263];

fn logits(source: &dyn Source, options: &LoadOptions) -> crane_sdk::Result<Vec<f32>> {
    let loaded = load(source, options)?;
    let mut cache = loaded.model.new_cache(64)?;
    let segment = Segment { tokens: &PROMPT, cache: &mut cache, logits: LogitsRows::All };
    Ok(loaded.model.forward(&mut [segment])?.flatten_all()?.to_vec1()?)
}

fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn gguf(data: Vec<u8>) -> MemorySource {
    MemorySource::new("test").with("model.gguf", data)
}

#[test]
fn gguf_equals_safetensors() {
    let cases = [("qwen2_tied", "qwen2"), ("llama32", "llama")];
    for (fixture, architecture) in cases {
        let mut writer = as_gguf(fixture, architecture);
        if architecture == "llama" {
            // llama3 scaling travels as divisors: take those of the fixture's own config.
            let plain = 500_000f64;
            let factors: Vec<u8> = (0..8)
                .map(|i| 1.0 / plain.powf(f64::from(2 * i) / 16.0))
                .flat_map(|f: f64| {
                    let (wavelength, context) = (std::f64::consts::TAU / f, 128.0);
                    let factor = if wavelength > context {
                        32.0
                    } else if wavelength < context / 4.0 {
                        1.0
                    } else {
                        let share = (context / wavelength - 1.0) / 3.0;
                        1.0 / ((1.0 - share) / 32.0 + share)
                    };
                    (factor as f32).to_le_bytes()
                })
                .collect();
            writer = writer.tensor("rope_freqs.weight", &[8], 0, factors);
        }
        let options = options();
        let expected = logits(&source(files(fixture)), &options).unwrap();
        let found = logits(&gguf(writer.finish()), &options).unwrap();
        assert!(furthest(&found, &expected) < 1e-4, "{fixture}: {}", furthest(&found, &expected));
    }
}

#[test]
fn quantised_while_loading() {
    let exact = logits(&source(files("qwen2_tied")), &options()).unwrap();
    // Rows of 64 are not whole blocks of 256, so the k types fall back as their documentation says.
    for (quant, within) in
        [("q8_0", 0.3), ("q6_k", 0.3), ("q5_k", 1.5), ("q4_k", 2.5), ("q4_0", 4.0)]
    {
        let quantize: Quantization = quant.parse().unwrap();
        let options = LoadOptions { quantize: Some(quantize), ..options() };
        let found = logits(&source(files("qwen2_tied")), &options).unwrap();
        let off = furthest(&found, &exact);
        assert!(off > 0.0 && off < within, "{quant}: {off}");
    }
}

#[test]
fn dense_types_differ_by_their_rounding() {
    let exact = logits(&source(files("qwen2_tied")), &options()).unwrap();
    for (dtype, within) in [(DType::F16, 0.05), (DType::BF16, 0.3)] {
        let options = LoadOptions { dtype: Some(dtype), ..options() };
        let off = furthest(&logits(&source(files("qwen2_tied")), &options).unwrap(), &exact);
        assert!(off > 0.0 && off < within, "{dtype:?}: {off}");
    }
}

#[test]
fn contradicting_options_are_refused() {
    let both =
        LoadOptions { dtype: Some(DType::F16), quantize: Some(Quantization::Q8_0), ..options() };
    let error = logits(&source(files("qwen2_tied")), &both).unwrap_err();
    assert!(matches!(&error, Error::InvalidArgument { name, .. } if name == "dtype"), "{error}");
}

/// Asserts a model error whose text holds `part`.
fn refused(source: &dyn Source, part: &str) {
    let error = logits(source, &options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Model, "{error}");
    assert!(error.to_string().contains(part), "{error:?} does not say {part:?}");
}

#[test]
fn damaged_folders_are_refused() {
    let mut missing = files("qwen2_untied_sharded");
    missing.remove("model-00002-of-00003.safetensors");
    refused(&source(missing), "model-00002-of-00003.safetensors");

    let mut none = files("qwen2_tied");
    none.remove("model.safetensors");
    refused(&source(none), "model.safetensors");

    refused(&MemorySource::new("empty"), "config.json");

    for (from, to, part) in [
        ("Qwen2ForCausalLM", "WonderForCausalLM", "WonderForCausalLM"),
        ("\"hidden_size\": 64", "\"hidden_size\": 128", "shape"),
        ("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4", "model.layers.3"),
        ("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2", "model.layers.2"),
        ("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", "heads"),
        ("\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\"", "gelu"),
        ("\"vocab_size\": 448", "\"vocab_size\": -1", "vocab_size"),
        ("\"hidden_size\": 64", "\"hidden_size\": 99999999999", "hidden_size"),
        ("{", "[", "config.json"),
    ] {
        let mut changed = files("qwen2_tied");
        let config = String::from_utf8(changed["config.json"].clone()).unwrap();
        assert!(config.contains(from));
        changed.insert("config.json".into(), config.replacen(from, to, 1).into_bytes());
        refused(&source(changed), part);
    }
}

#[test]
fn damaged_safetensors_are_refused() {
    let whole = support::bytes("qwen2_tied", "model.safetensors");
    for len in (0..whole.len()).step_by(whole.len() / 97) {
        let mut cut = files("qwen2_tied");
        cut.insert("model.safetensors".into(), whole[..len].to_vec());
        refused(&source(cut), "model.safetensors");
    }
    let mut huge = files("qwen2_tied");
    huge.insert("model.safetensors".into(), [u64::MAX.to_le_bytes(), [b'{'; 8]].concat());
    refused(&source(huge), "header");
}

#[test]
fn damaged_gguf_is_refused() {
    let whole = as_gguf("qwen2_tied", "qwen2").finish();
    for len in (0..whole.len()).step_by(whole.len() / 197) {
        refused(&gguf(whole[..len].to_vec()), "model.gguf");
    }
    let mut magic = whole.clone();
    magic[..4].copy_from_slice(b"GGML");
    refused(&gguf(magic), "magic");
    let mut counts = whole.clone();
    counts[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    refused(&gguf(counts), "tensors");
    // Any one byte of the head may be wrong: the answer is an error or a model, never a panic.
    for at in (0..2000).step_by(7) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x55;
        let _ = logits(&gguf(flipped), &options());
    }
    refused(
        &gguf(GgufWriter::default().string("general.architecture", "wonder").finish()),
        "architecture wonder",
    );
    let odd = as_gguf("qwen2_tied", "qwen2").tensor("extra.weight", &[4], 0, vec![0; 16]).finish();
    refused(&gguf(odd), "extra.weight");
    let unknown = as_gguf("qwen2_tied", "qwen2").tensor("blk.9.x", &[32], 23, vec![0; 36]).finish();
    refused(&gguf(unknown), "blk.9.x");
}

#[test]
fn a_model_takes_under_a_hundred_lines() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/models");
    for file in ["qwen2.rs", "qwen3.rs", "llama.rs", "mistral.rs"] {
        let lines = std::fs::read_to_string(folder.join(file)).unwrap().lines().count();
        assert!(lines < 100, "{file} has {lines} lines");
    }
    assert_eq!(crane_sdk::models::registry().len(), 4, "count the new model's file above");
}
