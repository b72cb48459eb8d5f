//! `echo` with `logprobs`: how likely the tokens of prompts are, as programs that evaluate models ask.

use serde_json::{Value, json};

use super::TEXT;
use super::client::Server;

fn numbers(choice: &Value) -> Vec<Option<f64>> {
    choice["logprobs"]["token_logprobs"].as_array().unwrap().iter().map(Value::as_f64).collect()
}

#[test]
fn the_tokens_of_a_prompt_are_scored_as_those_of_a_reply() {
    let server = Server::fixture(&["--ctx", "256"]);
    let begin = json!({ "prompt": "Hello", "max_tokens": 12, "ignore_eos": true, "logprobs": 3, "temperature": 0 });
    let said = server.post(TEXT, &begin).ok()["choices"][0].clone();
    let ids =
        |text: &str| server.post("/tokenize", json!({ "content": text })).ok()["tokens"].clone();
    let whole = format!("Hello{}", said["text"].as_str().unwrap());
    let reply = server.post(
        TEXT,
        json!({ "prompt": "Hello", "max_tokens": 12, "ignore_eos": true, "temperature": 0,
        "echo": true, "logprobs": 3 }),
    );
    let echoed = reply.ok()["choices"][0].clone();
    assert_eq!(echoed["text"], whole);
    let prompt = ids("Hello").as_array().unwrap().len();
    let (before, after) = (numbers(&said), numbers(&echoed));
    assert_eq!(after.len(), prompt + before.len());
    assert_eq!(after[prompt..], before, "the reply is scored alike");
    assert!(after[0].is_none() && after[1..].iter().all(Option::is_some));
    assert!(echoed["logprobs"]["top_logprobs"][0].is_null());
    let logprobs = &echoed["logprobs"];
    let offsets = logprobs["text_offset"].as_array().unwrap();
    for (index, token) in logprobs["tokens"].as_array().unwrap().iter().enumerate() {
        let offset = offsets[index].as_u64().unwrap() as usize;
        let token = token.as_str().unwrap();
        if !token.contains('\u{fffd}') {
            let rest: String = whole.chars().skip(offset).collect();
            assert!(rest.starts_with(token), "{index}: {token:?} at {offset} of {whole:?}");
        }
    }
    // A token that the model is made to say is as likely as it is told to be as a part of a prompt.
    let forced = json!({ "prompt": [1, 2, 3], "max_tokens": 1, "temperature": 0, "logprobs": 1, "logit_bias": { "77": 100 },
        "ignore_eos": true });
    let forced = numbers(&server.post(TEXT, forced).ok()["choices"][0])[0].unwrap();
    let alone = json!({ "prompt": [1, 2, 3, 77], "max_tokens": 0, "echo": true, "logprobs": 1 });
    let answer = server.post(TEXT, alone).ok();
    let choice = &answer["choices"][0];
    let scored = numbers(choice);
    assert!((scored[3].unwrap() - forced).abs() < 1e-3, "{scored:?} {forced}");
    assert_eq!((&choice["finish_reason"], scored.len()), (&json!("length"), 4));
    assert_eq!(answer["usage"]["completion_tokens"], 0);
}

#[test]
fn several_prompts_of_tokens_are_scored_as_lm_eval_asks() {
    let server = Server::fixture(&["--ctx", "256"]);
    let prompts = json!([[1, 2, 3, 4, 5], [9, 8, 7], [6, 6]]);
    // The token that ends a reply is told, too: who asks counts on one more than the prompt has.
    let ends = json!({ "402": 100 });
    for (least, most) in [(0, 0), (1, 1)] {
        let body = json!({ "prompt": prompts, "echo": true, "logprobs": 1, "max_tokens": least, "temperature": 0,
            "seed": 1234, "logit_bias": ends });
        let answer = server.post(TEXT, body).ok();
        let choices = answer["choices"].as_array().unwrap();
        for (choice, prompt) in choices.iter().zip(prompts.as_array().unwrap()) {
            let tokens = prompt.as_array().unwrap().len();
            let scores = numbers(choice);
            assert_eq!(scores.len(), tokens + most);
            for (index, score) in scores.iter().enumerate().skip(1).take(tokens - 1) {
                let top = &choice["logprobs"]["top_logprobs"][index];
                let best =
                    top.as_object().unwrap().values().filter_map(Value::as_f64).next().unwrap();
                assert!(score.unwrap() <= best + 1e-6);
            }
        }
        assert_eq!(choices.len(), 3);
    }
    let stream = json!({ "prompt": [1, 2, 3], "echo": true, "logprobs": 1, "max_tokens": 2, "stream": true,
        "ignore_eos": true });
    let chunks = server.chunks(TEXT, &stream);
    assert_eq!(numbers(&chunks[0]["choices"][0]).len(), 3);

    let refused = |fields: Value, param: &str| {
        server.post(TEXT, fields).refused(400, Some(param), Some("invalid_value"));
    };
    refused(json!({ "prompt": "x", "max_tokens": 0 }), "max_tokens");
    refused(json!({ "prompt": "x", "max_tokens": 0, "echo": true, "stream": true }), "stream");
    refused(
        json!({ "prompt": [99999, 1], "max_tokens": 0, "echo": true, "logprobs": 0 }),
        "prompt",
    );
    let many = json!(vec![vec![1; 250]; 64]);
    server.post(TEXT, json!({ "prompt": many, "max_tokens": 0, "echo": true, "logprobs": 0 })).ok();
    refused(
        json!({ "prompt": many, "n": 1, "max_tokens": 0, "echo": true, "logprobs": 40 }),
        "logprobs",
    );
}
