//! Takes a reply apart as it comes: text, and calls with their names and arguments.

use super::CallFormat;
use crate::text::overlap;

/// A part of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallPiece {
    /// More text.
    Text(String),
    /// A call of the tool with this name.
    Name(String),
    /// The arguments of the call that was named last, which are JSON and whole.
    Arguments(String),
}

/// Reads a reply whose calls have a [`CallFormat`]. What may become a call is held back until it is known, and a call until its
/// arguments are whole: of one that a limit cuts nothing is told.
#[derive(Debug, Clone)]
pub struct CallReader {
    splitter: Splitter,
    name: String,
    arguments: String,
}

impl CallReader {
    pub(super) fn new(format: CallFormat) -> Self {
        Self { splitter: Splitter::new(format), name: String::new(), arguments: String::new() }
    }

    /// Takes more of the reply; returns what is known now.
    pub fn push(&mut self, text: &str) -> Vec<CallPiece> {
        let spans = self.splitter.push(text);
        self.read(spans)
    }

    /// Ends the reply: what was held back comes out, but for a call that is not whole.
    pub fn finish(&mut self) -> Vec<CallPiece> {
        let spans = self.splitter.finish();
        self.read(spans)
    }

    fn read(&mut self, spans: Vec<Span>) -> Vec<CallPiece> {
        let mut pieces = Vec::new();
        for span in spans {
            match span {
                Span::Text(text) => pieces.push(CallPiece::Text(text)),
                Span::Syntax(_) => {}
                Span::Name(name) => self.name = name,
                Span::Arguments(more, whole) => {
                    self.arguments.push_str(&more);
                    if whole {
                        pieces.push(CallPiece::Name(std::mem::take(&mut self.name)));
                        pieces.push(CallPiece::Arguments(std::mem::take(&mut self.arguments)));
                    }
                }
            }
        }
        pieces
    }
}

/// A stretch of a reply; all of them one after the other are the reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Span {
    /// What a reader of the reply sees.
    Text(String),
    /// What stands around the parts of a call.
    Syntax(String),
    /// The name of a tool.
    Name(String),
    /// More of a call's arguments, and whether they are whole with it.
    Arguments(String, bool),
}

/// Divides a reply into what is seen of it and what are calls.
#[derive(Debug, Clone)]
pub(crate) struct Splitter {
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

impl Splitter {
    pub(crate) fn new(format: CallFormat) -> Self {
        Self { format, state: State::Text, held: String::new() }
    }

    /// Whether the end of what came is inside a call, or may be.
    pub(crate) fn is_in_call(&self) -> bool {
        !matches!(self.state, State::Text | State::Lost)
    }

    /// Takes more of the reply; returns what is known now.
    pub(crate) fn push(&mut self, text: &str) -> Vec<Span> {
        self.held.push_str(text);
        let mut spans = Vec::new();
        while self.step(&mut spans) {}
        spans
    }

    /// Ends the reply: what was held back comes out.
    pub(crate) fn finish(&mut self) -> Vec<Span> {
        let held = std::mem::take(&mut self.held);
        if held.is_empty() {
            return Vec::new();
        }
        vec![match self.state {
            State::Text | State::Lost => Span::Text(held),
            State::Arguments(_) | State::Open { .. } | State::Name | State::Close => {
                Span::Syntax(held)
            }
        }]
    }

    /// Goes on by one part; whether there may be another.
    fn step(&mut self, spans: &mut Vec<Span>) -> bool {
        match self.state {
            State::Text => {
                let trigger = self.format.trigger();
                if let Some(at) = self.held.find(trigger) {
                    // White space before a call belongs to it.
                    let seen = self.held.get(..at).unwrap_or_default().trim_end().len();
                    spans.extend((seen > 0).then(|| Span::Text(self.held.drain(..seen).collect())));
                    let spaces = at - seen;
                    spans.extend(
                        (spaces > 0).then(|| Span::Syntax(self.held.drain(..spaces).collect())),
                    );
                    self.state = State::Open { between: false };
                    return true;
                }
                let kept = overlap(&self.held, trigger);
                let sure = self.held.len() - kept;
                let sure = self.held.get(..sure).unwrap_or_default().trim_end().len();
                if sure > 0 {
                    spans.push(Span::Text(self.held.drain(..sure).collect()));
                }
                false
            }
            State::Open { between } => {
                let before = self.format.between.as_deref().filter(|_| between).unwrap_or_default();
                let expected = format!("{before}{}", self.format.open);
                self.expect(&expected, State::Name, spans)
            }
            State::Name => {
                let Some(at) = self.held.find(&self.format.middle) else { return false };
                spans.push(Span::Name(self.held.drain(..at).collect()));
                let middle = self.held.drain(..self.format.middle.len()).collect();
                spans.push(Span::Syntax(middle));
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
                    let more = self.held.drain(..len).collect();
                    spans.push(Span::Arguments(more, end.is_some()));
                }
                self.state = if end.is_some() { State::Close } else { State::Arguments(nesting) };
                end.is_some()
            }
            State::Close => {
                let close = self.format.close.clone();
                self.expect(&close, State::Open { between: true }, spans)
            }
            State::Lost => {
                let more = std::mem::take(&mut self.held);
                spans.extend((!more.is_empty()).then_some(Span::Text(more)));
                false
            }
        }
    }

    /// Takes a text that must come now.
    fn expect(&mut self, expected: &str, next: State, spans: &mut Vec<Span>) -> bool {
        if let Some(rest) = self.held.strip_prefix(expected) {
            self.held = rest.to_owned();
            spans.push(Span::Syntax(expected.to_owned()));
            self.state = next;
            return true;
        }
        if !expected.starts_with(self.held.as_str()) {
            self.state = State::Lost;
            return true;
        }
        false
    }
}
