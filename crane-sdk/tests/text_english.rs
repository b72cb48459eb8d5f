//! English text to phonemes, compared with what the voice's own front end gives.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod text_models;

use crane_sdk::generate::CancelToken;
use crane_sdk::source::MemorySource;
use crane_sdk::text::english::{Accent, English};
use text_models::{fixture_json, model_file};

fn english() -> Option<English> {
    let mut source = MemorySource::new("hibari");
    for name in [
        "normalize.json",
        "tokenizer_exceptions.json",
        "tagger.json.gz",
        "lexicon_us_gold.json.gz",
        "lexicon_us_silver.json.gz",
        "oov.json",
        "oov.onnx",
    ] {
        source = source.with(name, std::fs::read(model_file(&format!("hibari/{name}"))?).unwrap());
    }
    Some(English::from_source(&source, Accent::American).unwrap())
}

#[test]
fn every_recorded_text_has_its_phonemes() {
    let Some(english) = english() else { return };
    let fixture = fixture_json("hibari/g2p.json");
    let mut wrong = Vec::new();
    let items = fixture["items"].as_array().unwrap();
    assert!(items.len() > 20);
    for item in items {
        let text = item["text"].as_str().unwrap();
        let sentences = english.sentences(text);
        let phonemes: Vec<String> =
            sentences.iter().map(|sentence| english.phonemes(sentence).unwrap()).collect();
        for (what, found, expected) in [
            ("sentences", serde_json::json!(sentences), &item["sentences"]),
            (
                "normalized",
                serde_json::json!(english.normalize(text).unwrap()),
                &item["normalized"],
            ),
            ("phonemes", serde_json::json!(phonemes), &item["phonemes"]),
        ] {
            if found != *expected {
                wrong.push(format!("{text}: {what}\n  {found}\n  {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn words_in_no_dictionary_are_read_by_the_network() {
    let Some(english) = english() else { return };
    let fixture = fixture_json("hibari/g2p.json");
    let words = fixture["oov"].as_array().unwrap();
    assert!(words.len() > 5);
    for case in words {
        let word = case["word"].as_str().unwrap();
        assert_eq!(english.spell(word).unwrap(), case["phonemes"].as_str().unwrap(), "{word}");
    }
}

#[test]
fn a_text_may_say_how_a_word_sounds() {
    let Some(english) = english() else { return };
    assert_eq!(english.phonemes("Say [hibari](/hˈibɑɹi/) now.").unwrap(), "sˈA hˈibɑɹi nˈW.");
    assert_eq!(english.phonemes("中文 ☃").unwrap().trim(), "");
}

#[test]
fn reading_ends_when_it_is_cancelled() {
    let Some(english) = english() else { return };
    // Hundreds of parts: the whole word takes minutes.
    let word = "well-".repeat(800);
    let cancel = CancelToken::new();
    let error = std::thread::scope(|scope| {
        let reading = scope.spawn(|| english.phonemes_until(&word, &cancel));
        std::thread::sleep(std::time::Duration::from_millis(300));
        cancel.cancel();
        reading.join().unwrap()
    });
    assert!(error.is_err_and(|error| error.to_string().contains("cancelled")));
    assert!(english.clauses_until("Hello.", 400, &cancel).is_err());
    assert!(english.phonemes_until("Hello.", &CancelToken::new()).is_ok());
}
