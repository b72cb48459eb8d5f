//! Self-attention with grouped queries over a key/value cache.

use candle_core::Tensor;

use super::rope::{Angles, to_heads};
use super::views::with_slice;
use super::{KvCache, LayerCache, Linear, RmsNorm};
use crate::Result;
use crate::kernels::attention::{AttentionShape, attend};

/// Queries that share one product of scores on a GPU.
const TILE: usize = 128;

/// q, k, v and output projections, with what some families put on q and k.
#[derive(Debug, Clone)]
pub struct Attention {
    /// `[heads · head_dim, hidden]`.
    pub q: Linear,
    /// `[kv_heads · head_dim, hidden]`.
    pub k: Linear,
    /// `[kv_heads · head_dim, hidden]`.
    pub v: Linear,
    /// `[hidden, heads · head_dim]`.
    pub o: Linear,
    /// Norms of each query and key head before RoPE (Qwen3).
    pub qk_norm: Option<(RmsNorm, RmsNorm)>,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// A token sees itself and the `window - 1` tokens before it.
    pub window: Option<usize>,
}

/// A run of tokens of one sequence within the rows of a batch.
#[derive(Debug)]
pub struct Run<'a> {
    /// The first row.
    pub start: usize,
    /// The number of rows.
    pub len: usize,
    /// The sequence's cache.
    pub cache: &'a mut KvCache,
}

impl Attention {
    /// f32 `[rows, hidden]` to the same shape; every run attends to its own cache and itself.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] if the shapes do not go together.
    pub fn forward(
        &self,
        layer: usize,
        x: &Tensor,
        angles: &Angles,
        runs: &mut [Run<'_>],
    ) -> Result<Tensor> {
        // [rows, heads · head_dim], and [rows, kv_heads · head_dim] twice
        let [mut q, mut k, v] = Linear::forward_all([&self.q, &self.k, &self.v], x)?;
        if let Some((q_norm, k_norm)) = &self.qk_norm {
            (q, k) = (q_norm.forward(&q)?, k_norm.forward(&k)?);
        }
        let mut outputs = Vec::with_capacity(runs.len());
        for run in runs {
            let angles = angles.slice(run.start, run.len)?;
            let rows = |x: &Tensor| x.narrow(0, run.start, run.len);
            let q = to_heads(&rows(&q)?, self.heads, self.head_dim, Some(&angles))?;
            let k = to_heads(&rows(&k)?, self.kv_heads, self.head_dim, Some(&angles))?;
            let v = to_heads(&rows(&v)?, self.kv_heads, self.head_dim, None)?;
            let tokens = run.cache.len() + run.len;
            let buffers = run.cache.append(layer, &k, &v)?;
            outputs.push(self.attend(&q, buffers, tokens)?); // [len, heads · head_dim]
        }
        let y = match outputs.as_slice() {
            [one] => one.clone(),
            many => Tensor::cat(many, 0)?,
        };
        self.o.forward(&y)
    }

    /// `q` `[heads, queries, head_dim]` over the first `tokens` of the buffers.
    fn attend(&self, q: &Tensor, buffers: &LayerCache, tokens: usize) -> Result<Tensor> {
        let queries = q.dim(1)?;
        let shape = AttentionShape {
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            queries,
            tokens,
            allocated: buffers.keys.dim(1)?,
            window: self.window,
        };
        if q.device().is_cpu() {
            let y = with_slice::<f32, _>(q, |q| {
                with_slice::<f32, _>(&buffers.keys, |k| {
                    with_slice::<f32, _>(&buffers.values, |v| attend(q, k, v, &shape))
                })
            })???;
            return Ok(Tensor::from_vec(y, (queries, self.heads * self.head_dim), q.device())?);
        }
        let mut tiles = Vec::new();
        for first in (0..queries).step_by(TILE) {
            tiles.push(self.tile(q, buffers, &shape, first)?); // [heads, tile, head_dim]
        }
        let y = match tiles.as_slice() {
            [one] => one.clone(),
            many => Tensor::cat(many, 1)?,
        };
        Ok(y.transpose(0, 1)?.contiguous()?.flatten_from(1)?)
    }

    /// Queries `first .. first + TILE` as two matrix products with a softmax between.
    fn tile(
        &self,
        q: &Tensor,
        buffers: &LayerCache,
        whole: &AttentionShape,
        first: usize,
    ) -> Result<Tensor> {
        let rows = TILE.min(whole.queries - first);
        let seen = whole.visible(first).start..whole.visible(first + rows - 1).end;
        let shape = AttentionShape { queries: rows, tokens: seen.len(), ..*whole };
        let group = self.heads / self.kv_heads;

        let q = q.narrow(1, first, rows)?.contiguous()?; // [heads, rows, head_dim]
        let q = q.reshape((self.kv_heads, group * rows, self.head_dim))?;
        let k = buffers.keys.narrow(1, seen.start, seen.len())?; // [kv_heads, seen, head_dim]
        let v = buffers.values.narrow(1, seen.start, seen.len())?;
        let scores = q.matmul(&k.t()?)?; // [kv_heads, group · rows, seen]
        let mask = causal_mask(&shape, scores.device())?; // [rows, seen]
        let scaled = (scores / (self.head_dim as f64).sqrt())?;
        let scaled = scaled.reshape((self.heads, rows, shape.tokens))?.broadcast_add(&mask)?;
        let weights = candle_nn::ops::softmax_last_dim(&scaled)?;
        let weights = weights.reshape((self.kv_heads, group * rows, shape.tokens))?;
        Ok(weights.matmul(&v)?.reshape((self.heads, rows, self.head_dim))?)
    }
}

/// 0 where a query sees a token, −∞ where it does not, f32 `[queries, tokens]`.
fn causal_mask(shape: &AttentionShape, device: &candle_core::Device) -> Result<Tensor> {
    let mut mask = vec![f32::NEG_INFINITY; shape.queries * shape.tokens];
    for (query, row) in mask.chunks_mut(shape.tokens.max(1)).enumerate() {
        row[shape.visible(query)].fill(0.0);
    }
    Ok(Tensor::from_vec(mask, (shape.queries, shape.tokens), device)?)
}
