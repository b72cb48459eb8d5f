//! ConvNeXt blocks (Liu et al. 2022) along rows that may arrive piece by piece.

use super::{Depthwise, Int8, LayerNorm, Linear, Window};
use crate::Result;
use crate::kernels::rows::gelu;
use crate::source::OnnxCheckpoint;

/// x + γ · (W₂ · gelu(W₁ · norm(depthwise convolution of x))).
#[derive(Debug)]
pub(crate) struct ConvNeXt {
    depthwise: Depthwise,
    norm: LayerNorm,
    up: Linear,
    down: Linear,
    gamma: Vec<f32>,
}

impl ConvNeXt {
    /// The block `name` of `width` channels, its taps `dilation` rows apart.
    pub(crate) fn load(
        weights: &OnnxCheckpoint,
        name: &str,
        width: usize,
        dilation: usize,
        int8: Int8,
    ) -> Result<Self> {
        let weight_name = format!("{name}.dw.weight");
        let [_, _, taps] = weights.shape(&weight_name)?;
        if taps % 2 == 0 {
            return Err(weights.misfit(&weight_name, format!("{taps} taps have no middle")));
        }
        let weight = weights.tensor(&weight_name, &[width, 1, taps])?;
        let bias = weights.tensor(&format!("{name}.dw.bias"), &[width])?.to_vec();
        let [hidden] = weights.shape(&format!("{name}.pw1.bias"))?;
        Ok(Self {
            depthwise: Depthwise::new(weight, bias, dilation),
            norm: LayerNorm::load(weights, &format!("{name}.norm"), width)?,
            up: Linear::load(weights, &format!("{name}.pw1"), [hidden, width], int8)?,
            down: Linear::load(weights, &format!("{name}.pw2"), [width, hidden], int8)?,
            gamma: weights.tensor(&format!("{name}.gamma"), &[width])?.to_vec(),
        })
    }

    /// A block of its parts; `gamma` has the block's width.
    pub(crate) fn new(
        depthwise: Depthwise,
        norm: LayerNorm,
        [up, down]: [Linear; 2],
        gamma: Vec<f32>,
    ) -> Self {
        Self { depthwise, norm, up, down, gamma }
    }

    /// Where rows wait for their neighbours.
    pub(crate) fn window(&self) -> Window {
        self.depthwise.window()
    }

    /// All of `[rows, width]`.
    pub(crate) fn forward(&self, x: &[f32]) -> Result<Vec<f32>> {
        self.stream(&mut self.window(), x, true)
    }

    /// The outputs that further rows make possible.
    pub(crate) fn stream(&self, window: &mut Window, x: &[f32], last: bool) -> Result<Vec<f32>> {
        self.stream_normed(&self.norm, window, x, last)
    }

    /// As [`ConvNeXt::stream`], with another norm in place of the block's own.
    pub(crate) fn stream_normed(
        &self,
        norm: &LayerNorm,
        window: &mut Window,
        x: &[f32],
        last: bool,
    ) -> Result<Vec<f32>> {
        let count = window.push(x, last);
        let mixed = self.depthwise.apply(window.rows(), count);
        let mut hidden = self.up.forward(&norm.forward(&mixed))?;
        gelu(&mut hidden);
        let mut out = self.down.forward(&hidden)?;
        let width = self.gamma.len();
        let middle = window.rows().get(window.reach() * width..).unwrap_or_default();
        for (out, row) in out.chunks_exact_mut(width).zip(middle.chunks_exact(width)) {
            for ((out, x), gamma) in out.iter_mut().zip(row).zip(&self.gamma) {
                *out = x + *out * gamma;
            }
        }
        window.advance(count);
        Ok(out)
    }
}
