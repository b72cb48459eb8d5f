//! Products of a few activation rows with a dense weight matrix, read once and in place.

use half::{bf16, f16};

use super::shared::Shared;
use super::threads::parallel_for;
use super::{Kernels, kernels};

/// A weight's element: how a row of it is multiplied with an f32 row, and widened.
pub trait Weight: Copy + Sync {
    /// The dot product of a weight row and an activation row.
    fn dot(kernels: &Kernels, row: &[Self], x: &[f32]) -> f32;
    /// The element as f32.
    fn widen(self) -> f32;
}

impl Weight for f32 {
    fn dot(kernels: &Kernels, row: &[f32], x: &[f32]) -> f32 {
        (kernels.dot)(row, x)
    }
    fn widen(self) -> f32 {
        self
    }
}

impl Weight for bf16 {
    fn dot(kernels: &Kernels, row: &[bf16], x: &[f32]) -> f32 {
        (kernels.dot_bf16)(row, x)
    }
    fn widen(self) -> f32 {
        self.to_f32()
    }
}

impl Weight for f16 {
    fn dot(kernels: &Kernels, row: &[f16], x: &[f32]) -> f32 {
        (kernels.dot_f16)(row, x)
    }
    fn widen(self) -> f32 {
        self.to_f32()
    }
}

/// x · Wᵀ for few rows: `x` `[rows, width]`, `weights` `[outputs, width]`, the result `[rows, outputs]`.
///
/// The weights are read once whatever the number of rows, which is what bounds a decode step.
pub fn matmul_few_rows<W: Weight>(x: &[f32], weights: &[W], width: usize) -> Vec<f32> {
    let width = width.max(1);
    let (rows, outputs) = (x.len() / width, weights.len() / width);
    let kernels = kernels();
    let mut out = vec![0f32; rows * outputs];
    let shared = Shared::new(&mut out);
    parallel_for(outputs, rows * width, |range| {
        for output in range {
            let weights = &weights[output * width..(output + 1) * width];
            for row in 0..rows {
                let x = &x[row * width..(row + 1) * width];
                let at = row * outputs + output;
                // SAFETY: each output is computed by one thread.
                if let [slot] = unsafe { shared.slice(at..at + 1) } {
                    *slot = W::dot(kernels, weights, x);
                }
            }
        }
    });
    out
}

/// The elements as f32.
pub fn widen<W: Weight>(weights: &[W]) -> Vec<f32> {
    let mut out = vec![0f32; weights.len()];
    let shared = Shared::new(&mut out);
    parallel_for(weights.len(), 1, |range| {
        // SAFETY: the ranges do not overlap.
        let out = unsafe { shared.slice(range.clone()) };
        for (out, weight) in out.iter_mut().zip(&weights[range]) {
            *out = weight.widen();
        }
    });
    out
}
