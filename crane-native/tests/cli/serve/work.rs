//! What a request takes before it reaches a model: bounded, in turn, and ended when nobody waits for it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::Server;
use super::{CHAT, TEXT, chat, tools};
use crate::reference::weights;
use crate::support::Home;

const SPEECH: &str = "/v1/audio/speech";

/// A text that takes the tokenizer a while.
fn long_text() -> String {
    "Jackdaws love my big sphinx of quartz. ".repeat((1 << 20) / 39)
}

/// Waits until `/health` says it.
#[track_caller]
fn wait_until(server: &Server, says: impl Fn(&Value) -> bool) {
    let start = Instant::now();
    loop {
        let health = server.get("/health").ok();
        if says(&health) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{health}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn is_idle(health: &Value) -> bool {
    health["preparing"] == json!({ "running": 0, "waiting": 0 }) && health["running"] == 0
}

/// A connection that has sent the head of a request with a body of so many bytes.
fn head(server: &Server, path: &str, bytes: usize) -> TcpStream {
    let host = server.address.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {bytes}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// A connection that has sent a request and reads nothing.
fn silent(server: &Server, path: &str, body: &Value) -> TcpStream {
    let body = body.to_string();
    let mut stream = head(server, path, body.len());
    stream.write_all(body.as_bytes()).unwrap();
    stream
}

#[test]
fn what_is_too_long_is_told_before_anything_is_compiled() {
    let home = Home::new();
    let server = tools::server(&home);
    // A schema that cannot be compiled: whoever compiles it says so.
    let broken = json!({ "type": "function", "function": { "name": "f", "strict": true, "parameters": {
        "type": "object", "properties": { "a": { "type": "string", "pattern": "(" } } } } });
    let ask = |question: &str| {
        server.post(CHAT, chat(question, &json!({ "max_tokens": 1, "tools": [broken] })))
    };
    ask("Hi").refused(400, Some("tools[0].function.parameters"), Some("invalid_value"));
    let too_long =
        |question: &str| ask(question).refused(400, None, Some("context_length_exceeded"));
    assert!(too_long(&"word ".repeat(5000)).contains("tokens and"));
    // Its bytes tell it, and the tokenizer is not asked.
    assert!(too_long(&"word ".repeat(400_000)).contains("bytes"));
    let grammar = json!({ "prompt": "word ".repeat(5000), "max_tokens": 1, "grammar": "start: (" });
    server.post(TEXT, grammar).refused(400, None, Some("context_length_exceeded"));
}

#[test]
fn every_limit_is_told() {
    let server = Server::fixture(&["--ctx", "512", "--parallel", "2", "--queue", "1"]);
    let message = json!({ "role": "user", "content": "x" });
    let value = Some("invalid_value");
    for (path, body, param) in [
        ("/tokenize", json!({ "content": "x".repeat((1 << 20) + 1) }), "content"),
        ("/v1/embeddings", json!({ "input": ["a", "x".repeat((1 << 20) + 1)] }), "input[1]"),
        (
            "/v1/messages/count_tokens",
            json!({ "messages": [{ "role": "user", "content": "x".repeat(1 << 20) }] }),
            "messages",
        ),
        (CHAT, json!({ "messages": vec![message.clone(); 8193] }), "messages"),
        ("/v1/responses", json!({ "input": vec![message.clone(); 8193] }), "input"),
        ("/apply-template", json!({ "messages": vec![message.clone(); 8193] }), "messages"),
        (CHAT, json!({ "messages": [message], "n": 4 }), "n"),
        (TEXT, json!({ "prompt": vec!["x"; 4] }), "prompt"),
        (TEXT, json!({ "prompt": "x", "stop": ["x".repeat(4097)] }), "stop[0]"),
    ] {
        let answer = server.post(path, &body);
        if path.starts_with("/v1/messages") {
            // Anthropic's shape has no place for the field.
            assert_eq!(answer.status, 400, "{}", answer.json);
            continue;
        }
        let message = answer.refused(400, Some(param), value);
        assert!(message.contains("at most") || message.contains("at a time"), "{message}");
    }
    // The head is enough: nothing more is sent, and the answer comes.
    for (path, most) in [("/tokenize", 4 << 20), ("/detokenize", 8 << 20), (SPEECH, 128 << 10)] {
        let mut stream = head(&server, path, most + 1);
        let mut answer = [0; 4096];
        let count = stream.read(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer[..count]);
        assert!(
            answer.starts_with("HTTP/1.1 413") && answer.contains(&most.to_string()),
            "{answer}"
        );
    }
    for (body, part) in [
        (format!("{{\"prompt\": {}", "[".repeat(200)), "127"),
        (format!("{{\"prompt\": [{}1]}}", "1,".repeat(1_000_000)), "1000000"),
    ] {
        let message = server.post(TEXT, body).refused(400, None, None);
        assert!(message.contains(part), "{message}");
    }
    // What is below them is read.
    server.post("/tokenize", json!({ "content": "x ".repeat(1 << 19) })).ok();
}

#[test]
fn tokens_with_their_texts_take_little_memory() {
    let server = Server::fixture(&["--ctx", "512"]);
    let text = long_text();
    let body = json!({ "content": text, "with_pieces": true });
    let (before, answer) = (server.peak(), server.post("/tokenize", &body).ok());
    let tokens = answer["tokens"].as_array().unwrap();
    let pieces: String = tokens.iter().map(|token| token["piece"].as_str().unwrap()).collect();
    assert_eq!(pieces, text);
    let taken = (server.peak() - before) >> 20;
    assert!(taken < 256, "{taken} MiB");
    // A part of a character is a list of bytes, as before.
    let parts = server.post("/tokenize", json!({ "content": "𝄞", "with_pieces": true })).ok();
    let bytes =
        parts["tokens"].as_array().unwrap().iter().flat_map(|token| match &token["piece"] {
            Value::String(text) => text.bytes().collect::<Vec<u8>>(),
            list => serde_json::from_value(list.clone()).unwrap(),
        });
    assert_eq!(bytes.collect::<Vec<u8>>(), "𝄞".as_bytes());
}

#[test]
fn many_large_requests_do_not_keep_out_a_small_one() {
    let server = Server::fixture(&["--ctx", "512", "--queue", "64"]);
    let body = json!({ "content": long_text() });
    let ended = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                assert_eq!(server.post("/tokenize", &body).status, 200);
                ended.fetch_add(1, Ordering::SeqCst);
            });
        }
        wait_until(&server, |health| health["preparing"]["waiting"].as_u64() > Some(8));
        server.post(TEXT, json!({ "prompt": "Hi", "max_tokens": 1 })).ok();
        server.post(CHAT, chat("Hi", &json!({ "max_tokens": 1 }))).ok();
        // The others are still at it.
        assert!(ended.load(Ordering::SeqCst) < 24);
    });
    wait_until(&server, is_idle);
}

#[test]
fn more_than_may_be_prepared_are_told_to_come_back() {
    let server = Server::fixture(&["--ctx", "512", "--parallel", "1", "--queue", "0"]);
    let body = json!({ "content": long_text() });
    let (mut taken, mut refused) = (0, 0);
    thread::scope(|scope| {
        let asked: Vec<_> =
            (0..40).map(|_| scope.spawn(|| server.post("/tokenize", &body))).collect();
        for answer in asked.into_iter().map(|asked| asked.join().unwrap()) {
            match answer.status {
                200 => taken += 1,
                _ => {
                    assert!(answer.retry_after.is_some_and(|seconds| seconds > 0), "{answer:?}");
                    answer.refused(429, None, Some("server_busy"));
                    refused += 1;
                }
            }
        }
    });
    assert!(taken >= 16 && refused > 0, "{taken} {refused}");
    wait_until(&server, is_idle);
    server.post("/tokenize", json!({ "content": "Hi" })).ok();
}

#[test]
fn who_leaves_or_is_late_leaves_no_work() {
    let server = Server::fixture(&["--ctx", "8192", "--timeout", "2", "--parallel", "1"]);
    let body = json!({ "content": long_text() });
    let gone: Vec<TcpStream> = (0..12).map(|_| silent(&server, "/tokenize", &body)).collect();
    wait_until(&server, |health| health["preparing"]["waiting"].as_u64() > Some(4));
    drop(gone);
    wait_until(&server, is_idle);
    // A prompt that is being read is left between two layers, and the slot is free.
    let body = json!({ "prompt": vec![5; 8000], "max_tokens": 8, "ignore_eos": true });
    let reads = silent(&server, TEXT, &body);
    wait_until(&server, |health| health["running"] == 1 || is_idle(health));
    drop(reads);
    wait_until(&server, is_idle);
    let short = json!({ "prompt": "Hi", "max_tokens": 1 });
    assert_eq!(server.post(TEXT, short).status, 200);
    // Afterwards nothing is computed.
    thread::sleep(Duration::from_millis(500));
    let (before, start) = (server.processor_time(), Instant::now());
    thread::sleep(Duration::from_secs(2));
    let (used, passed) = (server.processor_time() - before, start.elapsed());
    assert!(used < passed / 4, "{used:?} of {passed:?}");
}

#[test]
fn a_voice_ends_whatever_the_text_and_whoever_listens() {
    let Some(voice) = weights("hibari/hibari.onnx") else { return };
    let voice = voice.parent().unwrap().to_str().unwrap().to_owned();
    let server = Server::fixture(&["--ctx", "128", "--timeout", "2", "--speech", &voice]);
    let say = |text: &str| {
        let body = json!({ "input": text, "response_format": "pcm" });
        let mut answer = Server::agent().post(server.url(SPEECH)).send(body.to_string()).unwrap();
        let status = answer.status().as_u16();
        let mut sound = Vec::new();
        // What is late is cut.
        let whole = answer.body_mut().as_reader().read_to_end(&mut sound).is_ok();
        (status, whole)
    };
    // A word of so many parts takes minutes to be read.
    for text in ["well-".repeat(800) + "known", "https://e.com/".to_owned() + &"a/".repeat(2000)] {
        let (status, whole) = say(&text);
        assert!(status == 504 || !whole || status == 200, "{status}");
        assert_eq!(say("Hello."), (200, true), "after {} characters", text.len());
    }
    // A client that reads nothing has the voice until its time is up, and no longer.
    let text = "This sentence is said again and again. ".repeat(100);
    let stalled = silent(&server, SPEECH, &json!({ "input": text, "response_format": "pcm" }));
    thread::sleep(Duration::from_millis(2500));
    assert_eq!(say("Hello."), (200, true));
    assert_eq!(server.get("/ready").ok()["status"], "ready");
    drop(stalled);
}
