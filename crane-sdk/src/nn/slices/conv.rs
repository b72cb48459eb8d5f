//! Convolutions over all channels along rows that may arrive piece by piece.

use super::{Linear, Window};
use crate::Result;
use crate::kernels::threads::parallel_chunks;
use crate::source::OnnxCheckpoint;

/// A convolution over all channels, its taps `dilation` rows apart.
#[derive(Debug)]
pub(crate) struct Conv {
    linear: Linear,
    inputs: usize,
    taps: usize,
    dilation: usize,
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
        let bias = weights.tensor(&format!("{name}.bias"), &[outputs])?;
        Self::new(weight, bias, [inputs, taps], 1)
    }

    /// `weight` `[bias.len(), inputs, taps]`.
    pub(crate) fn new(
        weight: &[f32],
        bias: &[f32],
        [inputs, taps]: [usize; 2],
        dilation: usize,
    ) -> Result<Self> {
        // Rows of a window lie one after the other: the taps come first.
        let by_tap = weight.chunks_exact((inputs * taps).max(1)).flat_map(|output| {
            (0..taps).flat_map(move |tap| output.iter().skip(tap).step_by(taps).copied())
        });
        let matrix: Vec<f32> = by_tap.collect();
        Ok(Self { linear: Linear::new(&matrix, bias)?, inputs, taps, dilation })
    }

    /// Where rows wait for their neighbours.
    pub(crate) fn window(&self) -> Window {
        Window::new(self.inputs, self.taps / 2 * self.dilation)
    }

    /// All of `[rows, inputs]` to `[rows, outputs]`.
    pub(crate) fn forward(&self, x: &[f32]) -> Result<Vec<f32>> {
        self.stream(&mut self.window(), x, true)
    }

    /// The outputs that further rows make possible.
    pub(crate) fn stream(&self, window: &mut Window, x: &[f32], last: bool) -> Result<Vec<f32>> {
        let count = window.push(x, last);
        let patches = self.patches(window.rows(), count, 1);
        window.advance(count);
        self.linear.forward(&patches)
    }

    /// Every `stride`-th output alone, `padding` rows of zeros on both sides.
    pub(crate) fn strided(&self, x: &[f32], stride: usize, padding: usize) -> Result<Vec<f32>> {
        let zeros = vec![0f32; padding * self.inputs];
        let rows = [&zeros, x, &zeros].concat();
        let span = (self.taps - 1) * self.dilation + 1;
        let count =
            (rows.len() / self.inputs).checked_sub(span).map_or(0, |last| last / stride + 1);
        self.linear.forward(&self.patches(&rows, count, stride))
    }

    /// What each output sees, side by side: `[count, taps * inputs]`.
    fn patches(&self, rows: &[f32], count: usize, stride: usize) -> Vec<f32> {
        let Self { inputs, taps, dilation, .. } = *self;
        let mut patches = vec![0f32; count * taps * inputs];
        parallel_chunks(&mut patches, taps * inputs, taps * inputs, |output, patch| {
            for (tap, part) in patch.chunks_exact_mut(inputs).enumerate() {
                let from = (output * stride + tap * dilation) * inputs;
                if let Some(row) = rows.get(from..from + inputs) {
                    part.copy_from_slice(row);
                }
            }
        });
        patches
    }
}
