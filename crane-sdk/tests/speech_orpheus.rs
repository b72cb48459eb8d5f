//! Orpheus from text to samples, with a language model made by hand.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/orpheus.rs"]
mod orpheus;

use crane_sdk::codec::{Codec, Noise, Snac};
use crane_sdk::generate::GenerationConfig;
use crane_sdk::models::LoadOptions;
use crane_sdk::models::orpheus::{Frames, VOICES, Vocabulary};
use crane_sdk::pipeline::{
    AutoModelForCausalLM, AutoTokenizer, SpeechFootprint, Task, TextToSpeech, Voice, pipeline,
};
use crane_sdk::sample::SamplingParams;
use crane_sdk::source::{MemorySource, Subfolder};

/// The model in memory.
fn source() -> MemorySource {
    let empty = MemorySource::new("orpheus");
    orpheus::files().into_iter().fold(empty, |source, (name, bytes)| source.with(name, bytes))
}

fn say(tts: &TextToSpeech, text: &str, seed: u64) -> Vec<Vec<f32>> {
    let voice = Voice { name: Some("leo".to_owned()), seed, ..Voice::default() };
    tts.speak(text, &voice).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_stream_is_the_whole_sound_of_the_models_tokens() {
    let source = source();
    let tts = pipeline(Task::TextToSpeech, &source).unwrap();
    assert_eq!((tts.sample_rate(), tts.default_voice()), (24_000, "tara"));
    assert_eq!(tts.voices(), VOICES);
    let text = "Hello there, <laugh> my name is Leo.";
    let chunks = say(&tts, text, 3);

    let tokenizer = AutoTokenizer::from_source(&source).unwrap();
    let vocabulary = Vocabulary::find(&tokenizer).unwrap();
    let prompt = vocabulary.prompt(&tokenizer, Some("leo"), text).unwrap();
    let sampling = SamplingParams {
        temperature: 0.6,
        top_p: 0.8,
        repetition_penalty: 1.3,
        seed: Some(3),
        ..SamplingParams::default()
    };
    let eos_ids = vocabulary.end_ids().to_vec();
    let config = GenerationConfig { sampling, eos_ids, ..GenerationConfig::default() };
    let model = AutoModelForCausalLM::from_source(&source).unwrap();
    let ids = model.generate(&prompt, &config).unwrap().ids;
    let mut frames = Frames::new(vocabulary);
    let frames: Vec<u32> = ids.iter().filter_map(|id| frames.push(*id)).flatten().collect();
    assert!(frames.len() >= 4 * 7, "{} codes", frames.len());
    let codec = Snac::from_source(&Subfolder::new(&source, "snac_24khz")).unwrap();
    let whole = codec.decode(&frames, Noise::Seed(3)).unwrap();
    assert!(chunks.len() > 2 && chunks[0].len() < 4 * 2048, "{} chunks", chunks.len());
    assert_eq!(chunks.concat(), whole);

    assert_eq!(say(&tts, text, 3), chunks);
    assert!(say(&tts, text, 4).concat() != whole);
    // Long texts are said sentence by sentence, each with a seed of its own.
    let long = format!("{text} {}", "She sells sea shells by the sea shore. ".repeat(6));
    let long: usize = say(&tts, &long, 3).concat().len();
    assert!(long > whole.len() && long.is_multiple_of(2048));
}

#[test]
fn what_cannot_be_said_is_refused() {
    let tts = TextToSpeech::from_source(&source()).unwrap();
    let voice = Voice::default();
    for (text, voice, message) in [
        ("", voice.clone(), "nothing in it"),
        ("... ?!", voice.clone(), "nothing in it"),
        ("Hi <|eot_id|>", voice.clone(), "control token"),
        ("Hi", Voice { name: Some("nobody".to_owned()), ..voice.clone() }, "here are: tara, leah"),
        ("Hi", Voice { speed: 1.5, ..voice }, "leave it at 1"),
    ] {
        let error = tts.speak(text, &voice).unwrap_err().to_string();
        assert!(error.contains(message), "{text:?}: {error}");
    }
}

#[test]
fn a_codec_that_is_missing_or_another_is_named() {
    let without = |part: &str| {
        let files = orpheus::files().into_iter().filter(|(name, _)| !name.contains(part));
        files.fold(MemorySource::new("m"), |source, (name, bytes)| source.with(name, bytes))
    };
    let refused = |source: &MemorySource, message: &str| {
        let error = TextToSpeech::from_source(source).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    };
    refused(&without("snac_24khz/"), "hubertsiuzdak/snac_24khz");
    refused(&without("snac_24khz/pytorch"), "model.safetensors");
    let config = include_bytes!("fixtures/snac_attn/config.json").to_vec();
    let weights = include_bytes!("fixtures/snac_attn/model.safetensors").to_vec();
    let other = without("snac_24khz/")
        .with("snac/config.json", config)
        .with("snac/model.safetensors", weights);
    refused(&other, "60 codes a frame");
}

#[test]
fn the_memory_it_takes_is_known_from_the_heads() {
    let source = source();
    let quantised = |quantize: Option<&str>| {
        let quantize = quantize.map(|name| name.parse().unwrap());
        SpeechFootprint::of(&source, &LoadOptions { quantize, ..LoadOptions::default() }).unwrap()
    };
    let dense = quantised(None);
    let info = AutoModelForCausalLM::from_source(&source).unwrap().info().clone();
    // Packed rows are filled up to whole panels.
    let share = dense.language_model as f64 / info.weight_bytes as f64;
    assert!((0.9..=1.0).contains(&share), "{} of {}", dense.language_model, info.weight_bytes);
    // Two heads of 16 in one layer, keys and values, for 4096 tokens.
    assert_eq!(dense.cache, 4096 * 2 * 2 * 16 * 4);
    let narrow = quantised(Some("q4_0"));
    assert!(narrow.language_model * 4 < dense.language_model);
    assert_eq!((narrow.codec, narrow.cache), (dense.codec, dense.cache));
    assert_eq!(dense.total(), dense.language_model + dense.codec + dense.cache);
    let mute = MemorySource::new("m").with("voices.json", b"{}".to_vec());
    assert_eq!(SpeechFootprint::of(&mute, &LoadOptions::default()).unwrap().total(), 0);
}
