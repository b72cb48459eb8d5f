//! How likely the chosen token and its rivals were.

use serde::{Deserialize, Serialize};

use super::candidates::Candidate;
use super::weight::ln_total;

/// Which distribution log-probabilities are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogprobsOf {
    /// The one that was sampled from: after penalties, bias, temperature and filters, renormalised.
    /// A greedy step, whose distribution would be a single certainty, tells the softmax of the logits
    /// after penalties and bias.
    #[default]
    Sampled,
    /// The model's own: the softmax of the raw logits. Costs one more pass over the row.
    Model,
}

/// A token and its natural log-probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// The token.
    pub id: u32,
    /// The natural logarithm of its probability, 0 or negative.
    pub logprob: f32,
}

/// The logarithm of the probability of a token `depth` below the best one.
pub(super) fn logprob(depth: f32, total: u64) -> f32 {
    (f64::from(depth) - ln_total(total)).min(0.0) as f32
}

/// The candidates with their log-probabilities.
pub(super) fn list(
    candidates: &[Candidate],
    depth: impl Fn(u32) -> f32,
    total: u64,
) -> Vec<TokenLogprob> {
    candidates
        .iter()
        .map(|c| TokenLogprob { id: c.id, logprob: logprob(depth(c.id), total) })
        .collect()
}
