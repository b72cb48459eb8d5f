//! The sizes of a SNAC codec.

use serde::Deserialize;

use crate::codec::{MOST_FRAME_SAMPLES, SAMPLE_RATES, product};
use crate::source::{Source, json};
use crate::{Error, Result};

const FILE: &str = "config.json";
/// The most numbers between quantiser and decoder of a frame: 64 times what published codecs have.
const MOST_LATENT: usize = 1 << 22;

/// What `config.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SnacConfig {
    /// Samples a second.
    pub sampling_rate: u32,
    /// Channels of the encoder's first layer; each block has twice as many.
    pub encoder_dim: usize,
    /// By how much each block of the encoder shortens.
    pub encoder_rates: Vec<usize>,
    /// Channels between encoder and decoder; what the encoder makes, if absent.
    pub latent_dim: Option<usize>,
    /// Channels of the decoder's first layer; each block has half as many.
    pub decoder_dim: usize,
    /// By how much each block of the decoder lengthens.
    pub decoder_rates: Vec<usize>,
    /// Steps of a window of local attention, if there is any.
    pub attn_window_size: Option<usize>,
    /// Values of a code.
    pub codebook_size: usize,
    /// Numbers of a codebook's row.
    pub codebook_dim: usize,
    /// Steps that a code of each level lasts, the slowest first.
    pub vq_strides: Vec<usize>,
    /// Whether the decoder adds noise.
    #[serde(default = "yes")]
    pub noise: bool,
    /// Whether convolutions keep channels apart where they can.
    #[serde(default = "yes")]
    pub depthwise: bool,
}

fn yes() -> bool {
    true
}

impl SnacConfig {
    /// Reads and checks `config.json`.
    ///
    /// # Errors
    /// [`Error::NotFound`] without one, [`Error::InvalidFile`] if it is not SNAC's, [`Error::Unsupported`] if it is of a variant
    /// that was never published.
    pub fn from_source(source: &dyn Source) -> Result<Self> {
        let config: Self = json::read(source, FILE)?;
        config.check(FILE)?;
        Ok(config)
    }

    fn check(&self, file: &str) -> Result<()> {
        let sizes = [self.encoder_dim, self.decoder_dim, self.codebook_size, self.codebook_dim];
        let sizes = sizes.iter().chain(&self.latent_dim).chain(&self.attn_window_size);
        let rates = self.encoder_rates.iter().chain(&self.decoder_rates).chain(&self.vq_strides);
        let lists = [&self.encoder_rates, &self.decoder_rates, &self.vq_strides];
        let reason = if sizes.into_iter().any(|size| !(1..=1 << 16).contains(size)) {
            "a size is 0 or above 65536"
        } else if rates.into_iter().any(|rate| !(1..=64).contains(rate)) {
            "a rate or stride is 0 or above 64"
        } else if lists.iter().any(|list| !(1..=8).contains(&list.len())) {
            "there must be 1 to 8 rates of each kind and levels of codes"
        } else if !SAMPLE_RATES.contains(&self.sampling_rate) {
            "sampling_rate is not 4000 to 384000"
        } else if product([self.frame_steps(), self.hop()]) > MOST_FRAME_SAMPLES
            || product([self.frame_steps(), self.latent()]) > MOST_LATENT
        {
            "a frame has more than 65536 samples or 4194304 numbers between quantiser and decoder"
        } else if product(self.encoder_rates.iter().copied()) != self.hop() {
            "the encoder does not shorten by what the decoder lengthens"
        } else if !self.decoder_dim.is_multiple_of(1 << self.decoder_rates.len()) {
            "the decoder's channels cannot be halved at each block"
        } else if self.vq_strides.iter().any(|stride| !self.frame_steps().is_multiple_of(*stride)) {
            "a level's codes do not fill a frame"
        } else if !self.depthwise {
            return Err(Error::Unsupported {
                what: format!("{file}: SNAC without depthwise convolutions"),
                hint: "the published codecs (24, 32 and 44 kHz) all have them".to_owned(),
            });
        } else {
            return Ok(());
        };
        Err(Error::invalid_file(file, reason))
    }

    /// Samples of a step.
    pub fn hop(&self) -> usize {
        product(self.decoder_rates.iter().copied())
    }

    /// Channels between encoder and decoder.
    pub fn latent(&self) -> usize {
        self.latent_dim.unwrap_or(self.encoder_dim << self.encoder_rates.len())
    }

    /// Steps of a frame: a code of the slowest level, and whole windows of attention.
    pub fn frame_steps(&self) -> usize {
        let slowest = self.vq_strides.first().copied().unwrap_or(1);
        let window = self.attn_window_size.unwrap_or(1);
        // Their least common multiple.
        let (mut a, mut b) = (slowest, window);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        product([slowest, window / a.max(1)])
    }

    /// Codes of a frame.
    pub fn frame_codes(&self) -> usize {
        let steps = self.frame_steps();
        self.vq_strides.iter().map(|stride| steps / stride.max(&1)).sum()
    }
}
