//! A text cut into sentences, and sentences of phonemes that are too long into clauses.

/// Marks that end a sentence.
const ENDS: [char; 4] = ['.', '!', '?', '…'];
/// What may stand between the mark and the space.
const CLOSERS: [char; 5] = ['"', '”', '’', ')', ']'];

/// The most bytes of a sentence that are read at a time: what one takes is bounded, however much of a text has no mark.
const MOST_BYTES: usize = 800;
/// The most bytes of a word that stays whole.
const MOST_OF_WORD: usize = 400;

/// The sentences of a text: lines, cut after closing marks unless the period belongs to a title ("Dr."), an initial or an
/// abbreviation before a number ("No. 5"), or the text goes on in lower case. A sentence without an end in sight is cut
/// between two words.
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
            if first.is_lowercase() || (mark == '.' && is_abbreviated(before, first, &is_title)) {
                continue;
            }
            push_bounded(&mut sentences, paragraph.get(start..end).unwrap_or_default());
            start = paragraph.len() - next.len();
        }
        push_bounded(&mut sentences, paragraph.get(start..).unwrap_or_default());
    }
    sentences.retain(|sentence| !sentence.trim().is_empty());
    sentences
}

/// Adds a sentence, in parts if it is longer than one may be. Where a part ends is known from the text before its end, so
/// that a text that is still being written is cut as the whole.
fn push_bounded(sentences: &mut Vec<String>, mut sentence: &str) {
    while sentence.len() > MOST_BYTES {
        let window = sentence.get(..sentence.floor_char_boundary(MOST_BYTES)).unwrap_or_default();
        let later = window.get(window.floor_char_boundary(MOST_BYTES - MOST_OF_WORD)..);
        let from = window.len() - later.map_or(0, str::len);
        let later = later.unwrap_or_default();
        let clause = later.rmatch_indices(char::is_whitespace).map(|(at, _)| at).find(|at| {
            later.get(..*at).is_some_and(|before| before.ends_with([',', ';', ':', '—']))
        });
        let cut = clause
            .or_else(|| later.rfind(char::is_whitespace))
            .or_else(|| later.rfind(|c: char| c.is_ascii_punctuation()).map(|at| at + 1))
            .map_or(window.len(), |at| from + at);
        let (part, rest) = sentence.split_at(cut);
        sentences.push(part.trim_end().to_owned());
        sentence = rest.trim_start();
    }
    sentences.push(sentence.to_owned());
}

/// Abbreviations whose period ends no sentence before a number.
const BEFORE_NUMBERS: &str = " no nos fig figs vol vols eq eqs sec p pp ch art para ver v ext rm apt ste bldg ca approx \
     max min avg tab app ref ex op hwy rte tel lit cf jan feb mar apr jun jul aug sep sept oct nov dec ";

/// Whether the period after `before` follows a title, a single capital, or an abbreviation that goes on with a number.
fn is_abbreviated(before: &str, next: char, is_title: &impl Fn(&str) -> bool) -> bool {
    let word = before.rsplit(char::is_whitespace).next().unwrap_or_default();
    let word = word.trim_start_matches(['(', '"', '“', '\'', '‘']);
    let mut chars = word.chars();
    let initial = chars.next().is_some_and(char::is_uppercase) && chars.next().is_none();
    initial || is_title(word) || (next.is_ascii_digit() && goes_before_numbers(word))
}

/// Whether a word without its period is an abbreviation that stands before numbers.
fn goes_before_numbers(word: &str) -> bool {
    word.len() < 8 && BEFORE_NUMBERS.contains(&format!(" {} ", word.to_lowercase()))
}

/// Cuts phonemes of more than `most` characters at spaces after clause marks, as few times as possible. A clause that is
/// itself longer is cut at its spaces, and a word anywhere.
pub(super) fn clauses(phonemes: &str, most: usize) -> Vec<String> {
    let length = |text: &str| text.chars().count();
    if length(phonemes) <= most {
        return vec![phonemes.to_owned()];
    }
    let mut parts: Vec<String> = vec![String::new()];
    for word in phonemes.split_whitespace().flat_map(|word| in_parts(word, most)) {
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

/// A word in parts of at most `most` characters.
pub(super) fn in_parts(word: &str, most: usize) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let end = rest.char_indices().nth(most.max(1)).map_or(rest.len(), |(at, _)| at);
        let part;
        (part, rest) = rest.split_at(end);
        (!part.is_empty()).then_some(part)
    })
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
        assert_eq!(cut("See (fig. 3). Not Vol. 2."), ["See (fig. 3).", "Not Vol. 2."]);
        assert_eq!(cut("I ate three. 5 were left."), ["I ate three.", "5 were left."]);
    }

    #[test]
    fn what_has_no_end_is_cut_between_words() {
        for (unit, joint) in
            [("word ", " "), ("one, two and ", " "), ("a/", ""), ("x", ""), ("ß", "")]
        {
            let text = unit.repeat(3000);
            let parts = cut(&text);
            assert!(parts.iter().all(|part| part.len() <= MOST_BYTES), "{unit}");
            assert!(parts.len() < 3 * text.len() / MOST_BYTES, "{unit}");
            assert_eq!(parts.join(joint), text.trim_end(), "{unit}");
        }
        assert!(
            cut(&"one, two and ".repeat(100)).iter().rev().skip(1).all(|part| part.ends_with(','))
        );
    }

    #[test]
    fn long_phonemes_are_cut_at_clauses() {
        assert_eq!(clauses("ab, cd, ef", 7), ["ab, cd,", "ef"]);
        assert_eq!(clauses("ab cd", 7), ["ab cd"]);
        assert_eq!(clauses("abc def ghi jkl", 8), ["abc def", "ghi jkl"]);
        assert_eq!(clauses("abcdefgh", 3), ["abc", "def", "gh"]);
    }
}
