//! Many at a time: who waits, who is refused, what is shared, how it ends.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::Server;
use super::{CHAT, TEXT, chat, said};

/// A reply that takes longer than any test waits.
fn endless(stream: bool) -> Value {
    chat("Go on", &json!({ "max_tokens": 30000, "ignore_eos": true, "stream": stream }))
}

#[test]
fn a_reply_does_not_depend_on_its_neighbours() {
    let server = Server::fixture(&["--ctx", "1024", "--parallel", "4"]);
    let ask = |index: usize| {
        // Prompts of one and of several chunks, drawn with seeds.
        let words = "word ".repeat(1 + 30 * (index % 4));
        let options =
            json!({ "max_tokens": 40, "ignore_eos": true, "temperature": 1.5, "seed": index });
        said(&server.post(CHAT, chat(&format!("{index} {words}"), &options)).ok())
    };
    let alone: Vec<String> = (0..12).map(ask).collect();
    let among: Vec<String> = thread::scope(|scope| {
        let asked: Vec<_> = (0..12).map(|index| scope.spawn(move || ask(index))).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert_eq!(alone, among);
    assert_eq!(alone.iter().collect::<std::collections::BTreeSet<_>>().len(), 12);
}

#[test]
fn a_beginning_that_was_read_is_not_read_again() {
    let server = Server::fixture(&["--ctx", "1024", "--parallel", "3"]);
    let system = "You are careful. ".repeat(30);
    let ask = |question: &str, n: usize| {
        let body = json!({
            "messages": [{ "role": "system", "content": system }, { "role": "user", "content": question }],
            "max_tokens": 4, "ignore_eos": true, "n": n,
        });
        server.post(CHAT, &body).ok()["usage"].clone()
    };
    let cached = |usage: &Value| usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
    let first = ask("Who are you?", 1);
    assert_eq!(cached(&first), 0);
    let prompt = first["prompt_tokens"].as_u64().unwrap();
    assert_eq!(cached(&ask("Who are you?", 1)), prompt - 1);
    let other = ask("What is it?", 1);
    assert!(cached(&other) + 60 > prompt && cached(&other) < prompt, "{other}");
    // Slots that were never used share it, while the one that has it is busy.
    let mut busy = server.lines(
        CHAT,
        &json!({
            "messages": [{ "role": "system", "content": system }, { "role": "user", "content": "Who are you?" }],
            "max_tokens": 500, "ignore_eos": true, "stream": true,
        }),
    );
    busy.next().unwrap();
    assert!(cached(&ask("What is it?", 3)) + 60 > prompt);
    assert!(
        server.post(CHAT, chat("Hi", &json!({ "max_tokens": 1 }))).ok()["usage"]["prompt_tokens"]
            .as_u64()
            < Some(prompt)
    );
}

#[test]
fn a_beginning_outlives_the_replies_that_came_between() {
    // One slot, with room for all three prompts.
    let server = Server::fixture(&["--ctx", "1024", "--parallel", "1"]);
    let ask = |name: &str| {
        let system = format!("You are {name}. ").repeat(12);
        let messages =
            json!([{ "role": "system", "content": system }, { "role": "user", "content": "Go" }]);
        let body = json!({ "messages": messages, "max_tokens": 4, "ignore_eos": true });
        let answer = server.post(CHAT, &body).ok();
        let count = |usage: &Value| usage.as_u64().unwrap();
        let usage = &answer["usage"];
        let cached = count(&usage["prompt_tokens_details"]["cached_tokens"]);
        (answer["choices"][0]["message"]["content"].clone(), count(&usage["prompt_tokens"]), cached)
    };
    let names = ["careful", "brief", "honest"];
    let first: Vec<_> = names.iter().map(|name| ask(name)).collect();
    assert!(first.iter().all(|(_, prompt, cached)| *cached < 20 && *prompt > 100), "{first:?}");
    for (name, (text, prompt, _)) in names.iter().zip(&first) {
        assert_eq!(ask(name), (text.clone(), *prompt, prompt - 1));
    }
}

#[test]
fn old_beginnings_make_room_for_new_ones() {
    let server = Server::fixture(&["--ctx", "256", "--parallel", "2"]);
    let ask = |token: u32| {
        let body = json!({ "prompt": vec![token; 200], "max_tokens": 1, "ignore_eos": true });
        let answer = server.post(TEXT, &body).ok();
        answer["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap()
    };
    // Two prompts of four pages fill the eight that the slots may take.
    assert_eq!([ask(30), ask(40), ask(50), ask(60), ask(60)], [0, 0, 0, 0, 199]);
    assert_eq!(ask(30), 0);
}

#[test]
fn beyond_the_queue_requests_are_refused_and_told_when_to_return() {
    let server = Server::fixture(&["--ctx", "32768", "--parallel", "1", "--queue", "1"]);
    let mut running = server.lines(CHAT, &endless(true));
    running.next().unwrap();
    server.wait_for_running(1);
    thread::scope(|scope| {
        let small = || server.post(CHAT, chat("Hi", &json!({ "max_tokens": 2 })));
        let waiting = scope.spawn(small);
        while server.get("/health").json["waiting"] != 1 {
            thread::sleep(Duration::from_millis(5));
        }
        let refused = small();
        assert!(refused.retry_after.is_some_and(|seconds| seconds > 0), "{refused:?}");
        refused.refused(429, None, Some("server_busy"));
        // Places are kept for others.
        assert_eq!(server.get("/ready").ok()["status"], "ready");
        // Whoever leaves frees the slot at once.
        drop(running);
        waiting.join().unwrap().ok();
    });
    server.wait_for_running(0);
}

#[test]
fn who_does_not_wait_for_a_whole_answer_frees_its_slot() {
    let server = Server::fixture(&["--ctx", "32768", "--parallel", "1", "--queue", "0"]);
    let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_millis(500)));
    let impatient = config.proxy(None).build().new_agent();
    assert!(impatient.post(server.url(CHAT)).send(endless(false).to_string()).is_err());
    server.wait_for_running(0);
    server.post(TEXT, json!({ "prompt": "Hi", "max_tokens": 2 })).ok();
}

#[test]
fn a_server_that_is_told_to_end_lets_replies_end() {
    let server = Server::fixture(&["--ctx", "32768"]);
    let body = chat("Hi", &json!({ "max_tokens": 3000, "ignore_eos": true, "stream": true }));
    let mut lines = server.lines(CHAT, &body);
    lines.next().unwrap();
    server.terminate();
    assert_eq!(lines.last().as_deref(), Some("data: [DONE]"));
    let outcome = server.ended();
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    for part in ["memory: weights", "4 slots of 32768 tokens", "waiting for the replies"] {
        assert!(outcome.stderr.contains(part), "{part}: {}", outcome.stderr);
    }
}

#[test]
fn replies_that_do_not_end_in_time_are_given_up() {
    let server = Server::fixture(&["--ctx", "32768", "--drain", "1"]);
    let mut lines = server.lines(CHAT, &endless(true));
    lines.next().unwrap();
    server.terminate();
    assert!(lines.last().unwrap().contains("shutting_down"));
    assert_eq!(server.ended().code, Some(0));
}

#[test]
fn a_key_opens_the_server_and_a_page_of_another_origin_may_not_ask() {
    let server =
        Server::fixture(&["--ctx", "128", "--api-key", "one,two", "--cors", "https://a.example"]);
    let invalid = Some("invalid_api_key");
    server.get("/v1/models").refused(401, None, invalid);
    server.get("/health").ok();
    for (header, value, status) in [
        ("authorization", "Bearer two", 200),
        ("authorization", "bearer one", 200),
        ("x-api-key", "one", 200),
        ("authorization", "Bearer three", 401),
        ("authorization", "one", 401),
    ] {
        let agent = Server::agent();
        let answer = agent.get(server.url("/v1/models")).header(header, value).call().unwrap();
        assert_eq!(answer.status(), status, "{header}: {value}");
    }
    for (origin, allowed) in [("https://a.example", true), ("https://b.example", false)] {
        let answer =
            Server::agent().get(server.url("/health")).header("origin", origin).call().unwrap();
        let header = answer.headers().get("access-control-allow-origin");
        assert_eq!(header.is_some(), allowed, "{origin}");
    }
}

#[test]
fn a_large_body_is_refused_in_the_same_shape() {
    let server = Server::fixture(&["--ctx", "128", "--max-body", "1"]);
    let large = json!({ "prompt": "x".repeat(1 << 20) });
    server.post(TEXT, large).refused(413, None, Some("body_too_large"));
}

#[test]
fn prometheus_learns_what_was_done() {
    let server = Server::fixture(&["--ctx", "256", "--api-key", "sesame"]);
    let metrics = || {
        let mut answer = Server::agent().get(server.url("/metrics")).call().unwrap();
        assert_eq!(answer.status(), 200);
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
        answer.body_mut().read_to_string().unwrap()
    };
    let value = |text: &str, name: &str| -> f64 {
        let start = format!("{name}{{model=\"qwen2_tied\"");
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    assert_eq!(value(&metrics(), "crane_generated_tokens_total"), 0.0);
    let body = chat("Hello", &json!({ "max_tokens": 7, "ignore_eos": true }));
    for _ in 0..2 {
        let request = Server::agent().post(server.url(CHAT)).header("x-api-key", "sesame");
        assert_eq!(request.send(body.to_string()).unwrap().status(), 200);
    }
    // A reply is sent before its slot is free.
    server.wait_for_running(0);
    let text = metrics();
    for (name, expected) in [
        ("crane_slots", 4.0),
        ("crane_replies_running", 0.0),
        ("crane_replies_waiting", 0.0),
        ("crane_generated_tokens_total", 14.0),
        ("crane_replies_total", 2.0),
        ("crane_time_to_first_token_seconds_count", 2.0),
        ("crane_inter_token_seconds_count", 12.0),
        ("crane_reply_seconds_count", 2.0),
    ] {
        assert_eq!(value(&text, name), expected, "{name}");
    }
    assert!(text.contains("reason=\"length\"} 2\n"), "{text}");
    // The second prompt was in a slot, but for its last token.
    let prompts = value(&text, "crane_prompt_tokens_total");
    assert_eq!(value(&text, "crane_cached_tokens_total"), prompts / 2.0 - 1.0);
    assert!(text.ends_with("# EOF\n"), "{text}");
}
