//! The options that a checkpoint's authors published, and what is told of those that are not taken.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod generate_support;

use crane_sdk::Result;
use crane_sdk::generate::GenerationConfig;
use crane_sdk::source::MemorySource;
use crane_sdk::text::Tokenizer;
use generate_support::folder;

fn read(files: &[(&str, &str)]) -> Result<GenerationConfig> {
    let tokenizer = Tokenizer::from_source(&folder("qwen2_tied")).unwrap();
    let mut source = MemorySource::new("test");
    for (name, text) in files {
        source = source.with(*name, text.as_bytes().to_vec());
    }
    GenerationConfig::from_source(&source, &tokenizer)
}

fn published(json: &str) -> Result<GenerationConfig> {
    read(&[("generation_config.json", json)])
}

#[test]
fn sampling_is_as_in_transformers() {
    let config = published(
        r#"{ "bos_token_id": 1, "pad_token_id": 1, "do_sample": true, "eos_token_id": [2, 1],
             "repetition_penalty": 1.05, "temperature": 0.7, "top_p": 0.8, "top_k": 20,
             "stop_strings": ["END:"], "min_p": null, "transformers_version": "4.37.0" }"#,
    )
    .unwrap();
    assert_eq!(config.eos_ids, [2, 1]);
    assert_eq!(config.stop, ["END:"]);
    let sampling = &config.sampling;
    assert_eq!((sampling.temperature, sampling.top_p, sampling.top_k), (0.7, 0.8, 20));
    assert_eq!(sampling.repetition_penalty, 1.05);
    assert_eq!(config.warnings, [""; 0]);

    // transformers keeps the 50 best if it is not told; it is greedy unless it is told to sample.
    let config = published(r#"{ "do_sample": true, "temperature": 0.6 }"#).unwrap();
    assert_eq!(config.sampling.top_k, 50);
    assert!(published(r#"{ "temperature": 0.6 }"#).unwrap().sampling.is_greedy());
    // Where nothing is published: greedy, and the end tokens of the config or the tokenizer.
    let config = read(&[("config.json", r#"{ "eos_token_id": [7, 8] }"#)]).unwrap();
    assert_eq!(config.eos_ids, [7, 8]);
    assert!(config.sampling.is_greedy());
    assert_eq!(read(&[]).unwrap().eos_ids, [402]);
}

#[test]
fn what_is_not_taken_is_told() {
    let config = published(
        r#"{ "num_beams": 4, "no_repeat_ngram_size": 0, "guidance_scale": 1, "bad_words_ids": [[3]],
             "brand_new": true, "use_cache": true, "suppress_tokens": [], "length_penalty": 2.0 }"#,
    )
    .unwrap();
    let told: Vec<&str> =
        config.warnings.iter().filter_map(|warning| warning.split(' ').nth(1)).collect();
    assert_eq!(told, ["num_beams", "bad_words_ids", "brand_new"]);
}

#[test]
fn what_makes_no_sense_is_an_error_of_the_file() {
    for json in [
        r#"{ "temperature": "hot" }"#,
        r#"{ "do_sample": true, "temperature": -1 }"#,
        r#"{ "top_p": 1.5 }"#,
        r#"{ "top_k": -3 }"#,
        r#"{ "eos_token_id": "</s>" }"#,
        r#"{ "eos_token_id": [1, -2] }"#,
        r#"{ "max_new_tokens": 0 }"#,
        r#"{ "stop_strings": [1] }"#,
        "[]",
        "{",
    ] {
        let error = published(json).unwrap_err().to_string();
        assert!(error.contains("generation_config.json"), "{json}: {error}");
    }
}
