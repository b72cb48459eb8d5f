//! Replies of a given form, on a tiny model whose own replies are noise.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod generate_support;

use crane_sdk::generate::{CancelToken, FinishReason, GenerationConfig, Output, step_together};
use crane_sdk::grammar::{Compiler, Constraint, Grammar};
use crane_sdk::sample::{LogprobsOf, SamplingParams};
use generate_support::{Fixture, fixture};
use serde_json::{Value, json};

fn compiled(fixture: &Fixture, grammar: &Grammar) -> Constraint {
    Compiler::new(&fixture.tokenizer).unwrap().compile(grammar).unwrap()
}

fn config(constraint: Constraint, seed: u64) -> GenerationConfig {
    GenerationConfig {
        sampling: SamplingParams { seed: Some(seed), ..SamplingParams::default() },
        constraint: Some(constraint),
        ..GenerationConfig::default()
    }
}

fn reply(fixture: &Fixture, config: &GenerationConfig) -> Output {
    let mut session = fixture.session(512);
    session.generate(&[5, 6, 7], config, &CancelToken::new()).unwrap().complete().unwrap()
}

#[test]
fn a_reply_has_the_form_and_ends_with_it() {
    let fixture = fixture("qwen2_tied");
    let regex = compiled(&fixture, &Grammar::Regex("[a-c]{3}-(one|two)".to_owned()));
    let lark = "start: item (\", \" item){2}\nitem: /[0-9]{2}/ | \"none\"".to_owned();
    let lark = compiled(&fixture, &Grammar::Lark(lark));
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let output = reply(&fixture, &config(regex.clone(), seed));
        assert_eq!(output.finish_reason, FinishReason::Complete);
        let (letters, word) = output.text.split_once('-').unwrap();
        assert!(letters.len() == 3 && letters.bytes().all(|byte| (b'a'..=b'c').contains(&byte)));
        assert!(["one", "two"].contains(&word), "{word}");
        seen.insert(output.text);
        let output = reply(&fixture, &config(lark.clone(), seed));
        let items: Vec<&str> = output.text.split(", ").collect();
        let fits = |item: &&str| *item == "none" || item.len() == 2 && item.parse::<u8>().is_ok();
        assert!(items.len() == 3 && items.iter().all(fits), "{items:?}");
    }
    // What is left open is chosen.
    assert!(seen.len() > 5, "{seen:?}");
}

#[test]
fn where_the_form_may_end_the_model_decides() {
    let fixture = fixture("qwen2_tied");
    let constraint = compiled(&fixture, &Grammar::Regex("[ab]+".to_owned()));
    let mut config = config(constraint, 3);
    config.eos_ids = vec![402];
    config.max_new_tokens = Some(60);
    // The end is forbidden before the first letter, and likely after it.
    config.sampling.logit_bias.insert(402, 3.0);
    let output = reply(&fixture, &config);
    assert_eq!(output.finish_reason, FinishReason::Eos);
    assert!(!output.text.is_empty() && output.text.bytes().all(|byte| b"ab".contains(&byte)));
    assert_eq!(output.ids.last(), Some(&402));
    // Told to go on, it goes on, in the same form.
    config.ignore_eos = true;
    let output = reply(&fixture, &config);
    assert_eq!((output.finish_reason, output.ids.len()), (FinishReason::Length, 60));
    assert!(output.text.bytes().all(|byte| b"ab".contains(&byte)) && !output.ids.contains(&402));
    // The length cuts it as any reply.
    config.max_new_tokens = Some(4);
    assert_eq!(reply(&fixture, &config).finish_reason, FinishReason::Length);
}

/// Whatever stands before it and however many bytes of it are there.
#[test]
fn a_character_that_the_limit_cuts_is_left_out() {
    let fixture = fixture("qwen2_tied");
    for text in ["😀😀", "a好b", "é", "ab👩‍👩‍👧"] {
        let constraint = compiled(&fixture, &Grammar::Regex(text.to_owned()));
        let whole = reply(&fixture, &config(constraint.clone(), 0));
        assert_eq!(whole.text, text);
        for limit in 1..whole.ids.len() {
            let cut =
                GenerationConfig { max_new_tokens: Some(limit), ..config(constraint.clone(), 0) };
            let output = reply(&fixture, &cut);
            assert_eq!(output.finish_reason, FinishReason::Length);
            assert_eq!(output.ids, whole.ids[..limit]);
            assert!(text.starts_with(&output.text), "{text}, {limit} tokens: {:?}", output.text);
            // All that is there of it is said, but for the character that was cut.
            let bytes: Vec<u8> =
                output.ids.iter().flat_map(|id| fixture.tokenizer.token_bytes(*id)).collect();
            assert!(bytes.len() - output.text.len() < 4, "{text}, {limit} tokens");
        }
    }
}

#[test]
fn json_keeps_to_its_schema() {
    let fixture = fixture("qwen2_tied");
    let schema = json!({
        "type": "object",
        "properties": {
            "kind": {"enum": ["a", "b"]},
            "count": {"$ref": "#/$defs/small"},
            "tags": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 2},
        },
        "required": ["kind", "count", "tags"],
        "additionalProperties": false,
        "$defs": {"small": {"type": "integer", "minimum": 10, "maximum": 99}},
    });
    let constraint = compiled(&fixture, &Grammar::JsonSchema(schema));
    assert_eq!(constraint.warnings(), [""; 0]);
    for seed in 0..30 {
        let text = reply(&fixture, &config(constraint.clone(), seed)).text;
        let value: Value = serde_json::from_str(&text).unwrap();
        assert!((10..=99).contains(&value["count"].as_i64().unwrap()), "{text}");
        assert!(["a", "b"].contains(&value["kind"].as_str().unwrap()), "{text}");
        let tags = value["tags"].as_array().unwrap();
        assert!([1, 2].contains(&tags.len()) && tags.iter().all(Value::is_boolean), "{text}");
        let object = value.as_object().unwrap();
        assert_eq!(object.keys().collect::<Vec<_>>(), ["kind", "count", "tags"]);
        // On one line, as documented.
        assert!(text.starts_with("{\"kind\": \"") && text.contains(", \"count\": "), "{text}");
    }
    let constraint = compiled(&fixture, &Grammar::JsonObject);
    let mut config = config(constraint, 0);
    config.max_new_tokens = Some(3);
    assert!(reply(&fixture, &config).text.starts_with('{'));
}

#[test]
fn each_reply_follows_its_own_form_among_others() {
    let fixture = fixture("qwen2_tied");
    let forms = ["[a-f]{6}", "[0-9]{4,9}", "(x|y){5}"];
    let configs: Vec<GenerationConfig> = (0..6)
        .map(|n| {
            let regex = Grammar::Regex(forms[n % 3].to_owned());
            GenerationConfig { ..config(compiled(&fixture, &regex), n as u64) }
        })
        .collect();
    let alone: Vec<Output> = configs.iter().map(|config| reply(&fixture, config)).collect();
    let mut sessions: Vec<_> = configs.iter().map(|_| fixture.session(512)).collect();
    for (session, config) in sessions.iter_mut().zip(&configs) {
        session.begin(&[5, 6, 7], config, &CancelToken::new()).unwrap();
    }
    while sessions.iter().any(|session| session.is_running()) {
        let mut all: Vec<_> = sessions.iter_mut().collect();
        for step in step_together(&mut all).unwrap() {
            step.unwrap();
        }
    }
    for (mut session, alone) in sessions.into_iter().zip(alone) {
        assert_eq!(session.finish().unwrap().text, alone.text);
    }
}

#[test]
fn the_models_own_log_probabilities_are_of_all_tokens() {
    let fixture = fixture("qwen2_tied");
    let constraint = compiled(&fixture, &Grammar::Regex("a".to_owned()));
    let mut config = config(constraint, 1);
    config.logprobs = Some(3);
    for (of, certain) in [(LogprobsOf::Sampled, true), (LogprobsOf::Model, false)] {
        config.logprobs_of = of;
        let mut session = fixture.session(64);
        let mut generation = session.generate(&[5, 6, 7], &config, &CancelToken::new()).unwrap();
        let piece = generation.next().unwrap().unwrap();
        let told = piece.logprobs.unwrap();
        assert_eq!((piece.text.as_str(), told.logprob == 0.0), ("a", certain));
        assert_eq!(told.top.len(), if certain { 1 } else { 3 });
    }
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let fixture = fixture("qwen2_tied");
    let compiler = Compiler::new(&fixture.tokenizer).unwrap();
    let schema = |value: Value| Grammar::JsonSchema(value);
    for (grammar, word) in [
        (Grammar::Regex("(".to_owned()), "("),
        (Grammar::Lark("start: missing".to_owned()), "missing"),
        (schema(json!(3)), "object"),
        (schema(json!(false)), "object"),
        (schema(json!({"type": "strange"})), "strange"),
        (
            schema(json!({"type": "object", "dependentSchemas": {"a": {"required": ["b"]}}})),
            "dependentSchemas",
        ),
        (schema(json!({"$ref": "https://example.org/schema"})), "example.org"),
        (schema(json!({"x-guidance": {"lenient": true}})), "x-guidance"),
        (
            schema(json!({
                "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}, "$ref": "#/$defs/A"
            })),
            "nothing but itself",
        ),
    ] {
        let error = compiler.compile(&grammar).unwrap_err().to_string();
        assert!(error.starts_with("grammar: ") && error.contains(word), "{grammar:?}: {error}");
    }
    // A constraint of a larger vocabulary than the model's.
    let constraint = compiler.compile(&Grammar::JsonObject).unwrap();
    let model = generate_support::history_model::HistoryModel::new(100);
    let mut session =
        crane_sdk::generate::Session::new(model, fixture.tokenizer.clone(), 64).unwrap();
    let refused = session.generate(&[1], &config(constraint, 0), &CancelToken::new());
    assert!(refused.err().unwrap().to_string().contains("vocabulary"));
}
