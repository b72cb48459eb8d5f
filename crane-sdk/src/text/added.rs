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

/// Where in a text no control token may be.
#[derive(Clone, Copy)]
pub(super) enum Guards<'g> {
    /// Places, in their order, that none goes across.
    At(&'g [usize]),
    /// Everywhere.
    Everywhere,
}

impl Guards<'_> {
    /// None.
    pub(super) const NONE: Guards<'static> = Guards::At(&[]);

    fn forbid(self, start: usize, end: usize) -> bool {
        match self {
            Guards::At(places) => {
                let next = places.partition_point(|place| *place <= start);
                places.get(next).is_some_and(|place| *place < end)
            }
            Guards::Everywhere => true,
        }
    }
}

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
    /// The control tokens among those, as they were added.
    late: Finder,
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
        let late = added.tokens.iter().filter(|(_, token)| token.normalized && token.special);
        added.late = finder(late.map(|(id, token)| (token.content.as_str(), *id)))?;
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
        guards: Guards<'_>,
        sink: impl FnMut(Part<'t>) -> Result<()>,
    ) -> Result<()> {
        self.parts(&self.plain, text, budget, guards, sink)
    }

    /// Parts a normalized text.
    pub(super) fn in_normalized<'t>(
        &self,
        text: &'t str,
        budget: &Budget<'_>,
        guards: Guards<'_>,
        sink: impl FnMut(Part<'t>) -> Result<()>,
    ) -> Result<()> {
        self.parts(&self.after, text, budget, guards, sink)
    }

    /// Parts a text at the control tokens that are looked for in normalized texts, before it is one.
    pub(super) fn in_late<'t>(
        &self,
        text: &'t str,
        budget: &Budget<'_>,
        guards: Guards<'_>,
        sink: impl FnMut(Part<'t>) -> Result<()>,
    ) -> Result<()> {
        self.parts(&self.late, text, budget, guards, sink)
    }

    /// The control tokens, as they were added.
    pub(super) fn controls(&self) -> impl Iterator<Item = &str> {
        self.special.iter().map(String::as_str)
    }

    /// Whether an id is one of them.
    pub(super) fn is_control(&self, id: u32) -> bool {
        self.tokens.get(&id).is_some_and(|token| token.special)
    }

    fn parts<'t>(
        &self,
        finder: &Finder,
        text: &'t str,
        budget: &Budget<'_>,
        guards: Guards<'_>,
        mut sink: impl FnMut(Part<'t>) -> Result<()>,
    ) -> Result<()> {
        let Some(finder) = finder else { return text_part(text, 0, text.len(), &mut sink) };
        // Where the text goes on after the last token, and the end of the spaces that were looked at last.
        let (mut from, mut spaces_end) = (0, 0);
        let (mut searched, mut matches) = (0, finder.leftmost_find_iter(text));
        while let Some(matched) = matches.next() {
            budget.check()?;
            let (mut start, mut end) = (searched + matched.start(), searched + matched.end());
            let id = matched.value();
            let Some(token) = self.tokens.get(&id) else { continue };
            if token.special && guards.forbid(start, end) {
                // Another token may begin inside of it.
                let first = text.get(start..).and_then(|rest| rest.chars().next());
                searched = start + first.map_or(1, char::len_utf8);
                matches = finder.leftmost_find_iter(text.get(searched..).unwrap_or_default());
                continue;
            }
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
