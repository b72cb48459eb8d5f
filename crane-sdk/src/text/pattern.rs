//! Patterns that cut or replace text, of files that may be hostile: each is bounded where it is read and where it runs.
//!
//! The engines are those behind `tokenizers` (Oniguruma natively, fancy-regex in a browser), so that text is cut as the
//! library cuts it. The library itself panics, or stops in silence, where a pattern reaches a limit of its engine.

use super::budget::Budget;
use crate::{Error, Result};

/// Longest pattern that is believed, in bytes.
const MAX_BYTES: usize = 1 << 16;
/// Deepest nesting of groups and classes: engines recurse into them.
const MAX_DEPTH: usize = 100;
/// Most characters that a pattern may stand for with its counted repetitions written out (`(ab){3}` stands for 6).
const MAX_EXPANDED: u64 = 200_000;

/// What is looked for in a text.
#[derive(Debug)]
pub(super) enum Pattern {
    /// The text itself.
    Text(String),
    /// A regular expression.
    Regex(engine::Regex),
}

impl Pattern {
    /// Reads a regular expression.
    ///
    /// # Errors
    /// A sentence if it is none, or larger than an engine can be trusted with.
    pub(super) fn regex(pattern: &str) -> Result<Self, String> {
        check(pattern)?;
        engine::Regex::new(pattern).map(Self::Regex)
    }

    /// Calls `found` with the start and end of each match, in order; matches do not overlap.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the engine reaches its limit, [`Error::Tokenizer`] if the budget is used up, and what
    /// `found` returns.
    pub(super) fn each(
        &self,
        text: &str,
        budget: &Budget<'_>,
        mut found: impl FnMut(usize, usize) -> Result<()>,
    ) -> Result<()> {
        match self {
            Self::Text(word) => {
                for (at, word) in text.match_indices(word.as_str()) {
                    budget.check()?;
                    found(at, at + word.len())?;
                }
                Ok(())
            }
            Self::Regex(regex) => regex.each(text, budget, &mut found),
        }
    }

    /// The text with each match replaced by `content`; what it grows to is bounded by `most` bytes.
    ///
    /// # Errors
    /// As [`Pattern::each`], and [`Error::Tokenizer`] if the text grows beyond `most`.
    pub(super) fn replace(
        &self,
        text: &str,
        content: &str,
        most: usize,
        budget: &Budget<'_>,
    ) -> Result<String> {
        let mut out = String::with_capacity(text.len());
        let mut from = 0;
        self.each(text, budget, |start, end| {
            out.push_str(text.get(from..start).unwrap_or_default());
            out.push_str(content);
            from = end;
            if out.len() > most { Err(too_large(most)) } else { Ok(()) }
        })?;
        out.push_str(text.get(from..).unwrap_or_default());
        if out.len() > most { Err(too_large(most)) } else { Ok(out) }
    }
}

fn too_large(most: usize) -> Error {
    Error::Tokenizer(format!(
        "replacing a pattern grows a text to more than {most} bytes; the tokenizer's normalizer or decoder is \
         hostile or damaged"
    ))
}

/// Checks a regular expression before an engine compiles it.
///
/// # Errors
/// A sentence that names the limit.
pub(super) fn check(pattern: &str) -> Result<(), String> {
    if pattern.len() > MAX_BYTES {
        return Err(format!("a pattern has {} bytes, more than {MAX_BYTES}", pattern.len()));
    }
    // The size of each open group, and of its last item, which a repetition multiplies.
    let mut open: Vec<(u64, u64)> = vec![(0, 0)];
    let mut class = 0usize;
    let mut characters = pattern.chars().peekable();
    let too_deep = || format!("a pattern nests groups deeper than {MAX_DEPTH}");
    while let Some(character) = characters.next() {
        let depth = open.len();
        let Some((size, last)) = open.last_mut() else { break };
        match character {
            '\\' => {
                characters.next();
                if class == 0 {
                    *size = size.saturating_add(1);
                    *last = 1;
                }
            }
            '[' => {
                class += 1;
                if class > MAX_DEPTH {
                    return Err(too_deep());
                }
            }
            ']' if class > 0 => {
                class -= 1;
                if class == 0 {
                    *size = size.saturating_add(1);
                    *last = 1;
                }
            }
            _ if class > 0 => {}
            '(' => {
                if depth > MAX_DEPTH {
                    return Err(too_deep());
                }
                open.push((0, 0));
            }
            ')' if depth > 1 => {
                let group = open.pop().map_or(1, |(size, _)| size.max(1));
                if let Some((size, last)) = open.last_mut() {
                    *size = size.saturating_add(group);
                    *last = group;
                }
            }
            '{' => {
                let mut bounds = String::new();
                while let Some(next) = characters.next_if(|c| c.is_ascii_digit() || *c == ',') {
                    bounds.push(next);
                }
                let closed = characters.next_if_eq(&'}').is_some();
                let most = bounds.split(',').filter_map(|n| n.parse::<u64>().ok()).max();
                if let (true, Some(most)) = (closed, most) {
                    let repeated = last.saturating_mul(most.max(1));
                    *size = size.saturating_add(repeated.saturating_sub(*last));
                    *last = repeated;
                }
            }
            _ => {
                *size = size.saturating_add(1);
                *last = 1;
            }
        }
        if open.last().is_some_and(|(size, _)| *size > MAX_EXPANDED) {
            return Err(format!(
                "a pattern's repetitions stand for more than {MAX_EXPANDED} characters"
            ));
        }
    }
    Ok(())
}

fn failed(error: impl std::fmt::Display) -> Error {
    let reason = format!(
        "a pattern of the tokenizer reached a limit of the regex engine on it ({error}): it has too long a run of \
         characters that the pattern does not cut, or the pattern backtracks too much; break the run, or take another \
         tokenizer.json"
    );
    Error::argument("text", reason)
}

#[cfg(not(target_arch = "wasm32"))]
mod engine {
    //! Oniguruma, with limits that are errors.

    use onig::{MatchParam, Region, SearchOptions};

    use super::{Budget, Result, failed};

    /// Steps back at each place of a search over the whole text, which cannot be ended in between: ordinary patterns take fewer
    /// but in runs of more characters.
    const FEW_RETRIES: u32 = 128;
    /// Steps back at one place: a run of two megabytes takes one for each byte and alternative.
    const MANY_RETRIES: u32 = 8_000_000;
    /// Entries of the engine's stack, 40 bytes each.
    const MAX_STACK: u32 = 4_000_000;

    #[derive(Debug)]
    pub(in super::super) struct Regex(onig::Regex);

    impl Regex {
        pub(super) fn new(pattern: &str) -> Result<Self, String> {
            onig::Regex::new(pattern).map(Self).map_err(|error| error.to_string())
        }

        pub(super) fn each(
            &self,
            text: &str,
            budget: &Budget<'_>,
            found: &mut dyn FnMut(usize, usize) -> Result<()>,
        ) -> Result<()> {
            let mut region = Region::new();
            let (mut from, mut last_end) = (0, None);
            while from <= text.len() {
                budget.check()?;
                let Some((start, end)) = self.find(text, from, budget, &mut region)? else { break };
                // An empty match at the end of the last one is none.
                if start == end && last_end == Some(end) {
                    let rest = text.get(from..).unwrap_or_default();
                    from += rest.chars().next().map_or(1, char::len_utf8);
                    continue;
                }
                (from, last_end) = (end, Some(end));
                found(start, end)?;
            }
            Ok(())
        }

        /// The first match from a place on.
        fn find(
            &self,
            text: &str,
            from: usize,
            budget: &Budget<'_>,
            region: &mut Region,
        ) -> Result<Option<(usize, usize)>> {
            let options = SearchOptions::SEARCH_OPTION_NONE;
            region.clear();
            let few = limits(FEW_RETRIES);
            let place =
                self.0.search_with_param(text, from, text.len(), options, Some(region), few);
            if let Ok(place) = place {
                return Ok(place.and_then(|_| region.pos(0)));
            }
            // Some place takes more steps: place by place, so that the budget is looked at in between.
            let rest = text.get(from..).unwrap_or_default();
            for at in rest.char_indices().map(|(at, _)| from + at).chain([text.len()]) {
                budget.check()?;
                region.clear();
                let many = limits(MANY_RETRIES);
                let found = self
                    .0
                    .match_with_param(text, at, options, Some(region), many)
                    .map_err(failed)?;
                if found.is_some() {
                    return Ok(region.pos(0));
                }
            }
            Ok(None)
        }
    }

    fn limits(retries: u32) -> MatchParam {
        let mut limits = MatchParam::default();
        limits.set_retry_limit_in_match(retries);
        limits.set_match_stack_limit(MAX_STACK);
        limits
    }
}

#[cfg(target_arch = "wasm32")]
mod engine {
    //! fancy-regex, with limits that are errors.

    use super::{Budget, Result, failed};

    /// Steps back in one search.
    const MAX_BACKTRACKS: usize = 4_000_000;
    /// Bytes of a compiled automaton.
    const MAX_COMPILED: usize = 16 << 20;

    #[derive(Debug)]
    pub(in super::super) struct Regex(fancy_regex::Regex);

    impl Regex {
        pub(super) fn new(pattern: &str) -> Result<Self, String> {
            fancy_regex::RegexBuilder::new(pattern)
                .backtrack_limit(MAX_BACKTRACKS)
                .delegate_size_limit(MAX_COMPILED)
                .build()
                .map(Self)
                .map_err(|error| error.to_string())
        }

        pub(super) fn each(
            &self,
            text: &str,
            budget: &Budget<'_>,
            found: &mut dyn FnMut(usize, usize) -> Result<()>,
        ) -> Result<()> {
            for matched in self.0.find_iter(text) {
                budget.check()?;
                let matched = matched.map_err(failed)?;
                found(matched.start(), matched.end())?;
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_patterns_are_refused_before_they_are_compiled() {
        for (pattern, limit) in [
            ("a".repeat(MAX_BYTES + 1), "bytes"),
            (format!("{}a{}", "(".repeat(500), ")".repeat(500)), "deeper"),
            (format!("{}a{}", "[".repeat(500), "]".repeat(500)), "deeper"),
            ("(?:(?:(?:a{1000}){1000}){1000}){1000}".to_owned(), "repetitions"),
            (format!("({}){{1,9999}}", "ab".repeat(500)), "repetitions"),
            ("a{99999999999999999999}{500000}".to_owned(), "repetitions"),
        ] {
            let error = Pattern::regex(&pattern).unwrap_err();
            assert!(error.contains(limit), "{error}");
        }
        for pattern in
            [r"\p{N}{1,3}", "a{2}", r"[\]{9999999}]", r"\{1000000\}", "{", "x{,}", "[a-z&&[^b]]"]
        {
            check(pattern).unwrap();
        }
    }

    #[test]
    fn catastrophic_patterns_end_in_an_error() {
        let budget = Budget::new(1 << 20, None);
        let text = "a".repeat(5000);
        for pattern in ["(a|a)*b", "(a*)*b", "(?:a+a+)+c", "(?=(a+)+c)x", r"(a?){60}b"] {
            let regex = Pattern::regex(pattern).unwrap();
            match regex.each(&text, &budget, |_, _| Ok(())) {
                Ok(()) => {}
                Err(error) => assert!(error.to_string().contains("limit"), "{error}"),
            }
        }
        let regex = Pattern::regex("(?:(?:a|a)(?:a|a)){20,}b").unwrap();
        let error = regex.each(&text, &budget, |_, _| Ok(())).unwrap_err().to_string();
        assert!(error.contains("backtracks too much"), "{error}");
    }
}
