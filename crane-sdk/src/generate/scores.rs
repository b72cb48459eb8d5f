//! How likely each token of a text is for a model, given those before it.

use candle_core::Tensor;

use super::not_finite::located;
use super::{CancelToken, PieceLogprobs};
use crate::models::{CausalLm, LogitsRows, Segment};
use crate::sample::Scorer;
use crate::{Error, Result};

/// Logits that are held at once, 32 MB of them: those of a whole text would be gigabytes.
const LOGITS: usize = 8 << 20;

/// The log-probability of each token given those before it, and the `top` likeliest in its place; `None` for the first, of which
/// nothing is foretold. It is the model's own distribution, before penalties, bias and temperature.
///
/// ```
/// # use crane_sdk::models::{LoadOptions, load};
/// # let file = |name: &str| std::fs::read(format!("tests/fixtures/qwen2_tied/{name}")).unwrap_or_default();
/// # let source = crane_sdk::source::MemorySource::new("tiny")
/// #     .with("config.json", file("config.json"))
/// #     .with("model.safetensors", file("model.safetensors"));
/// use crane_sdk::generate::{CancelToken, token_logprobs};
///
/// let model = load(&source, &LoadOptions::default())?.model;
/// let scores = token_logprobs(model.as_ref(), &[1, 2, 3], 5, &CancelToken::new())?;
/// assert!(scores[0].is_none());
/// let last = scores[2].as_ref().unwrap();
/// assert!(last.logprob <= last.top[0].logprob && last.top.len() == 5);
/// # Ok::<(), crane_sdk::Error>(())
/// ```
///
/// # Errors
/// [`Error::InvalidArgument`] if there are no tokens, or one that the model does not know; [`Error::ContextOverflow`] if there are
/// more than it was made for; [`Error::Unsupported`] if it was cancelled; [`Error::NotFinite`] if a logit is.
pub fn token_logprobs(
    model: &dyn CausalLm,
    tokens: &[u32],
    top: usize,
    cancel: &CancelToken,
) -> Result<Vec<Option<PieceLogprobs>>> {
    let Some((_, following)) = tokens.split_first() else {
        return Err(Error::argument("tokens", "are none: there is nothing to score"));
    };
    let (context, vocabulary) = (model.context_length(), model.vocab_size());
    if tokens.len() > context {
        return Err(Error::ContextOverflow { prompt: tokens.len(), context });
    }
    let known = |id: &u32| (*id as usize) < vocabulary;
    if let Some(id) = tokens.iter().find(|id| !known(id)) {
        let reason = format_args!("hold {id}, which the model does not know");
        return Err(Error::argument("tokens", reason));
    }
    let rows = (LOGITS / vocabulary.max(1)).clamp(1, 256);
    let mut cache = model.new_cache(tokens.len())?;
    let (mut scorer, mut scores) = (Scorer::default(), vec![None]);
    // The row of a token foretells the next one, so the last token is not run.
    for (tokens_of_chunk, next) in tokens.chunks(rows).zip(following.chunks(rows)) {
        cancel.check("the rest of a text's log-probabilities")?;
        let run = tokens_of_chunk.get(..next.len()).unwrap_or(tokens_of_chunk);
        let mut batch = [Segment { tokens: run, cache: &mut cache, logits: LogitsRows::All }];
        // Between two layers, too.
        let mut observe =
            |_: usize, _: &Tensor| cancel.check("the rest of a text's log-probabilities");
        let logits = model.forward_observed(&mut batch, &mut observe)?.to_vec2::<f32>()?;
        for (row, &token) in logits.iter().zip(next) {
            let scored = scorer.score(row, token, top);
            let (logprob, top) = scored.map_err(|error| located(error, model, tokens))?;
            scores.push(Some(PieceLogprobs { logprob, top }));
        }
    }
    Ok(scores)
}
