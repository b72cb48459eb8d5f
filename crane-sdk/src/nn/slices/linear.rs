//! x · Wᵀ + b.

use crate::kernels::dense::{DenseMatrix, DenseType, matmul};
use crate::source::OnnxCheckpoint;
use crate::{Error, Result};

/// A matrix `[outputs, inputs]` with a bias.
#[derive(Debug)]
pub(crate) struct Linear {
    matrix: DenseMatrix,
    bias: Vec<f32>,
}

impl Linear {
    /// `name.weight` and `name.bias`.
    pub(crate) fn load(
        weights: &OnnxCheckpoint,
        name: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<Self> {
        let matrix = weights.tensor(&format!("{name}.weight"), &[outputs, inputs])?;
        Self::new(matrix, weights.tensor(&format!("{name}.bias"), &[outputs])?)
    }

    /// A matrix of as many rows as the bias has numbers.
    pub(crate) fn new(matrix: &[f32], bias: &[f32]) -> Result<Self> {
        let width = matrix.len() / bias.len().max(1);
        Ok(Self { matrix: packed(matrix, bias.len(), width)?, bias: bias.to_vec() })
    }

    /// `[rows, inputs]` to `[rows, outputs]`.
    pub(crate) fn forward(&self, x: &[f32]) -> Result<Vec<f32>> {
        product(x, &self.matrix, Some(&self.bias))
    }
}

/// A matrix in the order of the kernels.
pub(super) fn packed(values: &[f32], rows: usize, width: usize) -> Result<DenseMatrix> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    DenseMatrix::new(&bytes, DenseType::F32, rows, width).ok_or_else(|| {
        Error::argument(
            "matrix",
            format_args!("{} numbers are not [{rows}, {width}]", values.len()),
        )
    })
}

/// x · Wᵀ + b for rows of the matrix's width.
pub(super) fn product(x: &[f32], matrix: &DenseMatrix, bias: Option<&[f32]>) -> Result<Vec<f32>> {
    let out = matmul(x, x.len() / matrix.width(), &[(matrix, bias)]);
    out.and_then(|mut out| out.pop()).ok_or_else(|| {
        Error::argument("rows", format_args!("{} numbers are not rows for {matrix:?}", x.len()))
    })
}
