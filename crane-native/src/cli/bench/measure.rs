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
pub(super) enum Kind {
    /// A prompt of so many tokens is processed.
    Prompt(usize),
    /// So many tokens are generated after a first one.
    Generation(usize),
}

/// What is measured, and under what circumstances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Test {
    /// The work.
    pub kind: Kind,
    /// Tokens in the cache before it.
    pub depth: usize,
    /// Sequences that are stepped together.
    pub sequences: usize,
}

/// Every test that the lists call for: a length of 0 is none, and prompts are of one sequence.
pub(super) fn tests(
    prompts: &[usize],
    generations: &[usize],
    depths: &[usize],
    sequences: &[u16],
) -> Vec<Test> {
    let mut tests = Vec::new();
    for &depth in depths {
        for &tokens in prompts.iter().filter(|&&tokens| tokens > 0) {
            tests.push(Test { kind: Kind::Prompt(tokens), depth, sequences: 1 });
        }
        for &tokens in generations.iter().filter(|&&tokens| tokens > 0) {
            let kind = Kind::Generation(tokens);
            let all = sequences.iter().map(|&n| Test { kind, depth, sequences: n.into() });
            tests.extend(all);
        }
    }
    tests
}

impl Test {
    /// llama-bench's name of the test: `pp512`, `tg128`, `tg128 @ d4096`; `tg128 x4` for four sequences.
    pub(super) fn name(self) -> String {
        let mut name = match self.kind {
            Kind::Prompt(tokens) => format!("pp{tokens}"),
            Kind::Generation(tokens) => format!("tg{tokens}"),
        };
        if self.sequences > 1 {
            name += &format!(" x{}", self.sequences);
        }
        if self.depth > 0 {
            name += &format!(" @ d{}", self.depth);
        }
        name
    }

    /// The tokens that a sequence holds at the end.
    pub(super) fn context(self) -> usize {
        let (Kind::Prompt(tokens) | Kind::Generation(tokens)) = self.kind;
        self.depth.saturating_add(tokens)
    }

    /// How many tokens the speed is of.
    pub(super) fn tokens(self) -> usize {
        let (Kind::Prompt(tokens) | Kind::Generation(tokens)) = self.kind;
        tokens * self.sequences
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
    let mut caches = Vec::with_capacity(test.sequences);
    for _ in 0..test.sequences {
        let mut cache = model.new_cache(test.context())?;
        let before: Vec<u32> = (0..test.depth).map(|_| draw.token()).collect();
        for tokens in before.chunks(CHUNK) {
            check(stop)?;
            model.forward(&mut [Segment {
                tokens,
                cache: &mut cache,
                logits: LogitsRows::None,
            }])?;
        }
        caches.push(cache);
    }

    let start = Instant::now();
    let (first_token, elapsed) = match test.kind {
        Kind::Prompt(tokens) => {
            let prompt: Vec<u32> = (0..tokens).map(|_| draw.token()).collect();
            for cache in &mut caches {
                for (index, tokens) in prompt.chunks(CHUNK).enumerate() {
                    check(stop)?;
                    let last = (index + 1) * CHUNK >= prompt.len();
                    let logits = if last { LogitsRows::Last } else { LogitsRows::None };
                    let rows = model.forward(&mut [Segment { tokens, cache, logits }])?;
                    if last {
                        best(&rows)?;
                    }
                }
            }
            (start.elapsed(), start.elapsed())
        }
        Kind::Generation(tokens) => {
            let mut next: Vec<u32> = caches.iter().map(|_| draw.token()).collect();
            let mut first_token = Duration::ZERO;
            for step in 0..tokens {
                check(stop)?;
                let segment = |(token, cache)| Segment {
                    tokens: std::slice::from_ref(token),
                    cache,
                    logits: LogitsRows::Last,
                };
                let mut batch: Vec<_> = next.iter().zip(&mut caches).map(segment).collect();
                let rows = model.forward(&mut batch)?;
                next = best(&rows)?;
                if step == 0 {
                    first_token = start.elapsed();
                }
            }
            (first_token, start.elapsed())
        }
    };
    Ok(Sample { speed: test.tokens() as f64 / elapsed.as_secs_f64().max(1e-9), first_token })
}

fn check(stop: &Interruptible) -> Result<()> {
    if stop.pressed() { Err(Failure::Interrupted) } else { Ok(()) }
}

/// The most likely token of each row of logits, `[rows, vocab_size]`.
fn best(logits: &candle_core::Tensor) -> Result<Vec<u32>> {
    Ok(logits.argmax(1).and_then(|ids| ids.to_vec1::<u32>()).map_err(Error::from)?)
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
    fn tests_are_named_as_llama_bench_names_them() {
        let tests = tests(&[512, 0], &[128], &[0, 4096], &[1, 4]);
        let names: Vec<String> = tests.iter().map(|test| test.name()).collect();
        let expected =
            ["pp512", "tg128", "tg128 x4", "pp512 @ d4096", "tg128 @ d4096", "tg128 x4 @ d4096"];
        assert_eq!(names, expected);
        assert_eq!(tests.last().map(|test| (test.context(), test.tokens())), Some((4224, 512)));
    }

    #[test]
    fn drawn_tokens_are_in_the_vocabulary_and_differ() {
        let mut draw = Draw { state: 1, vocabulary: 100 };
        let tokens: Vec<_> = (0..1000).map(|_| draw.token()).collect();
        assert!(tokens.iter().all(|&token| token < 100));
        assert!((0..100).all(|token| tokens.contains(&token)));
    }
}
