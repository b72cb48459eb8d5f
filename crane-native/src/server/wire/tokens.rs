//! From pieces of a generation to what may be told of them: text, and the tokens that it is made of.

use crane_sdk::generate::{FinishReason, GenerationConfig, Output, Piece};
use crane_sdk::sample::TokenLogprob;

/// A token and how likely it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// The token.
    pub id: u32,
    /// The logarithm of its probability.
    pub logprob: f32,
    /// The likeliest tokens in its place.
    pub top: Vec<TokenLogprob>,
}

/// Text that is certain, with its tokens if log-probabilities were asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// Whole characters.
    pub text: String,
    /// The tokens.
    pub tokens: Vec<Chosen>,
}

impl Told {
    fn is_empty(&self) -> bool {
        self.text.is_empty() && self.tokens.is_empty()
    }

    /// Adds what came after.
    pub fn extend(&mut self, more: Told) {
        self.text.push_str(&more.text);
        self.tokens.extend(more.tokens);
    }
}

/// Holds tokens back until their text is certain: those of an incomplete character, or of what may become a stop
/// string, of which nothing is told.
#[derive(Debug, Default)]
pub struct Teller {
    waiting: Vec<Chosen>,
    /// Whether a token that ends the reply is told, too.
    tells_end: bool,
}

impl Teller {
    /// One that also tells of a token that ends the reply, if `tells_end`: who counts tokens counts that one.
    pub fn new(tells_end: bool) -> Self {
        Self { waiting: Vec::new(), tells_end }
    }

    /// What a piece makes certain, if anything. A token that ends the reply is no part of its text.
    pub fn piece(&mut self, piece: Piece, config: &GenerationConfig) -> Option<Told> {
        if let (Some(id), Some(found)) = (piece.id, piece.logprobs)
            && (self.tells_end || config.ignore_eos || !config.eos_ids.contains(&id))
        {
            self.waiting.push(Chosen { id, logprob: found.logprob, top: found.top });
        }
        if piece.text.is_empty() {
            return None;
        }
        Some(Told { text: piece.text, tokens: std::mem::take(&mut self.waiting) })
    }

    /// What is left at the end: tokens without text, unless they were a stop string's.
    pub fn end(&mut self, output: &Output) -> Option<Told> {
        let tokens = std::mem::take(&mut self.waiting);
        let told = Told { text: String::new(), tokens };
        Some(told).filter(|told| output.finish_reason != FinishReason::Stop && !told.is_empty())
    }
}

/// OpenAI's word for why a reply ended.
pub fn finish_reason(output: &Output) -> &'static str {
    match output.finish_reason {
        FinishReason::Length => "length",
        _ => "stop",
    }
}
