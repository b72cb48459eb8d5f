//! A conversation with a model: it owns the cache and remembers the tokens.

use std::fmt;
use std::sync::Arc;

use candle_core::{Storage, Tensor};

use super::not_finite;
use super::{
    CancelToken, Generation, GenerationConfig, Output, PrefixCache, PrefixSalt, Prepared, Sequence,
    Step,
};
use crate::kernels::attention::BLOCK;
use crate::models::{CausalLm, LogitsRows};
use crate::text::Tokenizer;
use crate::{Error, Result};

/// A model, a cache, and the tokens in it.
///
/// Any number of sessions share one model. Each turn gives the whole conversation as its prompt; what
/// the cache holds of its beginning is not evaluated again. A session stays of use whatever happens to
/// a generation: cancelled, failed, or dropped midway.
///
/// ```
/// use std::sync::Arc;
///
/// use crane_sdk::generate::{CancelToken, GenerationConfig, Session};
/// use crane_sdk::models::{LoadOptions, load};
/// use crane_sdk::text::Tokenizer;
/// # let file = |name: &str| std::fs::read(format!("tests/fixtures/qwen2_tied/{name}")).unwrap_or_default();
/// # let source = crane_sdk::source::MemorySource::new("tiny")
/// #     .with("config.json", file("config.json"))
/// #     .with("model.safetensors", file("model.safetensors"))
/// #     .with("tokenizer.json", file("tokenizer.json"));
///
/// let tokenizer = Arc::new(Tokenizer::from_source(&source)?);
/// let model = load(&source, &LoadOptions::default())?.model;
/// let mut session = Session::new(model, tokenizer.clone(), 512)?;
/// let config = GenerationConfig { max_new_tokens: Some(4), ..GenerationConfig::default() };
/// let cancel = CancelToken::new();
///
/// let prompt = tokenizer.encode("The quick brown fox", true)?;
/// let first = session.generate(&prompt, &config, &cancel)?.complete()?;
/// // The next turn begins with the one before, of which nothing is evaluated again.
/// let longer = [session.tokens(), &tokenizer.encode(" and then", false)?].concat();
/// let second = session.generate(&longer, &config, &cancel)?.complete()?;
/// assert!(second.stats.cached_tokens >= first.stats.prompt_tokens);
/// # Ok::<(), crane_sdk::Error>(())
/// ```
pub struct Session {
    model: Arc<dyn CausalLm>,
    tokenizer: Option<Arc<Tokenizer>>,
    pub(super) sequence: Sequence,
    /// The row of logits that is sampled from, kept so that a step allocates nothing.
    pub(super) row: Vec<f32>,
}

impl Session {
    /// A session whose window holds `context` tokens of prompt and reply.
    ///
    /// The last token of a reply needs no place: a prompt of `context` tokens still gets one.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if `context` is 0 or more than the model was made for.
    pub fn new(
        model: Arc<dyn CausalLm>,
        tokenizer: Arc<Tokenizer>,
        context: usize,
    ) -> Result<Self> {
        Ok(Self { tokenizer: Some(tokenizer), ..Self::without_text(model, context)? })
    }

    /// A session that gives ids and no text, for models whose tokens are not text.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn without_text(model: Arc<dyn CausalLm>, context: usize) -> Result<Self> {
        if context > model.context_length() {
            return Err(Error::argument(
                "context",
                format_args!(
                    "is {context} tokens, and the model was made for at most {}",
                    model.context_length()
                ),
            ));
        }
        let sequence = Sequence::new(model.new_cache(context)?, model.vocab_size());
        Ok(Self { model, tokenizer: None, sequence, row: Vec::new() })
    }

    /// The model.
    pub fn model(&self) -> &Arc<dyn CausalLm> {
        &self.model
    }

    /// The tokenizer, unless the session is without text.
    pub fn tokenizer(&self) -> Option<&Arc<Tokenizer>> {
        self.tokenizer.as_ref()
    }

    /// How many tokens the window holds.
    pub fn context(&self) -> usize {
        self.sequence.capacity()
    }

    /// The tokens in the window: prompt and reply of the last turn.
    pub fn tokens(&self) -> &[u32] {
        self.sequence.tokens()
    }

    /// How many of the tokens are in the cache.
    pub fn cached(&self) -> usize {
        self.sequence.cached()
    }

    /// Forgets all tokens.
    pub fn reset(&mut self) {
        self.sequence.reset();
    }

    /// How many tokens of the prompt the next steps evaluate at once, in the place of the config's
    /// `prefill_chunk`: less while others wait for their next token, say. What is generated does not depend on it.
    pub fn set_prefill_chunk(&mut self, tokens: usize) {
        self.sequence.set_prefill_chunk(tokens);
    }

    /// Takes from `prefixes` what is there under this salt of the prompt's beginning and longer than what this session has cached of
    /// it, so that a reply to the prompt need not evaluate it again. Nothing is copied. Returns how many of the
    /// prompt's tokens are then cached; nothing is changed while a reply is under way here.
    pub fn take_prefix(
        &mut self,
        prefixes: &mut PrefixCache,
        salt: &PrefixSalt,
        prompt: &[u32],
    ) -> usize {
        // The last token is evaluated in any case.
        let prompt = prompt.split_last().map_or(prompt, |(_, before)| before);
        let cached = self.tokens().iter().take(self.cached());
        let own = cached.zip(prompt).take_while(|(a, b)| a == b).count();
        if !prefixes.is_of(&self.model) {
            return own;
        }
        let (tokens, pages) = prefixes.find(salt, prompt);
        match tokens > own && self.sequence.hold_pages(&prompt[..tokens], &pages) {
            true => tokens,
            false => own,
        }
    }

    /// Leaves in `prefixes` what this session has cached, for others with this salt to take; while a reply is under way only whole
    /// pages, which will not be written to. Returns whether all of that is there: not on a GPU, and not in the cache
    /// of another model.
    pub fn leave_prefix(&self, prefixes: &mut PrefixCache, salt: &PrefixSalt) -> bool {
        if !prefixes.is_of(&self.model) {
            return false;
        }
        let cached = self.cached().min(self.tokens().len());
        let last = if self.is_running() { cached / BLOCK * BLOCK } else { cached };
        prefixes.keep(salt, &self.tokens()[..last], |index| self.sequence.page(index))
    }

    /// How many pages of its cache are held by nobody else.
    pub fn own_pages(&self) -> usize {
        self.sequence.own_pages()
    }

    /// As [`Session::reset`], and gives the cache's memory back.
    pub fn release(&mut self) {
        self.sequence.release();
    }

    /// Gives the cache's memory back and goes on: the next steps evaluate again what it held. For a reply that has to wait
    /// while others need the memory; what it says does not depend on it.
    pub fn evict(&mut self) {
        self.sequence.evict();
    }

    /// Begins a reply to `prompt`; nothing is evaluated before the first step.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an empty prompt, an id that the model does not know, or an option
    /// that cannot act; [`Error::ContextOverflow`] if the prompt does not fit and no policy was
    /// chosen. The session is then as it was.
    pub fn generate(
        &mut self,
        prompt: &[u32],
        config: &GenerationConfig,
        cancel: &CancelToken,
    ) -> Result<Generation<'_>> {
        self.begin(prompt, config, cancel)?;
        Ok(Generation::new(self))
    }

    /// As [`Session::generate`], for drivers that own the session while it generates: go on with
    /// [`Session::step`] or [`step_together`](super::step_together), end with [`Session::finish`].
    ///
    /// # Errors
    /// As [`Session::generate`].
    pub fn begin(
        &mut self,
        prompt: &[u32],
        config: &GenerationConfig,
        cancel: &CancelToken,
    ) -> Result<()> {
        self.sequence.begin(prompt, config, cancel, self.tokenizer.as_ref())
    }

    /// Whether a generation has begun and not ended.
    pub fn is_running(&self) -> bool {
        self.sequence.is_running()
    }

    /// Makes one step: a chunk of the prompt, or a token.
    ///
    /// # Errors
    /// Whatever the model or the sampler returns; the generation has then ended, and the session can
    /// begin another.
    pub fn step(&mut self) -> Result<Step> {
        match self.sequence.prepare()? {
            Prepared::Ended(Some(piece)) => return Ok(Step::Piece(piece)),
            Prepared::Ended(None) => return Ok(Step::Done),
            Prepared::Feed => {}
        }
        let cached = self.sequence.cached();
        let cancel = self.sequence.cancel_token();
        let segment = self.sequence.segment();
        let wanted = segment.logits == LogitsRows::Last;
        let mut cancelled = false;
        let result = self.model.forward_observed(&mut [segment], &mut |_, _| {
            cancelled = cancel.is_cancelled();
            if cancelled { cancel.check("the rest of a step") } else { Ok(()) }
        });
        let copied = result.and_then(|logits| match wanted {
            true => copy_row(&logits, 0, &mut self.row),
            false => Ok(()),
        });
        if let Err(error) = copied {
            self.sequence.rollback(cached);
            if cancelled {
                return self.sequence.cancelled();
            }
            self.sequence.fail();
            return Err(error);
        }
        let step = self.sequence.accept(wanted.then_some(self.row.as_mut_slice()));
        step.map_err(|error| self.located(error))
    }

    /// An error as it is or, of numbers that are not finite, with the layer that gives them.
    pub(super) fn located(&self, error: Error) -> Error {
        not_finite::located(error, self.model.as_ref(), self.sequence.tokens())
    }

    /// Gives up the generation if it is under way, and returns the whole as far as it came; `None` if
    /// none was begun since the last call.
    pub fn finish(&mut self) -> Option<Output> {
        self.sequence.finish()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

/// Copies one row of f32 logits, `[rows, vocab_size]`, to where the sampler may change it.
pub(super) fn copy_row(logits: &Tensor, row: usize, into: &mut Vec<f32>) -> Result<()> {
    let row = logits.get(row)?; // [vocab_size]
    into.clear();
    let (storage, layout) = row.storage_and_layout();
    if let (Storage::Cpu(values), Some((start, end))) = (&*storage, layout.contiguous_offsets()) {
        into.extend_from_slice(&values.as_slice::<f32>()?[start..end]);
        return Ok(());
    }
    drop(storage);
    into.extend(row.to_vec1::<f32>()?);
    Ok(())
}
