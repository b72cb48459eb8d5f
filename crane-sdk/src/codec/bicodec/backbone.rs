//! The Vocos backbone (Siuzdak 2023): a convolution and ConvNeXt blocks between norms.

use crate::Result;
use crate::nn::slices::{Conv, ConvNeXt, Depthwise, LayerNorm, Linear, Window};
use crate::weights::Floats;

/// What is added to variances here.
const EPSILON: f32 = 1e-6;
/// Taps of the convolutions.
const TAPS: usize = 7;

/// A backbone whose inner norms are its own.
#[derive(Debug)]
pub(super) struct Backbone {
    embed: Conv,
    norm: LayerNorm,
    blocks: Vec<ConvNeXt>,
    last: LayerNorm,
}

/// What later rows need.
#[derive(Debug)]
pub(super) struct BackboneState {
    embed: Window,
    blocks: Vec<Window>,
}

/// Norms that a speaker sets: the one after the convolution and one for each block.
#[derive(Debug)]
pub(super) struct Norms(Vec<LayerNorm>);

/// Where a speaker's norms come from: a scale and a shift, each a matrix times the speaker's vector.
#[derive(Debug)]
pub(super) struct Adapters(Vec<[Linear; 2]>);

impl Backbone {
    /// The backbone `name` of `width` channels that reads `inputs`; without norms of its own (ones that do nothing take their place) if they
    /// are a speaker's.
    pub(super) fn load(
        weights: &Floats<'_>,
        name: &str,
        [width, inputs]: [usize; 2],
        blocks: usize,
        adapted: bool,
    ) -> Result<Self> {
        let norm = |name: &str| -> Result<LayerNorm> {
            if adapted {
                return Ok(LayerNorm::new(vec![1.0; width], vec![0.0; width], EPSILON));
            }
            plain_norm(weights, name, width)
        };
        let tensor = |name: String, shape: &[usize]| weights.tensor(&name, shape);
        let block = |index: usize| {
            let name = format!("{name}.convnext.{index}");
            let [hidden] = weights.shape(&format!("{name}.pwconv1.bias"))?;
            Ok(ConvNeXt::new(
                Depthwise::new(
                    &tensor(format!("{name}.dwconv.weight"), &[width, 1, TAPS])?,
                    tensor(format!("{name}.dwconv.bias"), &[width])?,
                    1,
                ),
                norm(&format!("{name}.norm"))?,
                [
                    plain_linear(weights, &format!("{name}.pwconv1"), hidden, width)?,
                    plain_linear(weights, &format!("{name}.pwconv2"), width, hidden)?,
                ],
                tensor(format!("{name}.gamma"), &[width])?,
            ))
        };
        let embed = tensor(format!("{name}.embed.weight"), &[width, inputs, TAPS])?;
        let bias = tensor(format!("{name}.embed.bias"), &[width])?;
        Ok(Self {
            embed: Conv::new(&embed, &bias, [inputs, TAPS], 1)?,
            norm: norm(&format!("{name}.norm"))?,
            blocks: (0..blocks).map(block).collect::<Result<_>>()?,
            last: plain_norm(weights, &format!("{name}.final_layer_norm"), width)?,
        })
    }

    pub(super) fn start(&self) -> BackboneState {
        BackboneState {
            embed: self.embed.window(),
            blocks: self.blocks.iter().map(ConvNeXt::window).collect(),
        }
    }

    /// The outputs that further rows make possible, with a speaker's norms if there are any.
    pub(super) fn stream(
        &self,
        state: &mut BackboneState,
        norms: Option<&Norms>,
        x: &[f32],
        last: bool,
    ) -> Result<Vec<f32>> {
        let mut norms = norms.into_iter().flat_map(|norms| &norms.0);
        let x = self.embed.stream(&mut state.embed, x, last)?;
        let mut x = norms.next().unwrap_or(&self.norm).forward(&x);
        for (block, window) in self.blocks.iter().zip(&mut state.blocks) {
            x = match norms.next() {
                Some(norm) => block.stream_normed(norm, window, &x, last)?,
                None => block.stream(window, &x, last)?,
            };
        }
        Ok(self.last.forward(&x))
    }
}

impl Adapters {
    /// Those of the backbone `name` for speakers of `condition` numbers.
    pub(super) fn load(
        weights: &Floats<'_>,
        name: &str,
        [width, condition]: [usize; 2],
        blocks: usize,
    ) -> Result<Self> {
        let places = (0..blocks).map(|index| format!("{name}.convnext.{index}.norm"));
        let places = std::iter::once(format!("{name}.norm")).chain(places);
        let pair = |place: String| {
            let part = |part| plain_linear(weights, &format!("{place}.{part}"), width, condition);
            Ok([part("scale")?, part("shift")?])
        };
        Ok(Self(places.map(pair).collect::<Result<_>>()?))
    }

    /// The norms of a speaker.
    pub(super) fn norms(&self, speaker: &[f32]) -> Result<Norms> {
        let norm = |[scale, shift]: &[Linear; 2]| {
            Ok(LayerNorm::new(scale.forward(speaker)?, shift.forward(speaker)?, EPSILON))
        };
        Ok(Norms(self.0.iter().map(norm).collect::<Result<_>>()?))
    }
}

fn plain_norm(weights: &Floats<'_>, name: &str, width: usize) -> Result<LayerNorm> {
    let part = |part| weights.tensor(&format!("{name}.{part}"), &[width]);
    Ok(LayerNorm::new(part("weight")?, part("bias")?, EPSILON))
}

/// A matrix stored whole, with its bias.
pub(super) fn plain_linear(
    weights: &Floats<'_>,
    name: &str,
    outputs: usize,
    inputs: usize,
) -> Result<Linear> {
    let weight = weights.tensor(&format!("{name}.weight"), &[outputs, inputs])?;
    Linear::new(&weight, &weights.tensor(&format!("{name}.bias"), &[outputs])?)
}
