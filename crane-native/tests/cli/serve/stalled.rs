//! Clients that ask and do not read: what they hold is given back all the same.

#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Connection, Server};
use super::{CHAT, TEXT};
use crate::fixture;

/// Asks for a long stream, and does not read it.
fn stall(server: &Server, model: &str, tokens: usize) -> Connection {
    let body = json!({
        "model": model, "messages": [{ "role": "user", "content": "Go on" }], "max_tokens": tokens,
        "ignore_eos": true, "stream": true, "logprobs": true, "top_logprobs": 20,
    });
    let mut connection = server.connect_from("127.0.0.1");
    connection.ask(&format!("POST {CHAT}"), &[], &body.to_string());
    connection
}

/// What the system has of a server's connections that its clients have not taken in.
fn wait_for_stalled(server: &Server) {
    let port = server.host().rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let (port, start) = (format!(":{port:04X}"), Instant::now());
    let mut before = 0;
    loop {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let unsent = |line: &str| {
            let mut words = line.split_whitespace().skip(1);
            let is_ours = words.next()?.ends_with(&port);
            let (unsent, _) = words.nth(2)?.split_once(':')?;
            is_ours.then(|| u64::from_str_radix(unsent, 16).unwrap())
        };
        let unsent: u64 = table.lines().skip(1).filter_map(unsent).sum();
        // No more goes into the system's buffers.
        if unsent > 0 && unsent == before {
            return;
        }
        before = unsent;
        assert!(start.elapsed() < Duration::from_secs(60), "{unsent} bytes are on their way");
        std::thread::sleep(Duration::from_millis(300));
    }
}

#[test]
fn a_deadline_frees_the_slot_of_a_client_that_does_not_read() {
    let options = ["--ctx", "32768", "--parallel", "1", "--timeout", "4", "--write-timeout", "600"];
    let server = Server::fixture(&options);
    let mut stalled = stall(&server, "m", 32000);
    server.wait_for_running(1);
    server.wait_for_running(0);
    assert!(!stalled.is_over());
    server.post(TEXT, json!({ "prompt": "Hi", "max_tokens": 2 })).ok();
    let mut metrics = Server::agent().get(server.url("/metrics")).call().unwrap();
    let metrics = metrics.body_mut().read_to_string().unwrap();
    let late = "crane_requests_timed_out_total{path=\"/v1/chat/completions\"} 1";
    assert!(metrics.lines().any(|line| line == late), "{metrics}");
    // Whoever reads after all, learns it.
    let told = stalled.rest_of_stream();
    assert!(told.contains("\"code\":\"timeout\""), "{told}");
}

#[test]
fn a_client_that_does_not_read_is_left() {
    let options = ["--ctx", "32768", "--parallel", "1", "--write-timeout", "1"];
    let server = Server::fixture(&options);
    let mut stalled = stall(&server, "m", 32000);
    server.wait_for_running(1);
    // Without any --timeout, the slot is free once the connection is cut.
    server.wait_for_running(0);
    server.post(TEXT, json!({ "prompt": "Hi", "max_tokens": 2 })).ok();
    let told = stalled.rest();
    assert!(told.starts_with("HTTP/1.1 200") && !told.contains("[DONE]"));
}

#[test]
fn a_model_is_given_back_when_it_has_written_whatever_was_read() {
    let models = ["qwen2_tied", "qwen2_untied_sharded"].map(fixture::model);
    let options = ["--ctx", "32768", "--max-loaded", "1", "--write-timeout", "600"];
    let server = Server::several(&models, &options);
    let mut stalled = stall(&server, "qwen2_tied", 3000);
    wait_for_stalled(&server);
    // The other one needs its place.
    let body = json!({ "model": "qwen2_untied_sharded", "prompt": "Hi", "max_tokens": 2 });
    server.post(TEXT, &body).ok();
    let states = server.get("/health").ok()["models"].clone();
    let state = |index: usize| states[index]["state"].as_str().unwrap().to_owned();
    assert_eq!([state(0), state(1)], ["unloaded", "loaded"]);
    // What was written is there to be read.
    let told = stalled.rest_of_stream();
    assert!(told.contains("data: [DONE]"), "{}", told.len());
    let is_chunk = |line: &&str| line.starts_with("data: {");
    let last: Value = serde_json::from_str(&told.lines().rfind(is_chunk).unwrap()[6..]).unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "length");
}
