//! The bodies and answers of Ollama's routes.

use serde_json::{Map, Value, json};

use super::answers::{
    always, count as whole, list as all, number as real, object as with, state, string as text,
};
use super::fields::{Field, boolean, field, list, object, sampling, string, tools};
use crate::server::wire::ollama::{KNOWN_OPTIONS, OF_THE_SERVER, OPTIONS_NOT_DONE};

/// The options that choose tokens, and those that say nothing here.
fn options() -> Value {
    let mut properties = Map::new();
    for Field { name, schema, .. } in sampling() {
        if KNOWN_OPTIONS.contains(&name) {
            properties.insert(name.to_owned(), json!({ "anyOf": [schema, { "type": "null" }] }));
        }
    }
    let from = |least: i64| json!({ "type": ["integer", "null"], "minimum": least });
    for (name, schema) in [
        ("top_k", from(-1)),
        ("seed", from(-1)),
        ("repeat_last_n", from(-1)),
        ("num_predict", from(-2)),
        ("num_ctx", from(1)),
    ] {
        properties.insert(name.to_owned(), schema);
    }
    let stop = json!({ "type": "string", "maxLength": 4096 });
    let stops = json!({ "anyOf": [stop, { "type": "array", "items": stop, "maxItems": 16 }, { "type": "null" }] });
    properties.insert("stop".to_owned(), stops);
    for known in OPTIONS_NOT_DONE {
        let values = known.values.iter().filter_map(|value| serde_json::from_str(value).ok());
        let values: Vec<Value> = values.chain([Value::Null]).collect();
        properties.insert(known.name.to_owned(), json!({ "enum": values }));
    }
    for name in OF_THE_SERVER {
        properties.insert(name.to_owned(), json!({}));
    }
    json!({ "type": "object", "properties": properties })
}

/// What all requests for a model take.
fn kept() -> Vec<Field> {
    vec![
        field(
            "options",
            options(),
            "as in Ollama: -1 of num_predict (and -2) is to the end of the context, of seed another one each time, of \
             repeat_last_n all tokens, of top_k all; num_ctx is satisfied up to --ctx; how the model is run (num_gpu, \
             num_thread) changes nothing here",
        ),
        field(
            "keep_alive",
            json!({ "type": ["number", "string"] }),
            "how long the model stays in memory after the reply: seconds, or 5m; 0 is not at all, -1 for good; without it \
             as --keep-alive says",
        ),
    ]
}

/// What chats and texts share.
fn reply() -> Vec<Field> {
    let format = json!({ "anyOf": [{ "enum": ["", "json"] }, object()] });
    let think = json!({ "enum": [true, false, "low", "medium", "high", "max"] });
    let top = json!({ "type": "integer", "minimum": 0, "maximum": 20 });
    let mut fields = kept();
    fields.extend([
        field("stream", boolean(), "lines of JSON, one for each piece; true if not given"),
        field("format", format, "the form of the reply: json, or a JSON schema"),
        field("think", think, "whether the model thinks first, where its template lets it choose"),
        field("logprobs", boolean(), "how likely each token was"),
        field("top_logprobs", top, "the so many likeliest tokens in each place"),
    ]);
    fields
}

fn images() -> Field {
    field("images", json!({ "type": "array", "maxItems": 0 }), "the models read text")
}

/// The fields of a route's body; none for one of another API.
pub(super) fn body(path: &str) -> Vec<Field> {
    match path {
        "/api/chat" => {
            let message = json!({
                "type": "object", "required": ["role"],
                "properties": { "role": { "type": "string" }, "content": { "type": ["string", "null"] } },
                "examples": [{ "role": "user", "content": "Hello" }],
            });
            let messages = json!({ "type": "array", "items": message, "maxItems": 8192 });
            let mut fields = reply();
            let what = "what was said; without any the model is loaded, or goes if keep_alive is 0";
            fields.push(field("messages", messages, what));
            fields.extend(tools());
            fields
        }
        "/api/generate" => {
            let mut fields = reply();
            let ids = list(json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }));
            fields.extend([
                field(
                    "prompt",
                    string(),
                    "what the user says; without it as a chat without messages",
                ),
                field("system", string(), "what a system says"),
                field("raw", boolean(), "take the prompt as it stands, without the chat template"),
                field("context", ids, "what an earlier answer had in its context"),
                images(),
            ]);
            fields
        }
        "/api/embed" => {
            let texts = json!({ "anyOf": [string(), { "type": "array", "items": string(), "maxItems": 2048 }] });
            let mut fields = kept();
            let dimensions = json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX });
            fields.extend([
                field("input", texts, "the texts"),
                field("truncate", boolean(), "cut texts that are too long; true if not given"),
                field("dimensions", dimensions, "the model's own width, or nothing"),
            ]);
            fields
        }
        "/api/embeddings" => {
            let mut fields = kept();
            fields.push(field("prompt", string(), "the text"));
            fields
        }
        "/api/show" => vec![
            field("name", string(), "the older name of model"),
            field("verbose", boolean(), "all is told anyway"),
            field("system", json!({ "enum": [""] }), "a model is shown as it is served"),
            field("template", json!({ "enum": [""] }), "a model is shown as it is served"),
            field("options", object(), "a model is shown as it is served: all null"),
        ],
        _ => Vec::new(),
    }
}

fn details() -> Value {
    with([
        ("parent_model", text()),
        ("format", text()),
        ("family", text()),
        ("families", all(text())),
        ("parameter_size", text()),
        ("quantization_level", text()),
    ])
}

/// The end of a reply; of one without a text the numbers are not there.
fn end(said: (&str, Value)) -> Value {
    let mut answer = with([
        ("model", text()),
        ("created_at", text()),
        said,
        ("done", always_true()),
        ("done_reason", json!({ "enum": ["stop", "length", "load", "unload"] })),
    ]);
    for name in ["total_duration", "load_duration", "prompt_eval_duration", "eval_duration"] {
        answer["properties"][name] = whole();
    }
    for name in ["prompt_eval_count", "eval_count"] {
        answer["properties"][name] = whole();
    }
    let token = || with([("token", text()), ("logprob", real()), ("bytes", all(whole()))]);
    let mut chosen = token();
    chosen["properties"]["top_logprobs"] = all(token());
    answer["properties"]["logprobs"] = all(chosen);
    answer
}

fn always_true() -> Value {
    json!({ "const": true })
}

/// The schema of a route's JSON; nothing for one of another API.
pub(super) fn answer(path: &str) -> Option<Value> {
    let name = || {
        [
            ("name", text()),
            ("model", text()),
            ("size", whole()),
            ("digest", text()),
            ("details", details()),
        ]
    };
    Some(match path {
        "/api/chat" => {
            let function = with([
                ("index", whole()),
                ("name", text()),
                ("arguments", json!({ "type": "object" })),
            ]);
            let call = with([("id", text()), ("function", function)]);
            let mut message = with([("role", always("assistant")), ("content", text())]);
            message["properties"]["tool_calls"] = all(call);
            message["properties"]["thinking"] = text();
            end(("message", message))
        }
        "/api/generate" => {
            let mut answer = end(("response", text()));
            answer["properties"]["thinking"] = text();
            answer["properties"]["context"] = all(whole());
            answer
        }
        "/api/embed" => with([
            ("model", text()),
            ("embeddings", all(all(real()))),
            ("total_duration", whole()),
            ("load_duration", whole()),
            ("prompt_eval_count", whole()),
        ]),
        "/api/embeddings" => with([("embedding", all(real()))]),
        "/api/tags" => {
            let mut tag = with(name());
            tag["properties"]["modified_at"] = text();
            tag["properties"]["capabilities"] = all(text());
            tag["properties"]["state"] = state();
            tag["properties"]["reason"] = text();
            with([("models", all(tag))])
        }
        "/api/ps" => {
            let mut model = with(name());
            model["properties"]["expires_at"] = text();
            model["properties"]["size_vram"] = whole();
            model["properties"]["context_length"] = whole();
            with([("models", all(model))])
        }
        "/api/show" => with([
            ("modelfile", text()),
            ("parameters", text()),
            ("template", text()),
            ("details", details()),
            ("model_info", json!({ "type": "object" })),
            ("capabilities", all(text())),
            ("modified_at", text()),
            ("state", state()),
        ]),
        "/api/version" => with([("version", text()), ("server", text())]),
        _ => return None,
    })
}
