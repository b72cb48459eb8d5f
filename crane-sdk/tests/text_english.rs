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

/// The sounds of a text without stress, marks and spaces.
fn sounds(english: &English, text: &str) -> String {
    let sentences = english.sentences(text);
    let all = sentences.iter().map(|sentence| english.phonemes(sentence).unwrap());
    all.flat_map(|phonemes| phonemes.chars().collect::<Vec<_>>())
        .filter(|c| !c.is_whitespace() && !"ˈˌ.,;:!?—…\"“”()".contains(*c))
        .collect()
}

#[test]
fn what_is_written_sounds_as_its_words() {
    let Some(english) = english() else { return };
    let table = include_str!("fixtures/hibari/spoken.tsv");
    let pairs: Vec<(String, &str)> = table
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(written, spoken)| (written.replace("\\n", "\n"), spoken))
        .collect();
    assert!(pairs.len() >= 300, "{}", pairs.len());
    let said = |text: &str| sounds(&english, text);
    let wrong: Vec<String> = pairs
        .iter()
        .filter(|(written, spoken)| said(written) != said(spoken))
        .map(|(written, _)| {
            format!("{written}\n  {:?}\n  {}", english.normalize(written).unwrap(), said(written))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Texts that must not sound alike.
    for (one, other) in [("Take .5 of it.", "Take 5 of it."), ("It was −5.", "It was 5.")] {
        assert_ne!(said(one), said(other));
    }
}

/// Texts of a length that are of one kind throughout.
fn families(length: usize) -> Vec<(&'static str, String)> {
    let unit = |unit: &str| unit.repeat(length / unit.len());
    vec![
        ("a long address", format!("https://e.com/{}", unit("a/"))),
        ("hyphens in a word", unit("well-")),
        ("marks", unit("!")),
        ("two marks in turn", unit("?!")),
        ("dots", unit(".")),
        ("signs in turn", unit("=*")),
        ("digits", unit("1")),
        ("numbers with commas", unit("100,")),
        ("numbers with points", unit("1.")),
        ("numbers with hyphens", unit("1-")),
        ("money", unit("$5 ")),
        ("one word", unit("x")),
        ("capitals in a word", unit("xX")),
        ("letters and digits", unit("a1")),
        ("apostrophes", unit("a'")),
        ("new lines", unit("\n")),
        ("letters on lines", unit("a\n")),
        ("open brackets", unit("[")),
        ("links without an end", unit("[a](")),
        ("emphasis", unit("*a* ")),
        ("slashes", unit("/")),
        ("fractions", unit("1/2")),
        ("words without a mark", unit("word ")),
        ("prose", unit("The cat sat on the mat. ")),
        ("other scripts", unit("中")),
    ]
}

#[test]
fn reading_takes_as_long_as_the_text_is() {
    let Some(english) = english() else { return };
    let read = |text: &str| {
        let start = std::time::Instant::now();
        for sentence in english.sentences(text) {
            // What is read at a time is bounded, so that it can be cancelled between two of them.
            assert!(sentence.len() <= 800);
            english.clauses(&sentence, 400).unwrap();
        }
        start.elapsed().as_secs_f64()
    };
    let mut slow = Vec::new();
    for ((family, text), (_, double)) in families(1000).iter().zip(families(8000)) {
        // The best of several: a busy machine makes one slow. Eight times the text takes eight times as long, not 64.
        let best = |text: &str| (0..3).map(|_| read(text)).fold(f64::INFINITY, f64::min);
        let (one, eight) = (best(text), best(&double));
        println!("| {family} | {:.1} | {:.1} |", one * 1e3, eight * 1e3);
        if eight > 24.0 * one + 0.05 {
            slow.push(format!("{family}: {one} s, {eight} s"));
        }
    }
    assert!(slow.is_empty(), "{}", slow.join("\n"));
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
    // Of any length: it is not read to its end.
    let word = "well-".repeat(400_000);
    let cancel = CancelToken::new();
    let error = std::thread::scope(|scope| {
        let reading = scope.spawn(|| english.phonemes_until(&word, &cancel));
        std::thread::sleep(std::time::Duration::from_millis(100));
        cancel.cancel();
        reading.join().unwrap()
    });
    assert!(error.is_err_and(|error| error.to_string().contains("cancelled")));
    assert!(english.clauses_until("Hello.", 400, &cancel).is_err());
    assert!(english.phonemes_until("Hello.", &CancelToken::new()).is_ok());
}
