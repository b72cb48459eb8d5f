//! `crane run` on small checkpoints: the reference's tokens, streams, JSON and pipes.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use super::fixture::{DECODERS, ids, integers, model, values};
use super::support::{Home, finish};

fn answer(home: &Home, arguments: &[&str]) -> Value {
    let stdout = home.run([&["run", "--json"], arguments].concat()).ok();
    assert_eq!(stdout.trim_end().lines().count(), 1, "one line of JSON: {stdout}");
    serde_json::from_str(&stdout).unwrap()
}

#[test]
fn greedy_tokens_are_those_of_the_reference() {
    let home = Home::new();
    for name in DECODERS {
        let text = values(name)["texts"][0].as_str().unwrap().to_owned();
        let expected = integers(name, "greedy0.tokens");
        let count = expected.len().to_string();
        let arguments = ["-m", &model(name), &text, "--raw", "--temp", "0", "-n", &count];
        let answer = answer(&home, &[&arguments[..], &["--ignore-eos"]].concat());
        assert_eq!(ids(&answer["prompt_ids"]), integers(name, "prompt0.input_ids"), "{name}");
        assert_eq!(ids(&answer["output_ids"]), expected, "{name}");
        assert_eq!(answer["finish_reason"], "length");
    }
}

#[test]
fn the_json_object_is_complete() {
    let home = Home::new();
    let answer = answer(&home, &[&model("qwen2_tied"), "Hello", "--temp", "0", "-n", "5"]);
    let model = answer["model"].as_str().unwrap();
    assert!(model.contains("qwen2_tied"), "{model}");
    assert!(answer["text"].is_string());
    assert_eq!(answer["dropped_tokens"], 0);
    assert_eq!(answer["evaluated_ids"], answer["prompt_ids"]);
    assert!(answer["stop"].is_null() && answer["seed"].is_u64(), "{answer}");
    let stats = &answer["stats"];
    assert_eq!(stats["prompt_tokens"], ids(&answer["prompt_ids"]).len());
    assert_eq!(stats["generated_tokens"], ids(&answer["output_ids"]).len());
    assert_eq!(stats["cached_tokens"], 0);
    for name in ["time_to_first_token", "prefill_tokens_per_second", "decode_tokens_per_second"] {
        assert!(stats[name].as_f64().unwrap() > 0.0, "{name}: {stats}");
    }
}

#[test]
fn stdout_carries_the_answer_alone() {
    let home = Home::new();
    let model = model("qwen2_tied");
    let arguments = [model.as_str(), "Hello", "--temp", "0", "-n", "12"];
    let text = answer(&home, &arguments)["text"].as_str().unwrap().to_owned();
    let outcome = home.run([&["run"], &arguments[..]].concat());
    assert!(outcome.stderr.contains("tok/s"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("qwen2_tied"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains('\x1b'), "no colour without a terminal: {}", outcome.stderr);
    assert_eq!(outcome.ok(), format!("{text}\n"));

    let quiet = home.run([&["run", "--quiet"], &arguments[..]].concat());
    assert_eq!(quiet.stderr, "");
    assert_eq!(quiet.ok(), format!("{text}\n"));
}

#[test]
fn a_prompt_comes_from_the_argument_or_from_stdin() {
    let home = Home::new();
    let model = model("qwen2_tied");
    let flags = ["--json", "--temp", "0", "-n", "4"];
    let expected =
        answer(&home, &[&model, "Hello", "--temp", "0", "-n", "4"])["prompt_ids"].clone();
    for words in [
        &["run", &model, "-"] as &[&str],
        &["run", "-m", &model, "-"],
        &["run", "-m", &model],
        &["run", &model],
    ] {
        let stdout = home.run_with([words, &flags].concat(), "Hello\n").ok();
        let answer: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(answer["prompt_ids"], expected, "{words:?}");
    }
    let child = home
        .crane(["run", "Hello", "--json", "--temp", "0", "-n", "4"])
        .env("CRANE_MODEL", &model)
        .spawn()
        .unwrap();
    let stdout = finish(child).ok();
    assert_eq!(serde_json::from_str::<Value>(&stdout).unwrap()["prompt_ids"], expected);
}

#[test]
fn messages_are_rendered_with_the_template() {
    let home = Home::new();
    let model = model("qwen2_tied");
    let chat = values("qwen2_tied")["chat"].clone();
    let file = home.file("chat.json", chat["messages"].to_string());
    let file = file.to_str().unwrap();
    let from_file = answer(&home, &["-m", &model, "--messages", file, "-n", "2"]);
    assert_eq!(from_file["prompt_ids"], chat["ids"]);
    let mut parts = chat["messages"].clone();
    let text = parts[1]["content"].as_str().unwrap().to_owned();
    let (a, b) = text.split_at(3);
    parts[1]["content"] = json!([{"type": "text", "text": a}, {"type": "text", "text": b}]);
    let parts = home.file("parts.json", parts.to_string());
    let from_parts =
        answer(&home, &["-m", &model, "--messages", parts.to_str().unwrap(), "-n", "2"]);
    assert_eq!(from_parts["prompt_ids"], chat["ids"]);
    let by_position = answer(&home, &[&model, "--messages", file, "-n", "2"]);
    assert_eq!(by_position["prompt_ids"], chat["ids"]);
    let system = chat["messages"][0]["content"].as_str().unwrap();
    let user = chat["messages"][1]["content"].as_str().unwrap();
    let from_flags = answer(&home, &[&model, user, "--system", system, "-n", "2"]);
    assert_eq!(from_flags["prompt_ids"], chat["ids"]);
    let refused = home.run(["run", &model, "--messages", file, "--system", "Other."]);
    refused.fails(2, &["system"]);
}

#[test]
fn a_model_without_a_template_completes_prompts_and_refuses_chats() {
    let home = Home::new();
    let model = model("llama32");
    let outcome = home.run(["run", &model, "The quick brown fox", "-n", "3", "--json"]);
    assert!(outcome.stderr.contains("template"), "{}", outcome.stderr);
    let answer: Value = serde_json::from_str(&outcome.ok()).unwrap();
    assert_eq!(ids(&answer["prompt_ids"]), integers("llama32", "prompt1.input_ids"));
    home.run(["run", &model, "x", "--system", "y"]).fails(3, &["template", "--raw"]);
    let messages = home.file("m.json", json!([{ "role": "user", "content": "x" }]).to_string());
    home.run(["run", &model, "--messages", messages.to_str().unwrap()])
        .fails(3, &["template", "--raw"]);
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let home = Home::new();
    let mut child = home
        .crane(["run", &model("qwen2_tied"), "Hello", "--ignore-eos", "-n", "20000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 1];
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    std::io::Read::read_exact(&mut stdout, &mut first).unwrap();
    drop(stdout);
    let outcome = finish(child);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("error"), "{}", outcome.stderr);
}

#[test]
fn the_answer_streams() {
    let home = Home::new();
    let mut child = home
        .crane([
            "run",
            &model("qwen2_tied"),
            "Hello",
            "--ignore-eos",
            "--context-policy",
            "shift",
            "-c",
            "128",
        ])
        .spawn()
        .unwrap();
    // The reply has no end: whatever can be read was written before it ended.
    let mut line = Vec::new();
    BufReader::new(child.stdout.take().unwrap()).read_until(b' ', &mut line).unwrap();
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
}
