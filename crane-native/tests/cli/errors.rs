//! What the program says when something is wrong: the option, file, text or model at fault, and what to do.

use serde_json::{Value, json};

use super::fixture::{copy, model};
use super::support::Home;

/// A copy of a model with another chat template.
fn with_template(home: &Home, template: &str) -> String {
    let folder = copy("qwen2_tied", home.path());
    let file = folder.join("tokenizer_config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    config["chat_template"] = json!(template);
    std::fs::write(&file, config.to_string()).unwrap();
    folder.display().to_string()
}

#[test]
fn an_error_names_what_is_at_fault() {
    let home = Home::new();
    let good = model("qwen2_tied");
    let short = home.file("short.txt", "Hello").display().to_string();
    let bad = home.file("bad.json", "{").display().to_string();
    let html = home.file("html.gguf", "<!DOCTYPE html><html></html>").display().to_string();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    let pointer = home.file("pointer.gguf", pointer).display().to_string();
    let table: [(&[&str], i32, &[&str]); 9] = [
        (
            &["perplexity", &good, "-f", &short],
            2,
            &["--file", "short.txt", "fewer than one chunk of 512", "--ctx"],
        ),
        (&["perplexity", &good, "-f", "missing.txt"], 2, &["--file", "missing.txt"]),
        (&["run", "-m", &html, "hi"], 3, &["html.gguf", "web page (HTML)"]),
        (&["run", "-m", &pointer, "hi"], 3, &["pointer.gguf", "git lfs pull"]),
        (&["run", "-m", &good, "--messages", &bad], 2, &["bad.json is not JSON"]),
        (
            &["run", "-m", &good, "--grammar", "missing.lark", "hi"],
            2,
            &["--grammar", "missing.lark"],
        ),
        (
            &["run", "-m", &good, "--json-schema", "missing.json", "hi"],
            2,
            &["--json-schema", "missing.json"],
        ),
        (
            &["run", "-m", &good, "--logit-bias", "99999=1", "hi"],
            2,
            &["--logit-bias 99999", "vocabulary"],
        ),
        (&["run", "-m", &good, "--repeat-penalty", "0", "hi"], 2, &["--repeat-penalty", "above 0"]),
    ];
    for (words, code, parts) in table {
        home.run(words).fails(code, parts);
    }
}

/// Of several models the name says which one is at fault.
#[test]
fn a_file_of_a_model_is_told_with_the_model() {
    for (file, text, parts) in [
        ("config.json", "{", &["config.json"][..]),
        (
            "config.json",
            r#"{"architectures": ["Ghost"], "model_type": "ghost"}"#,
            &["Ghost", "not supported"],
        ),
        ("tokenizer.json", "{", &["tokenizer", "tokenizer.json"]),
        ("tokenizer.json", "<!doctype html>", &["tokenizer.json", "web page"]),
        ("tokenizer_config.json", "[]", &["tokenizer_config.json", "JSON object"]),
        ("generation_config.json", r#"{"top_k": "many"}"#, &["generation_config.json", "top_k"]),
    ] {
        let home = Home::new();
        let folder = copy("qwen2_tied", home.path());
        std::fs::write(folder.join(file), text).unwrap();
        let said = home.run(["run".as_ref(), "-m".as_ref(), folder.as_os_str(), "hi".as_ref()]);
        said.fails(3, &[parts, &["qwen2_tied"]].concat());
    }
}

#[test]
fn a_template_is_told_with_its_model() {
    for (template, parts) in [
        (
            "{% for m in messages %}{{ m.content",
            &["chat template: ", "qwen2_tied", "syntax error"][..],
        ),
        ("", &["chat template: ", "writes nothing", "--raw"]),
        ("{{ '' }}", &["chat template: ", "writes nothing", "--raw"]),
    ] {
        let home = Home::new();
        let folder = with_template(&home, template);
        home.run(["run", "-m", &folder, "hi"]).fails(3, parts);
    }
}
