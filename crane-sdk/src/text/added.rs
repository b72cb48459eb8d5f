//! Tokens that are found in a text before it is cut: control tokens and what users added.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use daachorse::{DoubleArrayAhoCorasick, DoubleArrayAhoCorasickBuilder, MatchKind};
use tokenizers::AddedToken;

use super::budget::Budget;
use super::model::Model;
use super::normalizer::Normalizer;
use crate::{Error, Result};

/// What is looked for in one text at once.
type Finder = Option<DoubleArrayAhoCorasick<u32>>;

/// The added tokens of a tokenizer.
#[derive(Default)]
pub(super) struct AddedTokens {
    ids: HashMap<String, u32>,
    tokens: HashMap<u32, AddedToken>,
    special: HashSet<String>,
    /// How the normalizer writes the tokens that it changes.
    normalized: HashMap<u32, String>,
    /// Tokens of the text as it is.
    plain: Finder,
    /// Tokens of the normalized text.
    after: Finder,
}

/// A stretch of text without added tokens, or an added token.
pub(super) enum Part<'t> {
    Text(&'t str),
    Token(u32),
}

impl AddedTokens {
    /// Adds tokens in order: a token has the id that the model gives it, or the next one after the model's.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if two are written alike once they are normalized, or one is empty then.
    pub(super) fn new(
        tokens: Vec<AddedToken>,
        model: &Model,
        normalizer: &Normalizer,
    ) -> Result<Self> {
        let mut added = Self::default();
        let mut next = u32::try_from(model.vocab_size()).unwrap_or(u32::MAX);
        let bytes = tokens.iter().map(|token| token.content.len()).sum();
        let budget = Budget::new(bytes, None);
        for token in tokens {
            if token.content.is_empty() {
                continue;
            }
            let known = added.ids.get(&token.content).copied();
            let id = match known.or_else(|| model.token_to_id(&token.content)) {
                Some(id) => id,
                None => {
                    let id = next;
                    next = next.saturating_add(1);
                    id
                }
            };
            if token.normalized {
                let written = normalizer.apply(&token.content, &budget)?.text;
                if written != token.content {
                    added.normalized.insert(id, written.into_owned());
                }
            }
            if token.special {
                added.special.insert(token.content.clone());
            }
            added.ids.insert(token.content.clone(), id);
            added.tokens.insert(id, token);
        }
        let (after, plain) =
            added.tokens.iter().partition::<Vec<_>, _>(|(_, token)| token.normalized);
        added.plain = finder(plain.into_iter().map(|(id, token)| (token.content.as_str(), *id)))?;
        added.after = finder(after.into_iter().map(|(id, token)| {
            (added.normalized.get(id).unwrap_or(&token.content).as_str(), *id)
        }))?;
        Ok(added)
    }

    /// The id of a token as it was added.
    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    /// All tokens and their ids.
    pub(super) fn ids(&self) -> impl Iterator<Item = (&str, u32)> {
        self.ids.iter().map(|(token, id)| (token.as_str(), *id))
    }

    /// Each id with its token as decoding sees it, as the normalizer left it, and whether that is a control token.
    pub(super) fn decoded(&self) -> impl Iterator<Item = (u32, &str, bool)> {
        self.tokens.iter().map(|(id, token)| {
            let text = self.normalized.get(id).unwrap_or(&token.content).as_str();
            (*id, text, self.special.contains(text))
        })
    }

    /// Parts a text at the tokens that are looked for before it is normalized.
    pub(super) fn in_plain<'t>(
        &self,
        text: &'t str,
        budget: &Budget<'_>,
        sink: impl FnMut(Part<'t>) -> Result<()>,
    ) -> Result<()> {
        self.parts(&self.plain, text, budget, sink)
    }

    /// Parts a normalized text.
    pub(super) fn in_normalized<'t>(
        &self,
        text: &'t str,
        budget: &Budget<'_>,
        sink: impl FnMut(Part<'t>) -> Result<()>,
    ) -> Result<()> {
        self.parts(&self.after, text, budget, sink)
    }

    fn parts<'t>(
        &self,
        finder: &Finder,
        text: &'t str,
        budget: &Budget<'_>,
        mut sink: impl FnMut(Part<'t>) -> Result<()>,
    ) -> Result<()> {
        let Some(finder) = finder else { return text_part(text, 0, text.len(), &mut sink) };
        // Where the text goes on after the last token, and the end of the spaces that were looked at last.
        let (mut from, mut spaces_end) = (0, 0);
        for matched in finder.leftmost_find_iter(text) {
            budget.check()?;
            let (mut start, mut end, id) = (matched.start(), matched.end(), matched.value());
            let Some(token) = self.tokens.get(&id) else { continue };
            let after = text.get(end..).unwrap_or_default();
            if token.single_word {
                let before = text.get(..start).and_then(|before| before.chars().next_back());
                if [before, after.chars().next()].into_iter().flatten().any(is_word) {
                    continue;
                }
            }
            if token.lstrip {
                let between = text.get(from..start).unwrap_or_default();
                start = from + between.trim_end().len();
            }
            if token.rstrip {
                if end >= spaces_end {
                    spaces_end = end + (after.len() - after.trim_start().len());
                }
                end = end.max(spaces_end);
            }
            text_part(text, from, start, &mut sink)?;
            sink(Part::Token(id))?;
            from = end;
        }
        text_part(text, from, text.len(), &mut sink)
    }
}

fn text_part<'t>(
    text: &'t str,
    start: usize,
    end: usize,
    sink: &mut impl FnMut(Part<'t>) -> Result<()>,
) -> Result<()> {
    match text.get(start..end) {
        Some(between) if !between.is_empty() => sink(Part::Text(between)),
        _ => Ok(()),
    }
}

fn finder<'a>(tokens: impl Iterator<Item = (&'a str, u32)>) -> Result<Finder> {
    let tokens: Vec<(&str, u32)> = tokens.collect();
    if tokens.is_empty() {
        return Ok(None);
    }
    if tokens.iter().any(|(token, _)| token.is_empty()) {
        let reason =
            "an added token is empty once it is normalized; its `normalized` should be false";
        return Err(Error::Tokenizer(reason.to_owned()));
    }
    DoubleArrayAhoCorasickBuilder::new()
        .match_kind(MatchKind::LeftmostLongest)
        .build_with_values(tokens)
        .map(Some)
        .map_err(|error| Error::Tokenizer(format!("the added tokens: {error}")))
}

/// Whether a character is part of a word, as `\w` of the library's patterns.
fn is_word(character: char) -> bool {
    static WORD: LazyLock<Option<fancy_regex::Regex>> =
        LazyLock::new(|| fancy_regex::Regex::new(r"^\w").ok());
    let mut buffer = [0; 4];
    let text = &*character.encode_utf8(&mut buffer);
    WORD.as_ref().is_some_and(|word| word.is_match(text).unwrap_or(false))
}
