//! A word on its way from text to phonemes, and what is known of what follows it.

/// What follows a word. A clause is read from its end, so this is known.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Context {
    /// Whether the next sound is a vowel; `None` at the end of a clause.
    pub future_vowel: Option<bool>,
    /// Whether the next word is "to".
    pub future_to: bool,
}

/// A word or a part of one.
#[derive(Debug, Clone, Default)]
pub(super) struct Token {
    pub text: String,
    /// Its part of speech.
    pub tag: String,
    /// Whether a space follows.
    pub spaced: bool,
    /// How it sounds, once that is known.
    pub phonemes: Option<String>,
    /// Whether it begins a word.
    pub is_head: bool,
    /// The word that is read in its place.
    pub alias: Option<&'static str>,
    /// The sign of the amount that it ends.
    pub currency: Option<char>,
    /// Whether it is set apart from the part before it.
    pub set_apart: bool,
}

impl Token {
    /// Whether the dictionaries need not be asked.
    pub(super) fn is_settled(&self) -> bool {
        self.alias.is_some() || self.phonemes.is_some()
    }

    /// Parts of a word as one, without phonemes; its tag is that of the part with most letters, where capitals count
    /// twice.
    pub(super) fn merged(parts: &[Token]) -> Token {
        let weight = |part: &Token| -> usize {
            part.text.chars().map(|c| if c.is_uppercase() { 2 } else { 1 }).sum()
        };
        // The first of the heaviest.
        let heaviest = parts.iter().rev().max_by_key(|part| weight(part));
        let mut text = String::new();
        for (index, part) in parts.iter().enumerate() {
            text.push_str(&part.text);
            if part.spaced && index + 1 < parts.len() {
                text.push(' ');
            }
        }
        Token {
            text,
            tag: heaviest.map(|part| part.tag.clone()).unwrap_or_default(),
            spaced: parts.last().is_some_and(|part| part.spaced),
            is_head: parts.first().is_some_and(|part| part.is_head),
            currency: parts.iter().filter_map(|part| part.currency).max(),
            set_apart: parts.first().is_some_and(|part| part.set_apart),
            ..Token::default()
        }
    }
}
