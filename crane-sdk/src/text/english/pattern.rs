//! Regular expressions with look-around, whose failures are errors. Their engine may go back and forth over a text, so what
//! they are given is short: never a text of whatever length a user wrote.

use fancy_regex::{Captures, Regex};

use crate::{Error, Result};

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern(Regex);

impl Pattern {
    pub(super) fn new(pattern: &str) -> Result<Self> {
        Regex::new(pattern).map(Self).map_err(failed)
    }

    /// Byte ranges of all matches.
    pub(super) fn find_all(&self, text: &str) -> Result<Vec<(usize, usize)>> {
        let found = self.0.find_iter(text);
        found.map(|m| m.map(|m| (m.start(), m.end())).map_err(failed)).collect()
    }

    pub(super) fn is_match(&self, text: &str) -> Result<bool> {
        self.0.is_match(text).map_err(failed)
    }

    /// The parts of all matches; part 0 is the whole match.
    pub(super) fn parts<'t>(&self, text: &'t str) -> Result<Vec<Found<'t>>> {
        self.0.captures_iter(text).map(|c| c.map(Found).map_err(failed)).collect()
    }

    /// Replaces each match by what `with` makes of it; `None` leaves it as it is.
    pub(super) fn replace(
        &self,
        text: &str,
        mut with: impl FnMut(&Found<'_>) -> Option<String>,
    ) -> Result<String> {
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        for found in self.parts(text)? {
            let (start, end) = found.range();
            out.push_str(text.get(done..start).unwrap_or_default());
            match with(&found) {
                Some(new) => out.push_str(&new),
                None => out.push_str(found.part(0)),
            }
            done = end;
        }
        out.push_str(text.get(done..).unwrap_or_default());
        Ok(out)
    }
}

/// One match.
pub(super) struct Found<'t>(Captures<'t>);

impl<'t> Found<'t> {
    /// A group's text; empty if it took no part.
    pub(super) fn part(&self, group: usize) -> &'t str {
        self.0.get(group).map_or("", |m| m.as_str())
    }

    /// A group that is a number.
    pub(super) fn number(&self, group: usize) -> Option<u128> {
        self.part(group).parse().ok()
    }

    pub(super) fn range(&self) -> (usize, usize) {
        self.0.get(0).map_or((0, 0), |m| (m.start(), m.end()))
    }
}

/// Words as alternatives, the longest first so that none hides another.
pub(super) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut words: Vec<&str> = words.into_iter().collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.chars().count()));
    words.iter().map(|word| fancy_regex::escape(word)).collect::<Vec<_>>().join("|")
}

fn failed(error: fancy_regex::Error) -> Error {
    Error::Tokenizer(format!("a pattern of the English front end failed: {error}"))
}
