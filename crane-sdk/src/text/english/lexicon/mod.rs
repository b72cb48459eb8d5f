//! Words to phonemes: dictionaries by part of speech, words with rules of their own, endings, numbers.

mod dictionary;
mod endings;
mod numbers;
mod special;

use unicode_normalization::UnicodeNormalization as _;

use super::stress;
use super::token::{Context, Token};
pub(super) use dictionary::Dictionary;
pub(super) use numbers::is_currency;

/// The English whose sounds the dictionaries give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accent {
    /// American English.
    American,
    /// British English: no flapped t, and another vowel in -es and -ed.
    British,
}

/// Everything that turns a known word into phonemes.
#[derive(Debug)]
pub(super) struct Lexicon {
    pub(super) gold: Dictionary,
    pub(super) silver: Dictionary,
    pub(super) accent: Accent,
}

impl Lexicon {
    /// The phonemes of a word in its context; `None` if it is neither known nor a number.
    pub(super) fn read(&self, token: &Token, context: Context) -> Option<String> {
        let written = token.alias.unwrap_or(&token.text).replace(['‘', '’'], "'");
        let word: String = written.nfkc().collect();
        let level = if word == word.to_lowercase() {
            None
        } else {
            Some(if word == word.to_uppercase() { 2.0 } else { 0.5 })
        };
        if let Some(phonemes) = self.word(&word, Some(&token.tag), level, Some(context)) {
            let unit = token.currency.and_then(|sign| self.currency_unit(sign));
            return Some(match unit {
                Some(unit) => format!("{phonemes} {unit}"),
                None => phonemes,
            });
        }
        if is_number(&word, token.is_head) {
            return self.number(&word, token.currency, token.is_head);
        }
        None
    }

    fn word(
        &self,
        word: &str,
        tag: Option<&str>,
        level: Option<f32>,
        context: Option<Context>,
    ) -> Option<String> {
        if let Some(context) = context
            && let Some(phonemes) = self.special(word, tag.unwrap_or_default(), level, context)
        {
            return Some(phonemes);
        }
        let lower = word.to_lowercase();
        let word =
            if self.reads_as_lower_case(word, &lower, tag, level, context) { &lower } else { word };
        if self.knows(word) {
            return self.look_up(word, tag, level, context);
        }
        if let Some(stem) = word.strip_suffix("s'") {
            let singular = format!("{stem}'s");
            if self.knows(&singular) {
                return self.look_up(&singular, tag, level, context);
            }
        }
        if let Some(stem) = word.strip_suffix('\'')
            && self.knows(stem)
        {
            return self.look_up(stem, tag, level, context);
        }
        self.with_s(word, tag, level, context)
            .or_else(|| self.with_ed(word, tag, level, context))
            .or_else(|| self.with_ing(word, tag, level.or(Some(0.5)), context))
    }

    /// Whether capitals mean no more than emphasis or the begin of a sentence.
    fn reads_as_lower_case(
        &self,
        word: &str,
        lower: &str,
        tag: Option<&str>,
        level: Option<f32>,
        context: Option<Context>,
    ) -> bool {
        let letters = word.chars().count();
        let plain = word.replace('\'', "");
        if letters < 2
            || plain.is_empty()
            || !plain.chars().all(char::is_alphabetic)
            || word == lower
            || (tag == Some("NNP") && letters <= 7)
            || self.gold.contains(word)
            || self.silver.contains(word)
            || !(word == word.to_uppercase()
                || after_first(word) == after_first(word).to_lowercase())
        {
            return false;
        }
        self.gold.contains(lower)
            || self.silver.contains(lower)
            || self.with_s(lower, tag, level, context).is_some()
            || self.with_ed(lower, tag, level, context).is_some()
            || self.with_ing(lower, tag, level, context).is_some()
    }

    /// Whether [`Lexicon::look_up`] can read a word.
    fn knows(&self, word: &str) -> bool {
        if self.gold.contains(word) || special::symbol(word).is_some() || self.silver.contains(word)
        {
            return true;
        }
        if word.is_empty() || !word.chars().all(|c| c.is_ascii_alphabetic()) {
            return false;
        }
        let shouted = word == word.to_uppercase() && self.gold.contains(&word.to_lowercase());
        // Letters that can be spelled.
        word.len() == 1 || shouted || after_first(word) == after_first(word).to_uppercase()
    }

    /// The dictionaries' answer, or letters spelled out.
    fn look_up(
        &self,
        word: &str,
        tag: Option<&str>,
        level: Option<f32>,
        context: Option<Context>,
    ) -> Option<String> {
        let shouted = word == word.to_uppercase() && !self.gold.contains(word);
        let lower;
        let key = if shouted {
            lower = word.to_lowercase();
            &lower
        } else {
            word
        };
        let is_name = shouted && tag == Some("NNP");
        let at_end = context.is_some_and(|context| context.future_vowel.is_none());
        let entry =
            self.gold.get(key).or_else(|| if is_name { None } else { self.silver.get(key) });
        let phonemes = entry.and_then(|entry| entry.reading(tag, at_end));
        if let Some(phonemes) = phonemes
            && (!is_name || phonemes.contains(stress::PRIMARY))
        {
            return Some(stress::apply(phonemes, level));
        }
        self.spell(key).or_else(|| phonemes.map(|phonemes| stress::apply(phonemes, level)))
    }

    /// The names of the letters, the last one stressed.
    fn spell(&self, word: &str) -> Option<String> {
        let mut names = String::new();
        for letter in word.chars().filter(|c| c.is_alphabetic()) {
            let letter: String = letter.to_uppercase().collect();
            names.push_str(self.gold.get(&letter)?.reading(None, false)?);
        }
        let names = stress::apply(&names, Some(0.0));
        Some(match names.rsplit_once(stress::SECONDARY) {
            Some((head, tail)) => format!("{head}{}{tail}", stress::PRIMARY),
            None => names,
        })
    }
}

/// Digits with commas, points, a sign in front and one of the endings that numbers take.
fn is_number(word: &str, is_head: bool) -> bool {
    if !word.contains(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let ending = ["ing", "'d", "ed", "'s", "st", "nd", "rd", "th", "s"];
    let stem = ending.iter().find_map(|ending| word.strip_suffix(ending)).unwrap_or(word);
    let stem = if is_head { stem.strip_prefix('-').unwrap_or(stem) } else { stem };
    stem.chars().all(|c| c.is_ascii_digit() || c == ',' || c == '.')
}

fn after_first(word: &str) -> &str {
    let mut chars = word.chars();
    chars.next();
    chars.as_str()
}
