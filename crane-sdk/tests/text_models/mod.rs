//! Where the text tests find their files.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses a part")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crane_sdk::source::{Gguf, MemorySource, Metadata, Source};
use serde_json::Value;

/// The name in the references, and the file, of each real model.
pub const GGUF: [(&str, &str); 2] = [
    ("qwen", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"),
    ("smollm2", "smollm2-135m-instruct-q4_1.gguf"),
];

/// The bytes of a file in `tests/fixtures`.
pub fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A JSON file in `tests/fixtures`.
pub fn fixture_json(name: &str) -> Value {
    serde_json::from_slice(&fixture(name)).unwrap()
}

/// A file of the folder with real models; skips (or, in CI, fails) where it is missing.
pub fn model_file(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CRANE_TEST_MODELS").map(PathBuf::from).or_else(|| {
        Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/crane-test-models"))
    });
    let path = folder.unwrap_or_default().join(name);
    if path.is_file() {
        return Some(path);
    }
    let required = std::env::var("CRANE_REQUIRE_MODELS").is_ok_and(|value| value == "1");
    assert!(!required, "{} is missing; run `cargo xtask setup`", path.display());
    println!("skipped: {}; run `cargo xtask setup`", path.display());
    None
}

/// The metadata of a real GGUF file.
pub fn gguf_metadata(name: &str) -> Option<Metadata> {
    let source = gguf_source(name)?;
    Some(Gguf::open(source.as_ref(), name).unwrap().metadata().clone())
}

/// A real GGUF file as a source.
pub fn gguf_source(name: &str) -> Option<Arc<dyn Source>> {
    let path = model_file(name)?;
    Some(Arc::new(MemorySource::new(name).with(name, std::fs::read(path).unwrap())))
}

/// A folder of CRANE_TEST_HF, a folder of checkpoints in the published layout.
pub fn hf_folder(name: &str) -> Option<PathBuf> {
    let Some(folders) = std::env::var_os("CRANE_TEST_HF") else {
        println!("skipped: {name}; set CRANE_TEST_HF to a folder that holds it");
        return None;
    };
    Some(PathBuf::from(folders).join(name))
}

/// Numbers below a bound, the same in every run with the same seed.
pub fn dice(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move |bound| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % bound
    }
}
