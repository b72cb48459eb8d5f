//! Fair turns: one who asks for much does not keep another waiting.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::Server;
use super::{CHAT, chat};

fn text(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap()
}

fn waiting(server: &Server) -> u64 {
    server.get("/health").json["waiting"].as_u64().unwrap()
}

#[test]
fn a_quiet_key_does_not_wait_for_the_queue_of_another() {
    let keys = ["--api-key", "hostile", "--api-key", "quiet"];
    let server = Server::fixture(
        &[&["--ctx", "8192", "--parallel", "1", "--queue", "32", "--drain", "0"], &keys[..]]
            .concat(),
    );
    let long = json!({ "max_tokens": 7000, "ignore_eos": true });
    thread::scope(|scope| {
        for number in 0..33 {
            let mut fields = long.clone();
            fields["user"] = format!("made up {number}").into();
            let server = &server;
            scope.spawn(move || {
                // It is given up before it ends.
                let body = chat("Go on", &fields).to_string();
                let config = ureq::Agent::config_builder().proxy(None);
                let agent =
                    config.timeout_global(Some(Duration::from_secs(20))).build().new_agent();
                let request =
                    agent.post(server.url(CHAT)).header("authorization", "Bearer hostile");
                let _ = request.send(body);
            });
        }
        while waiting(&server) < 32 {
            thread::sleep(Duration::from_millis(5));
        }
        let small = |key: &str| {
            server.post_as(key, CHAT, chat("Hi", &json!({ "max_tokens": 2, "ignore_eos": true })))
        };
        small("hostile").refused(429, None, Some("server_busy"));
        // All 33 are there when the quiet one is answered, and would be for long.
        for _ in 0..3 {
            assert_eq!(server.get("/ready").ok()["status"], "ready");
            small("quiet").ok();
            // The one that was put aside may not have gone on yet.
            assert!(waiting(&server) >= 32);
        }
        server.terminate();
    });
}

#[test]
fn what_is_put_aside_says_the_same() {
    // So little room that what is put aside loses what it has evaluated.
    let keys = ["--api-key", "first", "--api-key", "second"];
    let server = Server::fixture(
        &[&["--ctx", "512", "--parallel", "1", "--queue", "8"], &keys[..]].concat(),
    );
    let ask = |key: &str, question: &str| {
        let fields =
            json!({ "max_tokens": 300, "ignore_eos": true, "temperature": 1.0, "seed": 5 });
        let question = format!("{question} ").repeat(30);
        let answer = server.post_as(key, CHAT, chat(&question, &fields)).ok();
        (text(&answer).to_owned(), answer["usage"]["completion_tokens"].clone())
    };
    let alone = [ask("first", "north"), ask("second", "south")];
    for _ in 0..3 {
        let together = thread::scope(|scope| {
            let first = scope.spawn(|| ask("first", "north"));
            let second = scope.spawn(|| ask("second", "south"));
            [first.join().unwrap(), second.join().unwrap()]
        });
        assert_eq!(together, alone);
    }
    assert_eq!(waiting(&server), 0);
}
