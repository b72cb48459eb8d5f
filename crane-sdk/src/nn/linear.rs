//! Linear layers over weights of any stored type.

use std::sync::Arc;

use candle_core::quantized::{QMatMul, QTensor};
use candle_core::{DType, Module, Tensor};
use half::{bf16, f16};

use super::views::with_slice;
use crate::Result;
use crate::kernels::dense::{Weight, matmul_few_rows, widen};
use crate::kernels::quant::{Activations, PackedMatrix, matmul};

/// Up to so many rows a product is bound by reading the weights, and is done row by row.
const FEW_ROWS: usize = 8;
/// Rows of a half-precision matrix that are widened at a time for a product with many rows.
const WIDENED_ROWS: usize = 256;

/// A weight matrix `[outputs, inputs]`.
#[derive(Debug, Clone)]
pub enum Matrix {
    /// f32, f16 or bf16.
    Dense(Tensor),
    /// ggml blocks, packed for this processor's kernels.
    Packed(Arc<PackedMatrix>),
    /// ggml blocks that candle multiplies: on a GPU, or of a type that has no kernel here.
    Blocks(Arc<QTensor>),
}

impl Matrix {
    /// x · Wᵀ: f32 `[rows, inputs]` to f32 `[rows, outputs]`.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] if the shapes do not go together.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Matrix::Packed(weights) => to_array(packed(&[(weights, None)], x)?).map(|[y]| y),
            Matrix::Blocks(weights) => Ok(QMatMul::QTensor(weights.clone()).forward(x)?),
            Matrix::Dense(weights) if weights.device().is_cpu() => dense_on_cpu(weights, x),
            Matrix::Dense(weights) => {
                let y = x.to_dtype(weights.dtype())?.matmul(&weights.t()?)?;
                Ok(y.to_dtype(DType::F32)?)
            }
        }
    }

    /// Bytes that the weights take.
    pub fn bytes(&self) -> usize {
        match self {
            Matrix::Dense(weights) => weights.elem_count() * weights.dtype().size_in_bytes(),
            Matrix::Packed(weights) => weights.bytes(),
            Matrix::Blocks(weights) => weights.storage_size_in_bytes(),
        }
    }

    fn as_packed(&self) -> Option<&PackedMatrix> {
        match self {
            Matrix::Packed(weights) => Some(weights),
            _ => None,
        }
    }
}

/// A matrix and what is added to its products.
type Packed<'a> = (&'a PackedMatrix, Option<&'a Tensor>);

/// x times each of the matrices; the activations are quantised once.
fn packed(weights: &[Packed<'_>], x: &Tensor) -> Result<Vec<Tensor>> {
    let (rows, width) = x.dims2()?;
    let biases = weights.iter().map(|(_, bias)| bias.map(|bias| bias.to_vec1::<f32>()).transpose());
    let biases: Vec<Option<Vec<f32>>> = biases.collect::<candle_core::Result<_>>()?;
    let matrices: Vec<_> = weights
        .iter()
        .zip(&biases)
        .map(|((weights, _), bias)| (*weights, bias.as_deref()))
        .collect();
    let products =
        with_slice::<f32, _>(x, |x| matmul(&Activations::quantize(x, width)?, &matrices))?;
    let Some(products) = products else {
        let widths: Vec<usize> = weights.iter().map(|(weights, _)| weights.width()).collect();
        let message = format!("inputs of width {width} do not go with weights of {widths:?}");
        return Err(candle_core::Error::Msg(message).into());
    };
    let products = products.into_iter().zip(weights);
    let tensor = |(y, (weights, _)): (Vec<f32>, &Packed<'_>)| {
        Ok(Tensor::from_vec(y, (rows, weights.rows()), x.device())?)
    };
    products.map(tensor).collect()
}

fn to_array<const N: usize>(tensors: Vec<Tensor>) -> Result<[Tensor; N]> {
    let wrong = |tensors: Vec<Tensor>| {
        candle_core::Error::Msg(format!("{} products instead of {N}", tensors.len())).into()
    };
    tensors.try_into().map_err(wrong)
}

fn dense_on_cpu(weights: &Tensor, x: &Tensor) -> Result<Tensor> {
    let (rows, few) = (x.dim(0)?, x.dim(0)? <= FEW_ROWS);
    match weights.dtype() {
        DType::F32 if few => few_rows::<f32>(weights, x),
        DType::BF16 if few => few_rows::<bf16>(weights, x),
        DType::F16 if few => few_rows::<f16>(weights, x),
        DType::BF16 => many_rows::<bf16>(weights, x, rows),
        DType::F16 => many_rows::<f16>(weights, x, rows),
        _ => Ok(x.matmul(&weights.t()?)?),
    }
}

fn few_rows<W: Weight + candle_core::WithDType>(weights: &Tensor, x: &Tensor) -> Result<Tensor> {
    let (outputs, inputs) = weights.dims2()?;
    let y = with_slice::<f32, _>(x, |x| {
        with_slice::<W, _>(weights, |weights| matmul_few_rows(x, weights, inputs))
    })??;
    Ok(Tensor::from_vec(y, (x.dim(0)?, outputs), x.device())?)
}

/// Widens the weights block by block, so that memory stays that of the narrow type.
fn many_rows<W: Weight + candle_core::WithDType>(
    weights: &Tensor,
    x: &Tensor,
    rows: usize,
) -> Result<Tensor> {
    let (outputs, inputs) = weights.dims2()?;
    let y = Tensor::zeros((rows, outputs), DType::F32, x.device())?;
    for start in (0..outputs).step_by(WIDENED_ROWS) {
        let count = WIDENED_ROWS.min(outputs - start);
        let block = weights.narrow(0, start, count)?;
        let block = with_slice::<W, _>(&block, widen)?;
        let block = Tensor::from_vec(block, (count, inputs), x.device())?;
        y.slice_set(&x.matmul(&block.t()?)?, 1, start)?;
    }
    Ok(y)
}

/// y = x · Wᵀ + b.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Matrix,
    bias: Option<Tensor>,
}

impl Linear {
    /// A layer of `weight` `[outputs, inputs]` and an f32 `bias` `[outputs]`.
    pub fn new(weight: Matrix, bias: Option<Tensor>) -> Self {
        Self { weight, bias }
    }

    /// f32 `[rows, inputs]` to f32 `[rows, outputs]`.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] if the shapes do not go together.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Self::forward_all([self], x).map(|[y]| y)
    }

    /// Several layers over the same input: what they share is done once.
    ///
    /// # Errors
    /// As [`Linear::forward`].
    pub fn forward_all<const N: usize>(layers: [&Self; N], x: &Tensor) -> Result<[Tensor; N]> {
        let weights: Option<Vec<_>> = layers
            .iter()
            .map(|layer| Some((layer.weight.as_packed()?, layer.bias.as_ref())))
            .collect();
        to_array(match weights {
            Some(weights) => packed(&weights, x)?,
            None => layers
                .iter()
                .map(|layer| layer.biased(layer.weight.forward(x)?))
                .collect::<Result<_>>()?,
        })
    }

    fn biased(&self, y: Tensor) -> Result<Tensor> {
        Ok(match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        })
    }
}
