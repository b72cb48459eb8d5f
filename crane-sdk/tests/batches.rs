//! Ragged batches, cut caches and windows give what one sequence alone gives.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use crane_sdk::Error;
use crane_sdk::models::{CausalLm, LoadOptions, LogitsRows, Segment, load_decoder};
use crane_sdk::nn::{Decoder, KvCache};
use crane_sdk::weights::Quantization;
use support::{device, files, options, source};

fn model() -> Decoder {
    load_decoder(&source(files("llama32")), &options()).unwrap().0
}

fn step(model: &Decoder, tokens: &[u32], cache: &mut KvCache) -> Vec<f32> {
    let segment = Segment { tokens, cache, logits: LogitsRows::Last };
    model.forward(&mut [segment]).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn close(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 2e-4)
}

#[test]
fn segments_do_not_see_each_other() {
    let model = model();
    let prompts: [Vec<u32>; 3] =
        [(1..40).collect(), vec![7], (100..390).rev().step_by(3).collect()];
    let alone: Vec<Vec<f32>> = prompts
        .iter()
        .map(|prompt| step(&model, prompt, &mut model.new_cache(400).unwrap()))
        .collect();
    let mut caches: Vec<KvCache> = (0..3).map(|_| model.new_cache(400).unwrap()).collect();
    let mut batch: Vec<Segment<'_>> = prompts
        .iter()
        .zip(&mut caches)
        .map(|(tokens, cache)| Segment { tokens, cache, logits: LogitsRows::Last })
        .collect();
    let together: Vec<Vec<f32>> = model.forward(&mut batch).unwrap().to_vec2().unwrap();
    for (alone, together) in alone.iter().zip(&together) {
        assert!(close(alone, together));
    }
}

#[test]
fn a_cache_grows_and_is_cut_without_a_trace() {
    let model = model();
    let tokens: Vec<u32> = (0..700).map(|i| (i * 37 % 400) as u32).collect();
    let mut whole = model.new_cache(1000).unwrap();
    let expected = step(&model, &tokens, &mut whole);
    let mut chunked = model.new_cache(1000).unwrap();
    step(&model, &tokens[..300], &mut chunked);
    step(&model, &[9; 50], &mut chunked);
    chunked.truncate(300);
    assert!(chunked.bytes() < whole.bytes());
    let found = tokens[300..].chunks(77).map(|chunk| step(&model, chunk, &mut chunked)).last();
    assert!(close(&found.unwrap(), &expected));
    assert_eq!(chunked.len(), 700);
}

#[test]
fn a_reply_far_into_the_context_equals_one_pass() {
    let model = model();
    let tokens: Vec<u32> = (0..640).map(|i| (i * 29 % 400) as u32).collect();
    let expected = step(&model, &tokens, &mut model.new_cache(700).unwrap());
    // Beside a short one, as replies of a server are.
    let (mut long, mut short) = (model.new_cache(700).unwrap(), model.new_cache(64).unwrap());
    let alone = step(&model, &tokens[..40], &mut model.new_cache(64).unwrap());
    step(&model, &tokens[..600], &mut long);
    let mut last = Vec::new();
    for i in 600..640 {
        let ids = [(&tokens[i..=i], &mut long), (&tokens[i - 600..=i - 600], &mut short)];
        let mut batch =
            ids.map(|(tokens, cache)| Segment { tokens, cache, logits: LogitsRows::Last });
        last = model.forward(&mut batch).unwrap().to_vec2().unwrap();
    }
    assert!(close(&last[0], &expected) && close(&last[1], &alone));
}

#[test]
fn a_quantised_model_gives_the_same_bits_in_any_chunks() {
    if !device().is_cpu() {
        println!("skipped: this is promised for the CPU");
        return;
    }
    let options = LoadOptions { quantize: Some(Quantization::Q8_0), ..options() };
    let (model, _) = load_decoder(&source(files("qwen2_tied")), &options).unwrap();
    let tokens: Vec<u32> = (0..90).map(|i| (i * 37 % 400) as u32).collect();
    let whole = step(&model, &tokens, &mut model.new_cache(100).unwrap());
    for size in [1, 3, 32] {
        let mut cache = model.new_cache(100).unwrap();
        let chunked = tokens.chunks(size).map(|chunk| step(&model, chunk, &mut cache)).last();
        assert!(chunked.unwrap() == whole, "chunks of {size}");
    }
}

#[test]
fn what_does_not_fit_changes_nothing() {
    let model = model();
    let mut cache = model.new_cache(8).unwrap();
    step(&model, &[1, 2, 3], &mut cache);
    let segment = Segment { tokens: &[4; 6], cache: &mut cache, logits: LogitsRows::Last };
    let error = model.forward(&mut [segment]).unwrap_err();
    assert!(matches!(error, Error::ContextOverflow { prompt: 9, context: 8 }), "{error}");
    let segment = Segment { tokens: &[4, 416], cache: &mut cache, logits: LogitsRows::Last };
    let error = model.forward(&mut [segment]).unwrap_err();
    assert!(error.to_string().contains("416"), "{error}");
    assert_eq!(cache.len(), 3);
    assert!(model.new_cache(0).is_err());
    assert!(model.new_cache(usize::MAX).is_err());
}

#[test]
fn a_long_prompt_with_a_window_equals_token_by_token() {
    let mut files = files("qwen2_tied");
    let config = String::from_utf8(files["config.json"].clone()).unwrap();
    let config = config
        .replace("\"use_sliding_window\": false", "\"use_sliding_window\": true")
        .replace("\"sliding_window\": 32768", "\"sliding_window\": 9")
        .replace("\"max_window_layers\": 21", "\"max_window_layers\": 1");
    files.insert("config.json".into(), config.into_bytes());
    let (model, _) = load_decoder(&source(files), &options()).unwrap();
    assert_eq!(model.spec().windows, [None, Some(9), Some(9)]);
    let tokens: Vec<u32> = (0..300).map(|i| (i * 31 % 440) as u32).collect();
    let expected = step(&model, &tokens, &mut model.new_cache(300).unwrap());
    let mut cache = model.new_cache(300).unwrap();
    let found = tokens.iter().map(|token| step(&model, &[*token], &mut cache)).last();
    assert!(close(&found.unwrap(), &expected));
}
