//! What several tests build: fixtures as sources, and GGUF files.

#![allow(dead_code, reason = "each test uses its own part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Device;
use crane_sdk::models::LoadOptions;
use crane_sdk::source::MemorySource;
use safetensors::SafeTensors;
use serde_json::Value;

/// The device that `CRANE_TEST_DEVICE` names, for a machine that has one: `cuda`, `metal`, or by default `cpu`.
pub fn device() -> Device {
    match std::env::var("CRANE_TEST_DEVICE").as_deref() {
        Err(_) | Ok("cpu") => Device::Cpu,
        Ok("cuda") => Device::new_cuda(0).unwrap(),
        Ok("metal") => Device::new_metal(0).unwrap(),
        Ok(other) => panic!("CRANE_TEST_DEVICE: {other:?} is not cpu, cuda or metal"),
    }
}

/// How a model is loaded that is to run on that device.
pub fn options() -> LoadOptions {
    LoadOptions { device: device(), ..LoadOptions::default() }
}

/// The folder of a committed fixture.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The bytes of a fixture's file.
pub fn bytes(name: &str, file: &str) -> Vec<u8> {
    std::fs::read(folder(name).join(file)).unwrap()
}

/// Every file of a fixture.
pub fn files(name: &str) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder(name)).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| {
            let file = path.file_name().unwrap().to_str().unwrap().to_owned();
            (file, std::fs::read(&path).unwrap())
        })
        .collect()
}

/// Files as a source.
pub fn source(files: BTreeMap<String, Vec<u8>>) -> MemorySource {
    files
        .into_iter()
        .fold(MemorySource::new("test"), |source, (name, data)| source.with(name, data))
}

/// Writes GGUF: metadata pairs already encoded, tensors as `(name, shape, ggml type, data)`.
#[derive(Default)]
pub struct GgufWriter {
    pairs: Vec<Vec<u8>>,
    tensors: Vec<(String, Vec<usize>, u32, Vec<u8>)>,
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

impl GgufWriter {
    fn pair(mut self, key: &str, tag: u32, value: &[u8]) -> Self {
        let mut pair = Vec::new();
        text(&mut pair, key);
        pair.extend(tag.to_le_bytes());
        pair.extend(value);
        self.pairs.push(pair);
        self
    }

    pub fn u32(self, key: &str, value: u64) -> Self {
        self.pair(key, 4, &u32::try_from(value).unwrap().to_le_bytes())
    }

    pub fn f32(self, key: &str, value: f64) -> Self {
        self.pair(key, 6, &(value as f32).to_le_bytes())
    }

    pub fn string(self, key: &str, value: &str) -> Self {
        let mut bytes = Vec::new();
        text(&mut bytes, value);
        self.pair(key, 8, &bytes)
    }

    pub fn tensor(mut self, name: &str, shape: &[usize], ggml_type: u32, data: Vec<u8>) -> Self {
        self.tensors.push((name.to_owned(), shape.to_vec(), ggml_type, data));
        self
    }

    pub fn finish(self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.pairs.len() as u64).to_le_bytes());
        self.pairs.iter().for_each(|pair| out.extend(pair));
        let mut offset = 0u64;
        for (name, shape, ggml_type, data) in &self.tensors {
            text(&mut out, name);
            out.extend((shape.len() as u32).to_le_bytes());
            shape.iter().rev().for_each(|n| out.extend((*n as u64).to_le_bytes()));
            out.extend(ggml_type.to_le_bytes());
            out.extend(offset.to_le_bytes());
            offset += (data.len() as u64).next_multiple_of(32);
        }
        for (.., data) in &self.tensors {
            out.resize(out.len().next_multiple_of(32), 0);
            out.extend(data);
        }
        out
    }
}

const PARTS: [(&str, &str); 8] = [
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("mlp.", "ffn_"),
    ("_proj", ""),
];

/// A fixture as the GGUF file that llama.cpp's converter would make of it, tensors unquantised.
pub fn as_gguf(fixture: &str, architecture: &str) -> GgufWriter {
    let config: Value = serde_json::from_slice(&bytes(fixture, "config.json")).unwrap();
    let count = |key: &str| config[key].as_u64().unwrap();
    let key = |suffix: &str| format!("{architecture}.{suffix}");
    let mut gguf = GgufWriter::default()
        .string("general.architecture", architecture)
        .u32(&key("embedding_length"), count("hidden_size"))
        .u32(&key("feed_forward_length"), count("intermediate_size"))
        .u32(&key("block_count"), count("num_hidden_layers"))
        .u32(&key("attention.head_count"), count("num_attention_heads"))
        .u32(&key("attention.head_count_kv"), count("num_key_value_heads"))
        .u32(&key("context_length"), count("max_position_embeddings"))
        .u32(&key("vocab_size"), count("vocab_size"))
        .f32(&key("rope.freq_base"), config["rope_theta"].as_f64().unwrap())
        .f32(&key("attention.layer_norm_rms_epsilon"), config["rms_norm_eps"].as_f64().unwrap());
    let data = bytes(fixture, "model.safetensors");
    let tensors = SafeTensors::deserialize(&data).unwrap();
    for (name, view) in tensors.tensors() {
        let mut values = view.data().to_vec();
        if architecture == "llama" && (name.contains("q_proj") || name.contains("k_proj")) {
            let which =
                if name.contains("q_proj") { "num_attention_heads" } else { "num_key_value_heads" };
            values = interleave(&values, view.shape()[0], count(which) as usize);
        }
        let kind = match view.dtype() {
            safetensors::Dtype::F32 => 0,
            safetensors::Dtype::BF16 => 30,
            other => panic!("{other:?}"),
        };
        gguf = gguf.tensor(&gguf_name(&name), view.shape(), kind, values);
    }
    gguf
}

fn gguf_name(name: &str) -> String {
    let name = name
        .replace("model.embed_tokens", "token_embd")
        .replace("model.norm", "output_norm")
        .replace("model.layers.", "blk.");
    PARTS.iter().fold(name, |name, (from, to)| name.replace(from, to))
}

/// The converter's order for adjacent-pair RoPE: row j·half + i of a head becomes row 2i + j.
fn interleave(data: &[u8], rows: usize, heads: usize) -> Vec<u8> {
    let (width, half) = (data.len() / rows, rows / heads / 2);
    let mut out = Vec::new();
    for head in 0..heads {
        for i in 0..half {
            for j in 0..2 {
                let row = head * 2 * half + j * half + i;
                out.extend(&data[row * width..(row + 1) * width]);
            }
        }
    }
    out
}
