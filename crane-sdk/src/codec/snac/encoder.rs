//! Samples to codes.

use super::quantizer::Quantizer;
use super::{SnacConfig, attention, checkpoint};
use crate::codec::residual::{ResidualUnit, snake};
use crate::codec::upsampling::DILATIONS;
use crate::nn::slices::{Conv, Depthwise, LocalAttention, Snake};
use crate::source::Source;
use crate::weights::Floats;
use crate::{Error, Result};

/// Taps of the first and the last convolution.
const TAPS: usize = 7;

/// SNAC's encoder.
///
/// ```no_run
/// # fn example(source: &dyn crane_sdk::source::Source, samples: &[f32]) -> crane_sdk::Result<()> {
/// use crane_sdk::codec::{Codec, Noise, Snac, SnacEncoder};
///
/// let frames = SnacEncoder::from_source(source)?.encode(samples)?; // mono, at the codec's rate
/// let again = Snac::from_source(source)?.decode(&frames, Noise::Off)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SnacEncoder {
    config: SnacConfig,
    quantizer: Quantizer,
    first: Conv,
    blocks: Vec<Block>,
    attention: Option<LocalAttention>,
    last: Depthwise,
}

#[derive(Debug)]
struct Block {
    units: Vec<ResidualUnit>,
    snake: Snake,
    shorten: Conv,
    stride: usize,
}

impl SnacEncoder {
    /// Loads the encoder and the codebooks of a folder.
    ///
    /// # Errors
    /// As [`Snac::from_source`](super::Snac::from_source).
    pub fn from_source(source: &dyn Source) -> Result<Self> {
        let config = SnacConfig::from_source(source)?;
        let checkpoint = checkpoint(source)?;
        let weights = Floats::new(checkpoint.as_ref());
        let layer = |index: usize| format!("encoder.block.{index}");
        let conv = |name: &str, outputs: usize, inputs: usize, taps: usize| {
            let weight = weights.weight(name, &[outputs, inputs, taps])?;
            let bias = weights.tensor(&format!("{name}.bias"), &[outputs])?;
            Conv::new(&weight, &bias, [inputs, taps], 1)
        };
        let mut blocks = Vec::new();
        for (index, stride) in config.encoder_rates.iter().enumerate() {
            let (name, width) = (layer(index + 1), config.encoder_dim << index);
            let unit = |(index, dilation): (usize, usize)| {
                ResidualUnit::load(&weights, &format!("{name}.block.{index}"), width, dilation)
            };
            blocks.push(Block {
                units: DILATIONS.into_iter().enumerate().map(unit).collect::<Result<_>>()?,
                snake: snake(&weights, &format!("{name}.block.3"), width)?,
                shorten: conv(&format!("{name}.block.4"), 2 * width, width, 2 * stride)?,
                stride: *stride,
            });
        }
        let width = config.encoder_dim << blocks.len();
        if width != config.latent() {
            let reason = format_args!("{} channels follow an encoder of {width}", config.latent());
            return Err(weights.misfit(&layer(blocks.len()), reason));
        }
        let attention = attention::load(&weights, &layer(blocks.len() + 1), width, &config)?;
        let last = layer(blocks.len() + 1 + usize::from(attention.is_some()));
        let last = Depthwise::new(
            &weights.weight(&last, &[width, 1, TAPS])?,
            weights.tensor(&format!("{last}.bias"), &[width])?,
            1,
        );
        let (quantizer, first) =
            (Quantizer::load(&weights, &config)?, conv(&layer(0), config.encoder_dim, 1, TAPS)?);
        weights.finish(&["decoder."])?;
        Ok(Self { config, quantizer, first, blocks, attention, last })
    }

    /// Mono samples at the codec's rate to codes in frames as [`Snac`](super::Snac) decodes them; silence follows to the end of
    /// the last frame.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for no samples or some that are not finite.
    pub fn encode(&self, samples: &[f32]) -> Result<Vec<u32>> {
        self.observed(samples, |_, _| {})
    }

    /// As [`SnacEncoder::encode`]; `observe` sees the encoder's output and what each level is given.
    pub(crate) fn observed(
        &self,
        samples: &[f32],
        mut observe: impl FnMut(Option<usize>, &[f32]),
    ) -> Result<Vec<u32>> {
        if samples.is_empty() || samples.iter().any(|x| !x.is_finite()) {
            return Err(Error::argument("samples", "there are none, or some are not finite"));
        }
        let frame = self.config.frame_steps() * self.config.hop();
        let mut x = samples.to_vec();
        x.resize(samples.len().next_multiple_of(frame), 0.0);
        x = self.first.forward(&x)?;
        for block in &self.blocks {
            for unit in &block.units {
                x = unit.forward(x)?;
            }
            block.snake.forward(&mut x);
            x = block.shorten.strided(&x, block.stride, block.stride.div_ceil(2))?;
        }
        if let Some(attention) = &self.attention {
            attention.forward(&mut x)?;
        }
        let z = self.last.stream(&mut self.last.window(), &x, true);
        observe(None, &z);
        self.quantizer.encode(&z, |level, rows| observe(Some(level), rows))
    }
}
