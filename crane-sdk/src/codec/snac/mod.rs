//! SNAC (Siuzdak et al. 2024): residual codes at several rates, the first the slowest.

mod attention;
mod config;
mod decoder;
mod encoder;
mod quantizer;
#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::sync::Arc;

use crate::source::{Checkpoint, SafetensorsCheckpoint, Source, TorchCheckpoint};
use crate::weights::Floats;
use crate::{Error, Result};

use super::{Codec, CodecStream, Noise, float_bytes};
use decoder::{Decoder, DecoderState};
use quantizer::Quantizer;

pub use config::SnacConfig;
pub use encoder::SnacEncoder;

/// SNAC's decoder.
///
/// A frame is what the slowest codebook takes a code for (or a window of local attention, if that is longer): its codes are those
/// of the slowest level, then those of the next, each in the order of time. At 24 kHz that is 1 + 2 + 4 codes and
/// 2048 samples.
#[derive(Debug)]
pub struct Snac {
    config: SnacConfig,
    quantizer: Quantizer,
    decoder: Decoder,
}

impl Snac {
    /// Loads the decoder and the codebooks of a folder with `config.json` and `pytorch_model.bin` or `model.safetensors`. The encoder
    /// need not be there; see [`SnacEncoder::from_source`].
    ///
    /// # Errors
    /// [`Error::NotFound`] if a file is missing, [`Error::InvalidFile`] if one is damaged, [`Error::Weights`] if a tensor does
    /// not fit, [`Error::Unsupported`] for a variant that was never published.
    pub fn from_source(source: &dyn Source) -> Result<Self> {
        let config = SnacConfig::from_source(source)?;
        let checkpoint = checkpoint(source)?;
        let weights = Floats::new(checkpoint.as_ref());
        let quantizer = Quantizer::load(&weights, &config)?;
        let decoder = Decoder::load(&weights, &config)?;
        weights.finish(&["encoder."])?;
        Ok(Self { config, quantizer, decoder })
    }

    /// Its sizes.
    pub fn config(&self) -> &SnacConfig {
        &self.config
    }

    /// [`Codec::stream`] that keeps the codec alive.
    pub fn begin(self: Arc<Self>, noise: Noise) -> SnacStream {
        let state = self.start(noise);
        SnacStream { codec: self, state, ended: false }
    }

    fn start(&self, noise: Noise) -> DecoderState {
        let blocks = 0..self.config.decoder_rates.len();
        self.decoder.start(blocks.map(|index| noise.of_block(index)).collect())
    }

    /// Decodes everything at once with given noise, showing the rows of each stage.
    #[cfg(feature = "golden")]
    pub(crate) fn observed(
        &self,
        frames: &[u32],
        noise: Vec<Option<super::noise::Drawn>>,
        mut observe: impl FnMut(&str, &[f32]),
    ) -> Result<Vec<f32>> {
        let z = self.quantizer.decode(frames)?;
        observe("z_q", &z);
        self.decoder.stream(&mut self.decoder.start(noise), z, true, &mut observe)
    }
}

impl Codec for Snac {
    fn sample_rate(&self) -> u32 {
        self.config.sampling_rate
    }

    fn frame_samples(&self) -> usize {
        self.config.frame_steps() * self.config.hop()
    }

    fn frame_codes(&self) -> usize {
        self.config.frame_codes()
    }

    fn codebook_size(&self) -> usize {
        self.config.codebook_size
    }

    fn stream(&self, noise: Noise) -> Box<dyn CodecStream + '_> {
        Box::new(SnacStream { codec: self, state: self.start(noise), ended: false })
    }
}

/// Frames being decoded by a codec that is shared or borrowed.
#[derive(Debug)]
pub struct SnacStream<C = Arc<Snac>> {
    codec: C,
    state: DecoderState,
    ended: bool,
}

impl<C: Borrow<Snac> + std::fmt::Debug + Send> CodecStream for SnacStream<C> {
    fn push(&mut self, frames: &[u32], last: bool) -> Result<Vec<f32>> {
        if self.ended {
            return Err(Error::argument(
                "frames",
                "the last one has been given; begin another stream",
            ));
        }
        let codec = self.codec.borrow();
        let z = codec.quantizer.decode(frames)?;
        self.ended = last;
        codec.decoder.stream(&mut self.state, z, last, &mut |_, _| {})
    }
}

/// The weights of a folder, safetensors first.
fn checkpoint(source: &dyn Source) -> Result<Box<dyn Checkpoint>> {
    Ok(match source.contains("pytorch_model.bin")? && !source.contains("model.safetensors")? {
        true => Box::new(TorchCheckpoint::open(source)?),
        false => Box::new(SafetensorsCheckpoint::open(source)?),
    })
}

/// The weight of the decoder's first transposed convolution, [channels, half of them, taps], as it is computed with.
#[cfg(feature = "golden")]
pub(crate) fn first_transposed(source: &dyn Source) -> Result<Vec<f32>> {
    let config = SnacConfig::from_source(source)?;
    let checkpoint = checkpoint(source)?;
    let weights = Floats::new(checkpoint.as_ref());
    let stage = 2 + usize::from(config.attn_window_size.is_some());
    let (width, rate) = (config.decoder_dim, config.decoder_rates.first().unwrap_or(&1));
    weights.weight(&format!("decoder.model.{stage}.block.1"), &[width, width / 2, 2 * rate])
}

/// Bytes that a decoder takes once it is loaded, from the head of its file.
pub(crate) fn snac_bytes(source: &dyn Source) -> Result<u64> {
    let checkpoint = checkpoint(source)?;
    Ok(float_bytes(checkpoint.as_ref(), &["decoder.", "quantizer."]))
}

/// Whether a source's `config.json` is that of a SNAC codec.
pub(crate) fn is_snac(source: &dyn Source) -> bool {
    SnacConfig::from_source(source).is_ok()
}
