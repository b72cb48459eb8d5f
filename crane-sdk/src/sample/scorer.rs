//! How likely given tokens are, in the model's own distribution.

use super::candidates::{Candidates, Scaled};
use super::sampler::best_of;
use super::{SamplingParams, TokenLogprob, logprobs};
use crate::{Error, Result};

/// Tells what a sampler would tell of tokens that it has not chosen.
#[derive(Debug, Default)]
pub(crate) struct Scorer {
    candidates: Candidates,
}

impl Scorer {
    /// The log-probability of a token under a row of logits, and the `top` likeliest tokens in its place.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a token that has no logit; [`Error::NotFinite`] if the row holds a NaN or `+inf`.
    pub(crate) fn score(
        &mut self,
        logits: &[f32],
        token: u32,
        top: usize,
    ) -> Result<(f32, Vec<TokenLogprob>)> {
        let logit = logits.get(token as usize).copied().ok_or_else(|| {
            Error::argument("tokens", format_args!("hold {token}, which the model does not know"))
        })?;
        let (_, max) = best_of(logits)?;
        let row = Scaled { logits, max, temperature: 1.0 };
        self.candidates.filter(row, &SamplingParams::default());
        let total = self.candidates.total();
        let depth =
            |id: u32| row.depth(logits.get(id as usize).copied().unwrap_or(f32::NEG_INFINITY));
        let top = logprobs::list(self.candidates.best(row, top), depth, total);
        Ok((logprobs::logprob(row.depth(logit), total), top))
    }
}
