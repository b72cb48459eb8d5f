//! What each route answers with 200, as JSON schemas.

use serde_json::{Map, Value, json};

/// An object with these fields, all of which are there.
pub(super) fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let required = fields.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let required = json!(required);
    let properties: Map<String, Value> =
        fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

pub(super) fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn or_null(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

pub(super) fn string() -> Value {
    json!({ "type": "string" })
}

pub(super) fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

pub(super) fn number() -> Value {
    json!({ "type": "number" })
}

pub(super) fn always(value: &str) -> Value {
    json!({ "const": value })
}

fn usage() -> Value {
    object([
        ("prompt_tokens", count()),
        ("completion_tokens", count()),
        ("total_tokens", count()),
        ("prompt_tokens_details", object([("cached_tokens", count())])),
    ])
}

fn log_probabilities() -> Value {
    let token = |more: Vec<(&str, Value)>| {
        let mut token = object([
            ("token", string()),
            ("logprob", number()),
            ("bytes", list(json!({ "type": "integer", "minimum": 0, "maximum": 255 }))),
        ]);
        for (name, schema) in more {
            token["properties"][name] = schema;
        }
        token
    };
    let chosen = token(vec![("top_logprobs", list(token(Vec::new())))]);
    or_null(object([("content", list(chosen)), ("refusal", json!({ "type": "null" }))]))
}

fn chat() -> Value {
    let call = object([
        ("id", string()),
        ("type", always("function")),
        ("function", object([("name", string()), ("arguments", string())])),
    ]);
    let mut message = object([
        ("role", always("assistant")),
        ("content", or_null(string())),
        ("refusal", json!({ "type": "null" })),
    ]);
    message["properties"]["tool_calls"] = list(call);
    let choice = object([
        ("index", count()),
        ("message", message),
        ("logprobs", log_probabilities()),
        ("finish_reason", json!({ "enum": ["stop", "length", "tool_calls"] })),
    ]);
    head("chat.completion", vec![("choices", list(choice)), ("usage", usage())])
}

fn completion() -> Value {
    let log_probabilities = object([
        ("tokens", list(string())),
        ("token_logprobs", list(number())),
        ("top_logprobs", list(json!({ "type": "object", "additionalProperties": number() }))),
        ("text_offset", list(count())),
    ]);
    let choice = object([
        ("index", count()),
        ("text", string()),
        ("logprobs", or_null(log_probabilities)),
        ("finish_reason", json!({ "enum": ["stop", "length"] })),
    ]);
    head("text_completion", vec![("choices", list(choice)), ("usage", usage())])
}

fn head(kind: &str, more: Vec<(&str, Value)>) -> Value {
    let mut head = object([
        ("id", string()),
        ("object", always(kind)),
        ("created", count()),
        ("model", string()),
    ]);
    for (name, schema) in more {
        head["properties"][name] = schema;
        if let Some(required) = head["required"].as_array_mut() {
            required.push(name.into());
        }
    }
    head
}

fn response() -> Value {
    let text = object([
        ("type", always("output_text")),
        ("text", string()),
        ("annotations", list(json!({}))),
        ("logprobs", list(json!({}))),
    ]);
    let message = object([
        ("id", string()),
        ("type", always("message")),
        ("status", string()),
        ("role", always("assistant")),
        ("content", list(text)),
    ]);
    let call = object([
        ("id", string()),
        ("type", always("function_call")),
        ("status", string()),
        ("call_id", string()),
        ("name", string()),
        ("arguments", string()),
    ]);
    let usage = object([
        ("input_tokens", count()),
        ("input_tokens_details", object([("cached_tokens", count())])),
        ("output_tokens", count()),
        ("output_tokens_details", object([("reasoning_tokens", count())])),
        ("total_tokens", count()),
    ]);
    object([
        ("id", string()),
        ("object", always("response")),
        ("created_at", count()),
        ("status", json!({ "enum": ["completed", "incomplete"] })),
        ("error", json!({ "type": "null" })),
        ("incomplete_details", or_null(object([("reason", always("max_output_tokens"))]))),
        ("model", string()),
        ("output", list(json!({ "anyOf": [message, call] }))),
        ("store", always_false()),
        ("temperature", number()),
        ("top_p", number()),
        ("usage", usage),
    ])
}

fn always_false() -> Value {
    json!({ "const": false })
}

fn message() -> Value {
    let text = object([("type", always("text")), ("text", string())]);
    let call = object([
        ("type", always("tool_use")),
        ("id", string()),
        ("name", string()),
        ("input", json!({ "type": "object" })),
    ]);
    let usage = object([
        ("input_tokens", count()),
        ("cache_creation_input_tokens", count()),
        ("cache_read_input_tokens", count()),
        ("output_tokens", count()),
    ]);
    object([
        ("id", string()),
        ("type", always("message")),
        ("role", always("assistant")),
        ("model", string()),
        ("content", list(json!({ "anyOf": [text, call] }))),
        ("stop_reason", json!({ "enum": ["end_turn", "max_tokens", "stop_sequence", "tool_use"] })),
        ("stop_sequence", or_null(string())),
        ("usage", usage),
    ])
}

pub(super) fn state() -> Value {
    json!({ "enum": ["unloaded", "loading", "loaded", "unloading", "failed"] })
}

fn model() -> Value {
    let mut model = object([
        ("id", string()),
        ("object", always("model")),
        ("created", count()),
        ("owned_by", string()),
        ("state", state()),
    ]);
    model["properties"]["kind"] = json!({ "enum": ["text", "speech", "embedding"] });
    model["properties"]["context"] = count();
    model["properties"]["reason"] = string();
    model
}

fn embeddings() -> Value {
    let embedding = json!({ "anyOf": [list(number()), string()] });
    let item =
        object([("object", always("embedding")), ("index", count()), ("embedding", embedding)]);
    object([
        ("object", always("list")),
        ("data", list(item)),
        ("model", string()),
        ("usage", object([("prompt_tokens", count()), ("total_tokens", count())])),
    ])
}

fn tokens() -> Value {
    let bytes = list(json!({ "type": "integer", "minimum": 0, "maximum": 255 }));
    let piece = object([("id", count()), ("piece", json!({ "anyOf": [string(), bytes] }))]);
    object([("tokens", list(json!({ "anyOf": [count(), piece] })))])
}

fn health() -> Value {
    let work = || [("slots", count()), ("running", count()), ("waiting", count())];
    let [slots, running, waiting] = work();
    let model = object([("id", string()), ("state", state()), slots, running, waiting]);
    let [slots, running, waiting] = work();
    let preparing = object([("running", count()), ("waiting", count())]);
    let stuck = object([("replaced", count()), ("lost", count())]);
    object([
        ("status", string()),
        ("stuck", stuck),
        ("preparing", preparing),
        slots,
        running,
        waiting,
        ("models", list(model)),
    ])
}

/// The schema of a route's JSON.
pub(super) fn answer(path: &str) -> Value {
    match path {
        "/v1/chat/completions" => chat(),
        "/v1/completions" => completion(),
        "/v1/responses" => response(),
        "/v1/embeddings" => embeddings(),
        "/v1/messages" => message(),
        "/v1/messages/count_tokens" => object([("input_tokens", count())]),
        "/v1/models" => object([("object", always("list")), ("data", list(model()))]),
        "/v1/models/{id}" => model(),
        "/tokenize" => tokens(),
        "/detokenize" => object([("content", string())]),
        "/apply-template" => object([("prompt", string())]),
        "/health" => health(),
        "/ready" => {
            let mut ready = object([("status", string())]);
            ready["properties"]["failed"] = list(string());
            ready
        }
        "/" => {
            object([("name", always("crane")), ("version", string()), ("models", list(string()))])
        }
        _ => super::ollama::answer(path).unwrap_or_else(|| json!({ "type": "object" })),
    }
}
