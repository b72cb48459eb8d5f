//! The chain itself: one row of logits in, one token id out.

use super::SamplingParams;
use super::candidates::{Candidates, Scaled};
use super::logprobs::{self, LogprobsOf, TokenLogprob};
use super::penalties::{Penalties, saturated};
use super::rng::{Draws, fresh_seed};
use crate::{Error, Result};

/// Chooses tokens by [`SamplingParams`]: the chain that [`crate::sample`] describes, its generator
/// and its scratch, which is kept so that a step allocates nothing.
///
/// ```
/// use crane_sdk::sample::{Sampler, SamplingParams};
///
/// let mut sampler = Sampler::new(SamplingParams::greedy(), 4)?;
/// let chosen = sampler.sample(&mut [0.1, 2.5, -1.0, 0.3], &[])?;
/// assert_eq!(chosen.id, 1);
/// # Ok::<(), crane_sdk::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sampler {
    params: SamplingParams,
    vocab_size: usize,
    seed: u64,
    draws: Draws,
    logprobs: Option<(usize, LogprobsOf)>,
    penalties: Penalties,
    candidates: Candidates,
    raw: Vec<f32>,
}

/// A chosen token.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// The token.
    pub id: u32,
    /// The natural log-probability of the token, if log-probabilities were asked for.
    pub logprob: Option<f32>,
    /// The most likely tokens, best first: as many as were asked for, or as many as can be drawn.
    pub top: Vec<TokenLogprob>,
}

impl Sampler {
    /// A sampler for rows of `vocab_size` logits.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] that names the option which is out of range, or a biased token
    /// that is not in the vocabulary.
    pub fn new(params: SamplingParams, vocab_size: usize) -> Result<Self> {
        params.validate()?;
        if vocab_size == 0 || u32::try_from(vocab_size).is_err() {
            return Err(Error::argument("vocab_size", format_args!("is {vocab_size}")));
        }
        if let Some((id, _)) = params.logit_bias.range(vocab_size as u32..).next() {
            return Err(Error::argument(
                format_args!("logit_bias[{id}]"),
                format_args!("the vocabulary has only {vocab_size} tokens"),
            ));
        }
        let seed = match params.seed {
            Some(seed) => seed,
            None if params.is_greedy() => 0,
            None => fresh_seed()?,
        };
        Ok(Self {
            params,
            vocab_size,
            seed,
            draws: Draws::new(seed),
            logprobs: None,
            penalties: Penalties::default(),
            candidates: Candidates::default(),
            raw: Vec::new(),
        })
    }

    /// Also tells log-probabilities: of the chosen token and of the `top` most likely ones.
    #[must_use]
    pub fn with_logprobs(mut self, top: usize, of: LogprobsOf) -> Self {
        self.logprobs = Some((top, of));
        self
    }

    /// The options.
    pub fn params(&self) -> &SamplingParams {
        &self.params
    }

    /// The seed in use: the one that was given, or the fresh one that was taken; 0 if nothing is ever
    /// drawn.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Chooses a token; the row is changed in place.
    ///
    /// `logits` is one row of `vocab_size`, `history` the tokens so far, prompt and reply, which the
    /// penalties look at.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the row has another length or bans every token, or if a token of the history is not
    /// in the vocabulary; [`Error::NotFinite`] if the row holds a NaN or `+inf`.
    pub fn sample(&mut self, logits: &mut [f32], history: &[u32]) -> Result<Sampled> {
        self.choose(logits, history, None)
    }

    /// As [`Sampler::sample`], only among the tokens whose bit is set: bit i % 32 of word i / 32 for token i; those
    /// beyond the words are not. Log-probabilities of the model's own distribution are of all tokens.
    ///
    /// ```
    /// use crane_sdk::sample::{Sampler, SamplingParams};
    ///
    /// let mut sampler = Sampler::new(SamplingParams::greedy(), 4)?;
    /// let chosen = sampler.sample_among(&mut [0.1, 2.5, -1.0, 0.3], &[], &[0b1101])?;
    /// assert_eq!(chosen.id, 3);
    /// # Ok::<(), crane_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Sampler::sample`].
    pub fn sample_among(
        &mut self,
        logits: &mut [f32],
        history: &[u32],
        allowed: &[u32],
    ) -> Result<Sampled> {
        self.choose(logits, history, Some(allowed))
    }

    fn choose(
        &mut self,
        logits: &mut [f32],
        history: &[u32],
        allowed: Option<&[u32]>,
    ) -> Result<Sampled> {
        if matches!(self.logprobs, Some((_, LogprobsOf::Model))) {
            self.raw.clear();
            self.raw.extend_from_slice(logits);
        }
        if let Some(allowed) = allowed {
            ban(logits, allowed);
        }
        let (best, max) = self.shape(logits, history)?;
        let greedy = self.params.is_greedy();
        let temperature = if greedy { 1.0 } else { self.params.temperature };
        let row = Scaled { logits, max, temperature };
        let id = if greedy {
            best
        } else {
            self.candidates.filter(row, &self.params);
            let target = self.draws.below(self.candidates.total());
            // A walk over the survivors ends inside their total.
            self.candidates.at(row, target).unwrap_or(best)
        };
        let Some((top, of)) = self.logprobs else {
            return Ok(Sampled { id, logprob: None, top: Vec::new() });
        };
        let told = match of {
            LogprobsOf::Sampled => row,
            LogprobsOf::Model => {
                let (_, max) = best_of(&self.raw)?;
                Scaled { logits: &self.raw, max, temperature: 1.0 }
            }
        };
        if greedy || of == LogprobsOf::Model {
            self.candidates.filter(told, &SamplingParams::default());
        }
        let total = self.candidates.total();
        let depth = |id: u32| told.depth(told.logits[id as usize]);
        let logprob = Some(logprobs::logprob(depth(id), total));
        let top = logprobs::list(self.candidates.best(told, top), depth, total);
        Ok(Sampled { id, logprob, top })
    }

    /// The distribution that [`Sampler::sample`] would draw from: ids and probabilities, most likely
    /// first, without those that cannot be drawn. Draws nothing.
    ///
    /// # Errors
    /// As [`Sampler::sample`].
    pub fn distribution(&mut self, logits: &mut [f32], history: &[u32]) -> Result<Vec<(u32, f64)>> {
        let (best, max) = self.shape(logits, history)?;
        if self.params.is_greedy() {
            return Ok(vec![(best, 1.0)]);
        }
        let row = Scaled { logits, max, temperature: self.params.temperature };
        self.candidates.filter(row, &self.params);
        let total = self.candidates.total() as f64;
        let list = self.candidates.best(row, logits.len());
        Ok(list.iter().map(|c| (c.id, c.weight as f64 / total)).collect())
    }

    /// Penalties and bias; then the best token and its logit.
    fn shape(&mut self, logits: &mut [f32], history: &[u32]) -> Result<(u32, f32)> {
        if logits.len() != self.vocab_size {
            return Err(Error::argument(
                "logits",
                format_args!("a row has {} values, not {}", logits.len(), self.vocab_size),
            ));
        }
        self.penalties.apply(&self.params, logits, history)?;
        for (&id, &bias) in &self.params.logit_bias {
            let logit = &mut logits[id as usize];
            let biased = *logit + bias;
            // A token may be banned, but no bias makes a logit infinite.
            *logit = if bias.is_finite() { saturated(*logit, biased) } else { biased };
        }
        best_of(logits)
    }
}

/// Bans the tokens whose bit is not set.
fn ban(logits: &mut [f32], allowed: &[u32]) {
    let words = allowed.iter().copied().chain(std::iter::repeat(0));
    for (logits, word) in logits.chunks_mut(32).zip(words) {
        match word {
            u32::MAX => {}
            0 => logits.fill(f32::NEG_INFINITY),
            _ => {
                for (bit, logit) in logits.iter_mut().enumerate() {
                    if word & (1 << bit) == 0 {
                        *logit = f32::NEG_INFINITY;
                    }
                }
            }
        }
    }
}

/// The best token (of equals the lowest id) and its logit.
pub(super) fn best_of(logits: &[f32]) -> Result<(u32, f32)> {
    let mut max = f32::NEG_INFINITY;
    let mut sound = true;
    for &logit in logits {
        // False for NaN and +inf.
        sound &= logit < f32::INFINITY;
        max = if logit > max { logit } else { max };
    }
    if !sound {
        let wrong = logits.iter().position(|&logit| logit.is_nan() || logit == f32::INFINITY);
        let id = wrong.unwrap_or_default();
        let logit = logits.get(id).copied().unwrap_or(f32::NAN);
        return Err(Error::NotFinite {
            place: format!("the model (token {id} has the logit {logit})"),
        });
    }
    match logits.iter().position(|&logit| logit == max) {
        Some(id) if max > f32::NEG_INFINITY => Ok((id as u32, max)),
        _ => Err(Error::argument(
            "logit_bias",
            "every token is banned, alone or together with the form of the reply: there is nothing to choose",
        )),
    }
}
