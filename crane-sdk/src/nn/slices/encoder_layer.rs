//! A transformer layer that normalises first and attends everywhere, without positions (Vaswani et al. 2017; Xiong et al. 2020).

use super::linear::{packed, product};
use super::{Int8, LayerNorm, Linear, add};
use crate::Result;
use crate::kernels::rows::gelu;
use crate::source::OnnxCheckpoint;

/// x + attention(norm(x)), then x + feed-forward(norm(x)).
#[derive(Debug)]
pub(crate) struct EncoderLayer {
    norm_attention: LayerNorm,
    query_key_value: Linear,
    out: Linear,
    norm_feed_forward: LayerNorm,
    up: Linear,
    down: Linear,
    width: usize,
    heads: usize,
}

impl EncoderLayer {
    /// PyTorch's `TransformerEncoderLayer` under `name`. `heads` must divide `width`.
    pub(crate) fn load(
        weights: &OnnxCheckpoint,
        name: &str,
        width: usize,
        heads: usize,
        int8: Int8,
    ) -> Result<Self> {
        let [hidden] = weights.shape(&format!("{name}.linear1.bias"))?;
        let fused = format!("{name}.self_attn.in_proj_");
        if !width.is_multiple_of(heads) || width == 0 {
            return Err(weights.misfit(
                &format!("{fused}weight"),
                format!("{heads} heads do not divide {width}"),
            ));
        }
        Ok(Self {
            norm_attention: LayerNorm::load(weights, &format!("{name}.norm1"), width)?,
            query_key_value: Linear::load_named(
                weights,
                &[format!("{fused}weight"), format!("{fused}bias")],
                [3 * width, width],
                int8,
            )?,
            out: Linear::load(
                weights,
                &format!("{name}.self_attn.out_proj"),
                [width, width],
                int8,
            )?,
            norm_feed_forward: LayerNorm::load(weights, &format!("{name}.norm2"), width)?,
            up: Linear::load(weights, &format!("{name}.linear1"), [hidden, width], int8)?,
            down: Linear::load(weights, &format!("{name}.linear2"), [width, hidden], int8)?,
            width,
            heads,
        })
    }

    /// A layer of its parts: norms before attention and feed-forward; the matrix of queries, keys and values side by side and that
    /// of the heads' outputs; the feed-forward's two; the width, and the heads that divide it.
    pub(crate) fn new(
        [norm_attention, norm_feed_forward]: [LayerNorm; 2],
        [query_key_value, out]: [Linear; 2],
        [up, down]: [Linear; 2],
        [width, heads]: [usize; 2],
    ) -> Self {
        Self { norm_attention, query_key_value, out, norm_feed_forward, up, down, width, heads }
    }

    /// Changes `x` `[rows, width]`.
    pub(crate) fn forward(&self, x: &mut [f32]) -> Result<()> {
        let attended = self.out.forward(&self.attend(&self.norm_attention.forward(x))?)?;
        add(x, &attended);
        let mut hidden = self.up.forward(&self.norm_feed_forward.forward(x))?;
        gelu(&mut hidden);
        add(x, &self.down.forward(&hidden)?);
        Ok(())
    }

    fn attend(&self, x: &[f32]) -> Result<Vec<f32>> {
        let (rows, size) = (x.len() / self.width, self.width / self.heads);
        let all = self.query_key_value.forward(x)?; // [rows, 3 * width]
        let scale = 1.0 / (size as f32).sqrt();
        let mut out = vec![0.0; x.len()];
        for head in 0..self.heads {
            let part = |which: usize| {
                let start = which * self.width + head * size;
                all.chunks_exact(3 * self.width)
                    .flat_map(move |row| row.get(start..start + size).unwrap_or_default())
            };
            let query: Vec<f32> = part(0).map(|x| x * scale).collect();
            let key: Vec<f32> = part(1).copied().collect();
            let value: Vec<f32> = part(2).copied().collect();
            let mut scores = product(&query, &packed(&key, rows, size)?, None)?; // [rows, rows]
            scores.chunks_exact_mut(rows).for_each(softmax);
            // [size, rows], so that a product with it sums over rows.
            let columns =
                (0..size).flat_map(|column| value.iter().skip(column).step_by(size).copied());
            let columns: Vec<f32> = columns.collect();
            let attended = product(&scores, &packed(&columns, size, rows)?, None)?;
            for (to, from) in out.chunks_exact_mut(self.width).zip(attended.chunks_exact(size)) {
                to.iter_mut().skip(head * size).zip(from).for_each(|(to, from)| *to = *from);
            }
        }
        Ok(out)
    }
}

/// The exponentials of a row as parts of their sum.
pub(crate) fn softmax(row: &mut [f32]) {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|x| *x = (*x - most).exp());
    let scale = 1.0 / row.iter().sum::<f32>();
    row.iter_mut().for_each(|x| *x *= scale);
}
