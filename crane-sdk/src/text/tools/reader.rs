//! Takes a reply apart as it comes: text, and calls with their names and arguments.

use super::CallFormat;
use crate::text::overlap;

/// A part of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallPiece {
    /// More text.
    Text(String),
    /// A call of the tool with this name begins.
    Name(String),
    /// More of the arguments of the call that began last, which are JSON.
    Arguments(String),
}

/// Reads a reply whose calls have a [`CallFormat`]. What may become a call is held back until it is known.
#[derive(Debug, Clone)]
pub struct CallReader {
    format: CallFormat,
    state: State,
    held: String,
}

/// What is expected next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Text, until a call begins.
    Text,
    /// The text before a name; behind a call, with what stands between two.
    Open { between: bool },
    /// A name.
    Name,
    /// Arguments.
    Arguments(Nesting),
    /// The text behind the arguments.
    Close,
    /// Nothing that is known.
    Lost,
}

/// How deep inside JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Nesting {
    depth: usize,
    string: bool,
    escaped: bool,
}

impl Nesting {
    /// Takes a character; whether it ends the value.
    fn ends(&mut self, c: char) -> bool {
        match (self.string, self.escaped, c) {
            (true, true, _) => self.escaped = false,
            (true, _, '\\') => self.escaped = true,
            (_, _, '"') => self.string = !self.string,
            (false, _, '{' | '[') => self.depth += 1,
            (false, _, '}' | ']') => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}

impl CallReader {
    pub(super) fn new(format: CallFormat) -> Self {
        Self { format, state: State::Text, held: String::new() }
    }

    /// Takes more of the reply; returns what is known now.
    pub fn push(&mut self, text: &str) -> Vec<CallPiece> {
        self.held.push_str(text);
        let mut pieces = Vec::new();
        while self.step(&mut pieces) {}
        pieces
    }

    /// Ends the reply: what was held back comes out, but for a call that had not come to its arguments.
    pub fn finish(&mut self) -> Vec<CallPiece> {
        let held = std::mem::take(&mut self.held);
        let told = match self.state {
            State::Text | State::Lost => CallPiece::Text(held),
            State::Arguments(_) => CallPiece::Arguments(held),
            State::Open { .. } | State::Name | State::Close => return Vec::new(),
        };
        let is_empty =
            matches!(&told, CallPiece::Text(text) | CallPiece::Arguments(text) if text.is_empty());
        if is_empty { Vec::new() } else { vec![told] }
    }

    /// Goes on by one part; whether there may be another.
    fn step(&mut self, pieces: &mut Vec<CallPiece>) -> bool {
        match self.state {
            State::Text => {
                let trigger = self.format.trigger();
                if let Some(at) = self.held.find(trigger) {
                    let before = self.held.drain(..at).collect::<String>();
                    let before = before.trim_end();
                    pieces.extend((!before.is_empty()).then(|| CallPiece::Text(before.to_owned())));
                    self.state = State::Open { between: false };
                    return true;
                }
                // White space before a call belongs to it.
                let kept = overlap(&self.held, trigger);
                let sure = self.held.len() - kept;
                let sure = self.held.get(..sure).unwrap_or_default().trim_end().len();
                if sure > 0 {
                    pieces.push(CallPiece::Text(self.held.drain(..sure).collect()));
                }
                false
            }
            State::Open { between } => {
                let before = self.format.between.as_deref().filter(|_| between).unwrap_or_default();
                let expected = format!("{before}{}", self.format.open);
                self.expect(&expected, State::Name)
            }
            State::Name => {
                let Some(at) = self.held.find(&self.format.middle) else { return false };
                pieces.push(CallPiece::Name(self.held.drain(..at).collect()));
                self.held.drain(..self.format.middle.len());
                self.state = State::Arguments(Nesting::default());
                true
            }
            State::Arguments(mut nesting) => {
                let end = self
                    .held
                    .char_indices()
                    .find_map(|(at, c)| nesting.ends(c).then(|| at + c.len_utf8()));
                let len = end.unwrap_or(self.held.len());
                if len > 0 {
                    pieces.push(CallPiece::Arguments(self.held.drain(..len).collect()));
                }
                self.state = if end.is_some() { State::Close } else { State::Arguments(nesting) };
                end.is_some()
            }
            State::Close => {
                let close = self.format.close.clone();
                self.expect(&close, State::Open { between: true })
            }
            State::Lost => false,
        }
    }

    /// Takes a text that must come now.
    fn expect(&mut self, expected: &str, next: State) -> bool {
        if let Some(rest) = self.held.strip_prefix(expected) {
            self.held = rest.to_owned();
            self.state = next;
            return true;
        }
        if !expected.starts_with(self.held.as_str()) {
            self.state = State::Lost;
        }
        false
    }
}
