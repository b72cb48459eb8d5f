//! The measurements of a benchmark: prompts of a length processed, tokens generated one by one.

use std::time::{Duration, Instant};

use crane_sdk::Error;
use crane_sdk::models::{CausalLm, LogitsRows, Segment};

use crate::cli::exit::{Failure, Result};
use crate::cli::interrupt::Interruptible;

/// How many tokens go through the model at once, as in generation.
const CHUNK: usize = 512;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    /// A prompt of so many tokens is processed.
    Prompt(usize),
    /// So many tokens are generated after a first one.
    Generation(usize),
}

impl Test {
    /// llama-bench's name of the test: `pp512`, `tg128`.
    pub(super) fn name(self) -> String {
        match self {
            Test::Prompt(tokens) => format!("pp{tokens}"),
            Test::Generation(tokens) => format!("tg{tokens}"),
        }
    }

    /// How many tokens the speed is of.
    pub(super) fn tokens(self) -> usize {
        match self {
            Test::Prompt(tokens) | Test::Generation(tokens) => tokens,
        }
    }
}

/// One run of a test.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Tokens a second.
    pub speed: f64,
    /// From the prompt to the first token's choice.
    pub first_token: Duration,
}

/// Runs a test once, on an empty cache.
///
/// # Errors
/// [`Failure::Interrupted`] on Ctrl-C; else what the model refuses.
pub(super) fn run(
    model: &dyn CausalLm,
    test: Test,
    seed: u64,
    stop: &Interruptible,
) -> Result<Sample> {
    let vocabulary = u32::try_from(model.vocab_size()).unwrap_or(u32::MAX);
    let mut draw = Draw { state: seed, vocabulary };
    let prompt: Vec<u32> = match test {
        Test::Prompt(tokens) => (0..tokens).map(|_| draw.token()).collect(),
        Test::Generation(_) => vec![draw.token()],
    };
    let mut cache = model.new_cache(prompt.len() + test.tokens())?;
    let mut forward = |tokens: &[u32], logits: LogitsRows| -> Result<Option<u32>> {
        if stop.pressed() {
            return Err(Failure::Interrupted);
        }
        let rows = model.forward(&mut [Segment { tokens, cache: &mut cache, logits }])?;
        match logits {
            LogitsRows::None => Ok(None),
            _ => best(&rows).map(Some),
        }
    };

    let start = Instant::now();
    let mut next = 0;
    for (index, chunk) in prompt.chunks(CHUNK).enumerate() {
        let last = (index + 1) * CHUNK >= prompt.len();
        let rows = if last { LogitsRows::Last } else { LogitsRows::None };
        next = forward(chunk, rows)?.unwrap_or(0);
    }
    let first_token = start.elapsed();
    let elapsed = match test {
        Test::Prompt(_) => first_token,
        Test::Generation(tokens) => {
            for _ in 1..tokens {
                next = forward(&[next], LogitsRows::Last)?.unwrap_or(0);
            }
            start.elapsed()
        }
    };
    Ok(Sample { speed: test.tokens() as f64 / elapsed.as_secs_f64().max(1e-9), first_token })
}

/// The most likely token of one row of logits, `[1, vocab_size]`.
fn best(logits: &candle_core::Tensor) -> Result<u32> {
    let ids = logits.argmax(1).and_then(|ids| ids.to_vec1::<u32>()).map_err(Error::from)?;
    ids.first().copied().ok_or_else(|| Failure::Other("the model gave no logits".to_owned()))
}

/// Tokens at random: what a prompt says does not matter to its speed, but all alike might.
struct Draw {
    state: u64,
    vocabulary: u32,
}

impl Draw {
    /// splitmix64 (Steele, Lea and Flood, 2014), scaled to the vocabulary.
    fn token(&mut self) -> u32 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((u64::from((z >> 32) as u32) * u64::from(self.vocabulary)) >> 32) as u32
    }
}

/// Mean and sample standard deviation.
pub(super) fn spread(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, if values.len() > 1 { (squares / (n - 1.0)).sqrt() } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_the_sample_deviation() {
        let (mean, deviation) = spread(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
        assert_eq!(mean, 5.0);
        assert!((deviation - (32.0_f64 / 7.0).sqrt()).abs() < 1e-12);
        assert_eq!(spread(&[3.0]), (3.0, 0.0));
    }

    #[test]
    fn drawn_tokens_are_in_the_vocabulary_and_differ() {
        let mut draw = Draw { state: 1, vocabulary: 100 };
        let tokens: Vec<_> = (0..1000).map(|_| draw.token()).collect();
        assert!(tokens.iter().all(|&token| token < 100));
        assert!((0..100).all(|token| tokens.contains(&token)));
    }
}
