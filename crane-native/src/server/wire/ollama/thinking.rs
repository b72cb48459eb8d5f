//! Tells a model's thoughts from its answer: `<think>…</think>` at the beginning of a reply.

const BEGIN: &str = "<think>";
const END: &str = "</think>";

/// Reads thoughts out of a reply that comes in pieces.
#[derive(Debug)]
pub(super) struct Thinking {
    place: Place,
    /// What may be the beginning of a mark, or space around one.
    held: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before anything but space.
    Before,
    /// Behind the mark that opens the thoughts, and behind their first character.
    Opened,
    Inside,
    /// Behind the mark that closes them.
    Closed,
    Answer,
}

impl Thinking {
    /// For a reply whose prompt has opened the thoughts, or has not.
    pub(super) fn new(opened: bool) -> Self {
        Self { place: if opened { Place::Opened } else { Place::Before }, held: String::new() }
    }

    /// What more text makes certain: thoughts, and the answer.
    pub(super) fn push(&mut self, text: &str) -> (String, String) {
        self.held.push_str(text);
        let (mut thoughts, mut answer) = (String::new(), String::new());
        while let Some((place, part)) = self.next() {
            match self.place {
                Place::Opened | Place::Inside => thoughts.push_str(&part),
                Place::Before | Place::Closed | Place::Answer => answer.push_str(&part),
            }
            self.place = place;
            if self.held.is_empty() {
                break;
            }
        }
        (thoughts, answer)
    }

    /// What the end makes certain.
    pub(super) fn finish(&mut self) -> (String, String) {
        let rest = std::mem::take(&mut self.held);
        match self.place {
            Place::Opened | Place::Inside => (rest, String::new()),
            Place::Before | Place::Closed | Place::Answer => (String::new(), rest),
        }
    }

    /// Takes what is certain of what is held, and where the rest of it is; `None` if more has to come.
    fn next(&mut self) -> Option<(Place, String)> {
        match self.place {
            Place::Before => {
                let rest = self.held.trim_start();
                if let Some(rest) = rest.strip_prefix(BEGIN) {
                    self.held = rest.to_owned();
                    return Some((Place::Opened, String::new()));
                }
                match BEGIN.starts_with(rest) {
                    true => None,
                    false => Some((Place::Answer, std::mem::take(&mut self.held))),
                }
            }
            Place::Opened | Place::Closed => {
                let rest = self.held.trim_start();
                if rest.is_empty() {
                    return None;
                }
                self.held = rest.to_owned();
                let inside = self.place == Place::Opened;
                Some((if inside { Place::Inside } else { Place::Answer }, String::new()))
            }
            Place::Inside => match self.held.split_once(END) {
                Some((thoughts, rest)) => {
                    let thoughts = thoughts.trim_end().to_owned();
                    self.held = rest.to_owned();
                    Some((Place::Closed, thoughts))
                }
                None => {
                    // Space before the mark that closes them is no thought.
                    let cut = self.held.len() - partial(&self.held, END);
                    let cut = self.held.get(..cut).map_or(cut, |sure| sure.trim_end().len());
                    let rest = self.held.split_off(cut);
                    let sure = std::mem::replace(&mut self.held, rest);
                    (!sure.is_empty()).then_some((Place::Inside, sure))
                }
            },
            Place::Answer => Some((Place::Answer, std::mem::take(&mut self.held))),
        }
    }
}

/// Bytes at the end of a text with which the mark may begin.
fn partial(text: &str, mark: &str) -> usize {
    let most = mark.len().min(text.len());
    (1..=most)
        .rev()
        .find(|&length| mark.get(..length).is_some_and(|begin| text.ends_with(begin)))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(opened: bool, pieces: &[&str]) -> (String, String) {
        let mut thinking = Thinking::new(opened);
        let (mut thoughts, mut answer) = (String::new(), String::new());
        let parts: Vec<_> = pieces.iter().map(|piece| thinking.push(piece)).collect();
        for (more, said) in parts.into_iter().chain([thinking.finish()]) {
            thoughts += &more;
            answer += &said;
        }
        (thoughts, answer)
    }

    #[test]
    fn thoughts_and_answer_are_told_apart_however_they_come() {
        for (opened, text, thoughts, answer) in [
            (
                false,
                "<think>\nA river.\nOr two.\n</think>\n\nThe Rhine.",
                "A river.\nOr two.",
                "The Rhine.",
            ),
            (true, "A river.\n</think>\n\nThe Rhine.", "A river.", "The Rhine."),
            (false, "\n<think></think>Yes", "", "Yes"),
            (false, "No thought. <think> is text here.", "", "No thought. <think> is text here."),
            (false, "  <thin ice", "", "  <thin ice"),
            (false, "<think>cut short", "cut short", ""),
            (false, "<think>a < b </ c</think>d </think> e", "a < b </ c", "d </think> e"),
            (false, "", "", ""),
            (false, "<think>ö é</think> ü", "ö é", "ü"),
        ] {
            let wanted = (thoughts.to_owned(), answer.to_owned());
            assert_eq!(read(opened, &[text]), wanted, "{text}");
            let letters: Vec<String> = text.chars().map(String::from).collect();
            let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
            assert_eq!(read(opened, &letters), wanted, "{text}, letter by letter");
            let pairs: Vec<String> = letters.chunks(2).map(|pair| pair.concat()).collect();
            let pairs: Vec<&str> = pairs.iter().map(String::as_str).collect();
            assert_eq!(read(opened, &pairs), wanted, "{text}, in pairs");
        }
    }

    #[test]
    fn what_is_certain_is_told_at_once() {
        let mut thinking = Thinking::new(false);
        assert_eq!(thinking.push("<think>One"), ("One".to_owned(), String::new()));
        assert_eq!(thinking.push(" two"), (" two".to_owned(), String::new()));
        assert_eq!(thinking.push("</th"), (String::new(), String::new()));
        assert_eq!(thinking.push("ink>\nAnd"), (String::new(), "And".to_owned()));
        assert_eq!(thinking.push(" so"), (String::new(), " so".to_owned()));
    }
}
