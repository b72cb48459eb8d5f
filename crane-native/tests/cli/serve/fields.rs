//! Every field of a request acts, or is refused by its name.

use serde_json::{Value, json};

use super::client::Server;
use super::{CHAT, TEXT, chat, said};

#[test]
fn fields_change_what_is_said() {
    let server = Server::fixture(&["--ctx", "512"]);
    let answer = |fields: Value| {
        let mut options = json!({ "max_tokens": 16, "ignore_eos": true });
        options.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        server.post(CHAT, chat("Hello", &options)).ok()
    };
    let ask = |fields: Value| said(&answer(fields));
    let greedy = ask(json!({}));
    let hot = ask(json!({ "temperature": 2, "seed": 7 }));
    assert_ne!(hot, greedy);
    assert_eq!(ask(json!({ "temperature": 2, "seed": 7 })), hot, "a seed repeats");
    assert_ne!(ask(json!({ "temperature": 2, "seed": 8 })), hot);
    for (name, value) in [("top_k", json!(1)), ("top_p", json!(0)), ("min_p", json!(1))] {
        assert_eq!(ask(json!({ "temperature": 2, "seed": 7, name: value })), greedy, "{name}");
    }
    assert_ne!(ask(json!({ "temperature": 2, "seed": 7, "typical_p": 0.1 })), hot);
    for name in ["repeat_penalty", "repetition_penalty"] {
        assert_ne!(ask(json!({ name: 50 })), greedy, "{name}");
    }
    assert_ne!(ask(json!({ "presence_penalty": 2 })), greedy);
    assert_ne!(ask(json!({ "frequency_penalty": 2 })), greedy);
    assert_ne!(
        ask(json!({ "repeat_penalty": 50, "repeat_last_n": 1 })),
        ask(json!({ "repeat_penalty": 50 }))
    );

    let stop: String = greedy.chars().skip(4).take(2).collect();
    let stopped = answer(json!({ "stop": ["never said", stop] }));
    assert_eq!(said(&stopped), greedy[..greedy.find(&stop).unwrap()]);
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    // The end-of-sequence token, made the likeliest.
    let ended = answer(json!({ "logit_bias": { "402": 100 }, "ignore_eos": false }));
    assert_eq!(
        (said(&ended).as_str(), &ended["choices"][0]["finish_reason"]),
        ("", &json!("stop"))
    );
    assert_eq!(ended["usage"]["completion_tokens"], 1);

    let seeds = answer(json!({ "temperature": 2, "seed": 7, "n": 2 }));
    let content = |index: usize| seeds["choices"][index]["message"]["content"].clone();
    assert_eq!(
        (content(0), content(1)),
        (hot.into(), ask(json!({ "temperature": 2, "seed": 8 })).into())
    );
}

#[test]
fn log_probabilities_are_of_the_tokens_that_were_said() {
    let server = Server::fixture(&["--ctx", "512"]);
    let options =
        json!({ "max_tokens": 8, "ignore_eos": true, "logprobs": true, "top_logprobs": 3 });
    let answer = server.post(CHAT, chat("Hello", &options)).ok();
    let content = answer["choices"][0]["logprobs"]["content"].as_array().unwrap().clone();
    assert_eq!(content.len(), 8);
    let mut bytes = Vec::new();
    for entry in &content {
        let top = entry["top_logprobs"].as_array().unwrap();
        // Greedy: the chosen token is the likeliest.
        assert_eq!(
            (top.len(), &top[0]["logprob"], &top[0]["token"]),
            (3, &entry["logprob"], &entry["token"])
        );
        assert!(entry["logprob"].as_f64().unwrap() <= 0.0);
        bytes.extend(
            entry["bytes"].as_array().unwrap().iter().map(|byte| byte.as_u64().unwrap() as u8),
        );
    }
    assert_eq!(String::from_utf8_lossy(&bytes), said(&answer));

    let mut streamed = options.clone();
    streamed["stream"] = true.into();
    let chunks = server.chunks(CHAT, &chat("Hello", &streamed));
    let entries =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array());
    assert_eq!(entries.flatten().cloned().collect::<Vec<_>>(), content);

    let body = json!({ "prompt": "Hello", "max_tokens": 4, "ignore_eos": true, "logprobs": 2 });
    let logprobs = server.post(TEXT, &body).ok()["choices"][0]["logprobs"].clone();
    for name in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
        assert_eq!(logprobs[name].as_array().unwrap().len(), 4, "{name}");
    }
    assert_eq!(logprobs["text_offset"][0], 0);
}

#[test]
fn what_cannot_act_is_refused_by_its_name() {
    let server = Server::fixture(&["--ctx", "128"]);
    let invalid = Some("invalid_value");
    let wrong = Some("invalid_type");
    let unsupported = Some("unsupported_parameter");
    for (fields, param, code) in [
        (json!({ "temperature": 3 }), "temperature", invalid),
        (json!({ "temperature": "hot" }), "temperature", wrong),
        (json!({ "top_p": -0.1 }), "top_p", invalid),
        (json!({ "typical_p": 0 }), "typical_p", invalid),
        (json!({ "top_k": -2 }), "top_k", invalid),
        (json!({ "repeat_last_n": -2 }), "repeat_last_n", invalid),
        (json!({ "max_tokens": -3 }), "max_tokens", invalid),
        (json!({ "repeat_penalty": 0 }), "repeat_penalty", invalid),
        (json!({ "repeat_penalty": 1, "repetition_penalty": 1 }), "repetition_penalty", invalid),
        (json!({ "presence_penalty": 5 }), "presence_penalty", invalid),
        (json!({ "seed": 1.5 }), "seed", invalid),
        (json!({ "n": 0 }), "n", invalid),
        (json!({ "n": 100 }), "n", invalid),
        (json!({ "max_tokens": 0 }), "max_tokens", invalid),
        (json!({ "max_tokens": 1, "max_completion_tokens": 1 }), "max_tokens", invalid),
        (json!({ "stop": 3 }), "stop", wrong),
        (json!({ "stop": ["a", 1] }), "stop[1]", wrong),
        (json!({ "logit_bias": { "x": 1 } }), "logit_bias.x", invalid),
        (json!({ "logit_bias": { "1": 101 } }), "logit_bias.1", invalid),
        (json!({ "logit_bias": { "99999": 1 } }), "logit_bias[99999]", invalid),
        (json!({ "top_logprobs": 3 }), "top_logprobs", invalid),
        (json!({ "logprobs": 3 }), "logprobs", wrong),
        (json!({ "stream": "yes" }), "stream", wrong),
        (json!({ "stream_options": {} }), "stream_options", invalid),
        (
            json!({ "stream": true, "stream_options": { "x": 1 } }),
            "stream_options.x",
            Some("unknown_parameter"),
        ),
        (json!({ "chat_template_kwargs": { "tone": 1 } }), "chat_template_kwargs.tone", invalid),
        (json!({ "response_format": { "type": "xml" } }), "response_format.type", invalid),
        (json!({ "store": true }), "store", unsupported),
        (json!({ "warmth": 1 }), "warmth", Some("unknown_parameter")),
        (json!({ "messages": [] }), "messages", invalid),
        (
            json!({ "messages": [{ "role": "tool", "content": "4" }] }),
            "messages[0].content",
            unsupported,
        ),
    ] {
        server.post(CHAT, chat("Hello", &fields)).refused(400, Some(param), code);
    }
    // What asks for nothing is taken.
    let neutral = json!({ "store": false, "tools": [], "response_format": { "type": "text" }, "stop": null,
        "user": "Ann", "tool_choice": "none", "max_tokens": 1, "metadata": {} });
    server.post(CHAT, chat("Hello", &neutral)).ok();

    let missing = Some("missing_required_parameter");
    server.post(CHAT, "{}").refused(400, Some("messages"), missing);
    server.post(TEXT, "{}").refused(400, Some("prompt"), missing);
    server.post(TEXT, r#"{"prompt": ""}"#).refused(400, Some("prompt"), invalid);
    server.post(TEXT, r#"{"prompt": "x", "suffix": "y"}"#).refused(
        400,
        Some("suffix"),
        unsupported,
    );
    server.post("/detokenize", r#"{"tokens": [99999]}"#).refused(400, Some("tokens[0]"), invalid);
    for body in ["", "[]", "{\"a\":", "\u{0}"] {
        server.post(CHAT, body).refused(400, None, None);
    }
    server.post(CHAT, json!({ "model": "x", "messages": 1 })).refused(
        404,
        Some("model"),
        Some("model_not_found"),
    );
    server.post("/v2/nothing", "{}").refused(404, None, Some("not_found"));
    server.get(CHAT).refused(405, None, Some("method_not_allowed"));

    let long = "word ".repeat(200);
    let message = server.post(CHAT, chat(&long, &json!({}))).refused(
        400,
        None,
        Some("context_length_exceeded"),
    );
    let prompt =
        server.post("/apply-template", json!({ "messages": chat(&long, &json!({}))["messages"] }));
    let prompt = json!({ "content": prompt.ok()["prompt"] });
    let tokens = server.post("/tokenize", prompt).ok()["tokens"].as_array().unwrap().len();
    assert!(
        message.contains(&format!("{tokens} tokens")) && message.contains("holds 128"),
        "{message}"
    );
}

#[test]
fn a_lenient_server_ignores_what_it_does_not_know() {
    let server = Server::fixture(&["--ctx", "128", "--lenient"]);
    server.post(CHAT, chat("Hello", &json!({ "warmth": 1, "max_tokens": 1 }))).ok();
    server.terminate();
    let outcome = server.ended();
    assert!(
        outcome.stderr.contains("warning: a request has fields without effect: warmth"),
        "{}",
        outcome.stderr
    );
}
