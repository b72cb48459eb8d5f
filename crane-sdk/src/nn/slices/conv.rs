//! Convolutions along rows that may arrive piece by piece: plain ones, and ConvNeXt blocks (Liu et al. 2022).

use super::{LayerNorm, Linear};
use crate::Result;
use crate::kernels::rows::gelu;
use crate::source::OnnxCheckpoint;

/// The rows that a centred convolution still needs: each output waits for `reach` rows after it, and begins and end are
/// padded with zeros. Rows pushed in any pieces give the same outputs.
#[derive(Debug)]
pub(crate) struct Window {
    rows: Vec<f32>,
    width: usize,
    reach: usize,
}

impl Window {
    fn new(width: usize, reach: usize) -> Self {
        Self { rows: vec![0.0; width * reach], width, reach }
    }

    /// Adds rows; `last` says that none follow. Returns how many outputs can be computed.
    fn push(&mut self, rows: &[f32], last: bool) -> usize {
        self.rows.extend_from_slice(rows);
        if last {
            self.rows.resize(self.rows.len() + self.width * self.reach, 0.0);
        }
        (self.rows.len() / self.width).saturating_sub(2 * self.reach)
    }

    /// Forgets the rows that only the first `count` outputs needed.
    fn advance(&mut self, count: usize) {
        self.rows.drain(..count * self.width);
    }
}

/// A convolution over all channels, no gaps between its taps.
#[derive(Debug)]
pub(crate) struct Conv {
    linear: Linear,
    inputs: usize,
    taps: usize,
}

impl Conv {
    /// `name.weight` `[outputs, inputs, taps]`, an odd number of taps, and `name.bias`.
    pub(crate) fn load(
        weights: &OnnxCheckpoint,
        name: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<Self> {
        let weight_name = format!("{name}.weight");
        let [_, _, taps] = weights.shape(&weight_name)?;
        if taps % 2 == 0 {
            return Err(weights.misfit(&weight_name, format!("{taps} taps have no middle")));
        }
        let weight = weights.tensor(&weight_name, &[outputs, inputs, taps])?;
        // Rows of a window lie one after the other: the taps come first.
        let by_tap = weight.chunks_exact(inputs * taps).flat_map(|output| {
            (0..taps).flat_map(move |tap| output.iter().skip(tap).step_by(taps).copied())
        });
        let matrix: Vec<f32> = by_tap.collect();
        let linear = Linear::new(&matrix, weights.tensor(&format!("{name}.bias"), &[outputs])?)?;
        Ok(Self { linear, inputs, taps })
    }

    /// Where rows wait for their neighbours.
    pub(crate) fn window(&self) -> Window {
        Window::new(self.inputs, self.taps / 2)
    }

    /// All of `[rows, inputs]` to `[rows, outputs]`.
    pub(crate) fn forward(&self, x: &[f32]) -> Result<Vec<f32>> {
        self.stream(&mut self.window(), x, true)
    }

    /// The outputs that further rows make possible.
    pub(crate) fn stream(&self, window: &mut Window, x: &[f32], last: bool) -> Result<Vec<f32>> {
        let count = window.push(x, last);
        let patch = self.taps * self.inputs;
        let patches = window.rows.windows(patch).step_by(self.inputs).take(count);
        let patches: Vec<f32> = patches.flatten().copied().collect(); // [count, taps * inputs]
        window.advance(count);
        self.linear.forward(&patches)
    }
}

/// x + γ · (W₂ · gelu(W₁ · norm(depthwise convolution of x))).
#[derive(Debug)]
pub(crate) struct ConvNeXt {
    /// `[taps, width]`.
    depthwise: Vec<f32>,
    depthwise_bias: Vec<f32>,
    norm: LayerNorm,
    up: Linear,
    down: Linear,
    gamma: Vec<f32>,
    taps: usize,
    dilation: usize,
}

impl ConvNeXt {
    /// The block `name` of `width` channels, its taps `dilation` rows apart.
    pub(crate) fn load(
        weights: &OnnxCheckpoint,
        name: &str,
        width: usize,
        dilation: usize,
    ) -> Result<Self> {
        let weight_name = format!("{name}.dw.weight");
        let [_, _, taps] = weights.shape(&weight_name)?;
        if taps % 2 == 0 {
            return Err(weights.misfit(&weight_name, format!("{taps} taps have no middle")));
        }
        let weight = weights.tensor(&weight_name, &[width, 1, taps])?;
        let [hidden] = weights.shape(&format!("{name}.pw1.bias"))?;
        Ok(Self {
            depthwise: (0..taps)
                .flat_map(|tap| weight.iter().skip(tap).step_by(taps).copied())
                .collect(),
            depthwise_bias: weights.tensor(&format!("{name}.dw.bias"), &[width])?.to_vec(),
            norm: LayerNorm::load(weights, &format!("{name}.norm"), width)?,
            up: Linear::load(weights, &format!("{name}.pw1"), hidden, width)?,
            down: Linear::load(weights, &format!("{name}.pw2"), width, hidden)?,
            gamma: weights.tensor(&format!("{name}.gamma"), &[width])?.to_vec(),
            taps,
            dilation,
        })
    }

    /// Where rows wait for their neighbours.
    pub(crate) fn window(&self) -> Window {
        Window::new(self.gamma.len(), self.taps / 2 * self.dilation)
    }

    /// All of `[rows, width]`.
    pub(crate) fn forward(&self, x: &[f32]) -> Result<Vec<f32>> {
        self.stream(&mut self.window(), x, true)
    }

    /// The outputs that further rows make possible.
    pub(crate) fn stream(&self, window: &mut Window, x: &[f32], last: bool) -> Result<Vec<f32>> {
        let count = window.push(x, last);
        let width = self.gamma.len();
        let rows =
            |from: usize| window.rows.get(from * width..(from + count) * width).unwrap_or_default();
        let mut mixed = self.depthwise_bias.repeat(count);
        for (tap, weight) in self.depthwise.chunks_exact(width).enumerate() {
            let rows = rows(tap * self.dilation).chunks_exact(width);
            for (out, row) in mixed.chunks_exact_mut(width).zip(rows) {
                for ((out, x), weight) in out.iter_mut().zip(row).zip(weight) {
                    *out += x * weight;
                }
            }
        }
        let mut hidden = self.up.forward(&self.norm.forward(&mixed))?;
        gelu(&mut hidden);
        let mut out = self.down.forward(&hidden)?;
        let residual = rows(window.reach).chunks_exact(width);
        for (out, row) in out.chunks_exact_mut(width).zip(residual) {
            for ((out, x), gamma) in out.iter_mut().zip(row).zip(&self.gamma) {
                *out = x + *out * gamma;
            }
        }
        window.advance(count);
        Ok(out)
    }
}
