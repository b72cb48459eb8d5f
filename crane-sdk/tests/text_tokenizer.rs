//! Tokenizers against the ids of transformers, on the fixtures and on real vocabularies.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod text_models;

use std::path::Path;
use std::sync::Arc;

use crane_sdk::source::{MemorySource, Metadata, Value as GgufValue};
use crane_sdk::text::{StreamDecoder, Tokenizer};
use proptest::prelude::*;
use serde_json::{Value, json};
use text_models::{dice, fixture, fixture_json, gguf_metadata, hf_folder};

fn fixture_tokenizer(name: &str) -> Tokenizer {
    let json = fixture(&format!("{name}/tokenizer.json"));
    let config = fixture(&format!("{name}/tokenizer_config.json"));
    Tokenizer::from_json(&json, Some(&config)).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn stream(tokenizer: &Arc<Tokenizer>, ids: &[u32], skip_special: bool) -> String {
    let mut decoder = StreamDecoder::new(tokenizer.clone(), skip_special);
    let mut text: String = ids.iter().map(|&id| decoder.push(id).unwrap()).collect();
    text.push_str(&decoder.finish().unwrap());
    text
}

#[test]
fn fixtures_encode_and_decode_as_transformers_does() {
    for name in ["qwen2_tied", "qwen2_untied_sharded", "llama32", "qwen3"] {
        let tokenizer = Arc::new(fixture_tokenizer(name));
        let values = &fixture_json(&format!("{name}/golden.json"))["values"];
        for (text, expected) in values["text_token_ids"].as_object().unwrap() {
            assert_eq!(tokenizer.encode(text, true).unwrap(), ids(expected), "{name}: {text}");
        }
        for example in values["decode_examples"].as_array().unwrap() {
            let text = example["text"].as_str().unwrap();
            assert_eq!(tokenizer.decode(&ids(&example["ids"]), false).unwrap(), text);
            assert_eq!(stream(&tokenizer, &ids(&example["ids"]), false), text);
        }
        for chat in ["chat", "chat_default_system"] {
            if let Some(rendered) = values[chat]["rendered"].as_str() {
                assert_eq!(tokenizer.encode(rendered, false).unwrap(), ids(&values[chat]["ids"]));
            }
        }
    }
}

#[test]
fn threads_share_what_is_read_and_own_what_they_decode() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Tokenizer>();
    shared::<StreamDecoder>();
    shared::<crane_sdk::text::ChatTemplate>();
}

#[test]
fn special_tokens_are_known() {
    let tokenizer = fixture_tokenizer("qwen2_tied");
    assert_eq!(tokenizer.eos_id(), Some(402));
    assert_eq!(tokenizer.pad_id(), Some(400));
    assert_eq!(tokenizer.bos_id(), None);
    assert_eq!(tokenizer.vocab_size(), 405);
    assert!(tokenizer.is_special(401) && !tokenizer.is_special(39) && !tokenizer.is_special(9999));
    assert_eq!(tokenizer.id_to_token(402).as_deref(), Some("<|im_end|>"));
    assert_eq!(tokenizer.decode(&[39, 402, 307, 7777], true).unwrap(), "Hel");
    assert_eq!(tokenizer.decode(&[39, 402], false).unwrap(), "H<|im_end|>");
    let llama = fixture_tokenizer("llama32");
    assert_eq!(llama.bos_id(), Some(380));
    assert_eq!(llama.encode("", true).unwrap(), [380]);
    assert_eq!(llama.encode("", false).unwrap(), [0; 0]);
}

#[test]
fn token_bytes_are_the_bytes_of_the_text() {
    let tokenizer = fixture_tokenizer("qwen2_tied");
    let text = "def 你好 \u{1F600}\n";
    let ids = tokenizer.encode(text, false).unwrap();
    let bytes: Vec<u8> = ids.iter().flat_map(|&id| tokenizer.token_bytes(id)).collect();
    assert_eq!(bytes, text.as_bytes());
    assert_eq!(tokenizer.token_bytes(100_000), b"");
}

fn check_cases(tokenizer: &Arc<Tokenizer>, name: &str) {
    let cases = fixture_json("refs/tokenizer_cases.json");
    let cases = cases[name].as_array().unwrap();
    assert!(cases.len() > 10);
    for case in cases {
        let text = case["text"].as_str().unwrap();
        let expected = ids(&case["ids"]);
        assert_eq!(tokenizer.encode(text, false).unwrap(), expected, "{name}: {text:?}");
        let decoded = tokenizer.decode(&expected, false).unwrap();
        assert_eq!(stream(tokenizer, &expected, false), decoded);
        let bytes: Vec<u8> = expected.iter().flat_map(|&id| tokenizer.token_bytes(id)).collect();
        assert_eq!(String::from_utf8_lossy(&bytes), decoded);
    }
    for case in fixture_json(&format!("refs/{name}.json"))["cases"].as_array().unwrap() {
        let prompt = case["prompt"].as_str().unwrap();
        assert_eq!(tokenizer.encode(prompt, false).unwrap(), ids(&case["prompt_ids"]));
        let text = case["text"].as_str().unwrap();
        assert_eq!(stream(tokenizer, &ids(&case["output_ids"]), false), text);
    }
}

#[test]
fn real_gguf_vocabularies_give_the_reference_ids() {
    for (name, file) in text_models::GGUF {
        let Some(meta) = gguf_metadata(file) else { continue };
        let start = std::time::Instant::now();
        let tokenizer = Arc::new(Tokenizer::from_gguf(&meta).unwrap());
        let took = start.elapsed();
        println!("{file}: {} tokens in {took:?}", tokenizer.vocab_size());
        assert!(took.as_secs_f64() < 5.0, "{file} took {took:?}");
        check_cases(&tokenizer, name);
    }
}

#[test]
fn real_tokenizer_json_gives_the_reference_ids() {
    for (name, folder) in [("qwen", "qwen-bf16"), ("smollm2", "smollm2-bf16")] {
        let Some(folder) = hf_folder(folder) else { continue };
        let read = |name: &str| std::fs::read(Path::new(&folder).join(name)).unwrap();
        let source = MemorySource::new("folder")
            .with("tokenizer.json", read("tokenizer.json"))
            .with("tokenizer_config.json", read("tokenizer_config.json"));
        let start = std::time::Instant::now();
        let tokenizer = Arc::new(Tokenizer::from_source(&source).unwrap());
        println!("{}: {:?}", folder.display(), start.elapsed());
        check_cases(&tokenizer, name);
    }
}

/// A GGUF file's metadata out of the pairs of a JSON object.
fn metadata(pairs: Value) -> Metadata {
    let pairs = pairs.as_object().unwrap().iter().map(|(key, value)| {
        let value = match value {
            Value::String(text) => GgufValue::String(text.clone()),
            Value::Bool(value) => GgufValue::Bool(*value),
            Value::Number(number) => match number.as_u64() {
                Some(number) => GgufValue::Unsigned(number),
                None => GgufValue::Signed(number.as_i64().unwrap()),
            },
            Value::Array(list) if list.iter().all(Value::is_string) => GgufValue::Strings(
                list.iter().map(|item| item.as_str().unwrap().to_owned()).collect(),
            ),
            Value::Array(list) if list.iter().all(Value::is_i64) => {
                GgufValue::Integers(list.iter().map(|item| item.as_i64().unwrap()).collect())
            }
            Value::Array(list) => {
                GgufValue::Floats(list.iter().map(|item| item.as_f64().unwrap()).collect())
            }
            other => panic!("{other}"),
        };
        (format!("tokenizer.ggml.{key}"), value)
    });
    Metadata::from_pairs("m.gguf", pairs)
}

#[test]
fn sentencepiece_vocabularies_give_the_ids_of_sentencepiece() {
    let fixture = fixture_json("text/sentencepiece.json");
    let pairs = json!({
        "model": "llama", "tokens": fixture["tokens"], "scores": fixture["scores"],
        "token_type": fixture["types"], "bos_token_id": 1, "eos_token_id": 2,
    });
    let tokenizer = Arc::new(Tokenizer::from_gguf(&metadata(pairs)).unwrap());
    for case in fixture["cases"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let expected = ids(&case["ids"]);
        assert_eq!(tokenizer.encode(text, false).unwrap(), expected, "{text:?}");
        let with_bos = tokenizer.encode(text, true).unwrap();
        assert_eq!((with_bos[0], &with_bos[1..]), (1, expected.as_slice()));
        let special = ["<|im_end|>", "<|tool|>", "<s>"].iter().any(|token| text.contains(token));
        if !special && !text.contains('▁') {
            assert_eq!(tokenizer.decode(&with_bos, true).unwrap(), text);
            assert_eq!(stream(&tokenizer, &with_bos, true), text);
        }
    }
    assert!(tokenizer.is_special(3) && !tokenizer.is_special(4));
    assert_eq!(tokenizer.decode(&[1, 3, 4], true).unwrap(), "<|tool|>");
    let newline = tokenizer.token_to_id("<0x0A>").unwrap();
    assert_eq!(tokenizer.token_bytes(newline), b"\n");
}

/// A SentencePiece vocabulary says its merges only by the tokens that consist of others: what that takes is bounded.
#[test]
fn sentencepiece_vocabularies_of_strangers_are_bounded() {
    let vocabulary = |tokens: Vec<String>| {
        let scores: Vec<f64> = tokens.iter().map(|_| -1.0).collect();
        metadata(json!({"model": "llama", "tokens": tokens, "scores": scores}))
    };
    let nested = |most: usize| (1..=most).map(|length| "a".repeat(length)).collect();
    for (tokens, limit) in [
        (
            vec!["a".to_owned(), "b".to_owned(), "c".to_owned(), "ab".repeat(200_000)],
            "400000 bytes",
        ),
        (nested(3000), "consist of one another"),
        (nested(2000), "consist of one another"),
    ] {
        let error = Tokenizer::from_gguf(&vocabulary(tokens)).unwrap_err().to_string();
        assert!(error.contains(limit), "{error}");
    }
    let tokenizer = Tokenizer::from_gguf(&vocabulary(nested(60))).unwrap();
    assert!(!tokenizer.encode(&"a".repeat(1000), false).unwrap().is_empty());
}

#[test]
fn gguf_metadata_that_does_not_fit_is_an_error_that_names_the_key() {
    let good = json!({
        "model": "gpt2", "pre": "qwen2", "tokens": ["a", "b", "ab", "<e>", "[PAD]"],
        "token_type": [1, 1, 1, 3, 5], "merges": ["a b"], "eos_token_id": 3, "add_bos_token": false,
    });
    let tokenizer = Tokenizer::from_gguf(&metadata(good.clone())).unwrap();
    assert_eq!(tokenizer.encode("ab<e>[PAD]a", true).unwrap(), [2, 3, 0]);
    assert_eq!(tokenizer.decode(&[2, 3, 4, 0], true).unwrap(), "aba");
    let with = |key: &str, value: Value| {
        let mut pairs = good.clone();
        pairs[key] = value;
        match Tokenizer::from_gguf(&metadata(pairs)) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    };
    for (key, value, expected) in [
        ("model", json!("rwkv"), "\"rwkv\" (tokenizer.ggml.model) is not supported"),
        ("pre", json!("martian"), "\"martian\" (tokenizer.ggml.pre) is not supported"),
        ("tokens", json!("a"), "tokenizer.ggml.tokens should be an array of strings"),
        ("tokens", json!([]), "tokenizer.ggml.tokens is empty"),
        ("token_type", json!([1, 1]), "token_type has 2 entries"),
        ("merges", json!(["a b", "b b"]), "tokenizer.ggml.merges: Token `bb`"),
        ("merges", json!(["a abababab"]), "merge 0"),
        ("merges", json!(["ab"]), "merges[0] is \"ab\""),
        ("merges", json!([1]), "merges should be an array of strings"),
        ("eos_token_id", json!("end"), "eos_token_id should be the id of a token"),
    ] {
        let message = with(key, value.clone());
        assert!(message.contains(expected), "{key} = {value}: {message:?}");
    }
    for key in ["model", "tokens", "merges"] {
        let mut pairs = good.clone();
        pairs.as_object_mut().unwrap().remove(key);
        let error = Tokenizer::from_gguf(&metadata(pairs)).unwrap_err().to_string();
        assert!(error.contains(&format!("no tokenizer.ggml.{key}")), "{error}");
    }
}

/// Files write a number for a token that their model does not have.
#[test]
fn ids_of_special_tokens_that_are_none_are_warned_of() {
    let good = json!({
        "model": "gpt2", "pre": "qwen2", "tokens": ["a", "b", "ab", "<e>", "<s>"],
        "token_type": [1, 1, 1, 3, 3], "merges": ["a b"], "bos_token_id": 4, "eos_token_id": 3,
    });
    let with = |pairs: &[(&str, Value)]| {
        let mut all = good.clone();
        for (key, value) in pairs {
            all[*key] = value.clone();
        }
        Tokenizer::from_gguf(&metadata(all))
    };
    let keys = ["bos", "eos", "unknown", "seperator", "padding", "cls", "mask"];
    for key in keys.map(|key| format!("{key}_token_id")) {
        for none in [json!(-1), json!(5), json!(65_535), json!(u32::MAX), json!(u64::MAX)] {
            let tokenizer = with(&[(&key, none.clone())]).unwrap();
            let [warning] = tokenizer.warnings() else { panic!("{:?}", tokenizer.warnings()) };
            let said = format!("m.gguf: tokenizer.ggml.{key} is {none}, but the vocabulary has 5");
            assert!(warning.contains(&said), "{warning}");
            assert_eq!(tokenizer.encode("ab<e>a", true).unwrap(), [2, 3, 0]);
        }
        assert!(with(&[(&key, json!(0))]).unwrap().warnings().is_empty());
    }
    assert_eq!(with(&[("eos_token_id", json!(-1))]).unwrap().eos_id(), None);
    // A token that the file wants around every text is needed.
    for (role, asks) in [("bos", "add_bos_token"), ("eos", "add_eos_token")] {
        let key = format!("{role}_token_id");
        let error = with(&[(&key, json!(-1)), (asks, json!(true))]).unwrap_err().to_string();
        assert!(error.contains(&format!("{key} is -1")) && error.contains(asks), "{error}");
        assert!(with(&[(&key, json!(-1)), (asks, json!(false))]).is_ok());
    }
    // A SentencePiece vocabulary has usual places for three of them.
    let pieces = json!({
        "model": "llama", "tokens": ["<unk>", "<s>", "</s>", "a"], "token_type": [2, 3, 3, 1],
        "scores": [0.5, 0.5, 0.5, 0.5], "bos_token_id": -1, "unknown_token_id": u32::MAX,
    });
    let tokenizer = Tokenizer::from_gguf(&metadata(pieces)).unwrap();
    assert_eq!(
        (tokenizer.bos_id(), tokenizer.unk_id(), tokenizer.eos_id()),
        (Some(1), Some(0), Some(2))
    );
    assert!(tokenizer.warnings().iter().all(|warning| warning.contains("is taken instead")));
    assert_eq!(tokenizer.warnings().len(), 2);
}

/// Reserved rows of a vocabulary are often spelt alike: the first id is the token's, and each id has a text.
#[test]
fn tokens_that_are_listed_twice_get_the_first_id() {
    let byte_level = |tokens: Value, types: Value| {
        let pairs = json!({
            "model": "gpt2", "pre": "qwen2", "tokens": tokens, "token_type": types, "merges": ["a b"],
        });
        Tokenizer::from_gguf(&metadata(pairs)).unwrap()
    };
    let reserved = byte_level(
        json!(["a", "b", "ab", "<r>", "<r>", "<pad>", "<r>", "<pad>"]),
        json!([1, 1, 1, 3, 3, 4, 3, 4]),
    );
    assert_eq!(reserved.encode("ab<r><pad>b<r>", true).unwrap(), [2, 3, 5, 1, 3]);
    assert_eq!(reserved.decode(&[3, 4, 6, 5, 7], false).unwrap(), "<r><r><r><pad><pad>");
    assert_eq!(reserved.decode(&[3, 4, 6, 5, 7], true).unwrap(), "<pad><pad>");
    assert!(reserved.is_special(6) && !reserved.is_special(7));
    assert_eq!((reserved.vocab_size(), reserved.token_to_id("<r>")), (8, Some(3)));
    assert!(reserved.warnings().is_empty(), "{:?}", reserved.warnings());
    // Of words it is told, and a token stays what its first row says.
    let words = byte_level(json!(["a", "b", "ab", "b", "ab"]), json!([1, 1, 1, 1, 3]));
    assert_eq!(words.encode("bab", true).unwrap(), [1, 2]);
    assert!(!words.is_special(2));
    let [warning] = words.warnings() else { panic!("{:?}", words.warnings()) };
    assert!(warning.contains("tokens[3] is \"b\" again (1 such)"), "{warning}");
    let pieces = json!({
        "model": "llama", "tokens": ["<unk>", "<s>", "</s>", "▁", "a", "▁a", "<r>", "<r>", "a"],
        "token_type": [2, 3, 3, 1, 1, 1, 3, 3, 1], "scores": [0.5, 0.5, 0.5, -1.5, -1.5, -0.5, 0.5, 0.5, -2.5],
    });
    let pieces = Tokenizer::from_gguf(&metadata(pieces)).unwrap();
    assert_eq!(pieces.encode("aa<r>", false).unwrap(), [5, 4, 6]);
    let words = json!({
        "model": "bert", "tokens": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁a", "b", "▁a", "[unused]", "[unused]"],
        "token_type": [3, 3, 3, 3, 1, 1, 1, 3, 3],
    });
    let words = Tokenizer::from_gguf(&metadata(words)).unwrap();
    assert_eq!(words.encode("a ab", true).unwrap(), [2, 4, 4, 5, 3]);
}

/// Damaged copies of a file: bytes changed, cut out or doubled, and numbers replaced by odd ones.
fn damaged(file: &[u8], seed: u64) -> Vec<u8> {
    let mut next = dice(seed);
    let mut file = file.to_vec();
    for _ in 0..1 + next(3) {
        if file.is_empty() {
            break;
        }
        let (at, len) = (next(file.len()), 1 + next(40));
        let end = (at + len).min(file.len());
        match next(5) {
            0 => file[at] = b"\"{}[]:,0-e\\ \xff"[next(13)],
            1 => drop(file.drain(at..end)),
            2 => file.truncate(at.max(1)),
            3 => {
                let copy = file[at..end].to_vec();
                file.splice(at..at, copy);
            }
            _ => {
                let digit = (at..file.len()).find(|&at| file[at].is_ascii_digit());
                let odd = ["-1", "4294967295", "18446744073709551616", "1e9", "null", "\"x\""];
                if let Some(digit) = digit {
                    file.splice(digit..=digit, odd[next(odd.len())].bytes());
                }
            }
        }
    }
    file
}

#[test]
fn damaged_tokenizers_never_panic() {
    let long = r#"{"added_tokens":[{"id":9,"content":"<s>","single_word":true,"lstrip":true,"rstrip":true,"normalized":true,"special":true}],
        "normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"_"},{"type":"Replace","pattern":{"String":" "},"content":"_"},{"type":"Strip","strip_left":true,"strip_right":true},{"type":"NFKC"},{"type":"Lowercase"}]},
        "pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Metaspace","replacement":"_","prepend_scheme":"first","split":true},{"type":"Digits","individual_digits":true},{"type":"Punctuation","behavior":"Isolated"},{"type":"FixedLength","length":3}]},
        "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],"special_tokens":{"<s>":{"id":"<s>","ids":[9],"tokens":["<s>"]}}},
        "decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"_"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":2}]},
        "model":MODEL}"#;
    let models = [
        r###"{"type":"BPE","unk_token":"a","continuing_subword_prefix":"##","end_of_word_suffix":"</w>","fuse_unk":true,"byte_fallback":true,"ignore_merges":true,"vocab":{"a":0,"##b":1,"ab":2,"_":3,"b</w>":4,"<0x41>":5},"merges":[["a","##b"]]}"###,
        r#"{"type":"Unigram","unk_id":0,"byte_fallback":true,"vocab":[["<unk>",0.0],["a",-1.5],["ab",-2.0],["_",-3.0],["<0x41>",-4.0]]}"#,
        r###"{"type":"WordPiece","unk_token":"a","continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{"a":0,"##b":1,"_":2}}"###,
        r#"{"type":"WordLevel","unk_token":"a","vocab":{"a":0,"_ab":1}}"#,
    ];
    let mut files: Vec<Vec<u8>> =
        models.iter().map(|model| long.replace("MODEL", model).into_bytes()).collect();
    for file in &files {
        Tokenizer::from_json(file, None).unwrap();
    }
    files.push(fixture("llama32/tokenizer.json"));
    let config = fixture("llama32/tokenizer_config.json");
    let mut readable = 0;
    for seed in 0..4000 {
        let file = &files[seed as usize % files.len()];
        let (json, config) = match seed % 11 {
            0 => (file.clone(), damaged(&config, seed)),
            _ => (damaged(file, seed), b"{}".to_vec()),
        };
        if let Ok(tokenizer) = Tokenizer::from_json(&json, Some(&config)) {
            readable += 1;
            for text in ["", " ab  ba_<s> é😀\u{0}12", "<0x41>A"] {
                if let Ok(ids) = tokenizer.encode(text, true) {
                    tokenizer.decode(&ids, seed % 2 == 0).unwrap();
                }
            }
            tokenizer.decode(&(0..12).collect::<Vec<u32>>(), false).unwrap();
        }
    }
    assert!(readable > 100, "{readable}");
}

#[test]
fn odd_gguf_vocabularies_never_panic() {
    let names = ["a", "b", "ab", "é", "", "▁", "<0x41>", "<0x41>", "<s>", "Ġ", "bb", "\u{0}"];
    let mut next = dice(1);
    let mut readable = 0;
    for round in 0..3000 {
        let count = 1 + next(8);
        let mut tokens: Vec<&str> = (0..count).map(|_| names[next(names.len())]).collect();
        if next(2) == 0 {
            tokens.sort_unstable();
            tokens.dedup();
        }
        let count = tokens.len() + usize::from(next(9) == 0) - usize::from(next(9) == 0);
        let merges: Vec<String> = (0..next(3))
            .map(|_| {
                [names[next(names.len())], names[next(names.len())]].join([" ", ""][next(9) / 8])
            })
            .collect();
        let model = ["gpt2", "llama"][round % 2];
        let pre = ["gpt-2", "qwen2", "llama-bpe"][next(3)];
        let pairs = json!({
            "model": model, "pre": pre,
            "tokens": tokens, "merges": merges, "bos_token_id": next(9), "add_bos_token": true,
            "token_type": (0..count).map(|_| next(8) as i64 - 1).collect::<Vec<_>>(),
            "scores": (0..count).map(|_| [-1.5, 0.5, 1e300][next(3)]).collect::<Vec<_>>(),
        });
        if let Ok(tokenizer) = Tokenizer::from_gguf(&metadata(pairs)) {
            readable += 1;
            if let Ok(ids) = tokenizer.encode("ab é<s>A\u{0} bb", true) {
                tokenizer.decode(&ids, false).unwrap();
            }
            tokenizer.decode(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], true).unwrap();
        }
    }
    assert!(readable > 100, "{readable}");
}

#[test]
fn llama_classes_take_bos_and_eos_from_their_config() {
    let json = br#"{"added_tokens": [
        {"id": 3, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
        {"id": 4, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}}"#;
    let encode = |config: Value| {
        let config = serde_json::to_vec(&config).unwrap();
        Tokenizer::from_json(json, Some(&config)).unwrap().encode("ab", true).unwrap()
    };
    let mut config = json!({"tokenizer_class": "LlamaTokenizerFast", "bos_token": "<s>", "eos_token": {"content": "</s>"}});
    assert_eq!(encode(config.clone()), [3, 2]);
    config["add_eos_token"] = json!(true);
    assert_eq!(encode(config.clone()), [3, 2, 4]);
    config["add_bos_token"] = json!(false);
    assert_eq!(encode(config.clone()), [2, 4]);
    config["tokenizer_class"] = json!("PreTrainedTokenizerFast");
    assert_eq!(encode(config), [2]);
}

proptest! {
    #[test]
    fn pieces_together_are_the_whole(ids in prop::collection::vec(0u32..410, 0..80), hide: bool) {
        let tokenizer = Arc::new(fixture_tokenizer("qwen2_tied"));
        prop_assert_eq!(stream(&tokenizer, &ids, hide), tokenizer.decode(&ids, hide).unwrap());
        let inner = tokenizers_oracle("qwen2_tied");
        prop_assert_eq!(inner.decode(&ids, hide).unwrap(), tokenizer.decode(&ids, hide).unwrap());
    }

    #[test]
    fn any_text_survives(text in "\\PC{0,40}") {
        // The normalizer composes characters, so only composed text comes back as it was.
        let tokenizer = Arc::new(fixture_tokenizer("llama32"));
        let ids = tokenizer.encode(&text, false).unwrap();
        prop_assert_eq!(tokenizer.decode(&ids, false).unwrap(), text.clone());
        prop_assert_eq!(stream(&tokenizer, &ids, false), text);
    }
}

fn tokenizers_oracle(name: &str) -> tokenizers::Tokenizer {
    tokenizers::Tokenizer::from_bytes(fixture(&format!("{name}/tokenizer.json"))).unwrap()
}

#[test]
fn a_character_waits_until_it_is_whole() {
    let tokenizer = Arc::new(fixture_tokenizer("qwen2_tied"));
    let ids = tokenizer.encode("好\u{1F600}!", false).unwrap();
    let mut decoder = StreamDecoder::new(tokenizer, true);
    let pieces: Vec<String> = ids.iter().map(|&id| decoder.push(id).unwrap()).collect();
    assert!(pieces.iter().all(|piece| !piece.contains('\u{FFFD}')), "{pieces:?}");
    assert_eq!(pieces.concat(), "好\u{1F600}!");
    assert!(pieces.iter().any(String::is_empty));
    decoder.push(ids[0]).unwrap();
    let rest = decoder.finish().unwrap();
    assert!(rest.is_empty() || rest == "\u{FFFD}" || rest == "好", "{rest:?}");
}

#[test]
fn a_character_that_was_cut_is_left_out_where_that_is_asked_for() {
    let bytes = |decoder: &str, tokens: &[&str]| {
        let vocab: serde_json::Map<String, Value> =
            tokens.iter().enumerate().map(|(id, token)| ((*token).to_owned(), json!(id))).collect();
        let json = json!({"model": {"type": "BPE", "vocab": vocab, "merges": []}, "decoder": {"type": decoder,
            "add_prefix_space": false, "trim_offsets": false}});
        Arc::new(Tokenizer::from_json(&serde_json::to_vec(&json).unwrap(), None).unwrap())
    };
    // "é" and two bytes of an emoji, in the alphabets of both kinds.
    let level = bytes("ByteLevel", &["Ã", "©", "ð", "Ł", "a"]);
    let fallback = bytes("ByteFallback", &["<0xC3>", "<0xA9>", "<0xF0>", "<0x9F>", "a"]);
    for tokenizer in [level, fallback] {
        for (ids, cut, whole) in [
            (&[4, 0, 1, 2, 3][..], "aé", true),
            (&[4, 0, 1, 2], "aé", true),
            (&[4, 0], "a", true),
            (&[4, 0, 1], "aé", false),
            (&[4], "a", false),
        ] {
            let said = |finish: fn(&mut StreamDecoder) -> crane_sdk::Result<String>| {
                let mut decoder = StreamDecoder::new(tokenizer.clone(), true);
                let mut text: String = ids.iter().map(|&id| decoder.push(id).unwrap()).collect();
                text.push_str(&finish(&mut decoder).unwrap());
                text
            };
            assert_eq!(said(StreamDecoder::finish_cut), cut);
            assert_eq!(said(StreamDecoder::finish).contains('\u{FFFD}'), whole);
        }
    }
}

#[test]
fn damaged_files_are_errors_that_name_the_field() {
    let error = |json: &str| Tokenizer::from_json(json.as_bytes(), None).unwrap_err().to_string();
    let bpe = |vocab: &str, merges: &str| {
        error(&format!(r#"{{"model":{{"type":"BPE","vocab":{vocab},"merges":{merges}}}}}"#))
    };
    for (message, expected) in [
        (error(""), "tokenizer.json"),
        (error("{}"), "missing field `model`"),
        (error(r#"{"model": {"type": "BPE"}}"#), "missing field `vocab`"),
        (bpe(r#"{"a":0,"b":1}"#, r#"["a b"]"#), "merge 0"),
        (bpe(r#"{"a":0,"b":1,"cc":2}"#, r#"["a b"]"#), "`ab`"),
        (bpe(r#"{"a":0,"aa":1}"#, r#"[["a","x"]]"#), "`x`"),
        (bpe(r#"{"a":0}"#, r#"["abc"]"#), "a merge"),
        (bpe(r#"{"a":4000000000}"#, "[]"), "4000000000"),
        (bpe(r#"{"a":-1}"#, "[]"), "u32"),
        (
            error(r#"{"model":{"type":"BPE","vocab":{"a":0},"merges":[],"unk_token":"?"}}"#),
            "unk_token",
        ),
        (
            error(
                r#"{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(a"},"behavior":"Isolated","invert":false},"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#,
            ),
            "pre_tokenizer",
        ),
        (
            error(
                r#"{"pre_tokenizer":{"type":"FixedLength","length":0},"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#,
            ),
            "FixedLength",
        ),
        (
            error(
                r#"{"decoder":{"type":"Nope"},"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#,
            ),
            "decoder",
        ),
        (
            error(
                r#"{"added_tokens":[{"id":0,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#,
            ),
            "both have the id 0",
        ),
    ] {
        assert!(message.contains(expected), "{message:?} should contain {expected:?}");
    }
    let source = MemorySource::new("nowhere").with("config.json", b"{}".to_vec());
    let message = Tokenizer::from_source(&source).unwrap_err().to_string();
    assert!(message.contains("tokenizer.json not found in nowhere"), "{message}");
}
