//! Self-attention with grouped queries over a key/value cache.

use candle_core::Tensor;

use super::kv_cache::no_room;
use super::masks::{Masks, Sight};
use super::rope::{Angles, to_heads};
use super::views::{is_host, with_slice};
use super::{KvCache, LayerCache, Linear, RmsNorm};
use crate::Result;
use crate::kernels::attention::{self, Heads, Job, attend};
#[cfg(feature = "cuda")]
use crate::kernels::cuda;

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
    /// What its queries see, the same in all layers of a pass: a GPU's only.
    masks: Masks,
}

impl<'a> Run<'a> {
    /// Rows `start .. start + len`, of the sequence whose cache this is.
    pub fn new(start: usize, len: usize, cache: &'a mut KvCache) -> Self {
        Self { start, len, cache, masks: Masks::default() }
    }
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
        let y = if is_host(x.device()) {
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
        let sight = window.map_or(attention::Sight::Causal, attention::Sight::Window);
        let shape = Heads { heads, kv_heads, head_dim, sight };
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
        #[cfg(feature = "cuda")]
        if q.device().is_cuda()
            && self.head_dim <= cuda::WIDEST_HEAD
            && runs.iter().all(|run| run.len == 1)
        {
            return self.decode_on_cuda(layer, [q, k, v], angles, runs);
        }
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
                let rows = TILE.min(run.len - first);
                let sight = Sight { first: run.cache.len() + first, rows, window: self.window };
                let q = q.narrow(1, first, rows)?.contiguous()?; // [heads, tile, head_dim]
                tiles.push(self.tile(&q, buffers, sight, &mut run.masks)?);
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

    /// One token of each sequence, in one launch.
    #[cfg(feature = "cuda")]
    fn decode_on_cuda(
        &self,
        layer: usize,
        qkv: [&Tensor; 3],
        angles: &Angles,
        runs: &[Run<'_>],
    ) -> Result<Tensor> {
        let jobs = runs.iter().map(|run| {
            let LayerCache { keys, values } =
                run.cache.buffers(layer).ok_or_else(|| no_room(layer))?;
            Ok(cuda::Job { row: run.start, position: run.cache.len(), keys, values })
        });
        let jobs: Vec<_> = jobs.collect::<Result<_>>()?;
        let Self { heads, kv_heads, head_dim, window, .. } = *self;
        let shape = cuda::Heads { heads, kv_heads, head_dim, window };
        let (cos, sin) = angles.on_device(0, runs.len())?.ok_or_else(|| no_room(layer))?;
        Ok(cuda::decode_attention(qkv, (&cos, &sin), &jobs, shape)?)
    }

    /// The queries of one tile, `[heads, tile, head_dim]`, as two matrix products with a softmax between.
    fn tile(
        &self,
        q: &Tensor,
        buffers: &LayerCache,
        sight: Sight,
        masks: &mut Masks,
    ) -> Result<Tensor> {
        let (rows, group) = (sight.rows, self.heads / self.kv_heads);
        let seen = sight.seen();
        let q = q.reshape((self.kv_heads, group * rows, self.head_dim))?;
        let k = buffers.keys.narrow(1, seen.start, seen.len())?; // [kv_heads, seen, head_dim]
        let v = buffers.values.narrow(1, seen.start, seen.len())?;
        let scores = q.matmul(&k.t()?)?; // [kv_heads, group · rows, seen]
        let scores = (scores / (self.head_dim as f64).sqrt())?;
        let mut scores = scores.reshape((self.heads, rows, seen.len()))?;
        if let Some(mask) = masks.of(sight, q.device())? {
            scores = scores.broadcast_add(&mask)?;
        }
        let weights = candle_nn::ops::softmax_last_dim(&scores)?;
        let weights = weights.reshape((self.kv_heads, group * rows, seen.len()))?;
        Ok(weights.matmul(&v)?.reshape((self.heads, rows, self.head_dim))?)
    }
}
