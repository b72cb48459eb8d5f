//! 200 schemas, a model of 135 M parameters at temperature 1, and every reply is valid JSON of its schema.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use crane_native::folder::FolderSource;
use crane_sdk::generate::{
    CancelToken, FinishReason, GenerationConfig, Output, Session, step_together,
};
use crane_sdk::grammar::{Compiler, Grammar};
use crane_sdk::models::{LoadOptions, load};
use crane_sdk::pipeline::Chat;
use crane_sdk::sample::SamplingParams;
use crane_sdk::text::{ChatTemplate, Message, RenderOptions, Tokenizer};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

const MODEL: &str = "smollm2-135m-instruct-q4_1.gguf";
/// Variants of each family of schemas.
const VARIANTS: usize = 10;
/// Replies at a time.
const TOGETHER: usize = 8;

/// One of a family of schemas: what JSON schema can say, with other numbers and names in each variant.
fn schema(family: usize, n: usize) -> Value {
    let word = ["name", "city", "größe", "a \"b\"", "x/y", "", "type", "$id", "été", "key_9"][n];
    let object = |properties: Value| {
        let required: Vec<&String> = properties.as_object().unwrap().keys().collect();
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
    };
    match family {
        0 => object(json!({ word: { "type": "string", "maxLength": 4 * n + 1 } })),
        1 => object(
            json!({ word: { "type": "integer", "minimum": -7 * n as i64, "maximum": 13 * n } }),
        ),
        2 => json!({ "enum": ["red", "green", n, null, [word, n], { word: true }] }),
        3 => object(
            json!({ "fixed": { "const": { word: [n, "x"] } }, "open": { "type": "boolean" } }),
        ),
        4 => {
            json!({ "type": "array", "items": { "type": "integer", "minimum": 0, "maximum": 99 }, "minItems": n, "maxItems": n + 3 })
        }
        5 => object(
            json!({ "inner": object(json!({ word: object(json!({ "deep": { "type": ["boolean", "null"] } })) })) }),
        ),
        6 => object(json!({ "either": { "anyOf": [
            { "type": "boolean" },
            { "type": "string", "maxLength": n + 2 },
            object(json!({ word: { "type": "null" } })),
        ] } })),
        7 => json!({
            "$defs": { "point": object(json!({ "x": { "$ref": "#/$defs/small" }, "y": { "$ref": "#/$defs/small" } })),
                       "small": { "type": "integer", "minimum": n, "maximum": n + 40 } },
            "type": "array", "items": { "$ref": "#/$defs/point" }, "minItems": 1, "maxItems": 2,
        }),
        8 => object(
            json!({ word: { "type": "string", "pattern": format!("^[A-Z]{{{}}}-[0-9]{{2,4}}$", n % 4 + 1) } }),
        ),
        9 => {
            let format = ["date", "uuid", "ipv4"][n % 3];
            object(
                json!({ "when": { "type": "string", "format": format }, word: { "enum": ["on", "off"] } }),
            )
        }
        10 => object(
            json!({ word: { "type": "number", "minimum": 0, "maximum": n + 1 }, "unit": { "enum": ["m", "s"] } }),
        ),
        11 => json!({
            "type": "array", "prefixItems": [{ "type": "string", "maxLength": n + 3 }, { "type": "integer", "minimum": 1, "maximum": 9 }],
            "items": { "type": "boolean" }, "minItems": 2, "maxItems": 2 + n % 3,
        }),
        12 => json!({
            "type": "object",
            "properties": { "must": { "type": "boolean" }, word: { "type": "string", "maxLength": 5 }, "may": { "type": "null" } },
            "required": ["must"], "additionalProperties": false,
        }),
        13 => json!({ "allOf": [
            { "type": "object", "properties": { "a": { "type": "integer" } }, "required": ["a"] },
            { "properties": { "a": { "minimum": n, "maximum": 5 * n + 9 }, "b": { "type": "boolean" } }, "required": ["b"], "additionalProperties": false },
        ] }),
        14 => json!({
            "type": "array", "minItems": 1, "maxItems": 3,
            "items": object(json!({ "id": { "type": "integer", "minimum": 100 * n, "maximum": 100 * n + 99 }, "done": { "type": "boolean" } })),
        }),
        15 => object(
            json!({ word: { "type": "integer", "exclusiveMinimum": n, "maximum": 60 + n, "multipleOf": n % 4 + 2 } }),
        ),
        16 => {
            json!({ "type": "array", "minItems": 2, "maxItems": 2, "items": { "type": "array", "minItems": 1, "maxItems": n + 1, "items": { "enum": [0, 1] } } })
        }
        17 => json!({
            "type": "object", "additionalProperties": false, "required": ["children"],
            "properties": { "children": { "type": "array", "maxItems": 2, "items": { "type": "object", "additionalProperties": false,
                "required": [word], "properties": { word: { "type": "string", "minLength": 2, "maxLength": 2 + n } } } } },
        }),
        18 => object(
            json!({ "a": { "type": "string", "minLength": n + 1, "maxLength": 2 * n + 2 }, "b": { "enum": [word] }, "c": { "type": "null" } }),
        ),
        _ => object(
            json!({ "action": { "enum": ["search", "stop"] }, "query": { "type": "string", "maxLength": 20 }, "limit": { "type": "integer", "minimum": 1, "maximum": n + 1 } }),
        ),
    }
}

/// Where the test weights are; without them the test is skipped, and says so.
fn weights() -> Option<PathBuf> {
    let folder = std::env::var_os("CRANE_TEST_MODELS").map(PathBuf::from).unwrap_or_else(|| {
        PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/crane-test-models")
    });
    let path = folder.join(MODEL);
    let required = std::env::var_os("CRANE_REQUIRE_MODELS").is_some_and(|value| value != "0");
    assert!(path.exists() || !required, "{} is missing", path.display());
    if !path.exists() {
        println!("skipped: {MODEL} is missing; run `cargo xtask setup`");
    }
    path.exists().then_some(path)
}

#[test]
fn every_reply_is_json_of_its_schema() {
    let Some(path) = weights() else { return };
    let source = FolderSource::open_path(&path).unwrap();
    let tokenizer = Arc::new(Tokenizer::from_source(&source).unwrap());
    let template = ChatTemplate::from_source(&source).unwrap().unwrap();
    let defaults = GenerationConfig::from_source(&source, &tokenizer).unwrap();
    let model = load(&source, &LoadOptions::default()).unwrap().model;
    let compiler = Compiler::new(&tokenizer).unwrap();
    let mut sessions: Vec<Session> = (0..TOGETHER)
        .map(|_| Session::new(model.clone(), tokenizer.clone(), 2048).unwrap())
        .collect();

    let schemas: Vec<Value> =
        (0..20).flat_map(|family| (0..VARIANTS).map(move |n| schema(family, n))).collect();
    let distinct: BTreeSet<String> = schemas.iter().map(Value::to_string).collect();
    assert_eq!(distinct.len(), 200);
    let mut texts = BTreeSet::new();
    for (batch, schemas) in schemas.chunks(TOGETHER).enumerate() {
        let prompt = |schema: &Value| {
            let message = Message::user(format!("Answer with JSON of this schema: {schema}"));
            let options = RenderOptions { add_generation_prompt: true, ..RenderOptions::default() };
            tokenizer.encode(&template.render(&[message], &options).unwrap(), false).unwrap()
        };
        for (index, (session, schema)) in sessions.iter_mut().zip(schemas).enumerate() {
            let constraint = compiler.compile(&Grammar::JsonSchema(schema.clone()));
            let constraint = constraint.unwrap_or_else(|error| panic!("{schema}: {error}"));
            assert_eq!(constraint.warnings(), [""; 0], "{schema}");
            let seed = Some((batch * TOGETHER + index) as u64);
            let config = GenerationConfig {
                // The model's own distribution: nothing steers it but the schema.
                sampling: SamplingParams { seed, ..SamplingParams::default() },
                constraint: Some(constraint),
                max_new_tokens: Some(600),
                ..defaults.clone()
            };
            session.begin(&prompt(schema), &config, &CancelToken::new()).unwrap();
        }
        while sessions.iter().any(Session::is_running) {
            let mut all: Vec<&mut Session> = sessions.iter_mut().collect();
            for step in step_together(&mut all).unwrap() {
                step.unwrap();
            }
        }
        for (session, schema) in sessions.iter_mut().zip(schemas) {
            let Output { text, finish_reason, .. } = session.finish().unwrap();
            let ended = [FinishReason::Complete, FinishReason::Eos].contains(&finish_reason);
            assert!(ended, "{schema}: {finish_reason:?} {text}");
            let value: Value = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{schema}: {error}: {text}"));
            let validator = jsonschema::options().should_validate_formats(true);
            let validator = validator.build(schema).unwrap();
            assert!(validator.is_valid(&value), "{schema}: {text}");
            texts.insert(text);
        }
    }
    // They are replies to the schemas, not one text for all.
    assert!(texts.len() > 120, "{} texts differ", texts.len());
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq)]
enum Continent {
    Africa,
    America,
    Asia,
    Europe,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Country {
    capital: String,
    continent: Continent,
}

#[test]
fn a_chat_answers_with_a_value_of_a_type() {
    let Some(path) = weights() else { return };
    let mut chat = Chat::from_source(&FolderSource::open_path(&path).unwrap()).unwrap();
    chat.config.sampling.temperature = 0.0;
    let question = "What is the capital of France, and on which continent does it lie?";
    let country: Country = chat.ask(question).unwrap();
    println!("{country:?}");
    assert_eq!(country.capital, "Paris");
    assert_eq!(country.continent, Continent::Europe);
    // The next answer is free again, though so small a model goes on as it began: it ends where the model ends it.
    let reply = chat.send("Which city was it?").unwrap().complete().unwrap();
    println!("{}", reply.text);
    assert!(reply.text.contains("Paris"), "{}", reply.text);
    assert_eq!(reply.finish_reason, FinishReason::Eos);
}
