//! Layer normalisation (Ba et al. 2016): rows of mean 0 and variance 1, scaled and shifted.

use crate::Result;
use crate::source::OnnxCheckpoint;

/// PyTorch's own choice of ε.
const EPSILON: f32 = 1e-5;
/// Partial sums that are taken side by side.
const SUMS: usize = 8;

/// (x − mean) / sqrt(variance + ε) · w + b.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f32,
}

impl LayerNorm {
    /// `name.weight` and `name.bias`.
    pub(crate) fn load(weights: &OnnxCheckpoint, name: &str, width: usize) -> Result<Self> {
        let read = |part| weights.tensor(&format!("{name}.{part}"), &[width]);
        Ok(Self::new(read("weight")?.to_vec(), read("bias")?.to_vec(), EPSILON))
    }

    /// Weight and bias of one length.
    pub(crate) fn new(weight: Vec<f32>, bias: Vec<f32>, epsilon: f32) -> Self {
        Self { weight, bias, epsilon }
    }

    /// Normalises each row of `[rows, width]`.
    pub(crate) fn forward(&self, x: &[f32]) -> Vec<f32> {
        let width = self.weight.len();
        let mut out = x.to_vec();
        for row in out.chunks_exact_mut(width) {
            let mean = sum(row, |x| x) / width as f32;
            row.iter_mut().for_each(|x| *x -= mean);
            let scale = 1.0 / (sum(row, |x| x * x) / width as f32 + self.epsilon).sqrt();
            for ((x, weight), bias) in row.iter_mut().zip(&self.weight).zip(&self.bias) {
                *x = *x * scale * weight + bias;
            }
        }
        out
    }
}

fn sum(row: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let (blocks, rest) = row.as_chunks::<SUMS>();
    let mut sums = [0f32; SUMS];
    for block in blocks {
        for (sum, x) in sums.iter_mut().zip(block) {
            *sum += of(*x);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|x| of(*x)).sum::<f32>()
}
