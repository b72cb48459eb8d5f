//! Where a chat's lines come from: a line editor on a terminal, plain lines everywhere else.

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

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
}

struct Editor {
    lines: DefaultEditor,
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
        Ok(Reader { block: Block::default(), editor, console })
    }

    /// Whether a person is typing.
    pub(super) fn is_interactive(&self) -> bool {
        self.editor.is_some()
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// [`Failure::Usage`] if stdin is not UTF-8, [`Failure::Other`] if it cannot be read.
    pub(super) fn next(&mut self) -> Result<Input> {
        match &mut self.editor {
            Some(editor) => editor.next(&mut self.block, self.console),
            None => next_line(&mut self.block),
        }
    }
}

fn next_line(block: &mut Block) -> Result<Input> {
    loop {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => Failure::Usage("stdin is not UTF-8 text".to_owned()),
            _ => Failure::Other(format!("cannot read stdin: {error}")),
        })?;
        if read == 0 {
            return Ok(block.finish().map_or(Input::End, Input::Text));
        }
        if let Some(text) = block.push(&line) {
            return Ok(Input::Text(text));
        }
    }
}

impl Editor {
    fn new(console: Console, history: PathBuf) -> Result<Self> {
        let mut lines = DefaultEditor::new().map_err(terminal)?;
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
        loop {
            let prompt = if block.is_open() { "... " } else { ">>> " };
            match self.lines.readline(prompt) {
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
