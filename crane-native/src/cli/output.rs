//! Stdout for the answer, stderr for everything said about it; neither lets a stranger's text act on the terminal.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use super::args::OutputArgs;
use super::exit::{Failure, Result};
use crate::terminal;

/// What may appear on stderr, and whether in colour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Console {
    quiet: bool,
    verbose: bool,
    colour: bool,
}

/// A style of stderr text.
#[derive(Debug, Clone, Copy)]
enum Style {
    Plain,
    Dim,
    Warning,
    Error,
}

impl Console {
    /// Reads the flags, the terminal and `NO_COLOR`.
    pub(super) fn new(args: OutputArgs) -> Self {
        let terminal = io::stderr().is_terminal();
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Console { quiet: args.quiet, verbose: args.verbose, colour: terminal && !refused && !dumb }
    }

    /// Whether `--quiet` was given.
    pub(super) fn is_quiet(self) -> bool {
        self.quiet
    }

    /// A remark on what is going on: which model answers, statistics.
    pub(super) fn note(self, text: impl Display) {
        if !self.quiet {
            self.line(Style::Dim, terminal::line(&text.to_string()));
        }
    }

    /// A remark for `--verbose`.
    pub(super) fn detail(self, text: impl Display) {
        if self.verbose {
            self.line(Style::Dim, terminal::line(&text.to_string()));
        }
    }

    /// What the user asked to be told, as by `/help` in a chat: `--quiet` does not hide it.
    pub(super) fn tell(self, text: impl Display) {
        self.line(Style::Plain, terminal::text(&text.to_string()));
    }

    /// Something that the user should know before trusting the answer.
    pub(super) fn warn(self, text: impl Display) {
        if !self.quiet {
            let text = text.to_string();
            self.line(Style::Warning, format_args!("warning: {}", terminal::log_line(&text)));
        }
    }

    /// What went wrong; `--quiet` does not hide it.
    pub(super) fn error(self, text: impl Display) {
        let text = text.to_string();
        self.line(Style::Error, format_args!("error: {}", terminal::message(&text)));
    }

    fn line(self, style: Style, text: impl Display) {
        let (on, off) = match (self.colour, style) {
            (false, _) | (true, Style::Plain) => ("", ""),
            (true, Style::Dim) => ("\x1b[2m", "\x1b[0m"),
            (true, Style::Warning) => ("\x1b[33m", "\x1b[0m"),
            (true, Style::Error) => ("\x1b[31m", "\x1b[0m"),
        };
        // Nothing can be done for a reader who closed stderr.
        let _ = writeln!(io::stderr().lock(), "{on}{text}{off}");
    }
}

/// Writes a piece of the answer and shows it at once. On a terminal what would act on it is escaped; through a pipe every
/// byte is the model's.
///
/// # Errors
/// [`Failure::BrokenPipe`] if the reader has gone, [`Failure::Other`] if the system refuses.
pub(super) fn answer(text: &str) -> Result {
    let mut stdout = io::stdout().lock();
    let text = shown(&stdout, text);
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Failure::stdout)
}

/// Writes lines to stdout, as [`answer`] does.
///
/// # Errors
/// As [`answer`].
pub(super) fn line(text: impl Display) -> Result {
    let mut stdout = io::stdout().lock();
    let text = text.to_string();
    let text = shown(&stdout, &text);
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(Failure::stdout)
}

fn shown<'a>(stdout: &impl IsTerminal, text: &'a str) -> Cow<'a, str> {
    if stdout.is_terminal() { terminal::text(text) } else { Cow::Borrowed(text) }
}

/// Writes a value to stdout as one line of JSON.
///
/// # Errors
/// As [`answer`].
pub(super) fn json(value: &serde_json::Value) -> Result {
    line(terminal::json(&value.to_string()))
}
