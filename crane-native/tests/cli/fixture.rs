//! The small random-weight checkpoints of crane-sdk, and what their reference made of them.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The names of the folders that hold a decoder.
pub const DECODERS: [&str; 4] = ["qwen2_tied", "qwen2_untied_sharded", "llama32", "qwen3"];

/// The folder of a fixture.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crane-sdk/tests/fixtures").join(name)
}

/// The same as text, for an argument.
pub fn model(name: &str) -> String {
    folder(name).canonicalize().unwrap().display().to_string()
}

/// The `values` of a fixture's `golden.json`.
pub fn values(name: &str) -> Value {
    let text = std::fs::read_to_string(folder(name).join("golden.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["values"].clone()
}

/// An integer tensor of a fixture's `golden.safetensors`.
pub fn integers(name: &str, tensor: &str) -> Vec<u32> {
    let bytes = std::fs::read(folder(name).join("golden.safetensors")).unwrap();
    let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
    let (head, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let head: Value = serde_json::from_slice(head).unwrap();
    let info = &head[tensor];
    let offset = |index: usize| info["data_offsets"][index].as_u64().unwrap() as usize;
    let data = &data[offset(0)..offset(1)];
    match info["dtype"].as_str().unwrap() {
        "I64" => {
            data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as u32).collect()
        }
        "I32" => {
            data.chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap()) as u32).collect()
        }
        other => panic!("{tensor} is {other}"),
    }
}

/// A copy of a fixture that a test may damage.
pub fn copy(name: &str, to: &Path) -> PathBuf {
    let target = to.join(name);
    copy_folder(&folder(name), &target);
    target
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy_folder(&entry.path(), &target),
            // Not `fs::copy`, which would keep the file read-only where the repository is.
            false => std::fs::write(target, std::fs::read(entry.path()).unwrap()).unwrap(),
        }
    }
}

/// Gives the first number of a tensor of f32 in a folder's `model.safetensors` another value.
pub fn set_number(folder: &Path, tensor: &str, value: f32) {
    let file = folder.join("model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    let head: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let start = 8 + length + head[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
    bytes[start..start + 4].copy_from_slice(&value.to_le_bytes());
    std::fs::write(file, bytes).unwrap();
}

/// Makes a layer of a Qwen2 give infinity: a value of 1e30 times a weight of as much.
pub fn overflow(folder: &Path, layer: usize) {
    for part in ["v_proj.bias", "o_proj.weight"] {
        set_number(folder, &format!("model.layers.{layer}.self_attn.{part}"), 1e30);
    }
}

/// The ids of a JSON list.
pub fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}
