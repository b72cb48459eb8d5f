//! What to say next: one row of logits in, one token id out.
//!
//! # The chain
//!
//! The steps run in this order, each on what the one before it left:
//!
//! 1. repetition, then frequency and presence penalties, over the last `penalty_last_n` tokens of
//!    the history (prompt and generated tokens alike);
//! 2. logit bias;
//! 3. temperature: the logits are divided by it; 0 takes the best token here and skips the rest;
//! 4. top-k;
//! 5. top-p;
//! 6. min-p;
//! 7. typical-p;
//! 8. the draw.
//!
//! Steps 5 and 7 look at the distribution renormalised over the survivors of the steps before them;
//! step 6 compares with the best token, which no step removes before it. Of equal logits the lower
//! id comes first everywhere. A logit of `-inf` is a token that cannot be chosen: whoever constrains
//! the output (a grammar, a list of banned tokens) writes `-inf` into the row before the chain
//! runs, or gives [`Sampler::sample_among`] the tokens that may be chosen.
//!
//! # One seed, one text, on every machine
//!
//! From the logits on, everything that decides which token is drawn is made of IEEE additions,
//! multiplications, divisions and integers: the exponential is a polynomial of this library and
//! not the system's libm, and probabilities are summed as integers (see [`UNIT`]), so that no order
//! of summation matters. Equal logits therefore give equal draws, bit for bit, natively and in
//! wasm. The generator and the draw are named by [`SEED_VERSION`].

mod candidates;
mod logprobs;
mod params;
mod penalties;
mod rng;
mod sampler;
mod scorer;
mod weight;

pub use logprobs::{LogprobsOf, TokenLogprob};
pub use params::SamplingParams;
pub(crate) use rng::Normals;
pub use rng::SEED_VERSION;
pub use sampler::{Sampled, Sampler};
pub(crate) use scorer::Scorer;
pub use weight::UNIT;
