//! The state machine under every face: which tokens to feed next, and what to make of the logits.

use std::sync::Arc;

use super::run::Run;
use super::{CancelToken, FinishReason, GenerationConfig, Output, Piece, Step};
use crate::models::{LogitsRows, Segment};
use crate::nn::{KvCache, KvPage};
use crate::text::Tokenizer;
use crate::{Error, Result};

/// One sequence of tokens, the cache of those that were evaluated, and the generation that runs on it.
///
/// It knows no model. A driver (a [`Session`](super::Session), a batch, a server's scheduler) repeats:
/// [`prepare`](Sequence::prepare); if that is [`Prepared::Feed`], evaluate the
/// [`segment`](Sequence::segment), alone or among others; then [`accept`](Sequence::accept) its logits,
/// or [`rollback`](Sequence::rollback) if the forward pass failed.
///
/// Between two calls the cache always holds exactly the first [`cached`](Sequence::cached) of the
/// [`tokens`](Sequence::tokens), whatever failed or was given up.
#[derive(Debug)]
pub struct Sequence {
    cache: KvCache,
    vocab_size: usize,
    tokens: Vec<u32>,
    run: Option<Run>,
}

/// What a driver must do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Prepared {
    /// Evaluate the segment.
    Feed,
    /// Nothing: the generation has ended, perhaps with this last piece of text.
    Ended(Option<Piece>),
}

impl Sequence {
    /// An empty sequence over an empty cache; `vocab_size` is the length of a row of logits.
    pub fn new(cache: KvCache, vocab_size: usize) -> Self {
        Self { cache, vocab_size, tokens: Vec::new(), run: None }
    }

    /// The tokens in the window: what was fed, and what is still to be fed.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// How many of the tokens are in the cache.
    pub fn cached(&self) -> usize {
        self.cache.len()
    }

    /// How many tokens the window holds.
    pub fn capacity(&self) -> usize {
        self.cache.capacity()
    }

    /// Whether a generation has begun and not ended.
    pub fn is_running(&self) -> bool {
        self.run.as_ref().is_some_and(Run::is_running)
    }

    /// Begins a generation; one that is under way is given up.
    ///
    /// What the cache holds of the prompt's beginning is used again. Without a tokenizer the pieces have
    /// ids and no text. If it fails, the sequence is as it was.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an empty prompt, an id that is not in the vocabulary, or an option
    /// that cannot act; [`Error::ContextOverflow`] if the prompt does not fit and no policy was chosen.
    pub fn begin(
        &mut self,
        prompt: &[u32],
        config: &GenerationConfig,
        cancel: &CancelToken,
        tokenizer: Option<&Arc<Tokenizer>>,
    ) -> Result<()> {
        if prompt.is_empty() {
            return Err(Error::argument(
                "prompt",
                "has no tokens; a model needs at least one to begin with (its bos token, say)",
            ));
        }
        if let Some(id) = prompt.iter().find(|&&id| id as usize >= self.vocab_size) {
            return Err(Error::argument(
                "prompt",
                format_args!(
                    "holds the token {id}, and the model knows {} (is the tokenizer another model's?)",
                    self.vocab_size
                ),
            ));
        }
        let mut run = Run::new(config, cancel, tokenizer, self.vocab_size)?;
        let fit = config.context.fit(prompt.len(), self.capacity(), config.max_new_tokens)?;
        let (keep, dropped) = fit;
        let (first, rest) = prompt.split_at(if dropped > 0 { keep } else { 0 });
        let rest = &rest[dropped..];

        let held = self.tokens.iter().take(self.cache.len());
        let same = held.zip(first.iter().chain(rest)).take_while(|(a, b)| a == b).count();
        // The last token is always fed: its logits are what the first choice is made from.
        let cached = same.min(first.len() + rest.len() - 1);
        self.cache.truncate(cached);
        self.tokens.clear();
        self.tokens.extend_from_slice(first);
        self.tokens.extend_from_slice(rest);
        run.prompt(self.tokens.len(), cached, dropped);
        self.run = Some(run);
        Ok(())
    }

    /// How many tokens of the prompt the next segments hold, in the place of the config's `prefill_chunk`; 0
    /// counts as 1. What is generated does not depend on it.
    pub fn set_prefill_chunk(&mut self, tokens: usize) {
        if let Some(run) = &mut self.run {
            run.config.prefill_chunk = tokens.max(1);
        }
    }

    /// A page of its cache; see [`KvCache::page`].
    pub fn page(&self, index: usize) -> Option<KvPage> {
        self.cache.page(index)
    }

    /// Holds pages of these tokens in the place of what it held, so that a generation that begins with them need not
    /// evaluate them. Returns whether it does; nothing is changed while a generation runs here, nor where
    /// [`KvCache::hold_pages`] changes nothing.
    pub fn hold_pages(&mut self, tokens: &[u32], pages: &[KvPage]) -> bool {
        let held = !self.is_running() && self.cache.hold_pages(pages, tokens.len());
        if held {
            self.tokens.clear();
            self.tokens.extend_from_slice(tokens);
        }
        held
    }

    /// How many pages of its cache are held by nobody else.
    pub fn own_pages(&self) -> usize {
        self.cache.own_pages()
    }

    /// Looks at the cancel token and the window before a step.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the text that waited cannot be decoded.
    pub fn prepare(&mut self) -> Result<Prepared> {
        let Some(run) = self.run.as_mut().filter(|run| run.is_running()) else {
            return Ok(Prepared::Ended(None));
        };
        if run.cancel.is_cancelled() {
            return run.end(FinishReason::Cancelled).map(Prepared::Ended);
        }
        if self.tokens.len() > self.cache.capacity() {
            match run.config.context.shift(self.tokens.len()) {
                Some((keep, dropped)) => {
                    self.cache.truncate(keep);
                    self.tokens.drain(keep..keep + dropped);
                    run.dropped(dropped);
                }
                None => return run.end(FinishReason::Length).map(Prepared::Ended),
            }
        }
        Ok(Prepared::Feed)
    }

    /// The tokens that are to be evaluated now: the next chunk of what is not in the cache.
    ///
    /// Its `logits` say whether a row is wanted: [`LogitsRows::Last`] once the chunk reaches the last token.
    pub fn segment(&mut self) -> Segment<'_> {
        let start = self.cache.len().min(self.tokens.len());
        let chunk = self.run.as_ref().map_or(usize::MAX, |run| run.config.prefill_chunk);
        let end = start.saturating_add(chunk).min(self.tokens.len());
        let last = end == self.tokens.len() && end > start;
        Segment {
            tokens: &self.tokens[start..end],
            cache: &mut self.cache,
            logits: if last { LogitsRows::Last } else { LogitsRows::None },
        }
    }

    /// Takes the result of a forward pass: the segment's row of logits if it wanted one (it is changed
    /// in place), or `None`.
    ///
    /// # Errors
    /// As [`Sampler::sample`](crate::sample::Sampler::sample), and [`Error::Tokenizer`] if the token
    /// cannot be decoded; the generation has then ended.
    pub fn accept(&mut self, row: Option<&mut [f32]>) -> Result<Step> {
        let Some(run) = self.run.as_mut().filter(|run| run.is_running()) else {
            return Ok(Step::Done);
        };
        run.evaluated(self.cache.len());
        let Some(row) = row else {
            return Ok(Step::Prefill { done: self.cache.len(), total: self.tokens.len() });
        };
        let mut piece = match run.choose(row, &mut self.tokens) {
            Ok(piece) => piece,
            Err(error) => {
                run.fail();
                return Err(error);
            }
        };
        // Known now: the caller need not ask again to learn that this was the last piece.
        let full = self.tokens.len() > self.cache.capacity();
        if run.is_running() && full && run.config.context.shift(self.tokens.len()).is_none() {
            let rest = run.end(FinishReason::Length)?;
            piece.text.extend(rest.map(|rest| rest.text));
        }
        Ok(Step::Piece(piece))
    }

    /// After a forward pass that failed: forgets what it may have put into the cache beyond the first
    /// `cached` tokens.
    pub fn rollback(&mut self, cached: usize) {
        self.cache.truncate(cached);
    }

    /// The token that ends the generation which is under way.
    pub fn cancel_token(&self) -> CancelToken {
        self.run.as_ref().map(|run| run.cancel.clone()).unwrap_or_default()
    }

    /// What a step gives whose forward pass was left because the generation was cancelled; [`Sequence::rollback`] comes first.
    ///
    /// # Errors
    /// As [`Sequence::prepare`].
    pub fn cancelled(&mut self) -> Result<Step> {
        let Some(run) = self.run.as_mut() else { return Ok(Step::Done) };
        Ok(run.end(FinishReason::Cancelled)?.map_or(Step::Done, Step::Piece))
    }

    /// Ends the generation because a step failed.
    pub fn fail(&mut self) {
        if let Some(run) = self.run.as_mut().filter(|run| run.is_running()) {
            run.fail();
        }
    }

    /// Gives up the generation if it is under way, and returns the whole as far as it came; `None` if
    /// none was begun since the last call.
    pub fn finish(&mut self) -> Option<Output> {
        let mut run = self.run.take()?;
        // Only text that waited is decoded here; what cannot be is left out.
        let _ = run.end(FinishReason::Cancelled);
        Some(run.into_output())
    }

    /// Forgets all tokens, and gives up the generation that is under way.
    pub fn reset(&mut self) {
        self.run = None;
        self.tokens.clear();
        self.cache.truncate(0);
    }

    /// Gives the cache's memory back; the tokens and the generation stay, and the next segments feed the tokens again.
    pub fn evict(&mut self) {
        self.cache.release();
    }

    /// As [`Sequence::reset`], and gives the cache's memory back.
    pub fn release(&mut self) {
        self.reset();
        self.cache.release();
    }
}
