//! Tokenizers and templates of strangers: every one ends in an answer or an error, in bounded time and memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod text_models;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crane_sdk::Error;
use crane_sdk::text::{
    ChatTemplate, Interrupt, Message, RenderOptions, SpecialTokens, StreamDecoder, Tokenizer,
};
use serde_json::{Value, json};
use text_models::dice;

/// A tokenizer with every byte as a token, and what a test puts in its place.
fn description(changes: &[(&str, Value)]) -> Value {
    let vocab: serde_json::Map<String, Value> =
        byte_tokens().into_iter().enumerate().map(|(id, token)| (token, json!(id))).collect();
    let mut all = json!({
        "model": {"type": "BPE", "vocab": vocab, "merges": [["Ġ", "Ġ"]]},
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true},
    });
    all["model"]["vocab"]["ĠĠ"] = json!(256);
    for (field, value) in changes {
        all[*field] = value.clone();
    }
    all
}

fn byte_tokens() -> Vec<String> {
    let mut extra = 255;
    (0..=255u32)
        .map(|byte| {
            let code = match byte {
                33..=126 | 161..=172 | 174..=255 => byte,
                _ => {
                    extra += 1;
                    extra
                }
            };
            char::from_u32(code).unwrap().to_string()
        })
        .collect()
}

fn read(description: &Value) -> crane_sdk::Result<Tokenizer> {
    Tokenizer::from_json(description.to_string().as_bytes(), None)
}

fn split(pattern: &str) -> Value {
    json!({"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false},
        {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}]})
}

/// A pattern may be a catastrophe: reading it or encoding with it is an error that names the limit.
#[test]
fn hostile_patterns_are_errors() {
    let text = format!("{}!", "a".repeat(4_000));
    for pattern in [
        "(a|a)*b",
        "(?:a+)+b",
        "(?:(?:a|a)(?:a|a)){20,}b",
        "(?:a{1000}){1000}",
        "(?:(?:(?:a{100}){100}){100}){100}",
        "(a",
        "[[[[[",
        r"(?<=a*)b",
        r"\g<0>",
        r"(?<x>a|\g<x>b)",
        &"(".repeat(100_000),
        &"[^".repeat(3_000),
        &"a|".repeat(200_000),
        &"(?:".repeat(90),
        r"(?=(a+))*\1{1,900}z",
    ] {
        let result = read(&description(&[("pre_tokenizer", split(pattern))]))
            .and_then(|tokenizer| tokenizer.encode(&text, false));
        if let Err(error) = result {
            let known = matches!(
                error,
                Error::Tokenizer(_) | Error::InvalidFile { .. } | Error::InvalidArgument { .. }
            );
            assert!(known, "{error}");
        }
        let normalizer = json!({"type": "Replace", "pattern": {"Regex": pattern}, "content": "aa"});
        let result = read(&description(&[("normalizer", normalizer.clone())]))
            .and_then(|tokenizer| tokenizer.encode(&text, false));
        drop(result);
        if let Ok(tokenizer) = read(&description(&[("decoder", normalizer)])) {
            drop(tokenizer.decode(&[64; 20], false));
        }
    }
    let limited = read(&description(&[("pre_tokenizer", split("(?:(?:a|a)(?:a|a)){20,}b"))]));
    let error = limited.unwrap().encode(&text, false).unwrap_err().to_string();
    assert!(error.contains("limit of the regex engine"), "{error}");
}

/// Twelve million spaces pass the engine's stack: an error names the run. A million of them is encoded.
#[test]
fn runs_that_nothing_cuts_are_bounded() {
    let tokenizer = read(&description(&[])).unwrap();
    let error = tokenizer.encode(&" ".repeat(12_000_000), false).unwrap_err().to_string();
    assert!(error.contains("run"), "{error}");
    let ids = tokenizer.encode(&" ".repeat(1_000_000), false).unwrap();
    assert_eq!(ids, vec![256; 500_000]);
    let error = tokenizer.encode(&"a ".repeat(40 << 20), false).unwrap_err().to_string();
    assert!(error.contains("encode it in parts"), "{error}");
}

#[test]
fn small_files_that_would_take_all_memory_are_refused() {
    let unigram = |tokens: Vec<String>| {
        let vocab: Vec<Value> = [("<unk>".to_owned(), 0.0)]
            .into_iter()
            .chain(tokens.into_iter().map(|token| (token, -1.0)))
            .map(|(token, score)| json!([token, score]))
            .collect();
        json!({"type": "Unigram", "unk_id": 0, "vocab": vocab})
    };
    let doubling = json!({"type": "Replace", "pattern": {"String": " "}, "content": "  "});
    let grown = json!({"type": "Replace", "pattern": {"Regex": ""}, "content": "xxxxxxxx"});
    let words = json!({"type": "WordPiece", "unk_token": "a", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 1_000_000_000, "vocab": {"a": 0}});
    for (field, value, limit) in [
        ("model", unigram(vec!["x".repeat(400_000)]), "400000 bytes"),
        (
            "model",
            unigram((1..1000).map(|length| "x".repeat(length)).collect()),
            "begin one another",
        ),
        ("model", words, "max_input_chars_per_word"),
        ("model", json!({"type": "BPE", "vocab": {"a": 16_000_000}, "merges": []}), "16000000"),
        (
            "normalizer",
            json!({"type": "Sequence", "normalizers": vec![doubling.clone(); 300]}),
            "256 steps",
        ),
        (
            "pre_tokenizer",
            json!({"type": "Sequence", "pretokenizers": vec![json!({"type": "Digits", "individual_digits": true}); 100]}),
            "64 steps",
        ),
        ("decoder", json!({"type": "Sequence", "decoders": vec![grown.clone(); 100]}), "64 stages"),
    ] {
        let error = read(&description(&[(field, value)])).unwrap_err().to_string();
        assert!(error.contains(limit), "{error}");
    }
    let chain = json!({"type": "Sequence", "normalizers": vec![doubling; 40]});
    let error = read(&description(&[("normalizer", chain)])).unwrap().encode("a b", false);
    assert!(error.unwrap_err().to_string().contains("grows a text"));
    let chain = json!({"type": "Sequence", "decoders": vec![grown; 40]});
    let tokenizer = Arc::new(read(&description(&[("decoder", chain)])).unwrap());
    assert!(tokenizer.decode(&[64, 65], false).unwrap_err().to_string().contains("grows a text"));
    assert!(StreamDecoder::new(tokenizer, false).push(64).is_err());
}

/// A hundred thousand added tokens of a config are read in time linear in them.
#[test]
fn many_added_tokens_are_read() {
    let entries: serde_json::Map<String, Value> = (0..100_000)
        .map(|id| {
            ((300 + id).to_string(), json!({"content": format!("<|t{id}|>"), "special": true}))
        })
        .collect();
    let config = json!({"added_tokens_decoder": entries}).to_string();
    let json = description(&[]).to_string();
    let tokenizer = Tokenizer::from_json(json.as_bytes(), Some(config.as_bytes())).unwrap();
    assert_eq!(tokenizer.encode("<|t99999|><|t7|>", false).unwrap(), [100_299, 307]);
}

/// Nests that a reader would recurse into end at a depth that is told.
#[test]
fn deep_descriptions_are_errors() {
    for (field, list, leaf) in [
        ("normalizer", "normalizers", json!({"type": "NFC"})),
        ("pre_tokenizer", "pretokenizers", json!({"type": "Whitespace"})),
        ("decoder", "decoders", json!({"type": "Fuse"})),
        (
            "post_processor",
            "processors",
            json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true}),
        ),
    ] {
        for (depth, fits) in [(20, true), (1000, false), (100_000, false)] {
            let nested = format!(
                "{}{leaf}{}",
                format!("{{\"type\":\"Sequence\",\"{list}\":[").repeat(depth),
                "]}".repeat(depth)
            );
            let placeholder = description(&[(field, json!("PLACE"))]).to_string();
            let json = placeholder.replace("\"PLACE\"", &nested);
            let result = Tokenizer::from_json(json.as_bytes(), None);
            assert_eq!(result.is_ok(), fits, "{field} {depth}: {:?}", result.err());
        }
    }
}

/// Each part of a tokenizer with each of its values replaced by lies: no panic, no hang.
#[test]
fn parts_that_lie_are_errors_or_harmless() {
    let parts = [
        ("normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"})),
        (
            "normalizer",
            json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true}),
        ),
        ("normalizer", json!({"type": "Strip", "strip_left": true, "strip_right": true})),
        (
            "normalizer",
            json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}),
        ),
        (
            "pre_tokenizer",
            json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true}),
        ),
        ("pre_tokenizer", json!({"type": "Punctuation", "behavior": "MergedWithNext"})),
        ("pre_tokenizer", json!({"type": "FixedLength", "length": 3})),
        ("pre_tokenizer", json!({"type": "CharDelimiterSplit", "delimiter": "x"})),
        ("pre_tokenizer", json!({"type": "Delimiter", "delimiter": "x"})),
        ("pre_tokenizer", json!({"type": "UnicodeScripts"})),
        ("pre_tokenizer", split("a+|b")),
        (
            "post_processor",
            json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": {"<s>": {"id": "<s>", "ids": [1, 2], "tokens": ["<s>", "<t>"]}}}),
        ),
        (
            "post_processor",
            json!({"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]}),
        ),
        (
            "post_processor",
            json!({"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1], "trim_offsets": true, "add_prefix_space": true}),
        ),
        (
            "decoder",
            json!({"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "a"}, "content": "b"}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}),
        ),
        ("decoder", json!({"type": "WordPiece", "prefix": "##", "cleanup": true})),
        (
            "decoder",
            json!({"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": true}),
        ),
        (
            "added_tokens",
            json!([{"id": 256, "content": "<s>", "single_word": false, "lstrip": true, "rstrip": true, "normalized": true, "special": true}, {"id": 5, "content": " ", "single_word": true, "lstrip": true, "rstrip": true, "normalized": false, "special": false}]),
        ),
        (
            "model",
            json!({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {"[UNK]": 0, "a": 1, "##b": 2}}),
        ),
        (
            "model",
            json!({"type": "WordLevel", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "a": 1}}),
        ),
        (
            "model",
            json!({"type": "Unigram", "unk_id": 0, "byte_fallback": true, "vocab": [["<unk>", 0.0], ["a", -1.0], ["ab", -2.0]]}),
        ),
        (
            "model",
            json!({"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "<unk>": 3}, "merges": [["a", "b"]], "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true, "continuing_subword_prefix": "", "end_of_word_suffix": ""}),
        ),
        (
            "truncation",
            json!({"max_length": 0, "strategy": "LongestFirst", "stride": 99, "direction": "Right"}),
        ),
        (
            "padding",
            json!({"strategy": {"Fixed": 99999999}, "direction": "Left", "pad_to_multiple_of": 0, "pad_id": 4294967295u32, "pad_type_id": 0, "pad_token": ""}),
        ),
    ];
    let lies = [
        json!(null),
        json!(""),
        json!(" "),
        json!("é"),
        json!("a\u{0}b"),
        json!(0),
        json!(-1),
        json!(1e300),
        json!(4294967295u64),
        json!(18446744073709551615u64),
        json!([]),
        json!({}),
        json!([[]]),
        json!(true),
        json!("(("),
    ];
    let text = " a ab<s> b <s>x\u{301}漢 ▁é😀\r\n ";
    let mut read_well = 0;
    for (field, part) in &parts {
        for path in paths(part) {
            for lie in &lies {
                let mut lied = part.clone();
                *lied.pointer_mut(&path).unwrap() = lie.clone();
                let Ok(tokenizer) = read(&description(&[(field, lied)])) else { continue };
                read_well += 1;
                for special in [false, true] {
                    if let Ok(ids) = tokenizer.encode(text, special) {
                        drop(tokenizer.decode(&ids, special));
                    }
                }
                drop(tokenizer.decode(&[0, 1, 2, 3, 256, u32::MAX], false));
                (0..4).for_each(|id| drop(tokenizer.token_bytes(id)));
            }
        }
    }
    assert!(read_well > 200, "{read_well}");
}

/// The place of every value inside a value.
fn paths(value: &Value) -> Vec<String> {
    let mut all = vec![String::new()];
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(list) => {
            list.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
        }
        _ => Vec::new(),
    };
    for (key, child) in children {
        let key = key.replace('~', "~0").replace('/', "~1");
        all.extend(paths(child).into_iter().map(|path| format!("/{key}{path}")));
    }
    all
}

/// An interrupt ends encoding and rendering within a few steps of being set.
#[test]
fn work_ends_when_it_is_interrupted() {
    let asked = Arc::new(AtomicUsize::new(0));
    let interrupt = Interrupt::new({
        let asked = asked.clone();
        move || asked.fetch_add(1, Ordering::Relaxed) >= 100
    });
    let tokenizer = read(&description(&[])).unwrap();
    let error =
        tokenizer.encode_with(&"word ".repeat(10_000), false, Some(&interrupt)).unwrap_err();
    assert!(error.to_string().contains("cancelled"), "{error}");
    assert!(asked.load(Ordering::Relaxed) < 110);
    let template = "{% for i in range(100000) %}{{ i ~ 'x' }}{% endfor %}";
    let template = ChatTemplate::new(template, SpecialTokens::new()).unwrap();
    let stopped = RenderOptions { interrupt: Some(Interrupt::new(|| true)), ..Default::default() };
    let error = template.render(&[], &stopped).unwrap_err().to_string();
    assert!(error.contains("cancelled"), "{error}");
    let late = RenderOptions { time_limit: Duration::ZERO, ..Default::default() };
    let error = template.render(&[], &late).unwrap_err().to_string();
    assert!(error.contains("time limit"), "{error}");
}

/// What doubles lists, dicts and strings, and what looks inside them: each ends out of steps, and none in a panic.
#[test]
fn templates_that_multiply_are_errors() {
    let steps = [
        "ns.x + ns.x",
        "[ns.x, ns.x]",
        "{'a': ns.x, 'b': ns.x}",
        "(ns.x, ns.x)",
        "dict(a=ns.x, b=ns.x)",
        "ns.x[::-1] + ns.x",
        "(ns.x + ns.x)|list",
        "[[ns.x] * 3] * 3",
    ];
    let ends = [
        "{{ ns.x }}",
        "{{ ns.x ~ '' }}",
        "{{ ns.x|tojson(indent=64) }}",
        "{{ ns.x|string|length }}",
        "{{ [ns.x, 1]|join(',') }}",
        "{{ [ns.x] == [[ns.x]] }}",
        "{{ [ns.x].index(7) }}",
        "{{ {ns.x: 1} }}",
        "{{ messages[ns.x] }}",
        "{{ ns.x in [[ns.x]] }}",
        "{{ [ns.x, 1]|sort }}",
        "{{ 'a'|replace('a', ns.x) }}",
        "{{ '{}'.format(ns.x) }}",
        "{{ '%s'|format(ns.x) }}",
        "{{ ','.join([ns.x]) }}",
        "{{ raise_exception(ns.x) }}",
        "{{ ns.x|safe }}",
        "{{ [ns.x]|map('upper')|list }}",
        "{{ ns.x is eq [ns.x] }}",
        "{{ ns.x|trim }}",
        "{% for a in [1, 2] %}{{ loop.changed([ns.x, a]) }}{% endfor %}",
    ];
    for (row, step) in steps.into_iter().enumerate() {
        // Each end with an eighth of the steps: most run until their steps are used up.
        for end in ends.into_iter().skip(row).step_by(8) {
            let template = format!(
                "{{% set ns = namespace(x=[1]) %}}{{% for i in range(64) %}}{{% set ns.x = {step} %}}{{% endfor %}}{end}"
            );
            match render(&template) {
                Err(Error::Template(reason)) => {
                    assert!(!reason.contains("thread ended"), "{template}: {reason}");
                }
                // Equal to none, or sorted as they are: without looking far.
                Ok(text) => assert!(text.len() < 100, "{template}"),
                Err(error) => panic!("{template}: {error}"),
            }
        }
    }
}

#[test]
fn templates_with_great_strings_are_errors() {
    for template in [
        "{% set a = 'a' * 100000 %}{{ a.replace('a', a) }}",
        "{% set a = 'a' * 100000 %}{{ a|replace('a', a) }}",
        "{{ ('{0}' * 100000).format('y' * 100000) }}",
        "{{ '{:>999999999}'.format(1) }}",
        "{{ '%1000000000d' % 5 }}",
        "{{ '%.1000000000f'|format(1.5) }}",
        "{{ '%*d'|format(999999999, 1) }}",
        "{% set a = 'a' * 1000000 %}{{ a.join([1] * 100000) }}",
        "{{ ([1] * 100000000)|tojson }}",
        "{{ [1] * 100000000 ~ '' }}",
        "{{ [1]|tojson(indent='x' * 1000000) }}",
        "{{ ('a,' * 40000000).split(',')|length }}",
        "{{ strftime_now('%Y' * 10000000) }}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(90) }}",
        "{{ é }}",
        "{% set \u{2028} = 1 %}",
    ] {
        match render(template) {
            Err(Error::Template(reason)) => {
                assert!(!reason.contains("thread ended"), "{template}: {reason}");
            }
            other => panic!("{template}: {:?}", other.map(|text| text.len())),
        }
    }
}

fn render(template: &str) -> crane_sdk::Result<String> {
    ChatTemplate::new(template, SpecialTokens::new())?
        .render(&[Message::user("hi")], &RenderOptions::default())
}

/// Pieces, chunks and cuts against the library, which works on the whole text at once.
#[test]
fn ids_are_the_librarys() {
    let bytes = description(&[]);
    let tokens = |words: &[&str]| -> Value {
        let mut all: serde_json::Map<String, Value> = serde_json::Map::new();
        for word in words.iter().map(|word| (*word).to_owned()).chain(byte_tokens()) {
            let id = all.len();
            all.entry(word).or_insert(json!(id));
        }
        Value::Object(all)
    };
    let merges = json!([
        ["Ġ", "Ġ"],
        ["ĠĠ", "ĠĠ"],
        ["a", "b"],
        ["1", "2"],
        ["Ċ", "Ċ"],
        ["ab", "ab"],
        ["-", "-"]
    ]);
    let merged = tokens(&["ĠĠ", "ĠĠĠĠ", "ab", "12", "ĊĊ", "abab", "--"]);
    let byte_level =
        |model: Value, pre: Value| description(&[("model", model), ("pre_tokenizer", pre)]);
    let model = json!({"type": "BPE", "vocab": merged, "merges": merges});
    let qwen = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let last = json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true});
    let pieces = json!({"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": false,
        "vocab": {"<unk>": 0, "▁": 1, "▁▁": 2, "a": 3, "b": 4, "ab": 5, "▁a": 6, "1": 7, "\n": 8, ".": 9, "▁▁▁▁": 10, "-": 11},
        "merges": [["▁", "▁"], ["▁▁", "▁▁"], ["▁", "a"], ["a", "b"]]});
    let words = json!({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": {"[UNK]": 0, "a": 1, "##b": 2, "ab": 3, "1": 4, ".": 5, "##1": 6, "漢": 7}});
    let unigram = json!({"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["▁", -2.0], ["a", -3.0],
        ["b", -3.0], ["ab", -4.0], ["▁a", -3.5], ["1", -2.0], ["▁▁", -3.0], [".", -1.0], ["\n", -2.0]]});
    let added = json!([
        {"id": 900, "content": "<|x|>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
        {"id": 901, "content": "<y>", "single_word": false, "lstrip": true, "rstrip": true, "normalized": false, "special": true},
        {"id": 902, "content": "B1", "single_word": true, "lstrip": false, "rstrip": false, "normalized": true, "special": false}]);
    let sequence = |steps: Value| json!({"type": "Sequence", "pretokenizers": steps});
    let each = |kind: &str| json!({"type": kind});
    let metaspace = |scheme: &str, split: bool| json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split});
    let split_by = |pattern: Value, behavior: &str, invert: bool| json!({"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert});
    let spaces = json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]});
    let lowered = json!({"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}, {"type": "Strip", "strip_left": true, "strip_right": true}]});
    let bert = json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true});
    let with = |mut all: Value, field: &str, value: Value| {
        all[field] = value;
        all
    };
    let bare = |model: &Value| json!({"model": model});
    let mut all = vec![
        bytes,
        byte_level(model.clone(), split(qwen)),
        byte_level(
            model.clone(),
            sequence(json!([{"type": "Digits", "individual_digits": true}, last])),
        ),
        byte_level(
            model.clone(),
            sequence(
                json!([{"type": "Punctuation", "behavior": "Contiguous"}, last, {"type": "Digits", "individual_digits": false}]),
            ),
        ),
        byte_level(
            json!({"type": "BPE", "vocab": tokens(&["ĠĠ"]), "merges": [["Ġ", "Ġ"]], "ignore_merges": true}),
            split(qwen),
        ),
        with(bare(&pieces), "normalizer", spaces.clone()),
        with(bare(&pieces), "normalizer", lowered.clone()),
        with(with(bare(&words), "normalizer", bert), "pre_tokenizer", each("BertPreTokenizer")),
        with(bare(&words), "pre_tokenizer", each("Whitespace")),
        with(
            bare(&words),
            "pre_tokenizer",
            sequence(
                json!([each("WhitespaceSplit"), {"type": "Punctuation", "behavior": "MergedWithPrevious"}]),
            ),
        ),
        with(
            bare(&unigram),
            "pre_tokenizer",
            sequence(json!([each("WhitespaceSplit"), metaspace("always", true)])),
        ),
        with(
            with(bare(&unigram), "normalizer", lowered),
            "pre_tokenizer",
            metaspace("first", true),
        ),
        with(bare(&unigram), "pre_tokenizer", metaspace("never", false)),
        with(bare(&unigram), "pre_tokenizer", each("UnicodeScripts")),
        with(bare(&unigram), "pre_tokenizer", json!({"type": "FixedLength", "length": 7})),
    ];
    for behavior in ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"] {
        for invert in [false, true] {
            for pattern in
                [json!({"String": " "}), json!({"Regex": "a*"}), json!({"Regex": r"\d|b+"})]
            {
                all.push(with(bare(&pieces), "pre_tokenizer", split_by(pattern, behavior, invert)));
            }
        }
    }
    let plain = all.clone();
    all.extend(plain.into_iter().map(|mut all| {
        let mut known = added.clone();
        // The library gives the ids after the model's.
        let next = all["model"]["vocab"].as_object().map_or_else(
            || all["model"]["vocab"].as_array().map_or(0, Vec::len),
            serde_json::Map::len,
        );
        for (index, token) in known.as_array_mut().unwrap().iter_mut().enumerate() {
            token["id"] = json!(next + index);
        }
        all["added_tokens"] = known;
        all["post_processor"] = json!({"type": "BertProcessing", "sep": ["s", 2], "cls": ["c", 1]});
        all
    }));
    let texts = texts();
    assert!(texts.len() >= 400);
    for (row, description) in all.iter().enumerate() {
        let json = description.to_string();
        let library = tokenizers::Tokenizer::from_bytes(json.as_bytes()).unwrap();
        let ours = read(description).unwrap();
        for (column, text) in texts.iter().enumerate() {
            // The library takes long: a text goes through a third of the tokenizers, a long one through an eighth.
            let every = if text.len() > 1000 { 8 } else { 3 };
            if (row + column) % every != 0 {
                continue;
            }
            for special in [false, true] {
                let theirs = library.encode_fast(text.as_str(), special);
                let theirs = theirs.map(|encoding| encoding.get_ids().to_vec()).ok();
                let head: String = text.chars().take(60).collect();
                let found = ours.encode(text, special).ok();
                assert!(
                    found == theirs,
                    "{} bytes, {head:?}\n{json:.2000}\n{found:.60?}\n{theirs:.60?}",
                    text.len()
                );
                if text.len() > 1000 {
                    break;
                }
            }
        }
    }
}

/// Short texts of odd characters, and long runs around the borders of windows and chunks.
fn texts() -> Vec<String> {
    let characters: Vec<char> =
        " \t\n\r\u{a0}\u{3000}abABZéßǅ中漢のกe\u{301}\u{94d}059٣½Ⅷ'’s.,!?-_/<y>|x😀\u{200d}\u{feff}▁".chars().collect();
    let mut next = dice(11);
    let mut texts =
        vec![String::new(), " ".to_owned(), "<y>".to_owned(), "  <y>  <y> <|x|> B1 B1x".to_owned()];
    for _ in 0..380 {
        let length = next(40);
        texts.push((0..length).map(|_| characters[next(characters.len())]).collect());
    }
    for length in [2040, 2047, 2048, 2049, 4090, 4096, 4100, 8192, 16_380, 16_384, 16_390, 40_000] {
        for run in [" ", "a", "1", "\n", "ab", " a", "-", "漢"] {
            let count = length / run.len();
            let tail = ["b", " ", "<y>", "é", "\n1"][next(5)];
            texts.push(format!("{}{tail}", run.repeat(count)));
        }
    }
    texts
}
