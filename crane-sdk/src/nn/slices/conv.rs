//! Convolutions over all channels along rows that may arrive piece by piece.

use super::{Linear, Window};
use crate::kernels::threads::parallel_chunks;
use crate::source::OnnxCheckpoint;
use crate::{Error, Result};

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
        let out = match self.dilation {
            1 => self.linear.windows(window.rows(), self.inputs, count),
            _ => self.dilated(window.rows(), count),
        };
        window.advance(count);
        out
    }

    /// Every `stride`-th output alone, `padding` rows of zeros on both sides; for taps side by side.
    pub(crate) fn strided(&self, x: &[f32], stride: usize, padding: usize) -> Result<Vec<f32>> {
        if self.dilation != 1 {
            return Err(Error::argument("stride", "the taps of this convolution lie apart"));
        }
        let zeros = vec![0f32; padding * self.inputs];
        let rows = [&zeros, x, &zeros].concat();
        let last = (rows.len() / self.inputs).checked_sub(self.taps);
        let count = last.map_or(0, |last| last / stride + 1);
        self.linear.windows(&rows, stride * self.inputs, count)
    }

    /// `count` outputs of taps that lie apart: of every `dilation`-th row each, the taps are neighbours.
    fn dilated(&self, rows: &[f32], count: usize) -> Result<Vec<f32>> {
        let Self { inputs, taps, dilation, .. } = *self;
        let of_phase = |phase: usize| (count + dilation - 1 - phase) / dilation;
        let length = of_phase(0) + taps - 1;
        let mut apart = vec![0f32; dilation * length * inputs];
        parallel_chunks(&mut apart, inputs, inputs, 0, |index, row, _| {
            let from = (index % length * dilation + index / length) * inputs;
            if let Some(from) = rows.get(from..from + inputs) {
                row.copy_from_slice(from);
            }
        });
        let phases = apart.chunks_exact(length * inputs).enumerate();
        let outputs =
            phases.map(|(phase, rows)| self.linear.windows(rows, inputs, of_phase(phase)));
        let outputs = outputs.collect::<Result<Vec<_>>>()?;
        let width = outputs.iter().map(Vec::len).sum::<usize>() / count.max(1);
        let mut out = vec![0f32; count * width];
        parallel_chunks(&mut out, width, width, 0, |index, row, _| {
            let from = index / dilation * width;
            let rows = outputs.get(index % dilation);
            if let Some(from) = rows.and_then(|rows| rows.get(from..from + width)) {
                row.copy_from_slice(from);
            }
        });
        Ok(out)
    }
}
