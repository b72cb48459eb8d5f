//! What voices and codecs are made of, lying: SNAC, Spark-TTS, hibari.

use super::build::{gzip_of_repeats, numbers_replaced};
use super::{Case, fixture};

/// What stands in the place of a number.
const ODD: [&str; 6] = ["0", "-1", "3", "65536", "18446744073709551615", "null"];

fn files(list: &[(&str, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    list.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect()
}

/// SNAC's numbers.
pub fn snac() -> Vec<Case> {
    let mut out = Vec::new();
    for (folder, weights) in [("snac24", "pytorch_model.bin"), ("snac_attn", "model.safetensors")] {
        let sound =
            String::from_utf8_lossy(&fixture(&format!("{folder}/config.json"))).into_owned();
        let bytes = fixture(&format!("{folder}/{weights}"));
        for (what, text) in numbers_replaced(&sound, &ODD) {
            let list = [("config.json", text.into_bytes()), (weights, bytes.clone())];
            out.push((format!("snac/{folder}-{what}"), files(&list)));
        }
    }
    out
}

/// BiCodec's numbers, and YAML that is hard to read.
pub fn spark() -> Vec<Case> {
    const CONFIG: &str = "BiCodec/config.yaml";
    let sound = String::from_utf8_lossy(&fixture("sparktts/BiCodec/config.yaml")).into_owned();
    let weights = fixture("sparktts/BiCodec/model.safetensors");
    let mut texts = numbers_replaced(&sound, &ODD);
    let levels = "    fsq_levels:\n";
    for (what, text) in [
        ("deep-lists", "- ".repeat(200_000)),
        ("deep-flow", "[".repeat(400_000)),
        ("deep-mappings", (0..2000).map(|i| format!("{}a:\n", " ".repeat(i))).collect()),
        ("open-quotes", "\"".repeat(400_001)),
        ("many-keys", (0..90_000).map(|i| format!("k{i}:\n")).collect()),
        ("many-items", format!("a: [{}]", "1,".repeat(500_000))),
        ("question-marks", "? ".repeat(300_000)),
        ("tags", "!!x ".repeat(200_000)),
        ("comments", "#\n".repeat(500_000)),
        ("documents", "---\n".repeat(200_000)),
        ("anchors", (0..60_000).map(|i| format!("a{i}: &x{i} 1\n")).collect()),
        ("aliases", format!("a: &a [1]\n{}", "b: [*a,*a,*a]\n".repeat(10_000))),
        ("long-plain", format!("a: {}", "b ".repeat(500_000))),
        ("block-text", format!("a: |\n{}", "  b\n".repeat(200_000))),
        ("spaces", " ".repeat(1_000_000)),
        ("too-long", "a: 1\n".repeat(1_000_000)),
        ("many-levels", sound.replace(levels, &format!("{levels}{}", "    - 2\n".repeat(1000)))),
    ] {
        texts.push((what.to_owned(), text));
    }
    let case = |(what, text): (String, String)| {
        let list = [(CONFIG, text.into_bytes()), ("BiCodec/model.safetensors", weights.clone())];
        (format!("spark/{what}"), files(&list))
    };
    texts.into_iter().map(case).collect()
}

/// hibari's lists.
pub fn hibari() -> Vec<Case> {
    let voice = r#"{"a": {"file": "a.onnx", "bundled": true}}"#.to_owned();
    let vocabulary = r#"{" ": 1, "a": 2}"#.to_owned();
    let listed = |count: usize| {
        let voices = (0..count).map(|i| format!("\"v{i}\": {{\"file\": \"a.onnx\"}}"));
        format!("{{{}}}", voices.collect::<Vec<_>>().join(","))
    };
    let mut out = Vec::new();
    for (what, voices, vocabulary) in [
        ("no-weights", voice.clone(), vocabulary.clone()),
        ("no-voices", "{}".to_owned(), vocabulary.clone()),
        ("many-voices", listed(30_000), vocabulary.clone()),
        ("voices-of-one-file", listed(200), vocabulary.clone()),
        ("deep-voices", "{\"a\":".repeat(200_000), vocabulary.clone()),
        ("a-path", voice.replace("a.onnx", "../../../etc/passwd"), vocabulary.clone()),
        ("ids-that-overflow", voice.clone(), r#"{"a": 18446744073709551615}"#.to_owned()),
        ("long-vocabulary", voice, format!("{{{}\"a\":1}}", "\"a\":1,".repeat(400_000))),
    ] {
        let list = [
            ("voices.json", voices.into_bytes()),
            ("vocab.json", vocabulary.into_bytes()),
            ("a.onnx", b"\x08\x08\x3a\x00".to_vec()),
        ];
        out.push((format!("hibari/{what}"), files(&list)));
    }
    out
}

/// The tables of an English front end; the first that is read is a lexicon.
pub fn lexicons() -> Vec<Case> {
    let mut out = Vec::new();
    let mut add = |what: &str, gold: Vec<u8>| {
        out.push((format!("lexicon/{what}"), files(&[("lexicon_us_gold.json.gz", gold)])));
    };
    for times in [100usize, 10_000, 100_000] {
        add(&format!("spaces-{times}"), gzip_of_repeats(b"{}", b' ', times, b""));
        add(&format!("a-word-{times}"), gzip_of_repeats(b"{\"", b'a', times, b"\":\"\"}"));
        add(&format!("commas-{times}"), gzip_of_repeats(b"[0", b',', times, b""));
        add(&format!("depth-{times}"), gzip_of_repeats(b"", b'[', times, b""));
    }
    let sound = gzip_of_repeats(b"{\"a\":\"", b'b', 1, b"\"}");
    for end in 0..sound.len() {
        add(&format!("cut-at-{end}"), sound.get(..end).unwrap_or_default().to_vec());
    }
    for at in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 0x55);
        add(&format!("byte-{at}"), bytes);
    }
    out
}
