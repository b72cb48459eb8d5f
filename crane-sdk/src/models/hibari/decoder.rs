//! Text, pitch and energy of each frame to the five spectral maps, piece by piece.

use super::{BINS, MAPS};
use crate::Result;
use crate::nn::slices::{Conv, ConvNeXt, Int8, LayerNorm, Linear, Window};
use crate::source::OnnxCheckpoint;

const BLOCKS: usize = 8;
/// What the decoder knows of a frame beside the text: pitch and energy.
pub(super) const EXTRAS: usize = 2;

#[derive(Debug)]
pub(super) struct Decoder {
    input: Conv,
    blocks: Vec<ConvNeXt>,
    norm: LayerNorm,
    head: Linear,
}

/// The frames that each block waits with. Cut anywhere, a sentence gives the same maps to the last bit.
#[derive(Debug)]
pub(super) struct Progress {
    input: Window,
    blocks: Vec<Window>,
}

impl Decoder {
    pub(super) fn load(weights: &OnnxCheckpoint, text_width: usize) -> Result<Self> {
        let [width] = weights.shape("m.dec_in.bias")?;
        let block =
            |index| ConvNeXt::load(weights, &format!("m.dec.{index}"), width, 1, Int8::Multiplied);
        Ok(Self {
            input: Conv::load(weights, "m.dec_in", width, text_width + EXTRAS)?,
            blocks: (0..BLOCKS).map(block).collect::<Result<_>>()?,
            norm: LayerNorm::load(weights, "m.dec_norm", width)?,
            head: Linear::load(weights, "m.head", [MAPS * BINS, width], Int8::Multiplied)?,
        })
    }

    pub(super) fn begin(&self) -> Progress {
        Progress {
            input: self.input.window(),
            blocks: self.blocks.iter().map(ConvNeXt::window).collect(),
        }
    }

    /// The maps `[frames, 5 * 601]` that further frames make possible; `last` says that none follow.
    pub(super) fn forward(
        &self,
        progress: &mut Progress,
        frames: &[f32],
        last: bool,
    ) -> Result<Vec<f32>> {
        let mut x = self.input.stream(&mut progress.input, frames, last)?;
        for (block, window) in self.blocks.iter().zip(&mut progress.blocks) {
            x = block.stream(window, &x, last)?;
        }
        self.head.forward(&self.norm.forward(&x))
    }
}
