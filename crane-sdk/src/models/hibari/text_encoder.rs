//! Phoneme ids to vectors: two ConvNeXt blocks, then one transformer layer applied several times.

use crate::Result;
use crate::generate::{CancelToken, SPEECH};
use crate::nn::slices::{ConvNeXt, EncoderLayer, Int8, LayerNorm};
use crate::source::OnnxCheckpoint;

const HEADS: usize = 2;
/// More turns of the layer than any voice has.
const MAX_TURNS: usize = 64;

#[derive(Debug)]
pub(super) struct TextEncoder {
    /// `[ids, width]`.
    embeddings: Vec<f32>,
    width: usize,
    convolutions: Vec<ConvNeXt>,
    layer: EncoderLayer,
    turns: usize,
    norm: LayerNorm,
}

impl TextEncoder {
    pub(super) fn load(weights: &OnnxCheckpoint, name: &str, int8: Int8) -> Result<Self> {
        let table = format!("{name}.emb.weight");
        let [rows, width] = weights.shape(&table)?;
        // How often the layer is applied is told by the graph alone.
        let shared = format!("{name}.attn.linear1.weight");
        let turns = weights.uses(&shared);
        if turns == 0 || turns > MAX_TURNS {
            return Err(weights.misfit(&shared, format!("the graph applies it {turns} times")));
        }
        let convolution =
            |index| ConvNeXt::load(weights, &format!("{name}.convs.{index}"), width, 1, int8);
        Ok(Self {
            embeddings: weights.tensor(&table, &[rows, width])?.to_vec(),
            width,
            convolutions: (0..2).map(convolution).collect::<Result<_>>()?,
            layer: EncoderLayer::load(weights, &format!("{name}.attn"), width, HEADS, int8)?,
            turns,
            norm: LayerNorm::load(weights, &format!("{name}.norm"), width)?,
        })
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// `[ids, width]`.
    pub(super) fn forward(&self, ids: &[usize], cancel: &CancelToken) -> Result<Vec<f32>> {
        let row = |id: &usize| {
            self.embeddings.get(id * self.width..(id + 1) * self.width).unwrap_or_default()
        };
        let mut x: Vec<f32> = ids.iter().flat_map(row).copied().collect();
        for convolution in &self.convolutions {
            cancel.check(SPEECH)?;
            x = convolution.forward(&x)?;
        }
        for _ in 0..self.turns {
            cancel.check(SPEECH)?;
            self.layer.forward(&mut x)?;
        }
        Ok(self.norm.forward(&x))
    }
}
