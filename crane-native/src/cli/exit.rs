//! How a command ends: the failures of the command line and their exit codes.

use std::io;

/// A command's result.
pub(super) type Result<T = (), E = Failure> = std::result::Result<T, E>;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command line, or a file it names, is at fault.
    Usage(String),
    /// The library or the hub refused.
    Crane(crate::Error),
    /// Something else, in words.
    Other(String),
    /// Ctrl-C; whatever had been answered is on stdout.
    Interrupted,
    /// Something that the user was told when it happened, with its exit code.
    Told(u8),
    /// The reader of stdout has gone: nobody is left to tell.
    BrokenPipe,
}

/// Exit codes are part of the interface (`crane --help` lists them).
pub(super) mod code {
    pub(in crate::cli) const OK: u8 = 0;
    pub(in crate::cli) const OTHER: u8 = 1;
    pub(in crate::cli) const USAGE: u8 = 2;
    #[cfg(feature = "server")]
    pub(in crate::cli) const OUT_OF_MEMORY: u8 = 4;
    pub(in crate::cli) const INTERRUPTED: u8 = 130;
}

impl Failure {
    /// The process's exit code.
    pub(super) fn code(&self) -> u8 {
        match self {
            Failure::Usage(_) => code::USAGE,
            Failure::Crane(error) => error.exit_code(),
            Failure::Other(_) => code::OTHER,
            Failure::Told(code) => *code,
            Failure::Interrupted => code::INTERRUPTED,
            Failure::BrokenPipe => code::OK,
        }
    }

    /// What to print, or nothing where there is nobody to tell or nothing to add.
    pub(super) fn message(&self) -> Option<String> {
        match self {
            Failure::Usage(text) | Failure::Other(text) => Some(text.clone()),
            Failure::Crane(error) => Some(error.to_string()),
            Failure::Told(_) | Failure::Interrupted | Failure::BrokenPipe => None,
        }
    }

    /// A failed write to stdout.
    pub(super) fn stdout(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::BrokenPipe,
            _ => Failure::Other(format!("cannot write to stdout: {error}")),
        }
    }
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        match error {
            crate::Error::Cancelled => Failure::Interrupted,
            crate::Error::Sdk(error) => error.into(),
            error => Failure::Crane(error),
        }
    }
}

impl From<crane_sdk::Error> for Failure {
    fn from(error: crane_sdk::Error) -> Self {
        match error {
            crane_sdk::Error::InvalidArgument { name, reason } => {
                Failure::Usage(format!("{}: {reason}", flag(&name)))
            }
            crane_sdk::Error::ContextOverflow { prompt, context } => Failure::Usage(format!(
                "the prompt has {prompt} tokens and the context holds {context}; shorten the prompt, \
                 raise --ctx, or choose --context-policy shift or truncate-oldest"
            )),
            error => Failure::Crane(error.into()),
        }
    }
}

/// An option as the command line spells it, by the library's name for it.
fn flag(name: &str) -> String {
    if let Some((name, id)) = name.split_once('[') {
        return format!("{} {}", flag(name), id.trim_end_matches(']'));
    }
    match name {
        "temperature" => "--temp".to_owned(),
        "repetition_penalty" => "--repeat-penalty".to_owned(),
        "penalty_last_n" => "--repeat-last-n".to_owned(),
        "max_new_tokens" => "--max-tokens".to_owned(),
        "recording" => "--clone".to_owned(),
        "said" => "--transcript".to_owned(),
        "context" => "--ctx".to_owned(),
        "prompt" | "text" | "context policy" => name.to_owned(),
        name => format!("--{}", name.replace('_', "-")),
    }
}
