//! A text in pieces that a language model can say without losing its voice.

use super::text_to_speech::Pieces;
use crate::generate::{CancelToken, SPEECH};
use crate::text::english;
use crate::{Error, Result};

/// Sentences are said together up to so many bytes of text; a longer one is said alone.
const MOST_TEXT: usize = 200;
/// Titles whose period ends no sentence.
const TITLES: [&str; 8] = ["Mr", "Mrs", "Ms", "Dr", "Prof", "St", "Jr", "Sr"];
/// Marks that end a sentence without a space after them.
const WIDE_ENDS: [char; 3] = ['。', '！', '？'];

/// Prompts for the pieces of a text, one after the other.
pub(super) type Prompts<'a> = Box<dyn Iterator<Item = Result<Vec<u32>>> + Send + 'a>;

/// The prompt of each piece that has a letter or digit. Of a `whole` text they are all made at once.
///
/// # Errors
/// [`Error::InvalidArgument`] if a whole text has none; what `prompt` returns.
pub(super) fn prompts<'a>(
    pieces: Pieces<'a>,
    whole: bool,
    cancel: &CancelToken,
    prompt: impl Fn(&str) -> Result<Vec<u32>> + Send + 'a,
) -> Result<Prompts<'a>> {
    let cancel = cancel.clone();
    let said = pieces.filter(|piece| has_words(piece)).map(move |piece| {
        cancel.check(SPEECH)?;
        prompt(&piece)
    });
    if !whole {
        return Ok(Box::new(said));
    }
    let prompts = said.collect::<Result<Vec<_>>>()?;
    if prompts.is_empty() {
        return Err(Error::argument("text", "there is nothing in it that the voice can say"));
    }
    Ok(Box::new(prompts.into_iter().map(Ok)))
}

fn has_words(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

/// A text in sentences.
pub(super) fn sentences(text: &str) -> Vec<String> {
    let text = WIDE_ENDS
        .iter()
        .fold(text.to_owned(), |text, mark| text.replace(*mark, &format!("{mark}\n")));
    english::split_sentences(&text, |word| TITLES.contains(&word))
}

/// A text in pieces of whole sentences; those without a letter or digit are not said.
pub(super) fn pieces(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    for sentence in sentences(text).into_iter().filter(|sentence| has_words(sentence)) {
        match pieces.last_mut() {
            Some(piece) if piece.len() + sentence.len() < MOST_TEXT => {
                piece.push(' ');
                piece.push_str(&sentence);
            }
            _ => pieces.push(sentence),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_gathered_and_never_cut() {
        assert_eq!(pieces("Hi. Dr. Who is in! ... \n\n Yes?"), ["Hi. Dr. Who is in! Yes?"]);
        assert_eq!(pieces(" ?! \n ... "), [""; 0]);
        let long = "One two three. ".repeat(30);
        let found = pieces(&long);
        assert_eq!(found.join(" "), long.trim());
        assert!(found.len() == 3 && found.iter().all(|piece| piece.len() <= MOST_TEXT));
        let alone = "word ".repeat(100);
        assert_eq!(pieces(&alone), [alone.trim()]);
        let chinese = pieces(&"身临其境，换新体验。".repeat(20));
        assert!(chinese.len() > 2 && chinese.iter().all(|piece| piece.ends_with('。')));
    }
}
