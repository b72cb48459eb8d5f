//! Transposed convolutions, which make several rows of one, along rows that may arrive piece by piece.

use super::Linear;
use crate::Result;

/// A transposed convolution that makes `stride` rows of each, as one matrix: output rows t · stride .. (t + 1) · stride are a product of
/// input rows t − taps + 1 .. t. As many rows as the padding says are cut off at the beginning.
#[derive(Debug)]
pub(crate) struct Upsample {
    linear: Linear,
    inputs: usize,
    outputs: usize,
    stride: usize,
    /// Input rows that an output row needs.
    taps: usize,
    cut: usize,
}

/// Rows that later outputs need, and what is still to be cut off.
#[derive(Debug)]
pub(crate) struct Held {
    rows: Vec<f32>,
    cut: usize,
    /// Outputs that the rows so far are worth.
    owed: usize,
}

impl Upsample {
    /// `weight` `[inputs, bias.len(), width]` with `padding` rows less at the beginning, at most `width` − `stride`.
    pub(crate) fn new(
        weight: &[f32],
        bias: &[f32],
        [inputs, width]: [usize; 2],
        stride: usize,
        padding: usize,
    ) -> Result<Self> {
        let outputs = bias.len();
        let taps = width.div_ceil(stride);
        let mut matrix = vec![0f32; stride * outputs * taps * inputs];
        for (at, value) in matrix.iter_mut().enumerate() {
            let (row, column) = (at / (taps * inputs), at % (taps * inputs));
            let (phase, output) = (row / outputs, row % outputs);
            let (place, input) = (column / inputs, column % inputs);
            let tap = phase + (taps - 1 - place) * stride;
            if tap < width {
                *value =
                    weight.get((input * outputs + output) * width + tap).copied().unwrap_or(0.0);
            }
        }
        let linear = Linear::new(&matrix, &bias.repeat(stride))?;
        Ok(Self { linear, inputs, outputs, stride, taps, cut: padding * outputs })
    }

    /// What is held before the first row.
    pub(crate) fn start(&self) -> Held {
        Held { rows: vec![0.0; (self.taps - 1) * self.inputs], cut: self.cut, owed: 0 }
    }

    /// The outputs `[.., outputs]` that further rows make possible; `stride` times as many as rows when `last` has been said.
    pub(crate) fn stream(&self, held: &mut Held, x: &[f32], last: bool) -> Result<Vec<f32>> {
        held.rows.extend_from_slice(x);
        held.owed += x.len() / self.inputs * self.stride * self.outputs;
        if last {
            held.rows.resize(held.rows.len() + (self.taps - 1) * self.inputs, 0.0);
        }
        let count = (held.rows.len() / self.inputs).saturating_sub(self.taps - 1);
        let mut out = self.linear.windows(&held.rows, self.inputs, count)?; // [count, stride * outputs]
        held.rows.drain(..count * self.inputs);
        let cut = held.cut.min(out.len());
        out.drain(..cut);
        held.cut -= cut;
        out.truncate(held.owed);
        held.owed -= out.len();
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn it_is_its_definition_however_rows_are_cut() {
        for (inputs, outputs, width, stride, padding) in
            [(3, 2, 16, 8, 4), (2, 3, 11, 5, 3), (4, 1, 6, 3, 2), (1, 1, 4, 2, 1), (2, 2, 7, 7, 0)]
        {
            let number = |i: usize| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0;
            let weight: Vec<f32> = (0..inputs * outputs * width).map(number).collect();
            let bias: Vec<f32> = (0..outputs).map(number).collect();
            let rows = 7;
            let x: Vec<f32> = (0..rows * inputs).map(|i| number(i * 5)).collect();
            let mut expected = bias.repeat(rows * stride);
            for (at, x) in x.iter().enumerate() {
                let (row, input) = (at / inputs, at % inputs);
                for output in 0..outputs {
                    for tap in 0..width {
                        let to = (row * stride + tap).checked_sub(padding);
                        if let Some(to) = to.filter(|to| *to < rows * stride) {
                            expected[to * outputs + output] +=
                                x * weight[(input * outputs + output) * width + tap];
                        }
                    }
                }
            }
            let layer = Upsample::new(&weight, &bias, [inputs, width], stride, padding).unwrap();
            let whole = layer.stream(&mut layer.start(), &x, true).unwrap();
            assert_eq!(whole.len(), expected.len());
            for (found, expected) in whole.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-4, "{found} {expected}");
            }
            let mut held = layer.start();
            let mut pieces = Vec::new();
            for piece in x.chunks(2 * inputs) {
                pieces.extend(layer.stream(&mut held, piece, false).unwrap());
            }
            pieces.extend(layer.stream(&mut held, &[], true).unwrap());
            assert_eq!(pieces, whole);
        }
    }
}
