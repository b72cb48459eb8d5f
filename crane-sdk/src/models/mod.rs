//! Which network: what a causal language model is, and one small file for each architecture.

mod config;
mod encoder;
mod footprint;
pub mod hibari;
mod llama;
mod load;
mod mistral;
pub mod orpheus;
mod qwen2;
mod qwen3;
mod registry;
pub mod sparktts;

use candle_core::{Device, Tensor};

use crate::Result;
use crate::nn::KvCache;

pub use config::{Config, Sliding};
pub use encoder::TextEncoder;
pub use footprint::Footprint;
pub(crate) use load::measure;
pub use load::{LoadOptions, LoadedModel, ModelInfo, Room, load, load_decoder, load_within};
pub use registry::{Architecture, find, registry};

/// Which rows of a segment the output head is run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogitsRows {
    /// None: the segment is prefill that is not the last chunk.
    None,
    /// The last token's row: what sampling needs.
    Last,
    /// Every token's row: scoring and tests.
    All,
}

/// Tokens of one sequence to be run, and the cache that holds what came before them.
#[derive(Debug)]
pub struct Segment<'a> {
    /// The new tokens; their positions continue from `cache.len()`.
    pub tokens: &'a [u32],
    /// The sequence's cache; the forward pass appends `tokens` to it.
    pub cache: &'a mut KvCache,
    /// Which rows get logits.
    pub logits: LogitsRows,
}

/// A causal language model: shared weights, no state of its own.
///
/// Any number of sequences share one model. A forward pass takes a ragged batch: segments of
/// different lengths, each with its own cache, no padding. One segment of many tokens is prefill;
/// many segments of one token each are a batched decode step; both may be mixed.
pub trait CausalLm: Send + Sync {
    /// The number of rows of the output head.
    fn vocab_size(&self) -> usize;

    /// The longest sequence the model was made for, in tokens.
    fn context_length(&self) -> usize;

    /// Where the weights and caches live.
    fn device(&self) -> &Device;

    /// An empty cache for one sequence; it grows as it is used, up to `capacity` tokens.
    ///
    /// # Errors
    /// [`crate::Error::InvalidArgument`] if `capacity` is 0.
    fn new_cache(&self, capacity: usize) -> Result<KvCache>;

    /// Runs the batch and returns the logits of the rows that were asked for, in order:
    /// f32 `[rows, vocab_size]` (zero rows if none was asked for).
    ///
    /// # Errors
    /// [`crate::Error::ContextOverflow`] if a cache cannot take its segment,
    /// [`crate::Error::InvalidArgument`] if a token id is not below the vocabulary size. No cache counts
    /// new tokens then.
    fn forward(&self, batch: &mut [Segment<'_>]) -> Result<Tensor> {
        self.forward_observed(batch, &mut |_, _| Ok(()))
    }

    /// Runs the batch and returns, in the place of logits, what the output head would read: the hidden states after
    /// the final norm, f32 `[rows, hidden]`, of the rows that were asked for.
    ///
    /// # Errors
    /// As [`CausalLm::forward`]; [`crate::Error::Unsupported`] for a model that shows none.
    fn hidden(&self, batch: &mut [Segment<'_>]) -> Result<Tensor> {
        let _ = batch;
        Err(crate::Error::Unsupported {
            what: "the hidden states of this model".to_owned(),
            hint: "it gives logits only; take a decoder of the registry".to_owned(),
        })
    }

    /// As [`CausalLm::hidden`], showing `observe` what [`CausalLm::forward_observed`] shows, as far as the model does.
    ///
    /// # Errors
    /// As [`CausalLm::hidden`], and whatever `observe` returns.
    fn hidden_observed(
        &self,
        batch: &mut [Segment<'_>],
        observe: &mut Observer<'_>,
    ) -> Result<Tensor> {
        let _ = observe;
        self.hidden(batch)
    }

    /// [`CausalLm::forward`], showing `observe` the hidden states on the way: number 0 is the embedding's
    /// output, number l the output of layer l − 1, f32 `[tokens, hidden]`; the last one is what the
    /// output head reads: after the final norm, only the rows that get logits.
    ///
    /// # Errors
    /// As [`CausalLm::forward`], and whatever `observe` returns.
    fn forward_observed(
        &self,
        batch: &mut [Segment<'_>],
        observe: &mut Observer<'_>,
    ) -> Result<Tensor>;
}

/// Sees a hidden state and its number; an error ends the forward pass.
pub type Observer<'a> = dyn FnMut(usize, &Tensor) -> Result<()> + 'a;
