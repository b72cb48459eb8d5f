//! Answers that are values of Rust types, from a tiny model whose own replies are noise.

#![cfg(feature = "grammar")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "fields are written by the reader and compared as a whole")]

mod generate_support;

use std::collections::{BTreeMap, HashSet};

use crane_sdk::Error;
use crane_sdk::grammar::Grammar;
use crane_sdk::pipeline::Chat;
use generate_support::folder;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

fn chat(seed: u64) -> Chat {
    let mut chat = Chat::from_source(&folder("qwen2_tied")).unwrap();
    chat.config.sampling.seed = Some(seed);
    chat.config.sampling.temperature = 1.0;
    chat.config.max_new_tokens = Some(400);
    chat
}

/// Asks often; every answer is a value, but for those that a limit of tokens cut.
fn asked<T: DeserializeOwned + JsonSchema + std::fmt::Debug>() -> Vec<T> {
    let mut values = Vec::new();
    let mut chat = chat(0);
    for seed in 0..12 {
        chat.clear();
        chat.config.sampling.seed = Some(seed);
        match chat.ask::<T>("Well?") {
            Ok(value) => values.push(value),
            Err(Error::InvalidReply { reason, reply }) => {
                assert!(reason.contains("max_new_tokens"), "{reason}: {reply}");
            }
            Err(error) => unreachable!("{error}"),
        }
    }
    assert!(values.len() >= 4, "{} of 12 answers ended", values.len());
    values
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Numbers {
    byte: u8,
    signed: i16,
    small: i8,
    word: u32,
    long: i64,
    size: usize,
    huge: u128,
    real: f32,
    double: f64,
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq, Eq, Hash)]
enum Color {
    /// As blood.
    Red,
    Green,
}

#[derive(Debug, Deserialize, JsonSchema)]
enum Shape {
    Circle { radius: u8 },
    Line(i8, i8),
    Named(Color),
    Nothing,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Event {
    Moved(Point),
    Drawn { color: Color },
    Left,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Point {
    x: i8,
    y: i8,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Picture {
    #[schemars(length(max = 2))]
    shapes: Vec<Shape>,
    #[schemars(length(max = 2))]
    colors: HashSet<Color>,
    corner: Option<Point>,
    initial: char,
    sure: bool,
    pair: (bool, u8),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Awkward {
    format: bool,
    #[serde(rename = "uniqueItems")]
    unique_items: bool,
    #[serde(rename = "oneOf")]
    one_of: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Flat {
    #[serde(flatten)]
    point: Point,
    last: bool,
}

#[test]
fn answers_are_values_of_the_type() {
    asked::<Numbers>();
    asked::<Color>();
    asked::<Shape>();
    asked::<Event>();
    asked::<Picture>();
    asked::<Awkward>();
    asked::<Flat>();
    asked::<Option<u8>>();
    asked::<bool>();
    asked::<[u8; 3]>();
    let reals = asked::<(f32, f64)>();
    assert!(reals.iter().any(|(real, _)| real.fract() != 0.0), "{reals:?}");
    let colors = asked::<Color>();
    assert!(colors.contains(&Color::Red) && colors.contains(&Color::Green), "{colors:?}");
}

#[test]
fn questions_and_answers_are_remembered() {
    let mut chat = chat(1);
    let answer: bool = chat.ask("Is it?").unwrap();
    let said: Vec<(String, String)> =
        chat.messages().iter().map(|message| (message.role.clone(), message.text())).collect();
    let expected = [("user", "Is it?"), ("assistant", if answer { "true" } else { "false" })]
        .map(|(role, text)| (role.to_owned(), text.to_owned()));
    assert_eq!(said, expected);
    assert!(chat.config.constraint.is_none());
    let again: bool = chat.ask("Is it?").unwrap();
    assert_eq!(chat.messages()[3].text(), again.to_string());
}

#[test]
fn answers_that_are_no_value_say_why() {
    let mut chat = chat(1);
    chat.config.max_new_tokens = Some(3);
    let error = chat.ask::<Numbers>("Well?").unwrap_err();
    let Error::InvalidReply { reply, .. } = &error else { unreachable!("{error}") };
    assert!(reply.starts_with("{\"b"), "{reply}");
    assert!(error.to_string().contains("raise max_new_tokens"), "{error}");

    /// Says of itself less than it demands.
    #[derive(Debug, JsonSchema, Deserialize)]
    #[serde(try_from = "u8")]
    #[schemars(with = "u8")]
    struct Never;
    impl TryFrom<u8> for Never {
        type Error = String;
        fn try_from(value: u8) -> Result<Self, String> {
            Err(format!("{value} is not welcome"))
        }
    }
    chat.config.max_new_tokens = Some(40);
    let error = chat.ask::<Never>("Well?").unwrap_err().to_string();
    assert!(error.contains("is not welcome"), "{error}");
}

#[test]
fn another_constraint_is_not_overridden() {
    let mut chat = chat(1);
    let compiler = crane_sdk::grammar::Compiler::new(chat.tokenizer().tokenizer()).unwrap();
    chat.config.constraint = Some(compiler.compile(&Grammar::JsonObject).unwrap());
    let error = chat.ask::<bool>("Well?").unwrap_err().to_string();
    assert!(error.starts_with("config.constraint"), "{error}");
    assert!(chat.messages().is_empty());
}

#[test]
fn maps_keep_room_for_any_key() {
    #[derive(Debug, Serialize, Deserialize, JsonSchema)]
    struct Table {
        rows: BTreeMap<String, u8>,
    }
    let Grammar::JsonSchema(schema) = Grammar::of::<Table>() else { unreachable!() };
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["rows"]["additionalProperties"]["maximum"], 255);
}
