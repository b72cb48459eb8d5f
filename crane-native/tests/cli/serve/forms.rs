//! Replies of a given form: `response_format` and `grammar`.

use serde_json::{Value, json};

use super::client::Server;
use super::{CHAT, TEXT, chat, said};

#[test]
fn a_reply_has_the_form_that_was_asked_for() {
    let server = Server::fixture(&["--ctx", "512"]);
    let schema = json!({
        "type": "object",
        "properties": { "colour": { "enum": ["red", "blue"] }, "count": { "type": "integer", "minimum": 1, "maximum": 50 } },
        "required": ["colour", "count"],
        "additionalProperties": false,
    });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "thing", "strict": true, "schema": schema } });
    let mut options = json!({ "temperature": 1, "seed": 4, "n": 3, "response_format": format });
    let answer = server.post(CHAT, chat("Hello", &options)).ok();
    for choice in answer["choices"].as_array().unwrap() {
        assert_eq!(choice["finish_reason"], "stop");
        let text = choice["message"]["content"].as_str().unwrap();
        let value: Value = serde_json::from_str(text).unwrap();
        assert!(["red", "blue"].contains(&value["colour"].as_str().unwrap()), "{text}");
        assert!((1..=50).contains(&value["count"].as_u64().unwrap()), "{text}");
    }
    options["stream"] = true.into();
    let chunks = server.chunks(CHAT, &chat("Hello", &options));
    let streamed = chunks.iter().filter(|chunk| chunk["choices"][0]["index"] == 1);
    let text: String =
        streamed.filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, answer["choices"][1]["message"]["content"].as_str().unwrap());

    let object = json!({ "response_format": { "type": "json_object" }, "max_tokens": 4 });
    assert!(said(&server.post(CHAT, chat("Hello", &object)).ok()).starts_with('{'));
    let lark = json!({ "grammar": "start: (\"ha\" | \"ho\"){3}" });
    let laugh = said(&server.post(CHAT, chat("Hello", &lark)).ok());
    assert!(laugh.len() == 6 && laugh.replace("ha", "").replace("ho", "").is_empty(), "{laugh}");
    let regex = json!({ "prompt": "Hello", "grammar": { "type": "regex", "value": " [0-9]{3}" } });
    let answer = server.post(TEXT, &regex).ok();
    let number = answer["choices"][0]["text"].as_str().unwrap();
    assert!(number.len() == 4 && number[1..].parse::<u16>().is_ok(), "{number}");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
}

#[test]
fn a_form_that_cannot_be_kept_is_refused() {
    let server = Server::fixture(&["--ctx", "128"]);
    let invalid = Some("invalid_value");
    let schema = |schema: Value| json!({ "response_format": { "type": "json_schema", "json_schema": { "schema": schema } } });
    for (fields, param, word) in [
        (json!({ "grammar": "start: missing" }), "grammar", "missing"),
        (json!({ "grammar": { "type": "regex", "value": "(" } }), "grammar", "("),
        (
            schema(json!({ "type": "object", "dependentSchemas": { "a": { "required": ["b"] } } })),
            "response_format.json_schema.schema",
            "dependentSchemas",
        ),
        (schema(json!({ "type": "odd" })), "response_format.json_schema.schema", "odd"),
    ] {
        let message = server.post(CHAT, chat("Hello", &fields)).refused(400, Some(param), invalid);
        assert!(message.contains(word), "{message}");
    }
    // The server goes on.
    server.post(CHAT, chat("Hello", &json!({ "max_tokens": 1 }))).ok();
}
