//! Calls of tools: the formats of known templates, replies taken apart, and grammars that a noisy model cannot leave.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod generate_support;

use crane_sdk::generate::{CancelToken, FinishReason, GenerationConfig};
use crane_sdk::grammar::Compiler;
use crane_sdk::sample::SamplingParams;
use crane_sdk::text::tools::{CallFormat, CallPiece, Calls, Tool};
use crane_sdk::text::{ChatTemplate, Message, RenderOptions, SpecialTokens};
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

/// Templates that each take a call in one way only, around the call itself.
fn demanding() -> [(&'static str, String); 5] {
    let around = |before: &str, text: &str, arguments: &str| {
        format!(
            "{{% for tool in tools or [] %}}{{{{ tool | tojson }}}}{{% endfor %}}{{% for m in messages %}}<|{{{{ m.role }}}}|>{before}\
             {{% if m.role == 'assistant' %}}{text}{{% for c in m.tool_calls or [] %}}<tool_call>{{\"name\": \"{{{{ c.function.name }}}}\", \
             \"arguments\": {arguments}}}</tool_call>{{% endfor %}}{{% else %}}{{{{ m.content }}}}{{% endif %}}<|end|>{{% endfor %}}"
        )
    };
    let json = "{{ c.function.arguments | tojson }}";
    [
        (
            "searches the text",
            around(
                "",
                "{% if '</think>' in m.content %}{{ m.content.split('</think>')[-1] }}{% else %}{{ m.content }}{% endif %}",
                json,
            ),
        ),
        ("cuts the text", around("", "{{ m.content.split('</think>')[-1] }}", json)),
        (
            "wants null",
            around(
                "{% if m.tool_calls and m.content is not none %}{{ raise_exception('null!') }}{% endif %}",
                "{% if m.content is not none %}{{ m.content }}{% endif %}",
                json,
            ),
        ),
        (
            "wants none at all",
            around(
                "{% if m.tool_calls and m.content is defined %}{{ raise_exception('none!') }}{% endif %}",
                "{% if m.content is defined %}{{ m.content }}{% endif %}",
                json,
            ),
        ),
        (
            "adds the arguments",
            around("", "{{ m.content or '' }}", "{{ '' + c.function.arguments }}"),
        ),
    ]
}

#[test]
fn calls_are_found_and_sent_back_whatever_a_template_wants_beside_them() {
    for (what, text) in demanding() {
        let template = ChatTemplate::new(&text, SpecialTokens::new()).unwrap();
        let format = CallFormat::of(&template).unwrap().unwrap_or_else(|| panic!("{what}"));
        assert_eq!(format.open, "<tool_call>{\"name\": \"", "{what}");
        assert_eq!(
            (format.close.as_str(), format.between.as_deref()),
            ("}</tool_call>", Some("")),
            "{what}"
        );
        // Each way in which clients send it back is written as the model wrote it.
        for content in [json!(null), json!(""), json!({})] {
            let mut message = json!({ "role": "assistant", "tool_calls": [{ "id": "a", "type": "function",
                "function": { "name": "now", "arguments": { "zone": "None" } } }] });
            if !content.is_object() {
                message["content"] = content.clone();
            }
            let messages = [json!({ "role": "user", "content": "?" }), message];
            let messages: Vec<Message> = messages
                .into_iter()
                .map(|message| serde_json::from_value(message).unwrap())
                .collect();
            let options =
                RenderOptions { add_generation_prompt: false, ..RenderOptions::default() };
            let text = template.render(&messages, &options);
            let said = "<|assistant|><tool_call>{\"name\": \"now\", \"arguments\": {\"zone\": \"None\"}}</tool_call><|end|>";
            let text = text.unwrap_or_else(|error| panic!("{what} {content}: {error}"));
            // Where arguments are a text, its spaces are not the template's.
            let bare = |text: &str| text.replace(' ', "");
            assert!(bare(&text).ends_with(&bare(said)), "{what} {content}: {text}");
        }
    }
}

#[test]
fn arguments_that_are_no_json_end_no_conversation() {
    let items = "{% for m in messages %}{{ m.content or '' }}{% for c in m.tool_calls or [] %}{% for k, v in c.function.arguments.items() %}\
                 {{ k }}={{ v }};{% endfor %}{% endfor %}{% endfor %}";
    let template = ChatTemplate::new(items, SpecialTokens::new()).unwrap();
    let mut message = Message::assistant("");
    message.tool_calls =
        Some(vec![json!({ "function": { "name": "now", "arguments": "{\"zone\": \"Eu" } })]);
    let text = template.render(&[message], &RenderOptions::default()).unwrap();
    assert_eq!(text, "arguments={\"zone\": \"Eu;");
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
        // Cut by a limit of tokens: nothing of the call is told.
        assert_eq!(read(&ONE[..60], size), []);
        assert_eq!(read(&ONE[..20], size), []);
        let cut = format!("Let me see.\n{TWO}\n{}", &ONE[..60]);
        assert_eq!(read(&cut, size), [&[text("Let me see.")], &stop[..]].concat());
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
            strict: true,
        },
        Tool { name: "stop".to_owned(), parameters: None, strict: false },
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
    let tools = [Tool { name: "stop".to_owned(), parameters: None, strict: false }];
    let calls = Calls { required: false, several: false };
    let grammar = format.grammar(&fixture.tokenizer, &tools, calls).unwrap();
    let constraint = Compiler::new(&fixture.tokenizer).unwrap().compile(&grammar).unwrap();
    // What a model says is given to it: the tokens of a text, made the likeliest one after the other.
    let stopping = |said: &str, stop: &[&str], most: usize| {
        let mut ids = fixture.tokenizer.encode(said, false).unwrap();
        ids.push(402);
        let model = std::sync::Arc::new(Parrot { ids });
        let tokenizer = fixture.tokenizer.clone();
        let mut session = crane_sdk::generate::Session::new(model, tokenizer, 256).unwrap();
        let config = GenerationConfig {
            sampling: SamplingParams::greedy(),
            constraint: Some(constraint.clone()),
            eos_ids: vec![402],
            max_new_tokens: Some(most),
            stop: stop.iter().map(|stop| (*stop).to_owned()).collect(),
            calls: Some(format.clone()),
            ..GenerationConfig::default()
        };
        session.generate(&[1], &config, &CancelToken::new()).unwrap().complete().unwrap()
    };
    let follow = |said: &str| stopping(said, &[], 100);
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
    // Stop texts are those of the text that is seen.
    for stop in ["\n", "stop", "<tool_call>", "}", "name", "arguments"] {
        let output = stopping(TWO, &[stop], 100);
        assert_eq!(
            (output.text.as_str(), output.finish_reason),
            (TWO, FinishReason::Complete),
            "{stop}"
        );
        assert_eq!(output.stop, None);
    }
    let output = stopping(&format!("I stop.\n{TWO}"), &["\n"], 100);
    assert_eq!(output.text, format!("I stop.\n{TWO}"));
    for (said, stop, seen) in [
        ("I stop.\nNow.", "\n", "I stop."),
        (&format!("Go. I stop.\n{TWO}"), "stop", "Go. I "),
        ("a\n", "\n", "a"),
    ] {
        let output = stopping(said, &[stop], 100);
        assert_eq!(
            (output.text.as_str(), output.finish_reason),
            (seen, FinishReason::Stop),
            "{said}"
        );
        assert_eq!(output.stop.as_deref(), Some(stop));
    }
    // The beginning of a stop text that a call follows is text.
    let output = stopping(&format!("I sto\n{TWO}"), &["stop"], 100);
    assert_eq!(output.text, format!("I sto\n{TWO}"));
    // What a limit cuts ends as it does without stop texts.
    let output = stopping(TWO, &["\n"], 20);
    assert_eq!(output.finish_reason, FinishReason::Length);
    assert!(TWO.starts_with(&output.text) && output.text.len() > 10, "{}", output.text);
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
