//! x · Wᵀ + b.

use std::fmt::Debug;

use crate::kernels::bytes::ByteMatrix;
use crate::kernels::dense::{DenseMatrix, DenseType, matmul, matmul_windows};
use crate::source::OnnxCheckpoint;
use crate::{Error, Result};

/// How matrices that are stored as int8 are multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Int8 {
    /// As floats: for what small differences add up in, such as a pitch, whose phase is a sum over time.
    Widened,
    /// As they are, with activations of 16 bits, where that is faster.
    Multiplied,
}

/// A matrix `[outputs, inputs]` with a bias.
#[derive(Debug)]
pub(crate) struct Linear {
    matrix: Matrix,
    bias: Vec<f32>,
}

#[derive(Debug)]
enum Matrix {
    Floats(DenseMatrix),
    Bytes(ByteMatrix),
}

impl Linear {
    /// `name.weight` and `name.bias`.
    pub(crate) fn load(
        weights: &OnnxCheckpoint,
        name: &str,
        [outputs, inputs]: [usize; 2],
        int8: Int8,
    ) -> Result<Self> {
        let names = [format!("{name}.weight"), format!("{name}.bias")];
        Self::load_named(weights, &names, [outputs, inputs], int8)
    }

    /// A matrix and its bias.
    pub(crate) fn load_named(
        weights: &OnnxCheckpoint,
        [weight, bias]: &[String; 2],
        [outputs, inputs]: [usize; 2],
        int8: Int8,
    ) -> Result<Self> {
        let (matrix, bias) =
            (weights.tensor(weight, &[outputs, inputs])?, weights.tensor(bias, &[outputs])?);
        let bytes =
            weights.bytes(weight).filter(|_| int8 == Int8::Multiplied && ByteMatrix::pays());
        let bytes =
            bytes.and_then(|(numbers, scale)| ByteMatrix::new(numbers, scale, outputs, inputs));
        match bytes {
            Some(bytes) => Ok(Self { matrix: Matrix::Bytes(bytes), bias: bias.to_vec() }),
            None => Self::new(matrix, bias),
        }
    }

    /// A matrix of as many rows as the bias has numbers.
    pub(crate) fn new(matrix: &[f32], bias: &[f32]) -> Result<Self> {
        let width = matrix.len() / bias.len().max(1);
        let matrix = Matrix::Floats(packed(matrix, bias.len(), width)?);
        Ok(Self { matrix, bias: bias.to_vec() })
    }

    /// `[rows, inputs]` to `[rows, outputs]`.
    pub(crate) fn forward(&self, x: &[f32]) -> Result<Vec<f32>> {
        match &self.matrix {
            Matrix::Floats(matrix) => product(x, matrix, Some(&self.bias)),
            Matrix::Bytes(matrix) => {
                matrix.product(x, &self.bias).ok_or_else(|| misfit(x.len(), matrix))
            }
        }
    }
}

impl Linear {
    /// `count` windows of `x`, each as long as the inputs and `step` numbers after the one before, to `[count, outputs]`.
    pub(super) fn windows(&self, x: &[f32], step: usize, count: usize) -> Result<Vec<f32>> {
        match &self.matrix {
            Matrix::Floats(matrix) => matmul_windows(x, step, count, matrix, Some(&self.bias))
                .ok_or_else(|| misfit(x.len(), matrix)),
            Matrix::Bytes(matrix) => {
                let windows = x.windows(matrix.width()).step_by(step.max(1)).take(count);
                self.forward(&windows.flatten().copied().collect::<Vec<f32>>())
            }
        }
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
    out.and_then(|mut out| out.pop()).ok_or_else(|| misfit(x.len(), matrix))
}

fn misfit(numbers: usize, matrix: &impl Debug) -> Error {
    Error::argument("rows", format_args!("{numbers} numbers are not rows for {matrix:?}"))
}
