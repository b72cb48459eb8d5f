//! A perceiver (Jaegle et al. 2021): a few learnt vectors that gather what they need from many frames.

use crate::Result;
use crate::kernels::rows::gelu;
use crate::nn::slices::{Linear, add, softmax};
use crate::weights::Floats;

use super::backbone::plain_linear;

const HEADS: usize = 8;
/// Layers of attention and feed-forward.
const LAYERS: usize = 2;

#[derive(Debug)]
pub(super) struct Perceiver {
    /// `[tokens, width]`.
    latents: Vec<f32>,
    context: Linear,
    layers: Vec<Layer>,
    gamma: Vec<f32>,
}

#[derive(Debug)]
struct Layer {
    query: Linear,
    key_value: Linear,
    out: Linear,
    up: Linear,
    down: Linear,
}

impl Perceiver {
    pub(super) fn load(
        weights: &Floats<'_>,
        name: &str,
        [tokens, width]: [usize; 2],
    ) -> Result<Self> {
        let [_, channels] = weights.shape(&format!("{name}.proj_context.weight"))?;
        let matrix = |name: String, outputs: usize, inputs: usize| {
            let weight = weights.tensor(&format!("{name}.weight"), &[outputs, inputs])?;
            Linear::new(&weight, &vec![0.0; outputs])
        };
        let layer = |index: usize| {
            let name = format!("{name}.layers.{index}");
            let query = format!("{name}.0.to_q");
            let [inner, _] = weights.shape(&format!("{query}.weight"))?;
            let [_, hidden] = weights.shape(&format!("{name}.1.2.weight"))?;
            if inner == 0 || !inner.is_multiple_of(HEADS) {
                return Err(
                    weights.misfit(&query, format_args!("{HEADS} heads do not divide {inner}"))
                );
            }
            Ok(Layer {
                query: matrix(query, inner, width)?,
                key_value: matrix(format!("{name}.0.to_kv"), 2 * inner, width)?,
                out: matrix(format!("{name}.0.to_out"), width, inner)?,
                up: plain_linear(weights, &format!("{name}.1.0"), 2 * hidden, width)?,
                down: plain_linear(weights, &format!("{name}.1.2"), width, hidden)?,
            })
        };
        Ok(Self {
            latents: weights.tensor(&format!("{name}.latents"), &[tokens, width])?,
            context: plain_linear(weights, &format!("{name}.proj_context"), width, channels)?,
            layers: (0..LAYERS).map(layer).collect::<Result<_>>()?,
            gamma: weights.tensor(&format!("{name}.norm.gamma"), &[width])?,
        })
    }

    /// `[frames, channels]` to `[tokens, width]`.
    pub(super) fn forward(&self, frames: &[f32]) -> Result<Vec<f32>> {
        let context = self.context.forward(frames)?;
        let mut x = self.latents.clone();
        for layer in &self.layers {
            let seen = [x.as_slice(), &context].concat();
            let attended = attend(
                &layer.query.forward(&x)?,
                &layer.key_value.forward(&seen)?,
                self.latents.len() / self.gamma.len(),
            );
            add(&mut x, &layer.out.forward(&attended)?);
            let up = layer.up.forward(&x)?;
            let hidden = up.len() / (self.latents.len() / self.gamma.len()) / 2;
            let gated = up.chunks_exact(2 * hidden).flat_map(|row| {
                let (value, gate) = row.split_at(hidden);
                let mut gate = gate.to_vec();
                gelu(&mut gate);
                gate.iter_mut().zip(value).for_each(|(gate, value)| *gate *= value);
                gate
            });
            add(&mut x, &layer.down.forward(&gated.collect::<Vec<f32>>())?);
        }
        let width = self.gamma.len();
        for row in x.chunks_exact_mut(width) {
            let length = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
            let scale = (width as f32).sqrt() / length;
            row.iter_mut().zip(&self.gamma).for_each(|(x, gamma)| *x *= scale * gamma);
        }
        Ok(x)
    }
}

/// `query` `[tokens, inner]`, `key_value` `[rows, 2 * inner]` to `[tokens, inner]`.
fn attend(query: &[f32], key_value: &[f32], tokens: usize) -> Vec<f32> {
    let inner = query.len() / tokens.max(1);
    let size = inner / HEADS;
    let scale = 1.0 / (size as f32).sqrt();
    let mut out = vec![0f32; query.len()];
    for (query, out) in query.chunks_exact(inner).zip(out.chunks_exact_mut(inner)) {
        for (head, (query, out)) in
            query.chunks_exact(size).zip(out.chunks_exact_mut(size)).enumerate()
        {
            let part = |row: &'_ [f32], from: usize| -> Vec<f32> {
                row.iter().skip(from + head * size).take(size).copied().collect()
            };
            let rows = || key_value.chunks_exact(2 * inner);
            let score = |row: &[f32]| {
                scale * query.iter().zip(part(row, 0)).map(|(q, k)| q * k).sum::<f32>()
            };
            let mut scores: Vec<f32> = rows().map(score).collect();
            softmax(&mut scores);
            for (row, weight) in rows().zip(&scores) {
                out.iter_mut()
                    .zip(part(row, inner))
                    .for_each(|(out, value)| *out += weight * value);
            }
        }
    }
    out
}
