//! Stop strings, found across pieces; text that may be the beginning of one waits.

use crate::text::overlap;
use crate::{Error, Result};

/// Passes text on until a stop string appears, of which nothing ever comes out.
///
/// The text ends before the stop string whose end comes first (of several that end together, the
/// longest), as if it came character by character: how it is cut into pieces does not matter.
///
/// ```
/// use crane_sdk::generate::StopMatcher;
///
/// let mut matcher = StopMatcher::new(vec!["\nUser:".to_owned()])?;
/// assert_eq!(matcher.push("Hello.\nUs"), ("Hello.".to_owned(), None));
/// assert_eq!(matcher.push("eful"), ("\nUseful".to_owned(), None));
/// assert_eq!(matcher.push(" \nUser: Bye"), (" ".to_owned(), Some(0)));
/// # Ok::<(), crane_sdk::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct StopMatcher {
    stops: Vec<String>,
    held: String,
}

impl StopMatcher {
    /// A matcher for these strings.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if one is empty.
    pub fn new(stops: Vec<String>) -> Result<Self> {
        if stops.iter().any(String::is_empty) {
            return Err(Error::argument("stop", "holds an empty string, which is everywhere"));
        }
        Ok(Self { stops, held: String::new() })
    }

    /// Takes more text; returns what may come out, and the index of the stop string that ended it.
    pub fn push(&mut self, text: &str) -> (String, Option<usize>) {
        if self.stops.is_empty() {
            return (text.to_owned(), None);
        }
        self.held.push_str(text);
        let hit = self
            .stops
            .iter()
            .enumerate()
            .filter_map(|(index, stop)| {
                self.held.find(stop).map(|start| (start + stop.len(), start, index))
            })
            .min();
        if let Some((_, start, index)) = hit {
            self.held.truncate(start);
            return (std::mem::take(&mut self.held), Some(index));
        }
        let kept = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - kept);
        (std::mem::replace(&mut self.held, rest), None)
    }

    /// Ends the text: what waited comes out.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The text before the first stop string, one character at a time.
    fn naive(text: &str, stops: &[String]) -> (String, bool) {
        let mut seen = String::new();
        for character in text.chars() {
            seen.push(character);
            let found = stops.iter().filter(|stop| seen.ends_with(stop.as_str()));
            if let Some(longest) = found.map(String::len).max() {
                seen.truncate(seen.len() - longest);
                return (seen, true);
            }
        }
        (seen, false)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn pieces_are_the_text_before_the_stop(
            text in "[abä]{0,24}",
            stops in proptest::collection::vec("[abä]{1,4}", 0..4),
            cuts in proptest::collection::vec(1usize..5, 0..24),
        ) {
            let mut matcher = StopMatcher::new(stops.clone()).unwrap();
            let (mut said, mut stopped) = (String::new(), false);
            let mut rest: Vec<char> = text.chars().collect();
            for cut in cuts.into_iter().chain([24]) {
                let tail = rest.split_off(cut.min(rest.len()));
                let (piece, hit) = matcher.push(&rest.iter().collect::<String>());
                said.push_str(&piece);
                stopped = hit.is_some();
                // Nothing that has come out ends with the beginning of a stop string that is
                // still possible, unless the text proved it harmless.
                if stopped || tail.is_empty() {
                    break;
                }
                rest = tail;
            }
            if !stopped {
                said.push_str(&matcher.finish());
            }
            prop_assert_eq!((said, stopped), naive(&text, &stops));
        }

        #[test]
        fn nothing_of_a_stop_comes_out_early(
            text in "[ab]{0,20}", stop in "[ab]{1,5}", end in 0usize..20,
        ) {
            // Whatever has come out after a part of the text is not taken back by the whole.
            let mut matcher = StopMatcher::new(vec![stop.clone()]).unwrap();
            let part = &text[..end.min(text.len())];
            let mut said = String::new();
            for character in part.chars() {
                let (piece, hit) = matcher.push(&character.to_string());
                said.push_str(&piece);
                if hit.is_some() {
                    break;
                }
            }
            let (whole, _) = naive(&format!("{part}{stop}"), std::slice::from_ref(&stop));
            prop_assert!(whole.starts_with(&said), "{said:?} {whole:?}");
        }
    }

    #[test]
    fn empty_is_refused() {
        assert!(StopMatcher::new(vec![String::new()]).is_err());
    }
}
