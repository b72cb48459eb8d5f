//! Texts of strangers on a terminal: what would act on it is shown as an escape instead.
//!
//! Names of tensors and files, templates' errors, answers of a hub and replies of a model may hold escape sequences, which move the
//! cursor, set titles and on some terminals type; C1 controls, which are sequences in one character; and overrides of
//! the writing direction, which show a text in another order than it has.

use std::borrow::Cow;
use std::fmt::Write;

/// The most characters of one line of a log; requests may hold names of megabytes.
const LONGEST_LINE: usize = 4096;

/// Whether a character acts on a terminal instead of standing there.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text with its lines and tabs, and nothing else that acts: a model's reply, a prompt.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

/// A message of this program with texts of strangers in it: further lines are set in, so that none looks like another
/// message.
pub(crate) fn message(message: &str) -> String {
    text(message).replace('\n', "\n  ").replace("\n    ", "\n  ")
}

/// One line, or a cell of a table: whatever the text holds, it stays one line.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// One line of a log. A long one is cut, which it says.
pub(crate) fn log_line(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(LONGEST_LINE) {
        None => line(text),
        Some((end, _)) => {
            let (start, rest) = text.split_at(end);
            let more = rest.chars().count();
            Cow::Owned(format!("{}… ({more} more characters)", line(start)))
        }
    }
}

/// JSON with such characters in JSON's own escapes, so that it stays the same value.
pub(crate) fn json(json: &str) -> Cow<'_, str> {
    // Between its texts JSON may have line breaks and tabs.
    let kept = |c: char| matches!(c, '\n' | '\r' | '\t') || !acts(c);
    if json.chars().all(kept) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        match kept(c) {
            true => shown.push(c),
            // A String takes whatever is written to it.
            false => drop(write!(shown, "\\u{:04x}", u32::from(c))),
        }
    }
    Cow::Owned(shown)
}

fn escaped(text: &str, kept: impl Fn(char) -> bool) -> Cow<'_, str> {
    let stands = |c: char| kept(c) || !acts(c);
    if text.chars().all(stands) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            c if stands(c) => shown.push(c),
            // The line break of other systems is one.
            '\r' if kept('\n') && rest.peek() == Some(&'\n') => {}
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if u32::from(c) < 0x100 => drop(write!(shown, "\\x{:02x}", u32::from(c))),
            c => drop(write!(shown, "\\u{{{:x}}}", u32::from(c))),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_acts_is_left() {
        let hostile =
            "a\x1b[2J\x1b]0;t\x07b\u{9b}31m\u{202e}c\u{2066}d\u{7f}\0\r\u{8}e\u{85}\u{2028}";
        for shown in [text(hostile), line(hostile), json(hostile)] {
            let left: Vec<char> = shown.chars().filter(|&c| acts(c) && c != '\r').collect();
            assert_eq!(left, [], "{shown}");
        }
        assert!(text(hostile).starts_with("a\\x1b[2J\\x1b]0;t\\x07b\\x9b31m\\u{202e}c"));
        for plain in ["", "a\tb\nc", "Grüße, 世界 👩\u{200d}🚀 שלום \u{200f}"] {
            assert!(matches!(text(plain), Cow::Borrowed(same) if same == plain));
        }
        assert_eq!(text("a\r\nb\rc"), "a\nb\\rc");
    }

    #[test]
    fn a_line_stays_one_and_says_what_it_leaves_out() {
        assert_eq!(line("x\nwarning: y\tz\r\n"), "x\\nwarning: y\\tz\\r\\n");
        assert_eq!(log_line(&"é".repeat(LONGEST_LINE)), "é".repeat(LONGEST_LINE));
        let cut = log_line(&"\n".repeat(LONGEST_LINE + 7)).into_owned();
        assert!(cut.ends_with("\\n… (7 more characters)"), "{cut}");
        assert_eq!(cut.matches("\\n").count(), LONGEST_LINE);
    }

    #[test]
    fn no_line_of_a_message_looks_like_another() {
        assert_eq!(message("which:\n  a\n  b"), "which:\n  a\n  b");
        assert_eq!(message("bad\nerror: worse\x1b"), "bad\n  error: worse\\x1b");
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::json!({ "a\u{9b}": "\u{1b}\u{7f}\u{202e}\u{2028}\n\"" });
        for written in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let shown = json(&written);
            assert!(!shown.contains(['\u{9b}', '\u{7f}', '\u{202e}', '\u{2028}']), "{shown}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        }
    }
}
