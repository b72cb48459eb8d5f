//! One vector for a text: the hidden states of its tokens, pooled.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::CancelToken;
use super::not_finite::located;
use crate::models::{CausalLm, LogitsRows, Segment};
use crate::{Error, Result};

/// Tokens that are evaluated at once.
const CHUNK: usize = 256;

/// How a text's hidden states become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Their mean.
    #[default]
    Mean,
    /// The last token's, which alone has seen the whole text in a decoder.
    Last,
    /// The first token's, which an encoder puts before every text to stand for it.
    Cls,
}

/// One vector of length 1 from hidden states `[tokens, width]`.
pub(crate) fn pooled(states: &[f32], width: usize, pooling: Pooling) -> Vec<f32> {
    let mut rows = states.chunks_exact(width.max(1));
    let rows: &mut dyn Iterator<Item = &[f32]> = match pooling {
        Pooling::Mean => &mut rows,
        Pooling::Last => &mut rows.next_back().into_iter(),
        Pooling::Cls => &mut rows.next().into_iter(),
    };
    let mut sum = vec![0f64; width];
    for row in rows {
        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    normalized(&sum)
}

/// A vector scaled to length 1. The scale takes the number of tokens that were summed with it.
fn normalized(sum: &[f64]) -> Vec<f32> {
    let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
    sum.iter().map(|x| (x * scale) as f32).collect()
}

/// The embedding of a text's tokens: their hidden states after the final norm, pooled and scaled to length 1.
///
/// ```
/// # use crane_sdk::models::{LoadOptions, load};
/// # let file = |name: &str| std::fs::read(format!("tests/fixtures/qwen2_tied/{name}")).unwrap_or_default();
/// # let source = crane_sdk::source::MemorySource::new("tiny")
/// #     .with("config.json", file("config.json"))
/// #     .with("model.safetensors", file("model.safetensors"));
/// use crane_sdk::generate::{CancelToken, Pooling, embed};
///
/// let model = load(&source, &LoadOptions::default())?.model;
/// let vector = embed(model.as_ref(), &[1, 2, 3], Pooling::Mean, &CancelToken::new())?;
/// let length: f32 = vector.iter().map(|x| x * x).sum();
/// assert!((length - 1.0).abs() < 1e-5);
/// # Ok::<(), crane_sdk::Error>(())
/// ```
///
/// # Errors
/// [`Error::InvalidArgument`] if there are no tokens, or one that the model does not know;
/// [`Error::ContextOverflow`] if there are more than it was made for; [`Error::Unsupported`] if it was cancelled, for
/// [`Pooling::Cls`], or if the model shows no hidden states; [`Error::NotFinite`] if its states are not.
pub fn embed(
    model: &dyn CausalLm,
    tokens: &[u32],
    pooling: Pooling,
    cancel: &CancelToken,
) -> Result<Vec<f32>> {
    if tokens.is_empty() {
        return Err(Error::argument("tokens", "are none: there is nothing to embed"));
    }
    if pooling == Pooling::Cls {
        return Err(Error::Unsupported {
            what: "cls pooling of a decoder".to_owned(),
            hint: "its first token has seen nothing of the text; take mean or last".to_owned(),
        });
    }
    let context = model.context_length();
    if tokens.len() > context {
        return Err(Error::ContextOverflow { prompt: tokens.len(), context });
    }
    let mut cache = model.new_cache(tokens.len())?;
    let mut sum: Vec<f64> = Vec::new();
    let mut done = 0;
    for chunk in tokens.chunks(CHUNK) {
        cancel.check("the rest of an embedding")?;
        done += chunk.len();
        let logits = match pooling {
            Pooling::Mean => LogitsRows::All,
            Pooling::Last if done == tokens.len() => LogitsRows::Last,
            Pooling::Last | Pooling::Cls => LogitsRows::None,
        };
        let mut batch = [Segment { tokens: chunk, cache: &mut cache, logits }];
        // Between two layers, too.
        let mut observe = |_: usize, _: &Tensor| cancel.check("the rest of an embedding");
        let states = model.hidden_observed(&mut batch, &mut observe)?;
        for row in states.to_vec2::<f32>()? {
            sum.resize(row.len(), 0.0);
            sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(x));
        }
    }
    if sum.iter().any(|sum| !sum.is_finite()) {
        let error = Error::NotFinite { place: "the model".to_owned() };
        return Err(located(error, model, tokens));
    }
    Ok(normalized(&sum))
}
