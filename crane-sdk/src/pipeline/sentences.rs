//! Sentences of a text that is still being written.

use std::collections::VecDeque;

/// The sentences of text that comes in any parts, each as soon as another one has begun after it or the text has ended.
pub(super) struct Sentences<I, C> {
    text: Option<I>,
    /// Cuts a text into sentences, in the order of the text.
    cut: C,
    /// What is not known to be a whole sentence.
    rest: String,
    ready: VecDeque<String>,
}

impl<I, C> Sentences<I, C> {
    pub(super) fn new(text: I, cut: C) -> Self {
        Self { text: Some(text), cut, rest: String::new(), ready: VecDeque::new() }
    }
}

impl<I: Iterator<Item: AsRef<str>>, C: Fn(&str) -> Vec<String>> Iterator for Sentences<I, C> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        loop {
            if let Some(sentence) = self.ready.pop_front() {
                return Some(sentence);
            }
            let Some(part) = self.text.as_mut()?.next() else {
                self.text = None;
                self.ready = (self.cut)(&self.rest).into();
                continue;
            };
            self.rest.push_str(part.as_ref());
            let mut found: VecDeque<String> = (self.cut)(&self.rest).into();
            let last = found.pop_back().unwrap_or_default();
            // The last one may go on, with what follows it here.
            let start = self.rest.trim_end().strip_suffix(last.as_str()).map(str::len);
            if let Some(start) = start.filter(|_| !found.is_empty()) {
                self.ready = found;
                self.rest.drain(..start);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::english::split_sentences;

    fn cut(text: &str) -> Vec<String> {
        split_sentences(text, |word| word == "Dr")
    }

    #[test]
    fn parts_of_any_length_give_the_sentences_of_the_whole() {
        let text = "Dr. Who is in!  He said no. then left. \"Three?\" Four…\nA line\n\n3.5 and 4.5. Ärger ";
        let whole = cut(text);
        assert!(whole.len() > 5);
        for length in 1..text.chars().count() + 1 {
            let letters: Vec<char> = text.chars().collect();
            let parts = letters.chunks(length).map(|part| part.iter().collect::<String>());
            assert_eq!(Sentences::new(parts, cut).collect::<Vec<_>>(), whole, "{length}");
        }
        assert_eq!(Sentences::new([""; 3].into_iter(), cut).count(), 0);
    }

    #[test]
    fn a_sentence_comes_before_the_text_has_ended() {
        let asked = std::cell::Cell::new(0);
        let parts = ["One", " two. ", "Three", " four."]
            .into_iter()
            .inspect(|_| asked.set(asked.get() + 1));
        let mut sentences = Sentences::new(parts, cut);
        assert_eq!(sentences.next().as_deref(), Some("One two."));
        assert_eq!(asked.get(), 3);
        assert_eq!(sentences.next().as_deref(), Some("Three four."));
        assert_eq!(sentences.next(), None);
    }
}
