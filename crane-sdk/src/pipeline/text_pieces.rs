//! A text in pieces that a language model can say without losing its voice.

use crate::text::english;

/// Sentences are said together up to so many bytes of text; a longer one is said alone.
const MOST_TEXT: usize = 200;
/// Titles whose period ends no sentence.
const TITLES: [&str; 8] = ["Mr", "Mrs", "Ms", "Dr", "Prof", "St", "Jr", "Sr"];
/// Marks that end a sentence without a space after them.
const WIDE_ENDS: [char; 3] = ['。', '！', '？'];

/// A text in pieces of whole sentences; those without a letter or digit are not said.
pub(super) fn pieces(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let text = WIDE_ENDS
        .iter()
        .fold(text.to_owned(), |text, mark| text.replace(*mark, &format!("{mark}\n")));
    for sentence in english::split_sentences(&text, |word| TITLES.contains(&word)) {
        if !sentence.chars().any(char::is_alphanumeric) {
            continue;
        }
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
