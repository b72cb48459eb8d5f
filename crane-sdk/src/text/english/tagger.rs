//! Parts of speech (Penn Treebank tags) by an averaged perceptron (Collins 2002; the features are of Honnibal's kind).
//!
//! Words with one dominant tag are answered from a list; for the others the weights of features of the word, its
//! neighbours and the two tags before are added up and the best tag wins.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

type Text = Box<str>;

/// The model of `tagger.json`.
#[derive(Debug, Deserialize)]
pub(super) struct Tagger {
    /// In the order of the file.
    tags: Vec<Text>,
    #[serde(rename = "tagdict")]
    dominant: HashMap<Text, Text>,
    /// Words that features may name; others are replaced by their shape.
    vocab: HashSet<Text>,
    weights: HashMap<Text, Weights>,
}

/// What a feature says for or against each tag.
#[derive(Debug)]
struct Weights(Vec<(Text, f64)>);

impl<'de> Deserialize<'de> for Weights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Weights;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tags and weights")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Weights, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Weights(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

impl Tagger {
    /// A tag for each word.
    pub(super) fn tag<'a>(&'a self, words: &[&str]) -> Vec<&'a str> {
        let mut context = vec!["-START2-".to_owned(), "-START-".to_owned()];
        context.extend(words.iter().map(|word| self.known_form(word)));
        context.extend(["-END-".to_owned(), "-END2-".to_owned()]);
        let (mut before, mut earlier) = ("-START-", "-START2-");
        let mut tags = Vec::with_capacity(words.len());
        for (word, window) in words.iter().zip(context.windows(5)) {
            let tag = match self.dominant.get(*word) {
                Some(tag) => tag,
                None => self.best(&features(word, window, tags.is_empty(), before, earlier)),
            };
            tags.push(tag);
            (earlier, before) = (before, tag);
        }
        tags
    }

    fn known_form(&self, word: &str) -> String {
        let form = if word.contains('-') && !word.starts_with('-') {
            "!HYPHEN".to_owned()
        } else if word.chars().all(char::is_numeric) && word.chars().count() == 4 {
            "!YEAR".to_owned()
        } else if word.starts_with(char::is_numeric) {
            "!DIGITS".to_owned()
        } else {
            word.to_lowercase()
        };
        if self.vocab.contains(form.as_str()) { form } else { format!("<{}>", shape(word)) }
    }

    fn best(&self, features: &[String]) -> &str {
        let mut scores: HashMap<&str, f64> = HashMap::new();
        for weights in features.iter().filter_map(|name| self.weights.get(name.as_str())) {
            for (tag, weight) in &weights.0 {
                *scores.entry(tag).or_default() += weight;
            }
        }
        if scores.is_empty() {
            return "NN";
        }
        let score = |tag: &str| scores.get(tag).copied().unwrap_or_default();
        let best = self.tags.iter().max_by(|a, b| score(a).total_cmp(&score(b)).then(a.cmp(b)));
        best.map_or("NN", |tag| tag)
    }
}

/// The features of the word in the middle of a window of five.
fn features(
    word: &str,
    window: &[String],
    first: bool,
    before: &str,
    earlier: &str,
) -> Vec<String> {
    let at = |index: usize| window.get(index).map_or("", String::as_str);
    let initial: String = word.chars().take(1).collect();
    vec![
        "b".to_owned(),
        format!("s3={}", ending(word)),
        format!("p1={initial}"),
        format!("w={}", at(2)),
        format!("sh={}", shape(word)),
        if first { "i0" } else { "i+" }.to_owned(),
        format!("t-1={before}"),
        format!("t-2={earlier}"),
        format!("t-12={before},{earlier}"),
        format!("w-1={}", at(1)),
        format!("s3-1={}", ending(at(1))),
        format!("w-2={}", at(0)),
        format!("w+1={}", at(3)),
        format!("s3+1={}", ending(at(3))),
        format!("w+2={}", at(4)),
    ]
}

/// The last three characters.
fn ending(word: &str) -> &str {
    let start = word.char_indices().rev().nth(2).map_or(0, |(at, _)| at);
    word.get(start..).unwrap_or_default()
}

/// Letters, capitals and digits of a word in short.
fn shape(word: &str) -> String {
    let mut chars = word.chars();
    let first_upper = chars.next().is_some_and(char::is_uppercase);
    let has_lower = word.chars().any(char::is_lowercase);
    let has_upper = word.chars().any(char::is_uppercase);
    if word.chars().all(char::is_alphabetic) {
        let rest_lower = has_lower && !chars.any(char::is_uppercase);
        return match (has_lower, has_upper) {
            (true, false) => "x",
            (false, true) if word.chars().count() > 1 => "XX",
            (false, true) => "X1",
            _ if first_upper && rest_lower => "Xx",
            _ => "xX",
        }
        .to_owned();
    }
    if word.chars().all(char::is_numeric) {
        return "d".to_owned();
    }
    let kind = |c: char| match c {
        c if c.is_numeric() => 'd',
        c if c.is_alphabetic() => 'x',
        c => c,
    };
    word.chars().take(4).map(kind).collect()
}
