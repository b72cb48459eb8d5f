//! A text cut into sentences, and sentences of phonemes that are too long into clauses.

/// Marks that end a sentence.
const ENDS: [char; 4] = ['.', '!', '?', '…'];
/// What may stand between the mark and the space.
const CLOSERS: [char; 5] = ['"', '”', '’', ')', ']'];

/// The sentences of a text: lines, cut after closing marks unless the period belongs to a title ("Dr.") or an initial, or
/// the text goes on in lower case.
pub(crate) fn split(text: &str, is_title: impl Fn(&str) -> bool) -> Vec<String> {
    let mut sentences = Vec::new();
    for paragraph in text.split('\n').map(str::trim) {
        let mut start = 0;
        for (at, mark) in paragraph.char_indices().filter(|(_, c)| ENDS.contains(c)) {
            let end = at + mark.len_utf8();
            if end < start {
                continue;
            }
            let rest = paragraph.get(end..).unwrap_or_default();
            let closed = rest.trim_start_matches(CLOSERS);
            let next = closed.trim_start();
            let Some(first) = next.chars().next().filter(|_| next.len() < closed.len()) else {
                continue;
            };
            let before = paragraph.get(..at).unwrap_or_default();
            if first.is_lowercase() || (mark == '.' && is_abbreviated(before, &is_title)) {
                continue;
            }
            sentences.push(paragraph.get(start..end).unwrap_or_default().to_owned());
            start = paragraph.len() - next.len();
        }
        sentences.push(paragraph.get(start..).unwrap_or_default().to_owned());
    }
    sentences.retain(|sentence| !sentence.trim().is_empty());
    sentences
}

/// Whether the period after `before` follows a title or a single capital.
fn is_abbreviated(before: &str, is_title: &impl Fn(&str) -> bool) -> bool {
    let word = before.rsplit(' ').next().unwrap_or_default();
    let word = word.trim_start_matches(['(', '"', '“', '\'', '‘']);
    let mut chars = word.chars();
    let initial = chars.next().is_some_and(char::is_uppercase) && chars.next().is_none();
    initial || is_title(word)
}

/// Cuts phonemes of more than `most` characters at spaces after clause marks, as few times as possible. A clause that is
/// itself longer is cut at its spaces.
pub(super) fn clauses(phonemes: &str, most: usize) -> Vec<String> {
    let length = |text: &str| text.chars().count();
    if length(phonemes) <= most {
        return vec![phonemes.to_owned()];
    }
    let mut parts: Vec<String> = vec![String::new()];
    for word in phonemes.split_whitespace() {
        let ends_clause = |part: &String| part.ends_with([',', ';', ':', '—']);
        match parts.last_mut() {
            Some(part) if part.is_empty() => part.push_str(word),
            Some(part) if !ends_clause(part) && length(part) + length(word) < most => {
                part.push(' ');
                part.push_str(word);
            }
            _ => parts.push(word.to_owned()),
        }
    }
    let mut whole: Vec<String> = Vec::new();
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        match whole.last_mut() {
            Some(last) if length(last) + length(&part) < most => {
                last.push(' ');
                last.push_str(&part);
            }
            _ => whole.push(part),
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<String> {
        split(text, |word| word == "Dr")
    }

    #[test]
    fn sentences_end_at_marks_before_a_new_beginning() {
        assert_eq!(cut("One. Two! \"Three?\" Four"), ["One.", "Two!", "\"Three?", "Four"]);
        assert_eq!(cut("Dr. Who met J. K. Rowling."), ["Dr. Who met J. K. Rowling."]);
        assert_eq!(cut("He said no. then left."), ["He said no. then left."]);
        assert_eq!(cut("A line\n\nanother… Yes."), ["A line", "another…", "Yes."]);
        assert_eq!(cut("3.5 and 4.5"), ["3.5 and 4.5"]);
        assert_eq!(cut(" \n "), [""; 0]);
    }

    #[test]
    fn long_phonemes_are_cut_at_clauses() {
        assert_eq!(clauses("ab, cd, ef", 7), ["ab, cd,", "ef"]);
        assert_eq!(clauses("ab cd", 7), ["ab cd"]);
        assert_eq!(clauses("abc def ghi jkl", 8), ["abc def", "ghi jkl"]);
    }
}
