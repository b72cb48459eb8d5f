//! Linear layers over weights of any stored type.

use std::sync::Arc;

use candle_core::quantized::QTensor;
use candle_core::{DType, Tensor};

use super::views::{is_host, with_slice};
use crate::Result;
use crate::kernels::dense::{self, DenseMatrix};
use crate::kernels::quant::{ShardedMatrix, sharded_matmul};

/// A weight matrix `[outputs, inputs]`.
#[derive(Debug, Clone)]
pub enum Matrix {
    /// f32, f16 or bf16, packed for Crane's kernels.
    Dense(Arc<DenseMatrix>),
    /// ggml blocks, packed for this processor's kernels.
    Packed(Arc<ShardedMatrix>),
    /// ggml blocks that candle multiplies: on a GPU, or of a type that has no kernel here.
    Blocks(Arc<QTensor>),
    /// f32, f16 or bf16 on a GPU.
    Tensor(Tensor),
}

impl Matrix {
    /// x · Wᵀ: f32 `[rows, inputs]` to f32 `[rows, outputs]`.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] if the shapes do not go together.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Matrix::Packed(weights) => to_array(packed(&[(weights, None)], x)?).map(|[y]| y),
            Matrix::Dense(weights) => to_array(dense(&[(weights, None)], x)?).map(|[y]| y),
            Matrix::Blocks(weights) => Ok(x.apply_op1_no_bwd(weights.as_ref())?),
            Matrix::Tensor(weights) => on_device(&x.to_dtype(weights.dtype())?, weights),
        }
    }

    /// Bytes that the weights take.
    pub fn bytes(&self) -> usize {
        match self {
            Matrix::Dense(weights) => weights.bytes(),
            Matrix::Packed(weights) => weights.bytes(),
            Matrix::Tensor(weights) => weights.elem_count() * weights.dtype().size_in_bytes(),
            Matrix::Blocks(weights) => weights.storage_size_in_bytes(),
        }
    }

    fn as_packed(&self) -> Option<&ShardedMatrix> {
        match self {
            Matrix::Packed(weights) => Some(weights),
            _ => None,
        }
    }

    fn as_dense(&self) -> Option<&DenseMatrix> {
        match self {
            Matrix::Dense(weights) => Some(weights),
            _ => None,
        }
    }
}

/// A matrix and what is added to its products.
type Biased<'a, M> = (&'a M, Option<&'a Tensor>);

/// x times each of the matrices; the activations are quantised once.
fn packed(weights: &[Biased<'_, ShardedMatrix>], x: &Tensor) -> Result<Vec<Tensor>> {
    let width = x.dims2()?.1;
    products(weights, x, |x, matrices| sharded_matmul(x, width, matrices))
}

/// x times each of the matrices.
fn dense(weights: &[Biased<'_, DenseMatrix>], x: &Tensor) -> Result<Vec<Tensor>> {
    let rows = x.dims2()?.0;
    products(weights, x, |x, matrices| dense::matmul(x, rows, matrices))
}

/// Lends elements to a kernel and makes tensors of its results.
fn products<M: std::fmt::Debug>(
    weights: &[Biased<'_, M>],
    x: &Tensor,
    kernel: impl FnOnce(&[f32], &[(&M, Option<&[f32]>)]) -> Option<Vec<Vec<f32>>>,
) -> Result<Vec<Tensor>> {
    let rows = x.dims2()?.0;
    let biases = weights.iter().map(|(_, bias)| bias.map(Tensor::to_vec1::<f32>).transpose());
    let biases: Vec<Option<Vec<f32>>> = biases.collect::<candle_core::Result<_>>()?;
    let matrices: Vec<_> =
        weights.iter().zip(&biases).map(|((matrix, _), bias)| (*matrix, bias.as_deref())).collect();
    let Some(outputs) = with_slice::<f32, _>(x, |x| kernel(x, &matrices))? else {
        let matrices: Vec<&M> = matrices.iter().map(|(matrix, _)| *matrix).collect();
        let message = format!("inputs {:?} do not go with weights {matrices:?}", x.shape());
        return Err(candle_core::Error::Msg(message).into());
    };
    let tensor = |y: Vec<f32>| {
        let outputs = y.len() / rows.max(1);
        Ok(Tensor::from_vec(y, (rows, outputs), x.device())?)
    };
    outputs.into_iter().map(tensor).collect()
}

fn to_array<const N: usize>(tensors: Vec<Tensor>) -> Result<[Tensor; N]> {
    let wrong = |tensors: Vec<Tensor>| {
        candle_core::Error::Msg(format!("{} products instead of {N}", tensors.len())).into()
    };
    tensors.try_into().map_err(wrong)
}

/// x · weightᵀ in f32; `x` is of the weights' type.
fn on_device(x: &Tensor, weights: &Tensor) -> Result<Tensor> {
    if is_host(x.device()) {
        // The kernels here take every type that such weights can have.
        let message = format!("weights {weights:?} are not packed for this processor");
        return Err(candle_core::Error::Msg(message).into());
    }
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() && x.dtype() != DType::F32 {
        return Ok(crate::kernels::cuda::product(x, weights)?);
    }
    Ok(x.matmul(&weights.t()?)?.to_dtype(DType::F32)?)
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
        let all = layers.iter().map(|layer| Some((layer.weight.as_packed()?, layer.bias.as_ref())));
        if let Some(weights) = all.collect::<Option<Vec<_>>>() {
            return to_array(packed(&weights, x)?);
        }
        let all = layers.iter().map(|layer| Some((layer.weight.as_dense()?, layer.bias.as_ref())));
        if let Some(weights) = all.collect::<Option<Vec<_>>>() {
            return to_array(dense(&weights, x)?);
        }
        let each = layers.iter().map(|layer| layer.biased(layer.weight.forward(x)?));
        to_array(each.collect::<Result<_>>()?)
    }

    fn biased(&self, y: Tensor) -> Result<Tensor> {
        Ok(match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        })
    }
}
