//! The same model in the words of other APIs: OpenAI's responses and embeddings, Anthropic's messages.

use serde_json::{Value, json};

use super::client::Server;
use super::{CHAT, chat, said, tools};
use crate::fixture;
use crate::reference::weights;
use crate::support::Home;

const RESPONSES: &str = "/v1/responses";
const MESSAGES: &str = "/v1/messages";

/// The events of a stream: their names stand in the data, too.
fn events(server: &Server, path: &str, body: &Value) -> Vec<Value> {
    let lines: Vec<String> = server.lines(path, body).collect();
    let events: Vec<Value> = lines
        .chunks(2)
        .map(|pair| {
            let name = pair[0].strip_prefix("event: ").unwrap();
            let data: Value =
                serde_json::from_str(pair[1].strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(data["type"], name);
            data
        })
        .collect();
    events
}

fn names(events: &[Value]) -> Vec<&str> {
    let mut names: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    names.dedup();
    names
}

fn joined(events: &[Value], kind: &str, place: &str) -> String {
    let of = events.iter().filter(|event| event["type"] == kind);
    of.map(|event| event.pointer(place).unwrap().as_str().unwrap()).collect()
}

#[test]
fn a_response_says_what_a_completion_says() {
    let server = Server::fixture(&["--ctx", "512"]);
    let options = json!({ "max_tokens": 12, "ignore_eos": true, "temperature": 0 });
    let mut conversation = chat("Hello", &options);
    let system = json!({ "role": "system", "content": "Be brief." });
    conversation["messages"].as_array_mut().unwrap().insert(0, system);
    let expected = said(&server.post(CHAT, &conversation).ok());

    let mut body = json!({ "model": "m", "instructions": "Be brief.", "input": "Hello",
        "max_output_tokens": 12, "ignore_eos": true, "temperature": 0 });
    let answer = server.post(RESPONSES, &body).ok();
    assert_eq!((&answer["object"], &answer["status"]), (&json!("response"), &json!("incomplete")));
    assert_eq!(answer["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(answer["output"][0]["content"][0]["text"], expected);
    assert_eq!(answer["usage"]["output_tokens"], 12);
    assert_eq!(
        (&answer["instructions"], &answer["temperature"]),
        (&json!("Be brief."), &json!(0.0))
    );

    body["stream"] = true.into();
    let events = events(&server, RESPONSES, &body);
    assert_eq!(
        names(&events),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.incomplete",
        ]
    );
    assert!((0..).zip(&events).all(|(number, event)| event["sequence_number"] == number));
    assert_eq!(joined(&events, "response.output_text.delta", "/delta"), expected);
    let last = &events.last().unwrap()["response"];
    assert_eq!(
        (&last["output"][0]["content"], &last["usage"]["output_tokens"]),
        (&answer["output"][0]["content"], &json!(12))
    );

    // The answer can be sent back as it came.
    let input = json!([{ "role": "user", "content": "Hello" }, answer["output"][0],
        { "role": "user", "content": [{ "type": "input_text", "text": "More" }] }]);
    let again = json!({ "instructions": "Be brief.", "input": input, "max_output_tokens": 2 });
    let again = server.post(RESPONSES, &again).ok();
    assert!(
        again["usage"]["input_tokens_details"]["cached_tokens"].as_u64().unwrap() > 20,
        "{again}"
    );

    for (fields, param, code) in [
        (json!({ "input": [] }), "input", "invalid_value"),
        (
            json!({ "input": [{ "type": "web_search_call" }] }),
            "input[0].type",
            "unsupported_parameter",
        ),
        (json!({ "input": [{ "type": "reasoning" }] }), "input", "invalid_value"),
        (
            json!({ "input": [{ "role": "tool", "content": "x" }] }),
            "input",
            "unsupported_parameter",
        ),
        (json!({ "input": "x", "store": true }), "store", "unsupported_parameter"),
        (
            json!({ "input": "x", "previous_response_id": "resp_1" }),
            "previous_response_id",
            "unsupported_parameter",
        ),
        (json!({ "input": "x", "n": 2 }), "n", "unknown_parameter"),
        (
            json!({ "input": "x", "text": { "format": { "type": "xml" } } }),
            "text.format.type",
            "invalid_value",
        ),
        (json!({ "input": "x", "messages": [] }), "messages", "unknown_parameter"),
        (
            json!({ "input": "x", "tools": [{ "type": "web_search" }] }),
            "tools[0].type",
            "unsupported_parameter",
        ),
    ] {
        server.post(RESPONSES, fields).refused(400, Some(param), Some(code));
    }
    let schema =
        json!({ "type": "array", "items": { "enum": [1, 2] }, "minItems": 2, "maxItems": 2 });
    let body = json!({ "input": "x", "text": { "format": { "type": "json_schema", "name": "n", "schema": schema } } });
    let answer = server.post(RESPONSES, body).ok();
    let text = answer["output"][0]["content"][0]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Vec<u8>>(text).unwrap().len(), 2);
    assert_eq!(answer["status"], "completed");
}

#[test]
fn a_response_calls_tools() {
    let home = Home::new();
    let server = tools::server(&home);
    let tool = json!({ "type": "function", "name": "pick", "parameters": {
        "type": "object", "properties": { "n": { "enum": [1, 2] } }, "required": ["n"], "additionalProperties": false } });
    let mut body = json!({ "input": "Hello", "tools": [tool], "tool_choice": "required", "parallel_tool_calls": false,
        "temperature": 1, "seed": 3 });
    let answer = server.post(RESPONSES, &body).ok();
    let call = answer["output"][0].clone();
    assert_eq!((&call["type"], &call["name"]), (&json!("function_call"), &json!("pick")));
    let arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
    assert!([1, 2].contains(&arguments["n"].as_u64().unwrap()));
    body["stream"] = true.into();
    let events = events(&server, RESPONSES, &body);
    let whole = call["arguments"].as_str().unwrap();
    assert_eq!(joined(&events, "response.function_call_arguments.delta", "/delta"), whole);
    let done = events.iter().find(|event| event["type"] == "response.function_call_arguments.done");
    assert_eq!(done.unwrap()["arguments"], whole);

    let output =
        json!({ "type": "function_call_output", "call_id": call["call_id"], "output": "chosen" });
    let body = json!({ "input": [{ "role": "user", "content": "Hello" }, call, output], "max_output_tokens": 4 });
    server.post(RESPONSES, body).ok();
}

#[test]
fn anthropics_messages_say_what_a_completion_says() {
    let server = Server::fixture(&["--ctx", "512"]);
    let options = json!({ "max_tokens": 12, "ignore_eos": true, "temperature": 0 });
    let mut conversation = chat("Hello", &options);
    let system = json!({ "role": "system", "content": "Be brief." });
    conversation["messages"].as_array_mut().unwrap().insert(0, system);
    let expected = said(&server.post(CHAT, &conversation).ok());

    let mut body = json!({ "model": "m", "system": [{ "type": "text", "text": "Be brief.", "cache_control": { "type": "ephemeral" } }],
        "messages": [{ "role": "user", "content": [{ "type": "text", "text": "Hello" }] }],
        "max_tokens": 12, "ignore_eos": true, "temperature": 0, "metadata": { "user_id": "Ann" } });
    let answer = server.post(MESSAGES, &body).ok();
    assert_eq!((&answer["type"], &answer["role"]), (&json!("message"), &json!("assistant")));
    assert_eq!(answer["content"], json!([{ "type": "text", "text": expected }]));
    assert_eq!(
        (&answer["stop_reason"], &answer["stop_sequence"]),
        (&json!("max_tokens"), &Value::Null)
    );
    let usage = &answer["usage"];
    let prompt = usage["input_tokens"].as_u64().unwrap()
        + usage["cache_read_input_tokens"].as_u64().unwrap();
    assert!(usage["cache_read_input_tokens"].as_u64().unwrap() > 10, "{usage}");
    let mut counted = body.clone();
    for name in ["max_tokens", "ignore_eos", "temperature", "metadata"] {
        counted.as_object_mut().unwrap().remove(name);
    }
    assert_eq!(server.post("/v1/messages/count_tokens", counted).ok()["input_tokens"], prompt);

    body["stream"] = true.into();
    let events = events(&server, MESSAGES, &body);
    assert_eq!(
        names(&events),
        [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    assert_eq!(joined(&events, "content_block_delta", "/delta/text"), expected);
    let delta = &events[events.len() - 2];
    assert_eq!(
        (&delta["delta"]["stop_reason"], &delta["usage"]["output_tokens"]),
        (&json!("max_tokens"), &json!(12))
    );

    body["stream"] = false.into();
    let stop: String = expected.chars().skip(3).take(2).collect();
    body["stop_sequences"] = json!([stop]);
    let stopped = server.post(MESSAGES, &body).ok();
    assert_eq!(
        (&stopped["stop_reason"], &stopped["stop_sequence"]),
        (&json!("stop_sequence"), &json!(stop))
    );

    let refused = |fields: Value, status: u16, kind: &str, word: &str| {
        let mut body = json!({ "max_tokens": 4, "messages": [{ "role": "user", "content": "x" }] });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let answer = server.post(MESSAGES, body);
        assert_eq!(
            (answer.status, &answer.json["type"]),
            (status, &json!("error")),
            "{}",
            answer.json
        );
        assert_eq!(answer.json["error"]["type"], kind);
        assert!(
            answer.json["error"]["message"].as_str().unwrap().contains(word),
            "{}",
            answer.json
        );
    };
    let invalid = "invalid_request_error";
    refused(json!({ "max_tokens": null }), 400, invalid, "max_tokens");
    refused(json!({ "stop_sequences": 3 }), 400, invalid, "stop_sequences");
    refused(json!({ "n": 2 }), 400, invalid, "'n'");
    refused(
        json!({ "thinking": { "type": "enabled", "budget_tokens": 1024 } }),
        400,
        invalid,
        "thinking",
    );
    refused(
        json!({ "messages": [{ "role": "system", "content": "x" }] }),
        400,
        invalid,
        "messages[0].role",
    );
    refused(
        json!({ "messages": [{ "role": "user", "content": [{ "type": "image" }] }] }),
        400,
        invalid,
        "image",
    );
    refused(json!({ "output_config": { "effort": "low" } }), 400, invalid, "output_config.effort");
    refused(json!({ "model": "other" }), 404, "not_found_error", "other");
    refused(
        json!({ "tools": [{ "name": "a", "input_schema": { "type": "object" } }] }),
        400,
        invalid,
        "tools",
    );
}

#[test]
fn anthropics_messages_call_tools() {
    let home = Home::new();
    let server = tools::server(&home);
    let tool = json!({ "name": "pick", "description": "Picks.", "input_schema": {
        "type": "object", "properties": { "n": { "enum": [1, 2] } }, "required": ["n"], "additionalProperties": false } });
    let mut body = json!({ "max_tokens": 200, "messages": [{ "role": "user", "content": "Hello" }], "tools": [tool],
        "tool_choice": { "type": "any", "disable_parallel_tool_use": true }, "temperature": 1, "seed": 3 });
    let answer = server.post(MESSAGES, &body).ok();
    assert_eq!(answer["stop_reason"], "tool_use");
    let call = answer["content"][0].clone();
    assert_eq!((&call["type"], &call["name"]), (&json!("tool_use"), &json!("pick")));
    assert!([1, 2].contains(&call["input"]["n"].as_u64().unwrap()));
    body["stream"] = true.into();
    let events = events(&server, MESSAGES, &body);
    let input = joined(&events, "content_block_delta", "/delta/partial_json");
    assert_eq!(serde_json::from_str::<Value>(&input).unwrap(), call["input"]);

    body["stream"] = false.into();
    body["max_tokens"] = 4.into();
    body["tool_choice"] = json!({ "type": "none" });
    body["messages"] = json!([{ "role": "user", "content": "Hello" }, { "role": "assistant", "content": [call] },
        { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": call["id"], "content": "chosen" }] }]);
    server.post(MESSAGES, body).ok();
}

#[test]
fn texts_become_vectors() {
    let server = Server::fixture(&["--ctx", "128"]);
    let ask = |fields: Value| {
        let mut body = json!({ "model": "m", "input": ["Hello", "Hello", "Bye"] });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        server.post("/v1/embeddings", body)
    };
    let answer = ask(json!({})).ok();
    let vector = |answer: &Value, index: usize| -> Vec<f32> {
        serde_json::from_value(answer["data"][index]["embedding"].clone()).unwrap()
    };
    let (one, other) = (vector(&answer, 0), vector(&answer, 2));
    assert_eq!(one, vector(&answer, 1));
    assert_ne!(one, other);
    let length: f32 = one.iter().map(|x| x * x).sum();
    assert!((length - 1.0).abs() < 1e-4, "{length}");
    assert_ne!(vector(&ask(json!({ "pooling": "last" })).ok(), 0), one);
    let tokens = server.post("/tokenize", json!({ "content": "Hello" })).ok()["tokens"].clone();
    assert_eq!(vector(&ask(json!({ "input": tokens })).ok(), 0), one);
    assert_eq!(answer["usage"]["prompt_tokens"], answer["usage"]["total_tokens"]);
    // What clients ask for: little-endian f32.
    let packed = ask(json!({ "encoding_format": "base64", "dimensions": one.len() })).ok();
    let packed = packed["data"][0]["embedding"].as_str().unwrap().to_owned();
    assert_eq!(packed.len(), (one.len() * 4).div_ceil(3) * 4);
    for (fields, param) in [
        (json!({ "input": [] }), "input"),
        (json!({ "input": "" }), "input[0]"),
        (json!({ "dimensions": 3 }), "dimensions"),
        (json!({ "pooling": "max" }), "pooling"),
        (json!({ "encoding_format": "int8" }), "encoding_format"),
    ] {
        ask(fields).refused(400, Some(param), Some("invalid_value"));
    }
    let long = json!({ "input": ["short", "word ".repeat(200)] });
    let told = ask(long).refused(400, Some("input[1]"), Some("context_length_exceeded"));
    assert!(told.contains("truncate"), "{told}");
}

#[test]
fn an_encoder_embeds_beside_a_model_that_writes() {
    let models = ["qwen2_tied", "bert"].map(fixture::model);
    let server = Server::several(&models, &["--ctx", "128", "--preload", "--alias", "near=bert"]);
    let listed = server.get("/v1/models").ok();
    assert_eq!(listed["data"][1]["kind"], "embedding");
    let golden = std::fs::read_to_string(fixture::folder("bert").join("golden.json")).unwrap();
    let golden: Value = serde_json::from_str(&golden).unwrap();
    let ask = |fields: Value| {
        let mut body = json!({ "input": golden[0]["text"] });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        server.post("/v1/embeddings", body)
    };
    let numbers = |value: &Value| serde_json::from_value::<Vec<f32>>(value.clone()).unwrap();
    let off = |found: &[f32], expected: &[f32]| {
        assert_eq!(found.len(), expected.len());
        found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    // Nobody need name the only one that does nothing else.
    for fields in [json!({}), json!({ "model": "bert" }), json!({ "model": "near" })] {
        let answer = ask(fields).ok();
        assert_eq!(
            (&answer["model"], &answer["usage"]["prompt_tokens"]),
            (&json!("bert"), &json!(8))
        );
        let found = numbers(&answer["data"][0]["embedding"]);
        assert!(off(&found, &numbers(&golden[0]["mean"])) <= 1e-6);
    }
    let first = numbers(&ask(json!({ "pooling": "cls" })).ok()["data"][0]["embedding"]);
    let expected = numbers(&golden[0]["first"]);
    let length = expected.iter().map(|x| x * x).sum::<f32>().sqrt();
    assert!(off(&first, &expected.iter().map(|x| x / length).collect::<Vec<_>>()) <= 2e-6);
    let other = ask(json!({ "model": "qwen2_tied" })).ok();
    assert_eq!(other["model"], "qwen2_tied");
    ask(json!({ "model": "qwen2_tied", "pooling": "cls" })).refused(
        400,
        Some("pooling"),
        Some("invalid_value"),
    );
    let long = json!({ "model": "bert", "input": "fox ".repeat(200) });
    ask(long.clone()).refused(400, Some("input[0]"), Some("context_length_exceeded"));
    let mut cut = long;
    cut["truncate"] = true.into();
    assert_eq!(ask(cut).ok()["usage"]["prompt_tokens"], 80);
    // It writes nothing.
    let mut body = super::chat("Hello", &json!({}));
    body["model"] = "bert".into();
    let told = server.post(super::CHAT, body).refused(404, Some("model"), Some("model_not_found"));
    assert!(told.contains("qwen2_tied"), "{told}");
}

#[test]
fn texts_are_read_aloud() {
    let Some(weights) = weights("hibari/hibari.onnx") else { return };
    let voice = weights.parent().unwrap().to_str().unwrap().to_owned();
    let text = "Hello there. The train leaves at 9:30.";
    let home = Home::new();
    let file = home.path().join("a.pcm");
    home.run(["tts", &voice, text, "-o", file.to_str().unwrap()]).ok();
    let expected = std::fs::read(file).unwrap();

    let server =
        Server::fixture(&["--ctx", "128", "--speech", &voice, "--alias", "narrator=heart"]);
    assert_eq!(server.get("/v1/models").ok()["data"][2]["id"], "hibari");
    let ask = |fields: &Value| {
        let mut body = json!({ "model": "hibari", "input": text });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let request = Server::agent().post(server.url("/v1/audio/speech"));
        request.send(body.to_string()).unwrap()
    };
    for (fields, kind, head) in [
        (json!({ "response_format": "pcm", "voice": "heart" }), "audio/pcm", 0),
        (json!({ "response_format": "wav", "voice": "alloy" }), "audio/wav", 44),
        (json!({ "voice": { "id": "nova" } }), "audio/wav", 44),
        (json!({ "voice": "narrator" }), "audio/wav", 44),
    ] {
        let mut response = ask(&fields);
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &kind.parse().unwrap())
        );
        let sound = response.body_mut().read_to_vec().unwrap();
        assert!(
            sound[head..] == expected,
            "{fields}: {} bytes, not {}",
            sound.len(),
            expected.len()
        );
        assert!(head == 0 || &sound[..4] == b"RIFF" && &sound[36..40] == b"data");
    }
    let mut response = ask(&json!({ "response_format": "flac" }));
    assert_eq!(response.headers()["content-type"], "audio/flac");
    let file = response.body_mut().read_to_vec().unwrap();
    assert!(file.len() < expected.len(), "{} bytes", file.len());
    let mut reader = claxon::FlacReader::new(file.as_slice()).unwrap();
    assert_eq!(reader.streaminfo().sample_rate, 24_000);
    let samples = reader.samples().map(|sample| i16::try_from(sample.unwrap()).unwrap());
    assert!(samples.flat_map(i16::to_le_bytes).collect::<Vec<_>>() == expected);
    let mut response = ask(&json!({ "response_format": "mp3" }));
    assert_eq!(response.headers()["content-type"], "audio/mpeg");
    let file = response.body_mut().read_to_vec().unwrap();
    assert!(file.len() * 3 < expected.len(), "{} bytes", file.len());
    let heard = nanomp3::decode_all::<i16>(&file);
    assert_eq!(heard.sample_rate, 24_000);
    // The coder adds a delay before, and whole frames after.
    let more = heard.samples.len().abs_diff(expected.len() / 2);
    assert!(more < 4 * 576, "{more} samples more or less");
    // Who leaves makes room: the next one is not kept waiting for a text that nobody hears.
    drop(ask(&json!({ "input": "This goes on and on. ".repeat(150) })));
    assert_eq!(ask(&json!({ "speed": 2 })).status(), 200);
    let (invalid, unsupported) = (Some("invalid_value"), Some("unsupported_parameter"));
    for (fields, param, code) in [
        (json!({ "input": "" }), "input", invalid),
        (json!({ "input": "a".repeat(5000) }), "input", invalid),
        (json!({ "input": "Hi", "voice": "nobody" }), "voice", invalid),
        (json!({ "input": "Hi", "speed": 4 }), "speed", invalid),
        (json!({ "input": "Hi", "response_format": "opus" }), "response_format", unsupported),
        (json!({ "input": "Hi", "instructions": "sadly" }), "instructions", unsupported),
    ] {
        server.post("/v1/audio/speech", fields).refused(400, Some(param), code);
    }
    let missing = Some("model_not_found");
    let other = json!({ "model": "m", "input": "Hi" });
    server.post("/v1/audio/speech", other).refused(404, Some("model"), missing);
    let mute = Server::fixture(&["--ctx", "128"]);
    mute.post("/v1/audio/speech", json!({ "input": "Hi" })).refused(404, Some("model"), missing);
}
