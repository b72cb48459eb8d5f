//! Spark-TTS from text to samples, with a language model made by hand.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/spark.rs"]
mod spark;

use std::sync::Arc;

use crane_sdk::models::sparktts::Level;
use crane_sdk::pipeline::{Recording, Said, Task, TextToSpeech, Voice, pipeline};
use crane_sdk::source::MemorySource;

fn source() -> MemorySource {
    let empty = MemorySource::new("spark");
    spark::files().into_iter().fold(empty, |source, (name, bytes)| source.with(name, bytes))
}

fn say(tts: &TextToSpeech, text: &str, voice: &Voice) -> Vec<Vec<f32>> {
    tts.speak(text, voice).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_voice_is_chosen_and_speaks() {
    let tts = pipeline(Task::TextToSpeech, &source()).unwrap();
    assert_eq!((tts.sample_rate(), tts.default_voice()), (16_000, "female"));
    assert_eq!(tts.voices(), ["female", "male"]);
    let text = "Hello, world!";
    let usual = Voice::default();
    let chunks = say(&tts, text, &usual);
    let whole = chunks.concat();
    assert!(whole.len() > 320 && whole.len().is_multiple_of(320), "{} samples", whole.len());
    assert!(whole.iter().all(|x| (-1.0..=1.0).contains(x)) && whole.iter().any(|x| x.abs() > 1e-3));
    assert_eq!(say(&tts, text, &usual), chunks);
    for other in [
        Voice { name: Some("Male".to_owned()), ..usual.clone() },
        Voice { pitch: Level::VeryHigh, ..usual.clone() },
        Voice { speed: 2.0, ..usual.clone() },
    ] {
        // This model does not listen: prompts that end in the same way are answered in the same way.
        assert_eq!(say(&tts, text, &other).concat(), whole, "{other:?}");
    }
    assert!(say(&tts, text, &Voice { seed: 1, ..usual.clone() }).concat() != whole);
    // Pieces of a long text are said one after the other, with the voice of the first.
    let long = say(&tts, &"She sells sea shells by the sea shore. ".repeat(8), &usual).concat();
    assert!(long.len().is_multiple_of(320) && long.len() > whole.len());
    assert!(long.starts_with(&whole));
}

#[test]
fn a_recording_lends_its_voice() {
    let tts = pipeline(Task::TextToSpeech, &source()).unwrap();
    let tone = |hertz: f32| {
        let sample = |i: usize| 0.3 * (hertz * i as f32 / 22_050.0 * std::f32::consts::TAU).sin();
        let samples = (0..22_050).map(sample).collect();
        Some(Arc::new(Recording { samples, sample_rate: 22_050, said: None }))
    };
    let say = |hertz| {
        let voice = Voice { recording: tone(hertz), ..Voice::default() };
        say(&tts, "Hello, world!", &voice).concat()
    };
    let (low, high) = (say(200.0), say(3000.0));
    assert!(low.len() == high.len() && low != high && low.len().is_multiple_of(320));
    // With what is said the model goes on from the recording's own codes.
    let said = |text: &str, codes: &[u32]| {
        let recording = Recording::clone(tone(200.0).unwrap().as_ref());
        let said = Some(Said { text: text.to_owned(), codes: codes.to_vec() });
        let recording = Some(Arc::new(Recording { said, ..recording }));
        tts.speak("Hello, world!", &Voice { recording, ..Voice::default() })
    };
    let samples: Vec<Vec<f32>> =
        said("A tone.", &[5, 6, 7]).unwrap().collect::<Result<_, _>>().unwrap();
    assert!(samples.concat().len().is_multiple_of(320) && !samples.concat().is_empty());
    for (text, codes, message) in [
        ("<|im_end|>", &[5][..], "control token"),
        ("A tone.", &[256], "not below 256"),
        ("A tone.", &[], "no codes"),
    ] {
        let error = said(text, codes).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    let voice = Voice { recording: tone(200.0), speed: 1.5, ..Voice::default() };
    let error = tts.speak("Hi", &voice).unwrap_err().to_string();
    assert!(error.contains("leave those out"), "{error}");
}

#[test]
fn a_text_that_is_still_being_written_is_said_sentence_by_sentence() {
    let tts = pipeline(Task::TextToSpeech, &source()).unwrap();
    let voice = Voice::default();
    let say_parts = |parts: &[&str]| {
        let chunks = tts.speak_stream(parts, &voice).unwrap();
        chunks.map(|chunk| chunk.unwrap()).collect::<Vec<_>>().concat()
    };
    let whole = say(&tts, "Hello, world!", &voice).concat();
    assert_eq!(say_parts(&["Hel", "lo, wor", "ld!"]), whole);
    let two = say_parts(&["Hello, world! B", "ye."]);
    assert!(two.len() > whole.len() && two.starts_with(&whole));
    assert_eq!(say_parts(&[" ", "... "]), [0f32; 0]);
    let nobody = Voice { name: Some("nobody".to_owned()), ..Voice::default() };
    assert!(tts.speak_stream(["Hi."], &nobody).is_err());
    let mut failing = tts.speak_stream(["Hi. <|task", "_tts|> Bye."], &voice).unwrap();
    assert!(failing.any(|chunk| chunk.is_err()) && failing.next().is_none());
}

#[test]
fn what_cannot_be_said_is_refused() {
    let tts = TextToSpeech::from_source(&source()).unwrap();
    let usual = Voice::default();
    for (text, voice, message) in [
        ("", usual.clone(), "nothing in it"),
        ("Hi <|im_end|>", usual.clone(), "control token"),
        ("Hi", Voice { name: Some("tara".to_owned()), ..usual.clone() }, "here are: female, male"),
        ("Hi", Voice { speed: 3.0, ..usual }, "speed"),
    ] {
        let error = tts.speak(text, &voice).unwrap_err().to_string();
        assert!(error.contains(message), "{text:?}: {error}");
    }
    let without = source().with("BiCodec/model.safetensors", b"short".to_vec());
    let error = TextToSpeech::from_source(&without).unwrap_err().to_string();
    assert!(error.contains("BiCodec") || error.contains("model.safetensors"), "{error}");
}
