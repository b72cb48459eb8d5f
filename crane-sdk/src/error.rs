//! The one error type of the library: what went wrong, where, and what to do next.

use std::fmt;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The longest reason that is told of a damaged file, in characters.
const MOST_REASON: usize = 2000;

/// Everything that can go wrong between a checkpoint and an answer.
///
/// Each message names the thing that failed and says what to do next; [`Error::kind`] is for code
/// that must tell one failure from another.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file, model or tensor that was asked for does not exist.
    #[error("{what} not found in {place}; {hint}")]
    NotFound {
        /// The thing that is missing.
        what: String,
        /// Where it was looked for.
        place: String,
        /// What to do next.
        hint: String,
    },
    /// A file exists but its bytes are not what its format demands.
    #[error("{file} is damaged or not of its format: {reason}")]
    InvalidFile {
        /// The file.
        file: String,
        /// What is wrong with it, with numbers.
        reason: String,
    },
    /// The checkpoint is sound, but this build cannot run it.
    #[error("{what} is not supported: {hint}")]
    Unsupported {
        /// The architecture, tensor type or feature.
        what: String,
        /// What is supported, or what to do next.
        hint: String,
    },
    /// A tensor of the checkpoint does not fit the model that its config describes.
    #[error("tensor {name} in {file}: {reason}")]
    Weights {
        /// The tensor's name in the checkpoint.
        name: String,
        /// The checkpoint that holds it, or should.
        file: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// An option or argument has a value that cannot act.
    #[error("{name}: {reason}")]
    InvalidArgument {
        /// The option's name as the caller spells it.
        name: String,
        /// Why it cannot act, and which values can.
        reason: String,
    },
    /// The prompt (or the conversation) is longer than the context window.
    #[error(
        "the prompt has {prompt} tokens and the context holds {context}; shorten the prompt, raise \
         the context size, or choose a context policy (shift, truncate-oldest)"
    )]
    ContextOverflow {
        /// Tokens that had to fit.
        prompt: usize,
        /// Tokens that fit.
        context: usize,
    },
    /// A reply that was to be a value is none; its message does not show the reply, which may be long or private.
    #[error("the reply cannot be read as the value that was asked for: {reason}")]
    InvalidReply {
        /// What keeps it from being one.
        reason: String,
        /// What the model said.
        reply: String,
    },
    /// Memory that is needed cannot be had.
    #[error("not enough memory for {what}: {bytes} bytes are needed; {hint}")]
    OutOfMemory {
        /// What the memory was for.
        what: String,
        /// How many bytes were needed.
        bytes: u64,
        /// What to do next.
        hint: String,
    },
    /// A chat template could not be parsed or rendered.
    #[error("chat template: {0}")]
    Template(String),
    /// A tokenizer could not be built, or refused a text or an id.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// A model's numbers are NaN or infinite, so that what it says has no meaning.
    #[error(
        "{place} gives numbers that are not finite (NaN or infinite): its weights are damaged, or too large for the type \
         that they are loaded as; fetch the model again, or load it as f32"
    )]
    NotFinite {
        /// Where they come up first, as far as that is known: a layer, a token, the model.
        place: String,
    },
    /// The operating system (or the browser's storage) refused to read.
    #[error("cannot read {path}: {reason}")]
    Io {
        /// The path or name.
        path: String,
        /// The system's own words.
        reason: String,
    },
    /// A file was written to, cut or replaced between two reads, so that its parts need not belong together.
    #[error(
        "{file} changed while it was read: {reason}; run it again when nothing writes to the file"
    )]
    Changed {
        /// The file.
        file: String,
        /// How it differs from what was opened.
        reason: String,
    },
    /// candle refused a tensor operation: a shape or device that the library should have checked.
    #[error("tensor operation: {0}")]
    Tensor(#[from] candle_core::Error),
}

/// The class of an [`Error`], for exit codes and protocol errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller's argument or prompt is at fault.
    Argument,
    /// The model is missing, damaged or not supported.
    Model,
    /// Memory ran out.
    Memory,
    /// The library or its back end failed.
    Internal,
}

impl Error {
    /// The class of this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::InvalidArgument { .. }
            | Error::ContextOverflow { .. }
            | Error::InvalidReply { .. } => ErrorKind::Argument,
            Error::NotFound { .. }
            | Error::InvalidFile { .. }
            | Error::Unsupported { .. }
            | Error::Weights { .. }
            | Error::Template(_)
            | Error::Tokenizer(_)
            | Error::Io { .. }
            | Error::NotFinite { .. }
            | Error::Changed { .. } => ErrorKind::Model,
            Error::OutOfMemory { .. } => ErrorKind::Memory,
            Error::Tensor(_) => ErrorKind::Internal,
        }
    }

    /// A damaged file: `reason` says what was expected and what was found.
    pub(crate) fn invalid_file(file: impl fmt::Display, reason: impl fmt::Display) -> Self {
        // What a reason quotes may be as long as the file.
        let mut reason = reason.to_string();
        if let Some((end, _)) = reason.char_indices().nth(MOST_REASON) {
            reason.truncate(end);
            reason.push('…');
        }
        Error::InvalidFile { file: file.to_string(), reason }
    }

    /// An argument that cannot act: `reason` says which values can.
    pub(crate) fn argument(name: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Error::InvalidArgument { name: name.to_string(), reason: reason.to_string() }
    }
}
