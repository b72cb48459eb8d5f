//! A model that does not fit into memory: exit code 4 with numbers, before anything is loaded.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::fixture::copy;
use super::support::{Home, Outcome, finish};

/// Bytes of the model's one tensor; the file has holes where they would be.
const WEIGHTS: u64 = 512 << 20;

/// A model with an embedding table too large for its own good.
fn large(home: &Home) -> PathBuf {
    let folder = copy("qwen2_tied", home.path());
    let config = folder.join("config.json");
    let mut fields: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    let width = fields["hidden_size"].as_u64().unwrap();
    let rows = WEIGHTS / 4 / width;
    fields["vocab_size"] = json!(rows);
    fs::write(config, fields.to_string()).unwrap();
    let head = json!({ "model.embed_tokens.weight": {
        "dtype": "F32", "shape": [rows, width], "data_offsets": [0, rows * width * 4],
    }});
    let head = head.to_string();
    let file = folder.join("model.safetensors");
    let mut bytes = (head.len() as u64).to_le_bytes().to_vec();
    bytes.extend(head.as_bytes());
    fs::write(&file, &bytes).unwrap();
    let file = fs::File::options().write(true).open(file).unwrap();
    file.set_len(bytes.len() as u64 + rows * width * 4).unwrap();
    folder
}

/// Runs `crane` with so many MiB of address space.
fn limited(home: &Home, mebibytes: u64, command: &str, model: &Path) -> Outcome {
    let script = format!("ulimit -v {}; exec \"$@\"", mebibytes * 1024);
    let crane = env!("CARGO_BIN_EXE_crane");
    let mut bash = home.program("bash", ["-c", &script, "bash", crane, command]);
    bash.arg(model);
    if command == "run" {
        bash.arg("Hello");
    }
    finish(bash.spawn().unwrap())
}

#[cfg(target_os = "linux")]
#[test]
fn a_model_that_does_not_fit_is_refused_before_it_is_loaded() {
    let home = Home::new();
    let model = large(&home);
    for command in ["run", "chat", "bench"] {
        limited(&home, 500, command, &model)
            .fails(4, &["qwen2_tied", "available", "ulimit -v", "--quant", "smaller model"]);
    }
    // Not even the stack that a template may need finds a place.
    limited(&home, 200, "run", &model).fails(4, &["chat template", "ulimit -v"]);
    // With room for the weights once it is the missing tensors that are told: the file takes no address space besides.
    limited(&home, 1200, "run", &model).fails(3, &["layers.0"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_model_that_fits_under_a_limit_answers() {
    let home = Home::new();
    let model = copy("qwen2_tied", home.path());
    let outcome = limited(&home, 900, "chat", &model);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
}
