//! `crane serve` as its clients meet it.

mod bodies;
mod broken;
pub mod client;
mod clients;
mod connections;
mod dialects;
mod fields;
mod forms;
mod load;
mod ollama;
mod pages;
mod prefixes;
mod scores;
mod several;
mod shares;
mod stalled;
mod timeout;
mod tools;
mod work;

use serde_json::{Value, json};

use crate::fixture;
use crate::support::Home;
use client::Server;

const CHAT: &str = "/v1/chat/completions";
const TEXT: &str = "/v1/completions";

/// A question, with more fields.
fn chat(question: &str, fields: &Value) -> Value {
    let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": question }] });
    let more = fields.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    body
}

fn said(answer: &Value) -> String {
    answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

#[test]
fn an_answer_is_what_crane_run_says() {
    let server = Server::fixture(&["--ctx", "512"]);
    let model = fixture::model("qwen2_tied");
    for flags in [["--temp", "0", "--seed", "1"], ["--temp", "1.5", "--seed", "7"]] {
        let run = ["run", "--json", "--ignore-eos", &model, "Hello, world!", "-n", "24"];
        let run: Value =
            serde_json::from_str(&Home::new().run([&run[..], &flags].concat()).ok()).unwrap();
        let [_, temperature, _, seed] = flags;
        let options = json!({
            "temperature": temperature.parse::<f64>().unwrap(),
            "seed": seed.parse::<u64>().unwrap(),
            "max_tokens": 24,
            "ignore_eos": true,
        });
        let answer = server.post(CHAT, chat("Hello, world!", &options)).ok();
        assert_eq!(said(&answer), run["text"].as_str().unwrap());
        assert_eq!(answer["object"], "chat.completion");
        assert_eq!(answer["choices"][0]["finish_reason"], "length");
        assert_eq!(answer["choices"][0]["message"]["role"], "assistant");
        let prompt = run["prompt_ids"].as_array().unwrap().len();
        let usage = &answer["usage"];
        assert_eq!(
            (&usage["prompt_tokens"], &usage["completion_tokens"]),
            (&json!(prompt), &json!(24))
        );
        assert_eq!(usage["total_tokens"], prompt + 24);
    }
}

#[test]
fn a_stream_says_the_same_in_pieces() {
    let server = Server::fixture(&["--ctx", "512"]);
    let options =
        json!({ "max_completion_tokens": 20, "ignore_eos": true, "temperature": 0, "n": 2 });
    let whole = server.post(CHAT, chat("Hello", &options)).ok();
    let mut options = options;
    options["stream"] = true.into();
    options["stream_options"] = json!({ "include_usage": true });
    let mut chunks = server.chunks(CHAT, &chat("Hello", &options));
    let last = chunks.pop().unwrap();
    assert_eq!((&last["choices"], &last["usage"]["completion_tokens"]), (&json!([]), &json!(40)));
    for index in 0..2 {
        let of = |chunk: &&Value| chunk["choices"][0]["index"] == index;
        let mine: Vec<&Value> =
            chunks.iter().filter(of).map(|chunk| &chunk["choices"][0]).collect();
        let (first, rest) = mine.split_first().unwrap();
        assert_eq!(first["delta"]["role"], "assistant");
        let (end, middle) = rest.split_last().unwrap();
        assert_eq!((&end["finish_reason"], &end["delta"]), (&json!("length"), &json!({})));
        assert!(middle.iter().all(|choice| choice["finish_reason"].is_null()));
        assert!(middle.len() > 5, "it came in pieces: {middle:?}");
        let text: String =
            middle.iter().map(|choice| choice["delta"]["content"].as_str().unwrap()).collect();
        assert_eq!(text, whole["choices"][index]["message"]["content"].as_str().unwrap());
    }
    assert!(chunks.iter().all(|chunk| chunk["object"] == "chat.completion.chunk"));
    assert!(chunks.iter().all(|chunk| chunk["usage"].is_null() && chunk["id"] == last["id"]));
}

#[test]
fn a_text_is_gone_on_with() {
    let server = Server::fixture(&["--ctx", "512"]);
    let body = json!({ "model": "m", "prompt": "Hello", "max_tokens": 8, "ignore_eos": true });
    let answer = server.post(TEXT, &body).ok();
    assert_eq!(answer["object"], "text_completion");
    let text = answer["choices"][0]["text"].as_str().unwrap();
    let mut echoed = body.clone();
    echoed["echo"] = true.into();
    let echo = server.post(TEXT, &echoed).ok();
    assert_eq!(echo["choices"][0]["text"], format!("Hello{text}"));

    let ids = server.post("/tokenize", json!({ "content": "Hello" })).ok()["tokens"].clone();
    let mut several = body.clone();
    several["prompt"] = json!([ids, [1, 2, 3]]);
    several["n"] = 2.into();
    let choices = server.post(TEXT, &several).ok()["choices"].as_array().unwrap().clone();
    assert_eq!(choices.len(), 4);
    assert_eq!(choices[0]["text"], *text);
    assert_eq!(
        (&choices[1]["text"], &choices[2]["text"]),
        (&choices[0]["text"], &choices[3]["text"])
    );
    assert_ne!(choices[2]["text"], *text);

    echoed["stream"] = true.into();
    let chunks = server.chunks(TEXT, &echoed);
    let streamed: String =
        chunks.iter().map(|chunk| chunk["choices"][0]["text"].as_str().unwrap()).collect();
    assert_eq!(streamed, format!("Hello{text}"));
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "length");
}

#[test]
fn models_tokens_and_prompts_are_told() {
    let server = Server::fixture(&["--ctx", "512"]);
    let models = server.get("/v1/models").ok();
    assert_eq!((&models["object"], &models["data"][1]["id"]), (&json!("list"), &json!("m")));
    assert_eq!(server.get("/v1/models/m").ok()["id"], "m");
    server.get("/v1/models/other/one").refused(404, Some("model"), Some("model_not_found"));
    assert_eq!(server.get("/ready").ok()["status"], "ready");
    assert_eq!(server.get("/").ok()["context"], 512);

    let text = "Hello, <|im_start|>wörld!";
    let tokens = server.post("/tokenize", json!({ "content": text })).ok();
    let expected = Home::new().run(["tokenize", &fixture::model("qwen2_tied"), text]).ok();
    assert_eq!(tokens["tokens"], serde_json::from_str::<Value>(&expected).unwrap());
    assert_eq!(server.post("/detokenize", &tokens).ok()["content"], text);
    let pieces = server.post("/tokenize", json!({ "content": "Hi", "with_pieces": true })).ok();
    let piece = |token: &Value| token["piece"].as_str().unwrap().to_owned();
    assert_eq!(pieces["tokens"].as_array().unwrap().iter().map(piece).collect::<String>(), "Hi");

    let body =
        json!({ "messages": [{ "role": "user", "content": [{ "type": "text", "text": "Hi" }] }] });
    let prompt = server.post("/apply-template", &body).ok()["prompt"].clone();
    let prompt = prompt.as_str().unwrap();
    assert!(
        prompt.ends_with("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"),
        "{prompt}"
    );
}

#[test]
fn the_documentation_lists_the_routes() {
    let text = include_str!("../../../../docs/server.md");
    let row = |line: &'static str| line.strip_prefix("| `")?.split_once("` |")?.0.split_once(' ');
    let listed: Vec<_> =
        text.lines().filter_map(row).filter(|(_, path)| path.starts_with('/')).collect();
    assert_eq!(listed, crane_native::server::ROUTES);
}

#[test]
fn the_routes_describe_themselves() {
    let server = Server::fixture(&["--ctx", "128", "--api-key", "sesame"]);
    let document = server.get("/openapi.json").ok();
    assert_eq!(document, crane_native::server::openapi(true));
    assert_eq!(document["paths"].as_object().unwrap().len(), crane_native::server::ROUTES.len());
    let page = Server::agent().get(server.url("/docs")).call().unwrap();
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert!(!policy.contains("script-src"), "the page has no script");
}

#[test]
fn mistakes_of_the_operator_are_usage_errors() {
    let home = Home::new();
    let model = fixture::model("qwen2_tied");
    let empty = home.file("keys", "\n").display().to_string();
    for (arguments, part) in [
        (&["--parallel", "0"] as &[&str], "at least 1"),
        (&["--ctx", "99999999"], "--ctx"),
        (&["--port", "99999"], "--port"),
        (&["--api-key-file", "missing"], "missing"),
        (&["--api-key-file", &empty], "no key"),
        (&["--max-body", "0"], "--max-body"),
        (&["--timeout", "0"], "--timeout"),
        (&["--max-connections", "0"], "at least 1"),
        (&["--read-timeout", "0"], "--read-timeout"),
        (&["--idle-timeout", "0"], "--idle-timeout"),
        (&["--write-timeout", "0"], "--write-timeout"),
        (&["--cors", "https://chat.example/"], "--cors"),
        (&["--allowed-hosts", "chat.example:80"], "--allowed-hosts"),
        (&["--trusted-proxy", "10.0.0.0/33"], "--trusted-proxy"),
    ] {
        home.run([&["serve", &model], arguments].concat()).fails(2, &[part]);
    }
    home.run(["serve", &model, "--parallel", "1000000"]).fails(4, &["--ctx of", "--kv-type"]);
    let server = Server::fixture(&["--ctx", "128"]);
    let port = server.address.rsplit(':').next().unwrap();
    home.run(["serve", &model, "--ctx", "128", "--port", port]).fails(1, &["cannot listen", port]);
}
