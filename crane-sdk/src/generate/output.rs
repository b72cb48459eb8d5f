//! What comes out of a generation: pieces on the way, and the whole at its end.

use serde::{Deserialize, Serialize};

use super::Stats;
use crate::sample::TokenLogprob;

/// One step's result: a chosen token and the text that became certain by it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Piece {
    /// Whole characters; empty while one is incomplete, while the text may be the beginning of a stop
    /// string, and for hidden special tokens.
    pub text: String,
    /// The chosen token; `None` for text that waited and came out because the generation was
    /// cancelled.
    pub id: Option<u32>,
    /// Log-probabilities, if they were asked for.
    pub logprobs: Option<PieceLogprobs>,
}

/// How likely a chosen token and its rivals were.
#[derive(Debug, Clone, PartialEq)]
pub struct PieceLogprobs {
    /// Of the chosen token.
    pub logprob: f32,
    /// The most likely tokens, best first.
    pub top: Vec<TokenLogprob>,
}

/// What one step did.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A chunk of tokens was evaluated and no token chosen yet.
    Prefill {
        /// Tokens in the cache.
        done: usize,
        /// Tokens that must be there before the next is chosen.
        total: usize,
    },
    /// A token was chosen, or text that waited came out.
    Piece(Piece),
    /// Nothing is running: the generation has ended, or none was begun.
    Done,
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// A stop string appeared.
    Stop,
    /// The model chose an end-of-sequence token.
    Eos,
    /// Its form is whole ([`GenerationConfig::constraint`](super::GenerationConfig::constraint)): nothing can follow.
    Complete,
    /// The token limit or the end of the context window was reached.
    Length,
    /// The caller ended it.
    Cancelled,
    /// A step failed; the error was returned by that step.
    Error,
}

/// The whole of a generation.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Output {
    /// All chosen tokens, with the end-of-sequence token or those of the stop string.
    pub ids: Vec<u32>,
    /// The text of all pieces.
    pub text: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// The stop string that ended it, if one did.
    pub stop: Option<String>,
    /// How many tokens, and how fast.
    pub stats: Stats,
    /// Tokens of the prompt and the reply that the context policy dropped from the window.
    pub dropped_tokens: usize,
    /// The seed that repeats this output.
    pub seed: u64,
}

impl Output {
    /// The output of a generation that has chosen nothing.
    pub(crate) fn nothing(seed: u64) -> Self {
        Self {
            ids: Vec::new(),
            text: String::new(),
            finish_reason: FinishReason::Cancelled,
            stop: None,
            stats: Stats::default(),
            dropped_tokens: 0,
            seed,
        }
    }
}
