//! Layer normalisation (Ba et al. 2016): rows of mean 0 and variance 1, scaled and shifted.

use crate::Result;
use crate::kernels::rows::layer_norm;
use crate::source::OnnxCheckpoint;

/// PyTorch's own choice of ε.
const EPSILON: f32 = 1e-5;

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
        layer_norm(x, None, &self.weight, &self.bias, self.epsilon)
    }

    /// As [`LayerNorm::forward`], of x + y.
    pub(crate) fn forward_sum(&self, x: &[f32], y: &[f32]) -> Vec<f32> {
        layer_norm(x, Some(y), &self.weight, &self.bias, self.epsilon)
    }
}
