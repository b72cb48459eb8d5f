//! Residual vector quantisation whose levels run at several rates.

use super::SnacConfig;
use crate::codec::residual::linear;
use crate::nn::slices::{Linear, add};
use crate::weights::Floats;
use crate::{Error, Result};

/// The least length that a vector is divided by.
const LEAST: f32 = 1e-12;

/// The codebooks.
#[derive(Debug)]
pub(super) struct Quantizer {
    levels: Vec<Level>,
    size: usize,
    latent: usize,
    frame_steps: usize,
    frame_codes: usize,
}

#[derive(Debug)]
struct Level {
    /// `[size, dim]`.
    codebook: Vec<f32>,
    dim: usize,
    project_in: Linear,
    project_out: Linear,
    /// Steps that a code lasts.
    stride: usize,
}

impl Quantizer {
    pub(super) fn load(weights: &Floats<'_>, config: &SnacConfig) -> Result<Self> {
        let (size, dim, latent) = (config.codebook_size, config.codebook_dim, config.latent());
        let level = |(index, stride): (usize, &usize)| {
            let name = format!("quantizer.quantizers.{index}");
            Ok(Level {
                codebook: weights.tensor(&format!("{name}.codebook.weight"), &[size, dim])?,
                dim,
                project_in: linear(weights, &format!("{name}.in_proj"), dim, latent)?,
                project_out: linear(weights, &format!("{name}.out_proj"), latent, dim)?,
                stride: *stride,
            })
        };
        Ok(Self {
            levels: config.vq_strides.iter().enumerate().map(level).collect::<Result<_>>()?,
            size,
            latent,
            frame_steps: config.frame_steps(),
            frame_codes: config.frame_codes(),
        })
    }

    /// Whole frames to `[steps, latent]`.
    pub(super) fn decode(&self, frames: &[u32]) -> Result<Vec<f32>> {
        if !frames.len().is_multiple_of(self.frame_codes) {
            return Err(Error::argument(
                "frames",
                format_args!("{} codes are not whole frames of {}", frames.len(), self.frame_codes),
            ));
        }
        if let Some(code) = frames.iter().find(|code| **code as usize >= self.size) {
            let reason = format_args!("code {code} is not below {}", self.size);
            return Err(Error::argument("frames", reason));
        }
        let mut out = vec![0f32; frames.len() / self.frame_codes * self.frame_steps * self.latent];
        let mut first = 0;
        for level in &self.levels {
            let count = self.frame_steps / level.stride;
            let codes = frames
                .chunks_exact(self.frame_codes)
                .flat_map(|frame| frame.iter().skip(first).take(count));
            let rows: Vec<f32> =
                codes.flat_map(|code| level.row(*code as usize)).copied().collect();
            let projected = level.project_out.forward(&rows)?;
            level.spread(&projected, self.latent, &mut out, add);
            first += count;
        }
        Ok(out)
    }

    /// `[steps, latent]`, whole frames of them, to codes.
    pub(super) fn encode(
        &self,
        z: &[f32],
        mut observe: impl FnMut(usize, &[f32]),
    ) -> Result<Vec<u32>> {
        let mut residual = z.to_vec();
        let steps = z.len() / self.latent;
        let mut levels = Vec::new();
        for (index, level) in self.levels.iter().enumerate() {
            let mut pooled = vec![0f32; steps / level.stride * self.latent];
            for (sum, rows) in pooled
                .chunks_exact_mut(self.latent)
                .zip(residual.chunks_exact(self.latent * level.stride))
            {
                rows.chunks_exact(self.latent).for_each(|row| add(sum, row));
                sum.iter_mut().for_each(|x| *x /= level.stride as f32);
            }
            let projected = level.project_in.forward(&pooled)?;
            observe(index, &projected);
            let codes = level.nearest(&projected);
            let rows: Vec<f32> =
                codes.iter().flat_map(|code| level.row(*code as usize)).copied().collect();
            let back = level.project_out.forward(&rows)?;
            level.spread(&back, self.latent, &mut residual, |x, y| {
                x.iter_mut().zip(y).for_each(|(x, y)| *x -= y);
            });
            levels.push(codes);
        }
        let frames = 0..steps / self.frame_steps;
        Ok(frames
            .flat_map(|frame| {
                self.levels.iter().zip(&levels).flat_map(move |(level, codes)| {
                    let count = self.frame_steps / level.stride;
                    codes.iter().skip(frame * count).take(count).copied()
                })
            })
            .collect())
    }
}

impl Level {
    fn row(&self, code: usize) -> &[f32] {
        self.codebook.get(code * self.dim..(code + 1) * self.dim).unwrap_or_default()
    }

    /// Applies each row of a level to the steps that it lasts.
    fn spread(
        &self,
        rows: &[f32],
        latent: usize,
        to: &mut [f32],
        apply: impl Fn(&mut [f32], &[f32]),
    ) {
        for (steps, row) in to.chunks_exact_mut(latent * self.stride).zip(rows.chunks_exact(latent))
        {
            steps.chunks_exact_mut(latent).for_each(|step| apply(step, row));
        }
    }

    /// For each row the code whose direction is nearest, the first of several.
    fn nearest(&self, rows: &[f32]) -> Vec<u32> {
        let unit = |row: &[f32]| -> Vec<f32> {
            let length = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(LEAST);
            row.iter().map(|x| x / length).collect()
        };
        let book: Vec<f32> = self.codebook.chunks_exact(self.dim).flat_map(unit).collect();
        let best = |row: &[f32]| {
            let row = unit(row);
            let mut best = (0, f32::NEG_INFINITY);
            for (code, entry) in book.chunks_exact(self.dim).enumerate() {
                let cosine: f32 = row.iter().zip(entry).map(|(x, y)| x * y).sum();
                if cosine > best.1 {
                    best = (code as u32, cosine);
                }
            }
            best.0
        };
        rows.chunks_exact(self.dim).map(best).collect()
    }
}
