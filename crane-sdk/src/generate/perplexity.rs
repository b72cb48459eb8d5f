//! How well a model foresees a text: its perplexity, measured as llama.cpp measures it.

use std::ops::ControlFlow;

use super::not_finite::located;
use crate::models::{CausalLm, LogitsRows, Segment};
use crate::{Error, Result};

/// Rows of logits that are held at once: 32 rows of 150,000 words are 19 MB, a whole chunk's would be 300.
const ROWS: usize = 32;

/// What a text's tokens cost a model so far.
///
/// The perplexity is e to the mean negative log-likelihood of a token:
/// `exp(-1/N Σ ln p(token | tokens before it))` (Jelinek et al., 1977).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Perplexity {
    /// Chunks that were run.
    pub chunks: usize,
    /// Tokens that were foretold, N.
    pub tokens: usize,
    /// The sum of their negative log-likelihoods, in nats.
    sum: f64,
    /// The sum of the squares of these.
    squares: f64,
}

impl Perplexity {
    /// The perplexity; infinite before the first token.
    pub fn value(&self) -> f64 {
        match self.tokens {
            0 => f64::INFINITY,
            tokens => (self.sum / tokens as f64).exp(),
        }
    }

    /// The standard error of [`Perplexity::value`], as if tokens were independent: the error of the mean
    /// log-likelihood times the value (first order); 0 for fewer than two tokens.
    pub fn standard_error(&self) -> f64 {
        if self.tokens < 2 {
            return 0.0;
        }
        let tokens = self.tokens as f64;
        let mean = self.sum / tokens;
        let variance = (self.squares / tokens - mean * mean).max(0.0) / (tokens - 1.0);
        variance.sqrt() * self.value()
    }

    fn count(&mut self, nats: f64) {
        self.tokens += 1;
        self.sum += nats;
        self.squares += nats * nats;
    }
}

/// Measures the perplexity of `tokens` in chunks of `context` tokens, each on an empty cache.
///
/// A chunk's first half only gives context: the tokens counted are those after its middle, as
/// `llama-perplexity` counts them. With `bos`, it stands in for each chunk's first token. Tokens after the
/// last whole chunk are left out. `observe` sees the result after each chunk and may end the measurement.
///
/// ```
/// # use crane_sdk::models::{LoadOptions, load};
/// # let file = |name: &str| std::fs::read(format!("tests/fixtures/qwen2_tied/{name}")).unwrap_or_default();
/// # let source = crane_sdk::source::MemorySource::new("tiny")
/// #     .with("config.json", file("config.json"))
/// #     .with("model.safetensors", file("model.safetensors"));
/// use std::ops::ControlFlow;
///
/// use crane_sdk::generate::perplexity;
///
/// let model = load(&source, &LoadOptions::default())?.model;
/// let tokens: Vec<u32> = (0..40).collect();
/// let found = perplexity(model.as_ref(), &tokens, 16, None, |_| ControlFlow::Continue(()))?;
/// assert_eq!((found.chunks, found.tokens), (2, 14));
/// assert!(found.value() > 1.0);
/// # Ok::<(), crane_sdk::Error>(())
/// ```
///
/// # Errors
/// [`Error::InvalidArgument`] if `context` is below 4 or above the model's, or if there are fewer tokens
/// than one chunk; [`Error::NotFinite`] if a logit is NaN; what the model refuses.
pub fn perplexity(
    model: &dyn CausalLm,
    tokens: &[u32],
    context: usize,
    bos: Option<u32>,
    mut observe: impl FnMut(&Perplexity) -> ControlFlow<()>,
) -> Result<Perplexity> {
    if context < 4 || context > model.context_length() {
        return Err(Error::argument(
            "context",
            format_args!(
                "is {context} tokens; a chunk can have 4 to {}, the model's context",
                model.context_length()
            ),
        ));
    }
    if tokens.len() < context {
        return Err(Error::argument(
            "tokens",
            format_args!(
                "are {}, fewer than one chunk of {context}; give a longer text or a smaller context",
                tokens.len()
            ),
        ));
    }
    let mut found = Perplexity::default();
    let mut cache = model.new_cache(context)?;
    for chunk in tokens.chunks_exact(context) {
        cache.truncate(0);
        let (before, counted) = chunk.split_at(context / 2);
        let mut before = before.to_vec();
        if let (Some(bos), Some(first)) = (bos, before.first_mut()) {
            *first = bos;
        }
        let segment = Segment { tokens: &before, cache: &mut cache, logits: LogitsRows::None };
        model.forward(&mut [segment])?;
        // The row of a token foretells the next one, so the last token needs no row.
        let rows = counted.split_last().map_or(counted, |(_, rows)| rows);
        let following = counted.get(1..).unwrap_or_default();
        for (tokens, next) in rows.chunks(ROWS).zip(following.chunks(ROWS)) {
            let segment = Segment { tokens, cache: &mut cache, logits: LogitsRows::All };
            let logits = model.forward(&mut [segment])?.to_vec2::<f32>()?;
            for (row, &token) in logits.iter().zip(next) {
                let nats = surprise(row, token)?;
                if nats.is_nan() {
                    let error = Error::NotFinite { place: "the model".to_owned() };
                    return Err(located(error, model, chunk));
                }
                found.count(nats);
            }
        }
        found.chunks += 1;
        if observe(&found).is_break() {
            break;
        }
    }
    Ok(found)
}

/// The negative natural logarithm of a token's probability under the softmax of `logits`.
fn surprise(logits: &[f32], token: u32) -> Result<f64> {
    let own = logits.get(token as usize).copied().ok_or_else(|| {
        Error::argument("tokens", format_args!("hold {token}, which the model does not know"))
    })?;
    let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = logits.iter().map(|&logit| f64::from(logit - best).exp()).sum();
    Ok(total.ln() - f64::from(own - best))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_probability_one_in_n_costs_ln_n() {
        let cost = surprise(&[2.5; 8], 3).unwrap();
        assert!((cost - 8f64.ln()).abs() < 1e-12, "{cost}");
        assert!(surprise(&[0.0; 8], 8).is_err());
    }

    #[test]
    fn the_value_is_the_exponential_of_the_mean() {
        let mut found = Perplexity::default();
        assert_eq!(found.value(), f64::INFINITY);
        for nats in [1.0, 3.0] {
            found.count(nats);
        }
        assert!((found.value() - 2f64.exp()).abs() < 1e-12);
        // The two deviate from their mean by 1, so the error of the mean is 1.
        assert!((found.standard_error() - 2f64.exp()).abs() < 1e-9);
    }
}
