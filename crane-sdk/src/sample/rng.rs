//! The named generator behind a seed, and the one way in which it is asked.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use crate::kernels::waves::normals;
use crate::{Error, Result};

/// The name and version of what a seed means; it changes whenever a seed's text would.
///
/// `chacha8-1`: ChaCha with 8 rounds, the key being the seed's 8 bytes (little-endian) and then 24
/// zero bytes, stream 0, counter 0. Each drawn token takes the next 64 bits `u` (two output words,
/// the low word first) and `r = floor(u * total / 2^64)`, where `total` is the sum of the survivors'
/// integer weights; the token is the first one, in the order of ids, at which the running sum
/// exceeds `r`. Greedy steps take nothing.
pub const SEED_VERSION: &str = "chacha8-1";

/// The stream of draws of one seed.
#[derive(Debug, Clone)]
pub(super) struct Draws {
    rng: ChaCha8Rng,
}

impl Draws {
    /// The stream that belongs to `seed`.
    pub(super) fn new(seed: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Self { rng: ChaCha8Rng::from_seed(key) }
    }

    /// A uniform integer below `total`, which is not 0.
    pub(super) fn below(&mut self, total: u64) -> u64 {
        ((u128::from(self.rng.next_u64()) * u128::from(total)) >> 64) as u64
    }
}

/// Normal numbers of a seed, in pairs.
///
/// `normal-1`: the generator of `chacha8-1`; each pair takes two output words a and b (Box and Muller 1958): with
/// u = (⌊a / 2⁸⌋ + 1) / 2²⁴ and r = sqrt(−2 ln u) it is r · cos(2πb / 2³²), r · sin(2πb / 2³²).
#[derive(Debug, Clone)]
pub(crate) struct Normals(Draws);

impl Normals {
    /// The stream that belongs to `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(Draws::new(seed))
    }

    /// Writes pairs; a last number without a partner stays as it is.
    pub(crate) fn fill(&mut self, pairs: &mut [f32]) {
        let mut words = [0u64; 128];
        for pairs in pairs.as_chunks_mut::<2>().0.chunks_mut(words.len()) {
            words.iter_mut().take(pairs.len()).for_each(|word| *word = self.0.rng.next_u64());
            normals(&words, pairs);
        }
    }
}

/// A seed from the system's (or the browser's) entropy.
pub(super) fn fresh_seed() -> Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::argument("seed", format_args!("no system entropy ({error}); give a seed"))
    })?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frozen values, as an independent ChaCha8 gives them: a change of any of them needs a new
    /// `SEED_VERSION`.
    #[test]
    fn draws_are_frozen() {
        let mut draws = Draws::new(42);
        let first: Vec<u64> = (0..4).map(|_| draws.below(1_000_000_007)).collect();
        assert_eq!(SEED_VERSION, "chacha8-1");
        assert_eq!(first, [348_254_470, 285_698_573, 493_472_467, 367_892_292]);
    }

    #[test]
    fn normals_are_normal() {
        let mut numbers = vec![0f32; 100_000];
        Normals::new(3).fill(&mut numbers);
        let moment = |power| numbers.iter().map(|x| f64::from(*x).powi(power)).sum::<f64>() / 1e5;
        assert!(moment(1).abs() < 0.02 && (moment(2) - 1.0).abs() < 0.02);
        assert!(moment(3).abs() < 0.05 && (moment(4) - 3.0).abs() < 0.1);
    }

    #[test]
    fn draws_are_uniform() {
        let mut draws = Draws::new(7);
        let mut counts = [0u32; 10];
        for _ in 0..10_000 {
            counts[draws.below(10) as usize] += 1;
        }
        assert!(counts.iter().all(|&count| (850..1150).contains(&count)), "{counts:?}");
    }
}
