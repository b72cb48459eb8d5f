//! A pronunciation dictionary of misaki's format.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

/// Words and their phonemes. A lower-case word also answers to its capitalised form and the other way round, unless that
/// form has an entry of its own.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(in crate::text::english) struct Dictionary(HashMap<Box<str>, Entry>);

/// How a word sounds.
#[derive(Debug)]
pub(super) enum Entry {
    /// One way.
    Plain(Box<str>),
    /// A way for each part of speech; one without phonemes is spelled.
    ByTag(Vec<(Box<str>, Option<Box<str>>)>),
}

impl Dictionary {
    pub(super) fn get(&self, word: &str) -> Option<&Entry> {
        if let Some(entry) = self.0.get(word) {
            return Some(entry);
        }
        let mut chars = word.chars();
        let first = chars.next()?;
        if chars.as_str().is_empty() || chars.as_str() != chars.as_str().to_lowercase() {
            return None;
        }
        let twin: String = if first.is_lowercase() {
            first.to_uppercase().chain(chars).collect()
        } else if first.is_uppercase() {
            first.to_lowercase().chain(chars).collect()
        } else {
            return None;
        };
        self.0.get(twin.as_str())
    }

    pub(super) fn contains(&self, word: &str) -> bool {
        self.get(word).is_some()
    }
}

impl Entry {
    /// The phonemes for a tag; `at_end` says that nothing with a sound follows in the clause.
    pub(super) fn reading(&self, tag: Option<&str>, at_end: bool) -> Option<&str> {
        let readings = match self {
            Entry::Plain(phonemes) => return Some(phonemes),
            Entry::ByTag(readings) => readings,
        };
        let find = |name: &str| readings.iter().find(|(tag, _)| &**tag == name);
        let last = if at_end { find("None") } else { None };
        let found = last.or_else(|| {
            let tag = tag?;
            find(tag).or_else(|| find(parent(tag)))
        });
        found.or_else(|| find("DEFAULT")).and_then(|(_, phonemes)| phonemes.as_deref())
    }
}

/// The part of speech that a Penn Treebank tag is a kind of.
pub(super) fn parent(tag: &str) -> &str {
    match tag.get(..2) {
        Some("VB") => "VERB",
        Some("NN") => "NOUN",
        Some("RB") => "ADV",
        Some("JJ") => "ADJ",
        _ => tag,
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl<'de> Visitor<'de> for Reading {
            type Value = Entry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("phonemes, or phonemes by part of speech")
            }
            fn visit_str<E>(self, phonemes: &str) -> Result<Entry, E> {
                Ok(Entry::Plain(phonemes.into()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
                let mut readings = Vec::new();
                while let Some(reading) = map.next_entry()? {
                    readings.push(reading);
                }
                Ok(Entry::ByTag(readings))
            }
        }
        deserializer.deserialize_any(Reading)
    }
}
