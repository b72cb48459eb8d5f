//! Whose prompts share what was evaluated, and that nobody else learns of it.

use serde_json::{Value, json};

use super::client::{Answer, Server};
use super::{CHAT, TEXT};

const SECRET: &str =
    "The merger with Borealis closes on the ninth of March; tell nobody before that day.";
const WRONG: &str =
    "A sentence of the same length, which has nothing at all in common with any other one";

fn of(text: &str, fields: Value) -> Value {
    let mut body = json!({ "prompt": text, "max_tokens": 1, "ignore_eos": true });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

/// Tokens of the prompt, and of those the ones that were not evaluated.
fn tokens(answer: Answer) -> (u64, u64) {
    let usage = answer.ok()["usage"].clone();
    let count = |value: &Value| value.as_u64().unwrap();
    (count(&usage["prompt_tokens"]), count(&usage["prompt_tokens_details"]["cached_tokens"]))
}

/// Tokens that all prompts together did not need to evaluate.
fn found(server: &Server) -> f64 {
    let text = Server::agent().get(server.url("/metrics")).call().unwrap();
    let text = text.into_body().read_to_string().unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("crane_cached_tokens_total"))
        .unwrap_or_else(|| panic!("{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn another_key_learns_nothing_of_a_prompt() {
    let server = Server::fixture(&["--ctx", "512", "--api-key", "alice", "--api-key", "bob"]);
    let cached = |key: &str, text: &str, fields: Value| {
        tokens(server.post_as(key, TEXT, of(text, fields))).1
    };
    let (prompt, _) = tokens(server.post_as("alice", TEXT, of(SECRET, json!({}))));
    let before = found(&server);
    for guess in [WRONG, SECRET] {
        assert_eq!(cached("bob", guess, json!({})), 0, "{guess}");
    }
    // The work is the same too, whatever it says.
    assert_eq!(found(&server), before);
    assert_eq!(cached("alice", SECRET, json!({})), prompt - 1);
    // Own guesses are found, and do not replace hers.
    assert_eq!(cached("bob", SECRET, json!({})), prompt - 1);
    assert!(found(&server) > before);
}

#[test]
fn users_and_salts_divide_a_key() {
    let server = Server::fixture(&["--ctx", "512", "--api-key", "alice"]);
    let ask = |fields: Value| tokens(server.post_as("alice", TEXT, of(SECRET, fields)));
    for fields in [
        json!({}),
        json!({ "user": "ann" }),
        json!({ "user": "bea" }),
        json!({ "cache_salt": "ann" }),
        json!({ "user": "ann", "cache_salt": "ann" }),
    ] {
        let (_, cached) = ask(fields.clone());
        assert_eq!(cached, 0, "{fields}");
        let (prompt, cached) = ask(fields.clone());
        assert_eq!(cached, prompt - 1, "{fields}");
    }
    let refused = server.post_as("alice", TEXT, of(SECRET, json!({ "cache_salt": 5 })));
    refused.refused(400, Some("cache_salt"), Some("invalid_type"));
}

#[test]
fn all_share_where_the_operator_says_so_and_on_this_machine_alone() {
    let keys = ["--ctx", "512", "--api-key", "alice", "--api-key", "bob", "--share-prefix-cache"];
    let shared = Server::fixture(&keys);
    let (prompt, _) = tokens(shared.post_as("alice", TEXT, of(SECRET, json!({}))));
    assert_eq!(tokens(shared.post_as("bob", TEXT, of(SECRET, json!({})))).1, prompt - 1);
    let salted = of(SECRET, json!({ "cache_salt": "mine" }));
    assert_eq!(tokens(shared.post_as("bob", TEXT, salted)).1, 0);

    let alone = Server::fixture(&["--ctx", "512"]);
    tokens(alone.post(TEXT, of(SECRET, json!({ "user": "ann" }))));
    assert_eq!(tokens(alone.post(TEXT, of(SECRET, json!({ "user": "bea" })))).1, prompt - 1);
}

#[test]
fn two_with_the_same_prompt_do_not_wait_for_each_other() {
    // Those of one key begin when the first has evaluated the prompt; the time would tell another key of it.
    let server = Server::fixture(&["--ctx", "32768", "--api-key", "alice", "--api-key", "bob"]);
    let long = "word ".repeat(3000);
    let endless = json!({
        "messages": [{ "role": "user", "content": long }],
        "ignore_eos": true, "stream": true, "max_tokens": 20_000,
    });
    let mut alice = server.lines_as("alice", CHAT, &endless);
    alice.next().unwrap();
    let mut bob = server.lines_as("bob", CHAT, &endless);
    bob.next().unwrap();
    server.wait_for_running(2);
}
