//! The fields of each route's body.

use serde_json::{Value, json};

use crate::server::wire::{NOT_DONE, Neutral};

/// A field of a request.
#[derive(Debug)]
pub(super) struct Field {
    pub name: &'static str,
    pub schema: Value,
    pub text: String,
    pub required: bool,
}

impl Field {
    /// As a property of a JSON schema; `null` is the same as nothing.
    pub(super) fn property(&self) -> (String, Value) {
        let mut schema = match self.required {
            true => self.schema.clone(),
            false => json!({ "anyOf": [self.schema, { "type": "null" }] }),
        };
        schema["description"] = self.text.as_str().into();
        (self.name.to_owned(), schema)
    }
}

pub(super) fn field(name: &'static str, schema: Value, text: &str) -> Field {
    Field { name, schema, text: text.to_owned(), required: false }
}

fn required(name: &'static str, schema: Value, text: &str) -> Field {
    Field { required: true, ..field(name, schema, text) }
}

fn number(least: f64, most: f64) -> Value {
    json!({ "type": "number", "minimum": least, "maximum": most })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX })
}

/// The most tokens of a reply.
fn limit() -> Value {
    json!({ "anyOf": [count(), { "enum": [-1, -2] }] })
}

fn seed() -> Value {
    json!({ "type": "integer", "minimum": i64::MIN, "maximum": u64::MAX })
}

pub(super) fn string() -> Value {
    json!({ "type": "string" })
}

pub(super) fn boolean() -> Value {
    json!({ "type": "boolean" })
}

pub(super) fn object() -> Value {
    json!({ "type": "object" })
}

pub(super) fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// What every route takes.
fn model() -> Field {
    field("model", string(), "the model's name or an alias")
}

/// What all that generate take.
pub(super) fn sampling() -> Vec<Field> {
    let penalty = json!({ "type": "number", "exclusiveMinimum": 0 });
    vec![
        field("temperature", number(0.0, 2.0), "0 always takes the likeliest token"),
        field("top_p", number(0.0, 1.0), "the likeliest tokens whose probabilities reach this sum"),
        field(
            "top_k",
            json!({ "type": "integer", "minimum": -1, "maximum": u32::MAX }),
            "the so many likeliest tokens; 0 and -1 are all",
        ),
        field("min_p", number(0.0, 1.0), "tokens at least this times as likely as the likeliest"),
        field(
            "typical_p",
            json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1 }),
            "the most typical tokens whose probabilities reach this sum",
        ),
        field("repeat_penalty", penalty.clone(), "divides the score of tokens that occurred"),
        field("repetition_penalty", penalty, "the same as repeat_penalty"),
        field(
            "presence_penalty",
            number(-2.0, 2.0),
            "subtracted once from the score of tokens that occurred",
        ),
        field(
            "frequency_penalty",
            number(-2.0, 2.0),
            "subtracted for each time that a token occurred",
        ),
        field(
            "repeat_last_n",
            json!({ "type": "integer", "minimum": -1, "maximum": u32::MAX }),
            "how many tokens the penalties look at; 0 switches them off, -1 is all",
        ),
        field("seed", seed(), "the same seed gives the same reply; -1 is a new one each time"),
        field(
            "logit_bias",
            json!({
                "type": "object", "propertyNames": { "pattern": "^[0-9]+$" },
                "additionalProperties": number(-100.0, 100.0), "maxProperties": 10_000,
            }),
            "added to the scores of tokens, by id; -100 forbids one",
        ),
        field("ignore_eos", boolean(), "go on past the model's end-of-sequence token"),
        field(
            "grammar",
            json!({ "type": ["string", "object"] }),
            "the form of the reply: a Lark grammar, or {\"type\": \"lark\" | \"regex\" | \"json\", \"value\"}",
        ),
        field("stream", boolean(), "server-sent events"),
        field(
            "cache_salt",
            string(),
            "only requests with the same text here find what this one has evaluated of its prompt",
        ),
    ]
}

/// What OpenAI's routes take beside.
fn openai() -> Vec<Field> {
    let text = json!({ "type": "string", "maxLength": 4096 });
    let stop = json!({ "anyOf": [text, { "type": "array", "items": text, "maxItems": 16 }] });
    let options = json!({
        "type": "object", "additionalProperties": false,
        "properties": { "include_usage": { "type": ["boolean", "null"] }, "include_obfuscation": { "enum": [false, null] } },
    });
    vec![
        field(
            "stop",
            stop,
            "texts that end the reply and are not part of it; an empty one is none",
        ),
        field(
            "n",
            json!({ "type": "integer", "minimum": 1, "maximum": 128 }),
            "replies to one prompt",
        ),
        field("response_format", format(), "the form of the reply: text, json_object, json_schema"),
        field(
            "stream_options",
            options,
            "include_usage: a last chunk that tells the usage; with stream alone",
        ),
        field("user", string(), "who asks: divides the share of the key, and its prompts' cache"),
        field("safety_identifier", string(), "the same as user"),
    ]
}

/// The form of a reply, as chat completions and completions ask for it.
fn format() -> Value {
    let schema = object();
    json!({ "anyOf": [
        { "type": "object", "required": ["type"], "additionalProperties": false,
          "properties": { "type": { "enum": ["text", "json_object"] } } },
        { "type": "object", "required": ["type", "json_schema"], "properties": {
            "type": { "const": "json_schema" },
            "json_schema": { "type": "object", "required": ["schema"], "properties": { "schema": schema } } } },
    ] })
}

pub(super) fn tools() -> Vec<Field> {
    vec![
        field("tools", list(object()), "what the model may call"),
        field(
            "tool_choice",
            json!({ "type": ["string", "object"] }),
            "none, auto, required (any), or one tool",
        ),
        field("parallel_tool_calls", boolean(), "whether a reply may hold several calls"),
    ]
}

/// What says how a conversation is written as a prompt.
fn template() -> [Field; 3] {
    [
        field(
            "chat_template_kwargs",
            json!({ "type": "object", "maxProperties": 64 }),
            "further variables of the chat template",
        ),
        field(
            "add_generation_prompt",
            boolean(),
            "true begins a new reply behind a last message of the assistant, which is gone on with else",
        ),
        field(
            "continue_final_message",
            boolean(),
            "true goes on with the last message, whoever wrote it; false does not",
        ),
    ]
}

fn effort() -> Value {
    json!({ "enum": ["none", "minimal", "low", "medium", "high", "xhigh", "max"] })
}

/// How much a model should think, as its template reads it.
fn reasoning_effort() -> Field {
    field(
        "reasoning_effort",
        effort(),
        "given to the chat template as reasoning_effort or enable_thinking; refused where it reads neither, but for none and minimal",
    )
}

/// What is taken and not needed: prefixes are found by their tokens.
fn caching() -> [Field; 3] {
    let text = "taken and not needed: every prompt's beginning is looked for";
    [
        field("prompt_cache_key", string(), text),
        field("prompt_cache_retention", string(), text),
        field("prompt_cache_options", object(), text),
    ]
}

/// What somebody said, in parts of these types.
fn message(roles: &[&str], part: &str) -> Value {
    let part = json!({
        "type": "object", "required": ["type"], "properties": { "type": { "const": part }, "text": string() },
    });
    let content = json!({ "anyOf": [string(), list(part), { "type": "null" }] });
    json!({
        "type": "object", "required": ["role"], "properties": { "role": { "enum": roles }, "content": content },
        "examples": [{ "role": "user", "content": "Hello" }],
    })
}

fn conversation() -> Field {
    let roles = ["system", "developer", "user", "assistant", "tool", "function"];
    let items = message(&roles, "text");
    let messages = json!({ "type": "array", "items": items, "minItems": 1, "maxItems": 8192 });
    required("messages", messages, "what was said")
}

/// What both of Anthropic's routes take.
fn anthropic() -> [Field; 3] {
    let content = json!({ "anyOf": [string(), list(object())] });
    let message = json!({
        "type": "object", "required": ["role", "content"],
        "properties": { "role": { "enum": ["user", "assistant"] }, "content": content },
        "examples": [{ "role": "user", "content": "Hello" }],
    });
    let messages = json!({ "type": "array", "items": message, "minItems": 1, "maxItems": 8192 });
    [
        required("messages", messages, "what was said"),
        field(
            "cache_control",
            object(),
            "taken and not needed: every prompt's beginning is looked for",
        ),
        field("output_config", object(), "format: the JSON schema of the reply"),
    ]
}

fn texts() -> Value {
    json!({ "anyOf": [string(), list(string()), list(json!({ "type": "integer", "minimum": 0 })),
        list(list(json!({ "type": "integer", "minimum": 0 })))] })
}

/// The fields of a route's body; none for a route without one.
pub(super) fn body(path: &str) -> Vec<Field> {
    let mut fields = match path {
        "/v1/chat/completions" => {
            let mut fields = vec![conversation(), reasoning_effort()];
            fields.extend(template().into_iter().chain(caching()));
            fields.extend(sampling().into_iter().chain(openai()).chain(tools()));
            fields.push(field(
                "max_completion_tokens",
                limit(),
                "the longest reply; -1 is to the end of the context",
            ));
            fields.push(field("max_tokens", limit(), "the older name of max_completion_tokens"));
            fields.push(field("logprobs", boolean(), "how likely each token was"));
            let top = json!({ "type": "integer", "minimum": 0, "maximum": 20 });
            fields.push(field("top_logprobs", top, "the so many likeliest tokens in each place"));
            fields
        }
        "/v1/completions" => {
            let mut fields = vec![required("prompt", texts(), "what to go on with")];
            fields.extend(sampling().into_iter().chain(openai()));
            fields.push(field(
                "max_tokens",
                json!({ "anyOf": [count(), { "enum": [0, -1, -2] }] }),
                "the longest reply; 16 if not given, -1 to the end of the context, 0 with echo for the prompt alone",
            ));
            let top = json!({ "type": "integer", "minimum": 0, "maximum": 20 });
            fields.push(field("logprobs", top, "the so many likeliest tokens in each place"));
            let text = "whether the prompt is part of the answer; with logprobs, how likely each of its tokens was, too";
            fields.push(field("echo", boolean(), text));
            fields
        }
        "/v1/responses" => {
            let input = json!({ "anyOf": [string(), list(object())] });
            let mut fields = vec![required("input", input, "a text, or items")];
            fields.extend(template().into_iter().chain(caching()));
            let reasoning = json!({ "type": "object", "properties": { "effort": { "anyOf": [effort(), { "type": "null" }] } } });
            fields.push(field(
                "reasoning",
                reasoning,
                "effort: as reasoning_effort of chat completions",
            ));
            fields.extend(sampling().into_iter().chain(tools()));
            let own = ["stream_options", "user", "safety_identifier"];
            fields.extend(openai().into_iter().filter(|field| own.contains(&field.name)));
            fields.push(field("instructions", string(), "what a system says"));
            fields.push(field(
                "max_output_tokens",
                limit(),
                "the longest reply; -1 is to the end of the context",
            ));
            fields.push(field("text", object(), "format: the form of the reply"));
            fields
        }
        "/v1/messages" => {
            let mut fields = Vec::from(template());
            fields.extend(sampling());
            fields.extend(tools().into_iter().filter(|field| field.name != "parallel_tool_calls"));
            fields.push(required(
                "max_tokens",
                limit(),
                "the longest reply; -1 is to the end of the context",
            ));
            fields.push(field(
                "system",
                json!({ "anyOf": [string(), list(object())] }),
                "what a system says",
            ));
            let stop = json!({ "type": "string", "maxLength": 4096 });
            let stops = json!({ "type": "array", "items": stop, "maxItems": 16 });
            fields.push(field(
                "stop_sequences",
                stops,
                "texts that end the reply and are not part of it",
            ));
            fields.push(field("metadata", object(), "user_id: who asks, for a fair turn"));
            fields.extend(anthropic());
            fields
        }
        "/v1/messages/count_tokens" => {
            let mut fields = Vec::from(template());
            fields.extend(tools().into_iter().filter(|field| field.name != "parallel_tool_calls"));
            fields.push(field(
                "system",
                json!({ "anyOf": [string(), list(object())] }),
                "what a system says",
            ));
            fields.extend(anthropic());
            fields
        }
        "/v1/embeddings" => vec![
            required("input", texts(), "the texts"),
            field(
                "pooling",
                json!({ "enum": ["mean", "last", "cls"] }),
                "of which hidden states; without it as the model's authors say, of models that write their mean",
            ),
            field("truncate", boolean(), "cut texts that are too long, which are refused else"),
            field(
                "encoding_format",
                json!({ "enum": ["float", "base64"] }),
                "how vectors are written",
            ),
            field("dimensions", count(), "the model's own width, or nothing"),
            field("user", string(), "has no effect: embeddings take no slot"),
        ],
        "/v1/audio/speech" => vec![
            required("input", json!({ "type": "string", "maxLength": 4096 }), "the text"),
            field(
                "voice",
                json!({ "type": ["string", "object"] }),
                "one of the model's voices, by its name (or {\"id\": name}), an --alias or one of OpenAI's names; without it the model's own choice",
            ),
            field(
                "response_format",
                json!({ "enum": ["wav", "mp3", "pcm", "flac"] }),
                "wav if not given; mono, 16 bits, 24 kHz; flac is sent whole, once all is said",
            ),
            field("speed", number(0.5, 2.0), "1 if not given"),
            field(
                "seed",
                seed(),
                "the same seed gives the same samples; -1 is a new one each time",
            ),
        ],
        "/tokenize" => vec![
            required(
                "content",
                string(),
                "the text: 1 MiB, or 8 bytes for each token of a longer context",
            ),
            field(
                "add_special",
                boolean(),
                "with the tokens that the tokenizer puts around a text",
            ),
            field("with_pieces", boolean(), "with each token's text"),
        ],
        "/detokenize" => {
            let ids = list(json!({ "type": "integer", "minimum": 0 }));
            vec![required("tokens", ids, "the tokens")]
        }
        "/apply-template" => {
            let mut fields = vec![conversation(), reasoning_effort()];
            fields.extend(template().into_iter().chain(tools()));
            fields
        }
        _ => match super::ollama::body(path) {
            fields if fields.is_empty() => return fields,
            fields => fields,
        },
    };
    fields.push(model());
    let neutral = NOT_DONE.iter().filter(|(of, _)| *of == path).flat_map(|(_, fields)| *fields);
    fields.extend(neutral.map(not_done));
    fields
}

/// A field that is taken where it asks for nothing.
fn not_done(Neutral { name, values, reason }: &Neutral) -> Field {
    let parsed: Vec<Value> =
        values.iter().filter_map(|value| serde_json::from_str(value).ok()).collect();
    let schema = match parsed.is_empty() {
        true => json!({ "type": "null" }),
        false => json!({ "enum": parsed }),
    };
    field(name, schema, &format!("refused else: {reason}"))
}
