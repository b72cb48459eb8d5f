//! Calls of tools: the formats of known templates, replies taken apart, and grammars that a noisy model cannot leave.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod generate_support;

use crane_sdk::generate::{CancelToken, FinishReason, GenerationConfig};
use crane_sdk::grammar::Compiler;
use crane_sdk::sample::SamplingParams;
use crane_sdk::text::tools::{CallFormat, CallPiece, Calls, Tool};
use crane_sdk::text::{ChatTemplate, SpecialTokens};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A template of the recorded ones.
fn template(name: &str) -> ChatTemplate {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/text/templates.json");
    let json: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let tokens = SpecialTokens::new().with("bos_token", "<s>").with("eos_token", "</s>");
    ChatTemplate::new(json["templates"][name].as_str().unwrap(), tokens).unwrap()
}

fn format(name: &str) -> Option<CallFormat> {
    CallFormat::of(&template(name)).unwrap()
}

#[test]
fn formats_are_found_in_templates() {
    let qwen = format("qwen25_tools").unwrap();
    assert_eq!(qwen.open, "<tool_call>\n{\"name\": \"");
    assert_eq!(qwen.middle, "\", \"arguments\": ");
    assert_eq!(qwen.close, "}\n</tool_call>");
    assert_eq!(qwen.between.as_deref(), Some("\n"));
    assert_eq!(qwen.trigger(), "<tool_call>");
    // Its thoughts are no part of a call.
    assert_eq!(format("qwen3").unwrap(), qwen);
    // One call at a time, without marks.
    let llama = format("llama31").unwrap();
    assert_eq!(llama.open, "{\"name\": \"");
    assert_eq!((llama.middle.as_str(), llama.close.as_str()), ("\", \"parameters\": ", "}"));
    assert_eq!((llama.trigger(), llama.between.as_deref()), ("{\"name\": \"", None));
    // No tools, or calls with ids, which are not read.
    for name in ["chatml", "llama3", "gemma2", "zephyr", "mistral"] {
        assert_eq!(format(name), None, "{name}");
    }
}

fn text(text: &str) -> CallPiece {
    CallPiece::Text(text.to_owned())
}

fn call(name: &str, arguments: &str) -> [CallPiece; 2] {
    [CallPiece::Name(name.to_owned()), CallPiece::Arguments(arguments.to_owned())]
}

/// Neighbouring pieces of text, or of arguments, as one.
fn joined(pieces: Vec<CallPiece>) -> Vec<CallPiece> {
    let mut all: Vec<CallPiece> = Vec::new();
    for piece in pieces {
        match (all.last_mut(), piece) {
            (Some(CallPiece::Text(said)), CallPiece::Text(more)) => said.push_str(&more),
            (Some(CallPiece::Arguments(said)), CallPiece::Arguments(more)) => said.push_str(&more),
            (_, piece) => all.push(piece),
        }
    }
    all
}

/// A reply that comes in pieces of so many characters.
fn read(reply: &str, size: usize) -> Vec<CallPiece> {
    let mut reader = format("qwen25_tools").unwrap().reader();
    let characters: Vec<char> = reply.chars().collect();
    let chunks = characters.chunks(size).map(|chunk| chunk.iter().collect::<String>());
    let mut pieces: Vec<CallPiece> = chunks.flat_map(|chunk| reader.push(&chunk)).collect();
    pieces.extend(reader.finish());
    joined(pieces)
}

const ONE: &str = "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": \"}\\\"{\", \"b\": [1, {}]}}\n</tool_call>";
const TWO: &str = "<tool_call>\n{\"name\": \"stop\", \"arguments\": {}}\n</tool_call>";

#[test]
fn a_reply_is_taken_apart_however_it_comes() {
    let add = call("add", "{\"a\": \"}\\\"{\", \"b\": [1, {}]}");
    let stop = call("stop", "{}");
    for size in [1, 2, 7, 1000] {
        assert_eq!(read("No <tool> is called. ", size), [text("No <tool> is called. ")]);
        assert_eq!(read(ONE, size), add);
        let before = [&[text("Let me see.")], &add[..], &stop].concat();
        assert_eq!(read(&format!("Let me see.\n{ONE}\n{TWO}"), size), before);
        // Cut by a limit of tokens.
        assert_eq!(
            read(&ONE[..60], size)[1],
            CallPiece::Arguments("{\"a\": \"}\\\"{\", \"b\": ".to_owned())
        );
        assert_eq!(read(&ONE[..20], size), []);
        assert_eq!(read("Hm <tool_ca", size), [text("Hm <tool_ca")]);
    }
}

proptest! {
    #[test]
    fn text_without_a_call_comes_out_whole(said in "[<tol_caø >\n]{0,30}", size in 1usize..5) {
        let mut pieces = read(&said, size);
        prop_assert!(pieces.len() <= 1);
        let whole = pieces.pop().map_or(String::new(), |piece| match piece {
            CallPiece::Text(text) => text,
            _ => String::new(),
        });
        prop_assert_eq!(whole, said);
    }
}

#[test]
fn a_noisy_model_calls_as_it_should() {
    let fixture = generate_support::fixture("qwen2_tied");
    let format = format("qwen25_tools").unwrap();
    let compiler = Compiler::new(&fixture.tokenizer).unwrap();
    let tools = [
        Tool {
            name: "get_weather".to_owned(),
            parameters: Some(json!({
                "type": "object",
                "properties": { "city": { "enum": ["Bern", "Oslo"] }, "days": { "$ref": "#/$defs/days" } },
                "required": ["city", "days"],
                "additionalProperties": false,
                "$defs": { "days": { "type": "integer", "minimum": 1, "maximum": 9 } },
            })),
        },
        Tool { name: "stop".to_owned(), parameters: None },
    ];
    let mut named = std::collections::BTreeSet::new();
    let mut counts = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let calls = Calls { required: true, several: seed % 2 == 0 };
        let grammar = format.grammar(&fixture.tokenizer, &tools, calls).unwrap();
        let mut config = GenerationConfig {
            sampling: SamplingParams { seed: Some(seed), ..SamplingParams::default() },
            constraint: Some(compiler.compile(&grammar).unwrap()),
            eos_ids: vec![402],
            ..GenerationConfig::default()
        };
        config.sampling.logit_bias.insert(402, 2.0);
        let mut session = fixture.session(512);
        let output =
            session.generate(&[5, 6, 7], &config, &CancelToken::new()).unwrap().complete().unwrap();
        let whole = [FinishReason::Complete, FinishReason::Eos].contains(&output.finish_reason);
        assert!(whole, "{:?}: {}", output.finish_reason, output.text);
        let mut reader = format.reader();
        let mut pieces = reader.push(&output.text);
        pieces.extend(reader.finish());
        for call in pieces.chunks(2) {
            let [CallPiece::Name(name), CallPiece::Arguments(arguments)] = call else {
                panic!("{}", output.text);
            };
            let arguments: Value = serde_json::from_str(arguments).unwrap();
            match name.as_str() {
                "stop" => assert_eq!(arguments, json!({})),
                "get_weather" => {
                    assert!(["Bern", "Oslo"].contains(&arguments["city"].as_str().unwrap()));
                    assert!((1..=9).contains(&arguments["days"].as_i64().unwrap()));
                }
                _ => panic!("{}", output.text),
            }
            named.insert(name.clone());
        }
        assert!(calls.several || pieces.len() == 2, "{}", output.text);
        counts.insert(pieces.len() / 2);
    }
    assert_eq!(named.len(), 2);
    assert!(counts.len() > 1, "{counts:?}");
}

#[test]
fn text_is_free_until_a_call_begins() {
    let fixture = generate_support::fixture("qwen2_tied");
    let format = format("qwen25_tools").unwrap();
    let tools = [Tool { name: "stop".to_owned(), parameters: None }];
    let calls = Calls { required: false, several: false };
    let grammar = format.grammar(&fixture.tokenizer, &tools, calls).unwrap();
    let constraint = Compiler::new(&fixture.tokenizer).unwrap().compile(&grammar).unwrap();
    // What a model says is given to it: the tokens of a text, made the likeliest one after the other.
    let follow = |said: &str| {
        let mut ids = fixture.tokenizer.encode(said, false).unwrap();
        ids.push(402);
        let model = std::sync::Arc::new(Parrot { ids });
        let tokenizer = fixture.tokenizer.clone();
        let mut session = crane_sdk::generate::Session::new(model, tokenizer, 256).unwrap();
        let config = GenerationConfig {
            sampling: SamplingParams::greedy(),
            constraint: Some(constraint.clone()),
            eos_ids: vec![402],
            max_new_tokens: Some(100),
            ..GenerationConfig::default()
        };
        session.generate(&[1], &config, &CancelToken::new()).unwrap().complete().unwrap()
    };
    for said in ["Hello, <b>you</b>!\n{}", ""] {
        let output = follow(said);
        assert_eq!((output.text.as_str(), output.finish_reason), (said, FinishReason::Eos));
    }
    let output = follow(&format!("I stop.\n{TWO}"));
    assert_eq!(output.text, format!("I stop.\n{TWO}"));
    // Whatever the model wants to say behind the mark, it is a call.
    let output = follow("So: <tool_call> nonsense, and more of it");
    assert_eq!(output.text, format!("So: {TWO}"));
    assert_eq!(output.finish_reason, FinishReason::Complete);
}

/// A model that wants to say one text.
struct Parrot {
    ids: Vec<u32>,
}

impl crane_sdk::models::CausalLm for Parrot {
    fn vocab_size(&self) -> usize {
        405
    }

    fn context_length(&self) -> usize {
        1024
    }

    fn device(&self) -> &candle_core::Device {
        &candle_core::Device::Cpu
    }

    fn new_cache(&self, capacity: usize) -> crane_sdk::Result<crane_sdk::nn::KvCache> {
        let kv = crane_sdk::kernels::attention::KvType::F32;
        crane_sdk::nn::KvCache::new(1, 1, 1, capacity, kv, &candle_core::Device::Cpu)
    }

    fn forward_observed(
        &self,
        batch: &mut [crane_sdk::models::Segment<'_>],
        _observe: &mut crane_sdk::models::Observer<'_>,
    ) -> crane_sdk::Result<candle_core::Tensor> {
        let [segment] = batch else { panic!("one sequence") };
        let n = segment.tokens.len();
        let zeros = candle_core::Tensor::zeros((1, n, 1), candle_core::DType::F32, self.device())?;
        segment.cache.reserve(n)?;
        segment.cache.append(0, &zeros, &zeros)?;
        segment.cache.advance(n);
        let said = segment.cache.len() - 1;
        let mut row = vec![0f32; 405];
        row[self.ids.get(said).copied().unwrap_or(402) as usize] = 9.0;
        Ok(candle_core::Tensor::from_vec(row, (1, 405), self.device())?)
    }
}
