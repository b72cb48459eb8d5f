//! Calls of tools: valid ones from a model that says noise, whole and streamed, and what is refused.

use serde_json::{Value, json};

use super::client::Server;
use super::{CHAT, chat};
use crate::fixture;
use crate::support::Home;

/// A noisy model with Qwen2.5's template, which knows tools.
pub fn server(home: &Home) -> Server {
    let folder = fixture::copy("qwen2_tied", home.path());
    let templates = fixture::folder("text").join("templates.json");
    let templates: Value =
        serde_json::from_str(&std::fs::read_to_string(templates).unwrap()).unwrap();
    let file = folder.join("tokenizer_config.json");
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    config["chat_template"] = templates["templates"]["qwen25_tools"].clone();
    std::fs::write(file, config.to_string()).unwrap();
    Server::of(&folder.display().to_string(), &["--ctx", "2048"])
}

fn weather() -> Value {
    json!({ "type": "function", "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": { "city": { "enum": ["Bern", "Oslo"] }, "days": { "type": "integer", "minimum": 1, "maximum": 9 } },
            "required": ["city", "days"],
            "additionalProperties": false,
        },
    } })
}

fn stop() -> Value {
    json!({ "type": "function", "function": { "name": "stop" } })
}

fn check(call: &Value) {
    assert_eq!(call["type"], "function");
    assert!(call["id"].as_str().unwrap().starts_with("call_"));
    let arguments = call["function"]["arguments"].as_str().unwrap();
    let arguments: Value = serde_json::from_str(arguments).unwrap();
    match call["function"]["name"].as_str().unwrap() {
        "get_weather" => assert!(["Bern", "Oslo"].contains(&arguments["city"].as_str().unwrap())),
        "stop" => assert_eq!(arguments, json!({})),
        other => panic!("{other}"),
    }
}

#[test]
fn a_reply_that_must_call_calls() {
    let home = Home::new();
    let server = server(&home);
    let named = json!({ "type": "function", "function": { "name": "get_weather" } });
    for (choice, name) in [(json!("required"), None), (named, Some("get_weather"))] {
        let mut options = json!({
            "tools": [stop(), weather()], "tool_choice": choice, "temperature": 1, "seed": 5, "n": 3,
            "parallel_tool_calls": false,
        });
        let answer = server.post(CHAT, chat("Hello", &options)).ok();
        let choices = answer["choices"].as_array().unwrap();
        for choice in choices {
            assert_eq!(choice["finish_reason"], "tool_calls");
            assert_eq!(choice["message"]["content"], Value::Null);
            let calls = choice["message"]["tool_calls"].as_array().unwrap();
            assert_eq!(calls.len(), 1);
            check(&calls[0]);
            assert!(name.is_none_or(|name| calls[0]["function"]["name"] == name));
        }
        options["stream"] = true.into();
        let chunks = server.chunks(CHAT, &chat("Hello", &options));
        for (index, whole) in choices.iter().enumerate() {
            let of = |chunk: &&Value| chunk["choices"][0]["index"] == index;
            let mine: Vec<&Value> =
                chunks.iter().filter(of).map(|chunk| &chunk["choices"][0]).collect();
            assert_eq!(mine.last().unwrap()["finish_reason"], "tool_calls");
            let deltas: Vec<&Value> = mine
                .iter()
                .filter_map(|choice| choice["delta"]["tool_calls"].as_array())
                .flatten()
                .collect();
            let (first, rest) = deltas.split_first().unwrap();
            let name = &whole["message"]["tool_calls"][0]["function"]["name"];
            assert_eq!((&first["index"], &first["function"]["name"]), (&json!(0), name));
            assert!(rest.iter().all(|delta| delta["id"].is_null() && delta["index"] == 0));
            let arguments: String = deltas
                .iter()
                .map(|delta| delta["function"]["arguments"].as_str().unwrap())
                .collect();
            let whole = &whole["message"]["tool_calls"][0]["function"]["arguments"];
            assert_eq!(arguments, whole.as_str().unwrap());
        }
    }
}

#[test]
fn a_call_and_its_result_are_part_of_the_conversation() {
    let home = Home::new();
    let server = server(&home);
    let options =
        json!({ "tools": [weather()], "tool_choice": "required", "parallel_tool_calls": false });
    let answer = server.post(CHAT, chat("Hello", &options)).ok();
    let message = answer["choices"][0]["message"].clone();
    let call = &message["tool_calls"][0];
    let messages = json!([
        { "role": "user", "content": "Hello" },
        message,
        { "role": "tool", "tool_call_id": call["id"], "content": "snow, as ever" },
    ]);
    let body = json!({ "messages": messages, "tools": [weather()] });
    let prompt = server.post("/apply-template", &body).ok()["prompt"].clone();
    let prompt = prompt.as_str().unwrap();
    let arguments = call["function"]["arguments"].as_str().unwrap();
    assert!(prompt.contains("# Tools") && prompt.contains("The weather in a city."), "{prompt}");
    let said = format!(
        "<tool_call>\n{{\"name\": \"get_weather\", \"arguments\": {arguments}}}\n</tool_call>"
    );
    assert!(prompt.contains(&said), "{prompt}");
    assert!(prompt.contains("<tool_response>\nsnow, as ever\n</tool_response>"), "{prompt}");
    // Without a choice the model may also speak; the prefix of the conversation is found in a slot.
    let options = json!({ "messages": messages, "tools": [weather()], "max_tokens": 8 });
    let answer = server.post(CHAT, options).ok();
    let cached = answer["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
    assert!(cached > 100, "{answer}");
    // With none they are not shown.
    let body = json!({ "messages": messages, "tools": [weather()], "tool_choice": "none" });
    let prompt = server.post("/apply-template", &body).ok()["prompt"].clone();
    assert!(!prompt.as_str().unwrap().contains("# Tools"));
}

/// Tools whose schemas ask for more than a grammar holds.
#[test]
fn what_of_a_schema_cannot_be_held_is_left_to_the_model() {
    let home = Home::new();
    let server = server(&home);
    let save = |schema: Value, strict: Value| {
        json!({ "tools": [{ "type": "function", "function": { "name": "save", "strict": strict,
            "parameters": { "type": "object", "properties": { "x": schema }, "required": ["x"], "additionalProperties": false } } }],
            "tool_choice": "required", "parallel_tool_calls": false, "temperature": 1, "seed": 2 })
    };
    for (schema, keyword) in [
        (
            json!({ "type": "array", "items": { "enum": ["a", "b"] }, "maxItems": 3, "uniqueItems": true }),
            "uniqueItems",
        ),
        (json!({ "enum": ["a", "b"], "not": { "required": ["c"] } }), "not"),
        (json!({ "enum": ["a"], "if": { "type": "string" }, "then": { "maxLength": 9 } }), "if"),
        (json!({ "type": "string", "format": "colour", "maxLength": 3 }), "format"),
        (json!({ "type": "string", "pattern": "^(?!x)[ab]{2}$" }), "pattern"),
        (json!({ "oneOf": [{ "enum": ["a", "b"] }, { "enum": ["b", "c"] }] }), "oneOf"),
        (
            json!({ "type": "object", "properties": { "a": { "type": "null" } }, "patternProperties": { "^a": {}, "a$": {} }, "maxProperties": 1 }),
            "patternProperties",
        ),
    ] {
        let answer = server.post(CHAT, chat("Hello", &save(schema.clone(), json!(false)))).ok();
        let call = &answer["choices"][0]["message"]["tool_calls"][0]["function"];
        let arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
        assert!(
            arguments.get("x").is_some() || keyword == "patternProperties",
            "{keyword}: {answer}"
        );
        let refused = server.post(CHAT, chat("Hello", &save(schema, json!(true))));
        let message =
            refused.refused(400, Some("tools[0].function.parameters"), Some("invalid_value"));
        assert!(
            ["oneOf", "patternProperties"].contains(&keyword)
                || message.contains(&format!("{keyword} at #/properties/x")),
            "{message}"
        );
    }
    for schema in [
        json!({ "type": "string", "format": "password", "maxLength": 2.0 }),
        json!({ "type": "null", "uniqueItems": false }),
    ] {
        server.post(CHAT, chat("Hello", &save(schema, json!(true)))).ok();
    }
}

/// Stop texts and limits: a call is whole or is not there, in every dialect.
#[test]
fn a_call_is_whole_or_is_not_there() {
    let home = Home::new();
    let server = server(&home);
    let options = |stop: &str, most: usize| {
        json!({ "tools": [weather()], "tool_choice": "required", "parallel_tool_calls": false, "stop": [stop], "max_tokens": most,
            "temperature": 1, "seed": 3 })
    };
    for stop in ["\n", "e", "}", "name", "\""] {
        let body = chat("Hello", &options(stop, 200));
        let answer = server.post(CHAT, &body).ok();
        let choice = &answer["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls", "{stop:?}: {answer}");
        check(&choice["message"]["tool_calls"][0]);
    }
    for (most, whole) in [(12, false), (200, true)] {
        let mut body = chat("Hello", &options("\n", most));
        let answer = server.post(CHAT, &body).ok();
        let choice = &answer["choices"][0];
        assert_eq!(choice["finish_reason"], if whole { "tool_calls" } else { "length" });
        assert_eq!(choice["message"]["tool_calls"].is_array(), whole, "{answer}");
        body["stream"] = true.into();
        let chunks = server.chunks(CHAT, &body);
        let calls =
            chunks.iter().any(|chunk| chunk["choices"][0]["delta"]["tool_calls"].is_array());
        assert_eq!(calls, whole);
        let flat = json!({ "type": "function", "name": "get_weather", "parameters": weather()["function"]["parameters"] });
        let input = json!({ "input": "Hello", "tools": [flat], "tool_choice": "required", "parallel_tool_calls": false, "max_output_tokens": most, "temperature": 1, "seed": 3 });
        let answer = server.post("/v1/responses", &input).ok();
        assert_eq!(answer["status"], if whole { "completed" } else { "incomplete" });
        assert_eq!(answer["output"].to_string().contains("function_call"), whole, "{answer}");
        let block =
            json!({ "name": "get_weather", "input_schema": weather()["function"]["parameters"] });
        let messages = json!({ "messages": [{ "role": "user", "content": "Hello" }], "tools": [block], "tool_choice": { "type": "any", "disable_parallel_tool_use": true },
            "max_tokens": most, "stop_sequences": ["e", "\n"], "temperature": 1, "seed": 3 });
        let answer = server.post("/v1/messages", &messages).ok();
        assert_eq!(
            answer["stop_reason"],
            if whole { "tool_use" } else { "max_tokens" },
            "{answer}"
        );
        let uses = answer["content"].as_array().unwrap();
        assert_eq!(uses.iter().any(|block| block["type"] == "tool_use"), whole);
        assert!(
            uses.iter()
                .all(|block| block["type"] != "tool_use" || block["input"]["city"].is_string())
        );
    }
}

#[test]
fn tools_that_cannot_be_called_are_refused() {
    let home = Home::new();
    let server = server(&home);
    let (invalid, unsupported) = (Some("invalid_value"), Some("unsupported_parameter"));
    let hard = json!({ "type": "function", "function": { "name": "hard", "parameters": {
        "type": "object", "properties": { "tags": { "type": "array", "uniqueItems": true } } }, "strict": true } });
    for (fields, param, code) in [
        (json!({ "tools": [stop(), hard] }), "tools[1].function.parameters", invalid),
        (json!({ "tools": [stop(), stop()] }), "tools[1].function.name", invalid),
        (json!({ "tools": [stop()], "logprobs": true }), "logprobs", unsupported),
        (
            json!({ "tools": [stop()], "response_format": { "type": "json_object" } }),
            "response_format",
            unsupported,
        ),
        (json!({ "tool_choice": "required" }), "tool_choice", invalid),
        (json!({ "functions": [{}] }), "functions", unsupported),
    ] {
        server.post(CHAT, chat("Hello", &fields)).refused(400, Some(param), code);
    }
    // A template that knows no tools.
    let plain = Server::fixture(&["--ctx", "128"]);
    let message = plain.post(CHAT, chat("Hello", &json!({ "tools": [stop()] }))).refused(
        400,
        Some("tools"),
        unsupported,
    );
    assert!(message.contains("chat template"), "{message}");
    let none = json!({ "tools": [stop()], "tool_choice": "none", "max_tokens": 1 });
    plain.post(CHAT, chat("Hello", &none)).ok();
}
