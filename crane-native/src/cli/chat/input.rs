//! Where a chat's lines come from: a line editor on a terminal, plain lines everywhere else.

use std::cell::RefCell;
use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;

use crane_sdk::source::without_bom;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use super::block::Block;
use crate::cli::exit::{Failure, Result};
use crate::cli::output::Console;

/// What the user did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// Ended a message or a command.
    Text(String),
    /// Left: Ctrl-D, Ctrl-C twice, or the end of stdin.
    End,
}

/// The source of a chat's lines.
pub(super) struct Reader {
    block: Block,
    editor: Option<Editor>,
    console: Console,
    /// How many lines have been read that nobody typed.
    lines: usize,
    /// Whether it was said that some of them are not UTF-8.
    warned: bool,
}

struct Editor {
    lines: rustyline::Editor<Typed, DefaultHistory>,
    history: Option<PathBuf>,
}

impl Reader {
    /// A line editor with a history file if stdin is a terminal, or plain lines.
    ///
    /// # Errors
    /// [`Failure::Other`] if the terminal cannot be taken over.
    pub(super) fn new(console: Console, history: PathBuf) -> Result<Self> {
        let editor =
            if io::stdin().is_terminal() { Some(Editor::new(console, history)?) } else { None };
        Ok(Reader { block: Block::default(), editor, console, lines: 0, warned: false })
    }

    /// Whether a person is typing.
    pub(super) fn is_interactive(&self) -> bool {
        self.editor.is_some()
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// [`Failure::Other`] if it cannot be read.
    pub(super) fn next(&mut self) -> Result<Input> {
        match &mut self.editor {
            Some(editor) => editor.next(&mut self.block, self.console),
            None => self.next_line(&mut io::stdin().lock()),
        }
    }

    /// Plain lines: bytes of them that are not UTF-8 become U+FFFD, since an error would end the chat.
    fn next_line(&mut self, from: &mut impl BufRead) -> Result<Input> {
        loop {
            let mut line = Vec::new();
            let read = from
                .read_until(b'\n', &mut line)
                .map_err(|error| Failure::Other(format!("cannot read stdin: {error}")))?;
            if read == 0 {
                return Ok(self.block.finish().map_or(Input::End, Input::Text));
            }
            self.lines += 1;
            let line = if self.lines == 1 { without_bom(&line) } else { &line };
            if !self.warned && std::str::from_utf8(line).is_err() {
                self.warned = true;
                self.console.warn(format_args!(
                    "line {} of stdin is not UTF-8 text; the model sees its odd bytes as \u{FFFD}",
                    self.lines
                ));
            }
            if let Some(text) = self.block.push(&String::from_utf8_lossy(line)) {
                return Ok(Input::Text(text));
            }
        }
    }
}

/// The line that is being typed, which the editor gives up where a byte is not UTF-8.
#[derive(Default)]
struct Typed(RefCell<(String, String)>);

impl Hinter for Typed {
    type Hint = String;

    /// No hint: it is asked for one after each change.
    fn hint(&self, line: &str, cursor: usize, _: &Context<'_>) -> Option<String> {
        let (before, after) = line.split_at_checked(cursor).unwrap_or((line, ""));
        self.0.replace((before.to_owned(), after.to_owned()));
        None
    }
}

impl Completer for Typed {
    type Candidate = String;
}

impl Highlighter for Typed {}

impl Validator for Typed {}

impl Helper for Typed {}

impl Editor {
    fn new(console: Console, history: PathBuf) -> Result<Self> {
        let mut lines = rustyline::Editor::new().map_err(terminal)?;
        lines.set_helper(Some(Typed::default()));
        let history = match history.parent().map(std::fs::create_dir_all) {
            Some(Err(error)) => {
                console
                    .warn(format_args!("cannot keep a history in {}: {error}", history.display()));
                None
            }
            _ => Some(history),
        };
        if let Some(file) = history.as_ref().filter(|file| file.exists())
            && let Err(error) = lines.load_history(file)
        {
            console.warn(format_args!("cannot read the history {}: {error}", file.display()));
        }
        Ok(Editor { lines, history })
    }

    fn next(&mut self, block: &mut Block, console: Console) -> Result<Input> {
        let mut warned = false;
        let mut kept = (String::new(), String::new());
        loop {
            let prompt = if block.is_open() { "... " } else { ">>> " };
            let (before, after) = std::mem::take(&mut kept);
            if let Some(typed) = self.lines.helper() {
                typed.0.take();
            }
            match self.lines.readline_with_initial(prompt, (&before, &after)) {
                Ok(line) => {
                    warned = false;
                    if let Some(text) = block.push(&line) {
                        self.remember(&text, console);
                        return Ok(Input::Text(text));
                    }
                }
                Err(ReadlineError::Interrupted) if warned => return Ok(Input::End),
                Err(ReadlineError::Interrupted) => {
                    block.clear();
                    warned = true;
                    console.note("Ctrl-C again (or Ctrl-D, or /bye) leaves");
                }
                Err(ReadlineError::Eof) => {
                    return Ok(block.finish().map_or(Input::End, Input::Text));
                }
                Err(ReadlineError::Signal(_)) => {}
                // The line is given back without the byte: a chat is not to end by a key.
                Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    kept = self.lines.helper().map(|typed| typed.0.take()).unwrap_or_default();
                    console.warn(
                        "a byte that is not UTF-8 was left out (does the terminal send UTF-8?)",
                    );
                }
                Err(error) => return Err(terminal(error)),
            }
        }
    }

    /// Saved at once: a chat may end in any way.
    fn remember(&mut self, text: &str, console: Console) {
        let Some(history) = self.history.clone() else { return };
        let saved = self.lines.add_history_entry(text).and_then(|new| match new {
            true => self.lines.append_history(&history),
            false => Ok(()),
        });
        if let Err(error) = saved {
            console.warn(format_args!("cannot write the history {}: {error}", history.display()));
            self.history = None;
        }
    }
}

fn terminal(error: ReadlineError) -> Failure {
    Failure::Other(format!("cannot read from the terminal: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::OutputArgs;

    #[test]
    fn lines_that_are_not_utf8_do_not_end_a_chat() {
        let console = Console::new(OutputArgs { quiet: true, verbose: false });
        let mut reader =
            Reader { block: Block::default(), editor: None, console, lines: 0, warned: false };
        let mut from = &b"\xef\xbb\xbfhi\ncaf\xe9\r\n\"\"\"a\xff\nb\"\"\"\nend"[..];
        for expected in ["hi", "caf\u{fffd}", "a\u{fffd}\nb", "end"] {
            assert_eq!(reader.next_line(&mut from).unwrap(), Input::Text(expected.to_owned()));
        }
        assert_eq!(reader.next_line(&mut from).unwrap(), Input::End);
        assert!(reader.warned);
    }
}
