//! Self-attention with grouped queries over a key/value cache.

use candle_core::Tensor;

use super::kv_cache::no_room;
use super::rope::{Angles, to_heads};
use super::views::with_slice;
use super::{KvCache, LayerCache, Linear, RmsNorm};
use crate::Result;
use crate::kernels::attention::{Heads, Job, attend};

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
        let y = if x.device().is_cpu() {
            self.on_cpu(layer, [&q, &k, &v], angles, runs)?
        } else {
            self.on_device(layer, [&q, &k, &v], angles, runs)?
        };
        self.o.forward(&y)
    }

    fn on_cpu(
        &self,
        layer: usize,
        [q, k, v]: [&Tensor; 3],
        angles: &Angles,
        runs: &mut [Run<'_>],
    ) -> Result<Tensor> {
        let width = self.kv_heads * self.head_dim;
        with_slice::<f32, _>(k, |k| {
            with_slice::<f32, _>(v, |v| {
                for run in runs.iter_mut() {
                    let rows = run.start * width..(run.start + run.len) * width;
                    let at = run.cache.len();
                    let blocks = run.cache.blocks_mut(layer).ok_or_else(|| no_room(layer))?;
                    let table = Some((angles.table(), run.start));
                    if !blocks.write(at, &k[rows.clone()], &v[rows], table) {
                        return Err(no_room(layer));
                    }
                }
                Ok(())
            })
        })???;
        let mut jobs = Vec::with_capacity(runs.len());
        for run in runs.iter() {
            let cache = run.cache.blocks(layer).ok_or_else(|| no_room(layer))?;
            let (row, queries, position) = (run.start, run.len, run.cache.len());
            jobs.push(Job { row, queries, position, cache });
        }
        let Self { heads, kv_heads, head_dim, window, .. } = *self;
        let shape = Heads { heads, kv_heads, head_dim, window };
        let y = with_slice::<f32, _>(q, |q| attend(q, Some(angles.table()), &jobs, &shape))?;
        let y = y.ok_or_else(|| no_room(layer))?;
        Ok(Tensor::from_vec(y, q.shape(), q.device())?)
    }

    fn on_device(
        &self,
        layer: usize,
        [q, k, v]: [&Tensor; 3],
        angles: &Angles,
        runs: &mut [Run<'_>],
    ) -> Result<Tensor> {
        let mut outputs = Vec::with_capacity(runs.len());
        for run in runs {
            let angles = angles.on_device(run.start, run.len)?;
            let angles = angles.as_ref().map(|(cos, sin)| (cos, sin));
            let rows = |x: &Tensor| x.narrow(0, run.start, run.len);
            let q = to_heads(&rows(q)?, self.heads, self.head_dim, angles)?;
            let k = to_heads(&rows(k)?, self.kv_heads, self.head_dim, angles)?;
            let v = to_heads(&rows(v)?, self.kv_heads, self.head_dim, None)?;
            run.cache.append(layer, &k, &v)?;
            let buffers = run.cache.buffers(layer).ok_or_else(|| no_room(layer))?;
            let mut tiles = Vec::new();
            for first in (0..run.len).step_by(TILE) {
                tiles.push(self.tile(&q, buffers, run.cache.len(), first)?); // [heads, tile, head_dim]
            }
            let y = match tiles.as_slice() {
                [one] => one.clone(),
                many => Tensor::cat(many, 1)?,
            };
            outputs.push(y.transpose(0, 1)?.contiguous()?.flatten_from(1)?); // [len, heads · head_dim]
        }
        Ok(match outputs.as_slice() {
            [one] => one.clone(),
            many => Tensor::cat(many, 0)?,
        })
    }

    /// Queries `first .. first + TILE` of those behind `before` tokens, as two matrix products with a softmax
    /// between.
    fn tile(
        &self,
        q: &Tensor,
        buffers: &LayerCache,
        before: usize,
        first: usize,
    ) -> Result<Tensor> {
        let rows = TILE.min(q.dim(1)? - first);
        let sees = |query: usize| {
            let end = before + query + 1;
            end.saturating_sub(self.window.unwrap_or(end))..end
        };
        let seen = sees(first).start..sees(first + rows - 1).end;
        let group = self.heads / self.kv_heads;

        let q = q.narrow(1, first, rows)?.contiguous()?; // [heads, rows, head_dim]
        let q = q.reshape((self.kv_heads, group * rows, self.head_dim))?;
        let k = buffers.keys.narrow(1, seen.start, seen.len())?; // [kv_heads, seen, head_dim]
        let v = buffers.values.narrow(1, seen.start, seen.len())?;
        let scores = q.matmul(&k.t()?)?; // [kv_heads, group · rows, seen]
        // 0 where a query sees a token, −∞ where it does not.
        let mut mask = vec![f32::NEG_INFINITY; rows * seen.len()];
        for (query, row) in mask.chunks_mut(seen.len().max(1)).enumerate() {
            let visible = sees(first + query);
            row[visible.start - seen.start..visible.end - seen.start].fill(0.0);
        }
        let mask = Tensor::from_vec(mask, (rows, seen.len()), scores.device())?;
        let scaled = (scores / (self.head_dim as f64).sqrt())?;
        let scaled = scaled.reshape((self.heads, rows, seen.len()))?.broadcast_add(&mask)?;
        let weights = candle_nn::ops::softmax_last_dim(&scaled)?;
        let weights = weights.reshape((self.kv_heads, group * rows, seen.len()))?;
        Ok(weights.matmul(&v)?.reshape((self.heads, rows, self.head_dim))?)
    }
}
