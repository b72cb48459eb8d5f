//! The steps that look at what was said: repetition, frequency and presence penalties.

use super::SamplingParams;
use crate::{Error, Result};

/// How often each token is in the window; scratch that is kept between steps.
#[derive(Debug, Clone, Default)]
pub(super) struct Penalties {
    /// `[vocab_size]`, zero between steps.
    counts: Vec<u32>,
    /// The ids whose count is not zero.
    seen: Vec<u32>,
}

impl Penalties {
    /// Changes the logits of the tokens in the window of `history`.
    ///
    /// A repeated token's logit becomes `l / repetition` if positive and `l * repetition` if not,
    /// and then loses `count * frequency + presence`.
    pub(super) fn apply(
        &mut self,
        params: &SamplingParams,
        logits: &mut [f32],
        history: &[u32],
    ) -> Result<()> {
        if !params.has_penalties() {
            return Ok(());
        }
        self.counts.resize(logits.len(), 0);
        let window = params.penalty_last_n.unwrap_or(usize::MAX).min(history.len());
        for &id in &history[history.len() - window..] {
            let Some(count) = self.counts.get_mut(id as usize) else {
                self.clear();
                return Err(Error::argument(
                    "history",
                    format_args!("token {id} is not below the {} logits", logits.len()),
                ));
            };
            if *count == 0 {
                self.seen.push(id);
            }
            *count += 1;
        }
        for &id in &self.seen {
            let (logit, count) = (&mut logits[id as usize], self.counts[id as usize]);
            let repetition = params.repetition_penalty;
            let repeated = if *logit > 0.0 { *logit / repetition } else { *logit * repetition };
            let penalty = count as f32 * params.frequency_penalty + params.presence_penalty;
            *logit = saturated(*logit, saturated(*logit, repeated) - saturated(0.0, penalty));
        }
        self.clear();
        Ok(())
    }

    fn clear(&mut self) {
        for id in self.seen.drain(..) {
            self.counts[id as usize] = 0;
        }
    }
}

/// What became of a logit: a finite one stays finite, whatever options did to it, so that infinite ones and NaN are the
/// model's own.
pub(super) fn saturated(logit: f32, changed: f32) -> f32 {
    if logit.is_finite() { changed.clamp(f32::MIN, f32::MAX) } else { changed }
}
