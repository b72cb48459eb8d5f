//! How much of a text's end may be the beginning of a word that is looked for.

/// The length of the longest end of `text` that `word` begins with; less than the whole word.
pub(crate) fn overlap(text: &str, word: &str) -> usize {
    (1..word.len().min(text.len() + 1))
        .rev()
        .find(|&len| word.is_char_boundary(len) && text.ends_with(&word[..len]))
        .unwrap_or(0)
}
