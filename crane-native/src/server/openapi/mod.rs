//! The OpenAPI document: what each route takes, checked by tests against the code that reads it.

mod answers;
mod fields;
mod ollama;

use serde_json::{Map, Value, json};

use super::ROUTES;
use fields::{Field, body};

/// The document, in OpenAPI 3.1, of a server that asks for a key or does not.
///
/// ```
/// let document = crane_native::server::openapi(false);
/// assert!(document["paths"]["/v1/chat/completions"]["post"]["requestBody"].is_object());
/// ```
pub fn openapi(asks_for_a_key: bool) -> Value {
    let mut paths = Map::new();
    for (method, path) in ROUTES {
        let place = paths.entry(path).or_insert_with(|| json!({}));
        place[method.to_lowercase()] = operation(method, path, asks_for_a_key);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "crane serve",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": { "error": {
                        "type": "object",
                        "required": ["message", "type", "param", "code"],
                        "properties": {
                            "message": { "type": "string" },
                            "type": { "type": "string" },
                            "param": { "type": ["string", "null"] },
                            "code": { "type": ["string", "null"] },
                        },
                    } },
                },
                "OllamaError": {
                    "type": "object",
                    "required": ["error"],
                    "properties": { "error": { "type": "string" } },
                },
                "AnthropicError": {
                    "type": "object",
                    "required": ["type", "error"],
                    "properties": {
                        "type": { "const": "error" },
                        "error": {
                            "type": "object",
                            "required": ["type", "message"],
                            "properties": { "type": { "type": "string" }, "message": { "type": "string" } },
                        },
                    },
                },
            },
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer" } },
        },
    })
}

/// Whether a route asks for a key.
fn is_open(path: &str) -> bool {
    matches!(path, "/" | "/health" | "/ready" | "/metrics" | "/openapi.json" | "/docs")
}

fn operation(method: &str, path: &str, asks_for_a_key: bool) -> Value {
    let is_ollama = path.starts_with("/api/");
    let error = match () {
        () if path.starts_with("/v1/messages") => "#/components/schemas/AnthropicError",
        () if is_ollama => "#/components/schemas/OllamaError",
        () => "#/components/schemas/Error",
    };
    let refusal = |what: &str| {
        let content = json!({ "application/json": { "schema": { "$ref": error } } });
        json!({ "description": what, "content": content })
    };
    let mut content = match path {
        "/metrics" => json!({ "application/openmetrics-text": { "schema": { "type": "string" } } }),
        "/v1/audio/speech" => json!({
            "audio/wav": { "schema": { "type": "string", "format": "binary" } },
            "audio/pcm": { "schema": { "type": "string", "format": "binary" } },
            "audio/mpeg": { "schema": { "type": "string", "format": "binary" } },
            "audio/flac": { "schema": { "type": "string", "format": "binary" } },
        }),
        "/docs" => json!({ "text/html": { "schema": { "type": "string" } } }),
        _ => json!({ "application/json": { "schema": answers::answer(path) } }),
    };
    let body = body(path);
    if body.iter().any(|field| field.name == "stream") {
        // Its events and lines have no schema here: OpenAPI 3.1 has no words for them.
        let stream = if is_ollama { "application/x-ndjson" } else { "text/event-stream" };
        content[stream] = json!({});
    }
    let mut responses = json!({ "200": { "description": "the answer", "content": content } });
    responses["403"] = refusal("a page of another origin, or a host that is not known");
    let mut operation = json!({ "summary": summary(method, path) });
    if asks_for_a_key && !is_open(path) {
        responses["401"] = refusal("the key is missing or wrong");
        operation["security"] = json!([{ "key": [] }]);
    }
    if matches!(path, "/health" | "/ready") {
        let content = json!({ "application/json": { "schema": { "type": "object" } } });
        responses["500"] = json!({ "description": "the engine has stopped", "content": content });
        responses["503"] = json!({ "description": "not now", "content": content });
    }
    if path.contains("{id}") {
        operation["parameters"] = json!([{ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } }]);
        responses["404"] = refusal("there is no such model");
    }
    if method == "POST" {
        let required: Vec<&str> =
            body.iter().filter(|field| field.required).map(|field| field.name).collect();
        let properties: Map<String, Value> = body.iter().map(Field::property).collect();
        let schema = json!({
            "type": "object", "required": required, "properties": properties, "additionalProperties": false,
        });
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
        for (status, what) in [
            ("400", "a field is wrong, or asks for what is not done"),
            ("404", "there is no such model"),
            ("408", "the body stopped coming"),
            ("413", "the body is too large"),
            ("415", "the body is compressed"),
            ("429", "the queue is full; Retry-After says when to come back"),
            ("503", "the server is ending, or the model cannot be loaded"),
            ("504", "it took longer than --timeout"),
        ] {
            responses[status] = refusal(what);
        }
    }
    operation["responses"] = responses;
    operation
}

fn summary(method: &str, path: &str) -> &'static str {
    match (method, path) {
        (_, "/v1/chat/completions") => "A reply to a conversation",
        (_, "/v1/completions") => "Goes on with a text",
        (_, "/v1/responses") => "A reply to texts and calls",
        (_, "/v1/embeddings") => "One vector for each text",
        (_, "/v1/messages") => "A reply to a conversation, in Anthropic's words",
        (_, "/v1/messages/count_tokens") => "How many tokens a conversation has",
        (_, "/v1/audio/speech") => "A text read aloud",
        (_, "/v1/models") => "The models and their aliases",
        (_, "/v1/models/{id}") => "One of them",
        (_, "/api/chat") => "A reply to a conversation, in Ollama's words",
        (_, "/api/generate") => "A reply to a text, or what follows it, in Ollama's words",
        (_, "/api/embed") => "One vector for each text, in Ollama's words",
        (_, "/api/embeddings") => "One vector for one text, in Ollama's older words",
        (_, "/api/tags") => "The models and their aliases, in Ollama's words",
        (_, "/api/show") => "All that is known of one of them, in Ollama's words",
        (_, "/api/ps") => "Those that are in memory, in Ollama's words",
        (_, "/api/version") => "The release of Ollama whose API is spoken",
        (_, "/tokenize") => "Text to tokens",
        (_, "/detokenize") => "Tokens to text",
        (_, "/apply-template") => "A conversation to a prompt",
        (_, "/health") => "Whether the engine lives",
        (_, "/ready") => "Whether a request would be taken",
        (_, "/metrics") => "Counts and times, for Prometheus",
        (_, "/openapi.json") => "This document",
        (_, "/docs") => "This document, to be read",
        _ => "What is served",
    }
}

/// The headers of [`page`]: it runs no script, loads nothing, and lies in no other page's frame.
pub const PAGE_HEADERS: [(&str, &str); 3] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
];

/// The document as a page.
pub fn page() -> String {
    let document = openapi(false);
    let mut rows = String::new();
    for (method, path) in ROUTES {
        let operation = &document["paths"][path][method.to_lowercase()];
        let summary = operation["summary"].as_str().unwrap_or_default();
        rows.push_str(&format!("<h2><code>{method} {path}</code></h2>\n<p>{summary}</p>\n"));
        let fields = body(path);
        if fields.is_empty() {
            continue;
        }
        rows.push_str("<table>\n<tr><th>field</th><th>schema</th><th></th></tr>\n");
        for field in fields {
            let mark = if field.required { " *" } else { "" };
            let schema = escaped(&field.schema.to_string());
            let text = escaped(&field.text);
            rows.push_str(&format!(
                "<tr><td><code>{}</code>{mark}</td><td><code>{schema}</code></td><td>{text}</td></tr>\n",
                field.name
            ));
        }
        rows.push_str("</table>\n");
    }
    PAGE.replace("{rows}", &rows)
}

const PAGE: &str = "<!doctype html>
<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">
<title>crane serve</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; vertical-align: top; padding: .3rem .6rem; border-top: 1px solid #8884 }
code { font-size: .85em; overflow-wrap: anywhere }
</style>
<h1>crane serve</h1>
<p>The same for machines: <a href=\"openapi.json\">openapi.json</a>. A star marks what must be given.</p>
{rows}</html>
";

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::server::wire::{Fields, read_names};

    #[test]
    fn every_field_that_is_read_is_documented_and_no_other() {
        for (path, body) in [
            ("/v1/chat/completions", r#"{"messages": [{"role": "user", "content": "x"}]}"#),
            ("/v1/completions", r#"{"prompt": "x"}"#),
            ("/v1/responses", r#"{"input": "x"}"#),
            ("/v1/embeddings", r#"{"input": "x"}"#),
            (
                "/v1/messages",
                r#"{"max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}"#,
            ),
            ("/v1/messages/count_tokens", r#"{"messages": [{"role": "user", "content": "x"}]}"#),
            ("/v1/audio/speech", r#"{"input": "x"}"#),
            ("/tokenize", r#"{"content": "x"}"#),
            ("/detokenize", r#"{"tokens": [1]}"#),
            ("/apply-template", r#"{"messages": [{"role": "user", "content": "x"}]}"#),
            ("/api/chat", "{}"),
            ("/api/generate", "{}"),
            ("/api/embed", "{}"),
            ("/api/embeddings", "{}"),
            ("/api/show", "{}"),
        ] {
            let mut names = read_names(path, Fields::parse(body.as_bytes()).unwrap());
            names.insert("model".to_owned());
            let documented: BTreeSet<String> =
                fields::body(path).iter().map(|field| field.name.to_owned()).collect();
            let of = |a: &BTreeSet<String>, b: &BTreeSet<String>| -> Vec<String> {
                a.difference(b).cloned().collect()
            };
            assert_eq!(of(&names, &documented), [""; 0], "{path}: not documented");
            assert_eq!(of(&documented, &names), [""; 0], "{path}: not read");
            let required: Vec<&str> = fields::body(path)
                .iter()
                .filter(|field| field.required)
                .map(|field| field.name)
                .collect();
            let body: Map<String, Value> = serde_json::from_str(body).unwrap();
            let given: BTreeSet<&str> = body.keys().map(String::as_str).collect();
            assert_eq!(BTreeSet::from_iter(required), given, "{path}");
        }
        // Every route has words of its own.
        for (method, path) in ROUTES.iter().filter(|(_, path)| *path != "/") {
            assert_ne!(summary(method, path), "What is served", "{path}");
        }
        assert!(page().contains("<code>temperature</code>"));
    }
}
