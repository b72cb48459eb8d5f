//! The tokens of a Lark grammar, cut as its compiler cuts them.

use serde_json::Value;

use crate::{Error, Result};

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'a> {
    /// One or more ends of lines.
    Newline,
    /// A rule or a terminal, without the marks in front of it.
    Name(&'a str),
    /// A string with its quotes.
    Text(&'a str),
    /// A regular expression between its slashes.
    Pattern(&'a str),
    /// `%json`, `%regex` or `%llguidance` with the JSON behind it.
    Json(&'a str, Value),
    /// Another word with a percent sign.
    Keyword(&'a str),
    /// A bracket, a bar, a colon...
    Punctuation(char),
    /// A number, a token's name, a grammar's name.
    Other,
}

/// The words with a percent sign, as far as the compiler reads them.
const KEYWORDS: [&str; 9] = [
    "%declare",
    "%ignore",
    "%if",
    "%import",
    "%json",
    "%lark",
    "%llguidance",
    "%override",
    "%regex",
];

/// Cuts a grammar.
pub(super) struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Whether what comes, behind the end of a line, is the bar that goes on with it.
    pub(super) fn goes_on(&self) -> bool {
        let mut rest = self.rest();
        loop {
            rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
            if !rest.starts_with('#') && !rest.starts_with("//") {
                return rest.starts_with('|');
            }
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Takes so many bytes.
    fn take(&mut self, bytes: usize) -> &'a str {
        let taken = self.rest().get(..bytes).unwrap_or(self.rest());
        self.at += taken.len();
        taken
    }

    /// The next token, if there is one.
    pub(super) fn next(&mut self) -> Result<Option<Token<'a>>> {
        loop {
            let rest = self.rest();
            let Some(first) = rest.chars().next() else { return Ok(None) };
            let comment = first == '#' || rest.starts_with("//");
            if comment {
                self.take(rest.find('\n').unwrap_or(rest.len()));
            } else if matches!(first, ' ' | '\t') {
                self.take(1);
            } else {
                return self.token(first).map(Some);
            }
        }
    }

    fn token(&mut self, first: char) -> Result<Token<'a>> {
        let rest = self.rest();
        Ok(match first {
            '\n' | '\r' => {
                self.take(rest.len() - rest.trim_start_matches(['\r', '\n', ' ', '\t']).len());
                Token::Newline
            }
            '"' => {
                let end = closing(rest, '"').ok_or_else(|| self.unread())?;
                let flag = usize::from(rest.get(end..).is_some_and(|rest| rest.starts_with('i')));
                Token::Text(self.take(end + flag))
            }
            '/' => {
                let end = closing(rest, '/').ok_or_else(|| self.unread())?;
                let tail = rest.get(end..).unwrap_or_default();
                let flags = tail.find(|c| !"imslux".contains(c)).unwrap_or(tail.len());
                let pattern = self.take(end + flags);
                Token::Pattern(pattern.get(1..end - 1).unwrap_or_default())
            }
            '%' => {
                let known = KEYWORDS.iter().find(|keyword| rest.starts_with(**keyword));
                let keyword = self.take(known.ok_or_else(|| self.unread())?.len());
                match keyword {
                    "%json" | "%regex" | "%llguidance" => Token::Json(keyword, self.json(keyword)?),
                    _ => Token::Keyword(keyword),
                }
            }
            '<' => {
                let end = rest.find('>').ok_or_else(|| self.unread())?;
                self.take(end + 1);
                Token::Other
            }
            '@' => {
                let tail = rest.get(1..).unwrap_or_default();
                let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
                self.take(1 + tail.find(|c| !fits(c)).unwrap_or(tail.len()));
                Token::Other
            }
            '0'..='9' => {
                let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                self.take(digits);
                Token::Other
            }
            '!' | '?' | '_' | 'a'..='z' | 'A'..='Z' => {
                let marks = rest.len() - rest.trim_start_matches(['!', '?']).len();
                match name(rest, marks) {
                    Some(end) => Token::Name(self.take(end).trim_start_matches(['!', '?'])),
                    None => {
                        self.take(1);
                        Token::Punctuation(first)
                    }
                }
            }
            _ => {
                self.take(first.len_utf8());
                Token::Punctuation(first)
            }
        })
    }

    fn json(&mut self, keyword: &str) -> Result<Value> {
        let mut values = serde_json::Deserializer::from_str(self.rest()).into_iter::<Value>();
        let value = match values.next() {
            Some(Ok(value)) => value,
            Some(Err(error)) => {
                let reason = format_args!("has no JSON behind {keyword} {}: {error}", self.place());
                return Err(Error::argument("grammar", reason));
            }
            None => return Err(self.unread()),
        };
        let bytes = values.byte_offset();
        self.take(bytes);
        Ok(value)
    }

    fn unread(&self) -> Error {
        Error::argument("grammar", format_args!("cannot be read {}", self.place()))
    }

    /// The place as the compiler tells it.
    fn place(&self) -> String {
        let before = self.text.get(..self.at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1) + 1;
        format!("at {line}({column})")
    }
}

/// Behind the mark that closes what the first byte opened.
fn closing(text: &str, mark: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '\n' if mark == '"' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == mark => return Some(at + c.len_utf8()),
            _ => {}
        }
    }
    None
}

/// Where a rule's or terminal's name ends that begins behind these marks.
fn name(text: &str, marks: usize) -> Option<usize> {
    let tail = text.get(marks..)?;
    let letters = tail.strip_prefix('_').unwrap_or(tail);
    let small = letters.starts_with(|c: char| c.is_ascii_lowercase());
    if !small && !letters.starts_with(|c: char| c.is_ascii_uppercase()) {
        return None;
    }
    let fits = |c: char| {
        c.is_ascii_digit()
            || matches!(c, '_' | '-')
            || if small { c.is_ascii_lowercase() } else { c.is_ascii_uppercase() }
    };
    let length = letters.find(|c| !fits(c)).unwrap_or(letters.len());
    Some(text.len() - letters.len() + length)
}
