//! A transformer layer that normalises last and sees the whole text (Vaswani et al. 2017; Devlin et al. 2019).

use candle_core::{Device, Tensor};

use super::config::EncoderSpec;
use crate::kernels::attention::{Heads, Job, KvBlocks, Sight, attend};
use crate::kernels::rows::gelu;
use crate::nn::Linear;
use crate::nn::slices::LayerNorm;
use crate::nn::views::with_slice;
use crate::weights::Weights;
use crate::{Error, Result};

/// x becomes norm(x + attention(x)), and then norm(x + feed-forward(x)).
pub(super) struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    norm_attention: LayerNorm,
    up: Linear,
    down: Linear,
    norm_feed_forward: LayerNorm,
    heads: Heads,
}

/// `name.weight` and `name.bias`, or as they were called in the first BERT: `gamma` and `beta`.
pub(super) fn layer_norm(
    weights: &Weights<'_>,
    name: &str,
    spec: &EncoderSpec,
) -> Result<LayerNorm> {
    let old = weights.has(&format!("{name}.gamma"));
    let part = |new: &str, before: &str| -> Result<Vec<f32>> {
        let part = if old { before } else { new };
        Ok(weights.vector(&format!("{name}.{part}"), spec.hidden)?.to_vec1()?)
    };
    Ok(LayerNorm::new(part("weight", "gamma")?, part("bias", "beta")?, spec.eps))
}

impl Layer {
    pub(super) fn load(weights: &Weights<'_>, name: &str, spec: &EncoderSpec) -> Result<Self> {
        let (hidden, intermediate) = (spec.hidden, spec.intermediate);
        let linear = |part: &str, outputs: usize, inputs: usize| {
            weights.linear(&format!("{name}.{part}"), outputs, inputs, true)
        };
        let norm = |part: &str| layer_norm(weights, &format!("{name}.{part}.LayerNorm"), spec);
        let head_dim = hidden / spec.heads;
        Ok(Self {
            query: linear("attention.self.query", hidden, hidden)?,
            key: linear("attention.self.key", hidden, hidden)?,
            value: linear("attention.self.value", hidden, hidden)?,
            out: linear("attention.output.dense", hidden, hidden)?,
            norm_attention: norm("attention.output")?,
            up: linear("intermediate.dense", intermediate, hidden)?,
            down: linear("output.dense", hidden, intermediate)?,
            norm_feed_forward: norm("output")?,
            heads: Heads { heads: spec.heads, kv_heads: spec.heads, head_dim, sight: Sight::All },
        })
    }

    /// `[rows, hidden]` of several texts, one after the other, to as much. Each text has as many rows as its room for keys and
    /// values was made for.
    pub(super) fn forward(&self, x: &Tensor, texts: &mut [(usize, KvBlocks)]) -> Result<Tensor> {
        let qkv = Linear::forward_all([&self.query, &self.key, &self.value], x)?;
        let attended = self.out.forward(&self.attend(&qkv, texts)?)?;
        let x = normed_sum(&self.norm_attention, x, &attended)?;
        let up = self.up.forward(&x)?;
        let mut curved = with_slice::<f32, _>(&up, <[f32]>::to_vec)?;
        gelu(&mut curved);
        let curved = Tensor::from_vec(curved, up.shape(), &Device::Cpu)?;
        normed_sum(&self.norm_feed_forward, &x, &self.down.forward(&curved)?)
    }

    fn attend(&self, [q, k, v]: &[Tensor; 3], texts: &mut [(usize, KvBlocks)]) -> Result<Tensor> {
        let width = self.heads.heads * self.heads.head_dim;
        let misfit = || Error::argument("texts", "they do not have the rows that they should");
        with_slice::<f32, _>(k, |k| {
            with_slice::<f32, _>(v, |v| {
                let mut row = 0;
                for (tokens, room) in texts.iter_mut() {
                    let rows = row * width..(row + *tokens) * width;
                    row += *tokens;
                    match (k.get(rows.clone()), v.get(rows)) {
                        (Some(k), Some(v)) if room.write(0, k, v, None) => {}
                        _ => return Err(misfit()),
                    }
                }
                Ok(())
            })
        })???;
        let mut next = 0;
        let job = |(queries, cache)| {
            let row = next;
            next += queries;
            Job { row, queries, position: 0, cache }
        };
        let jobs: Vec<Job<'_>> =
            texts.iter().map(|(tokens, room)| (*tokens, room)).map(job).collect();
        let out = with_slice::<f32, _>(q, |q| attend(q, None, &jobs, &self.heads))?;
        Ok(Tensor::from_vec(out.ok_or_else(misfit)?, q.shape(), &Device::Cpu)?)
    }
}

/// norm(x + y), row by row.
fn normed_sum(norm: &LayerNorm, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let normed = with_slice::<f32, _>(x, |x| with_slice::<f32, _>(y, |y| norm.forward_sum(x, y)))??;
    Ok(Tensor::from_vec(normed, x.shape(), &Device::Cpu)?)
}
