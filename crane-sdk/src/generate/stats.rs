//! How many tokens, and how fast.

use std::time::Duration;

use web_time::Instant;

/// The numbers of one generation.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stats {
    /// Tokens of the prompt, without those that a context policy dropped.
    pub prompt_tokens: usize,
    /// Tokens of the prompt that were in the cache from the turn before.
    pub cached_tokens: usize,
    /// Tokens of the prompt that were evaluated: all that were not cached, unless it ended before.
    pub prefill_tokens: usize,
    /// Tokens that were chosen, the one that ended it included.
    pub generated_tokens: usize,
    /// From the beginning to the first chosen token; `None` if there was none.
    pub time_to_first_token: Option<Duration>,
    /// Time in which the prompt was evaluated, up to the first chosen token or the end.
    pub prefill_time: Duration,
    /// Time from the first chosen token to the last.
    pub decode_time: Duration,
}

impl Stats {
    /// Evaluated tokens of the prompt a second; 0 if nothing was evaluated.
    pub fn prefill_tokens_per_second(&self) -> f64 {
        rate(self.prefill_tokens, self.prefill_time)
    }

    /// Chosen tokens a second, the first one not counted; 0 if there were none.
    pub fn decode_tokens_per_second(&self) -> f64 {
        rate(self.generated_tokens.saturating_sub(1), self.decode_time)
    }
}

fn rate(tokens: usize, time: Duration) -> f64 {
    if tokens == 0 || time.is_zero() { 0.0 } else { tokens as f64 / time.as_secs_f64() }
}

/// Takes the times of one generation.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { start: Instant::now(), first: None, last: None }
    }

    /// A token was chosen, or the generation ended without one.
    pub(super) fn tick(&mut self, stats: &mut Stats, chosen: bool) {
        let now = Instant::now();
        if chosen {
            self.first.get_or_insert(now);
            self.last = Some(now);
        }
        match (self.first, self.last) {
            (Some(first), Some(last)) => {
                let prefill = first.duration_since(self.start);
                stats.time_to_first_token = Some(prefill);
                stats.prefill_time = prefill;
                stats.decode_time = last.duration_since(first);
            }
            _ => stats.prefill_time = now.duration_since(self.start),
        }
    }
}
