//! The options of the sampler: what each means, and which values it may have.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How the next token is chosen. The default is neutral: the model's own distribution.
///
/// The steps run in the order that [`crate::sample`] states. Unknown fields are refused when it is
/// read by serde.
///
/// ```
/// use crane_sdk::sample::SamplingParams;
///
/// let params: SamplingParams = serde_json::from_str(r#"{ "temperature": 0.7, "top_k": 20 }"#)?;
/// assert_eq!(params.top_p, 1.0);
/// assert!(serde_json::from_str::<SamplingParams>(r#"{ "top-k": 20 }"#).is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingParams {
    /// What logits are divided by, 0 or more. Below 1 sharpens, above 1 flattens, 0 is greedy.
    pub temperature: f32,
    /// Only the so many best tokens stay; 0 is off.
    pub top_k: usize,
    /// The fewest best tokens whose probabilities reach this sum stay, 0 to 1; 1 is off.
    pub top_p: f32,
    /// Tokens at least this times as likely as the best one stay, 0 to 1; 0 is off.
    pub min_p: f32,
    /// The tokens whose surprise is nearest to the entropy stay until their probabilities reach this
    /// sum, above 0 to 1; 1 is off ([Meister et al., 2022](https://arxiv.org/abs/2202.00666)).
    pub typical_p: f32,
    /// Divides the positive and multiplies the negative logits of tokens in the window, above 0; 1 is
    /// off ([Keskar et al., 2019](https://arxiv.org/abs/1909.05858)).
    pub repetition_penalty: f32,
    /// Subtracted once from the logit of each token in the window; 0 is off.
    pub presence_penalty: f32,
    /// Subtracted from the logit of a token for each time it is in the window; 0 is off.
    pub frequency_penalty: f32,
    /// The window of the penalties: the so many latest tokens of prompt and reply; `None` is all.
    pub penalty_last_n: Option<usize>,
    /// Added to the logits of single tokens, by id. `-inf` bans a token.
    pub logit_bias: BTreeMap<u32, f32>,
    /// The seed of the draws; `None` takes a fresh one from the system, which
    /// [`Sampler::seed`](super::Sampler::seed) tells.
    pub seed: Option<u64>,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            penalty_last_n: None,
            logit_bias: BTreeMap::new(),
            seed: None,
        }
    }
}

impl SamplingParams {
    /// Neutral but for a temperature of 0: always the best token.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }

    /// Switches the penalties off.
    pub fn without_penalties(&mut self) {
        let Self { repetition_penalty, presence_penalty, frequency_penalty, .. } = Self::default();
        self.repetition_penalty = repetition_penalty;
        self.presence_penalty = presence_penalty;
        self.frequency_penalty = frequency_penalty;
    }

    /// Whether the best token is taken and nothing is drawn.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }

    /// Checks every option against the range in which it can act.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] that names the first option out of range.
    pub fn validate(&self) -> Result<()> {
        in_range("temperature", self.temperature, self.temperature >= 0.0, "0 or more")?;
        for (name, value) in [("top_p", self.top_p), ("min_p", self.min_p)] {
            in_range(name, value, (0.0..=1.0).contains(&value), "from 0 to 1")?;
        }
        let typical = self.typical_p;
        in_range("typical_p", typical, typical > 0.0 && typical <= 1.0, "above 0, up to 1")?;
        let repetition = self.repetition_penalty;
        in_range("repetition_penalty", repetition, repetition > 0.0, "above 0")?;
        in_range("presence_penalty", self.presence_penalty, true, "finite")?;
        in_range("frequency_penalty", self.frequency_penalty, true, "finite")?;
        if self.penalty_last_n == Some(0) {
            return Err(Error::argument(
                "penalty_last_n",
                "is 0, and a window of no tokens would switch the penalties off; leave it out for \
                 all tokens, or set the penalties themselves to neutral",
            ));
        }
        for (id, bias) in &self.logit_bias {
            if bias.is_nan() || *bias == f32::INFINITY {
                return Err(Error::argument(
                    format_args!("logit_bias[{id}]"),
                    format_args!("is {bias}; it must be finite or -inf"),
                ));
            }
        }
        Ok(())
    }

    /// Whether any penalty would change a logit.
    pub(super) fn has_penalties(&self) -> bool {
        self.repetition_penalty != 1.0
            || self.presence_penalty != 0.0
            || self.frequency_penalty != 0.0
    }
}

/// Refuses a value that is not finite or for which `ok` is false.
fn in_range(name: &str, value: f32, ok: bool, range: &str) -> Result<()> {
    if value.is_finite() && ok {
        return Ok(());
    }
    Err(Error::argument(name, format_args!("is {value}; it must be {range}")))
}
