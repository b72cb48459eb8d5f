//! ECAPA-TDNN (Desplanques et al. 2020) up to its frames: what of a recording belongs to its speaker.

use crate::Result;
use crate::nn::slices::{Conv, Linear, add};
use crate::weights::Floats;

use super::backbone::plain_linear;

/// What PyTorch adds to a variance.
const EPSILON: f32 = 1e-5;
/// Groups of a block's inner convolution.
const SCALE: usize = 8;

/// The layers.
#[derive(Debug)]
pub(super) struct Ecapa {
    first: Layer,
    blocks: Vec<Block>,
    last: Conv,
    width: usize,
}

/// A convolution, relu, and a norm with recorded statistics.
#[derive(Debug)]
struct Layer {
    conv: Conv,
    norm: Affine,
}

#[derive(Debug)]
struct Affine {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

/// A block of dilated convolutions in groups, weighted channel by channel (Hu et al. 2018).
#[derive(Debug)]
struct Block {
    before: Layer,
    groups: Vec<Layer>,
    after: Layer,
    squeeze: Linear,
    excite: Linear,
}

impl Ecapa {
    pub(super) fn load(weights: &Floats<'_>, name: &str, mels: usize) -> Result<Self> {
        let [width, _, taps] = weights.shape(&format!("{name}.layer1.conv.weight"))?;
        if width == 0 || !width.is_multiple_of(SCALE) || taps % 2 == 0 {
            return Err(weights
                .misfit(&format!("{name}.layer1.conv.weight"), "its sizes do not fit ECAPA-TDNN"));
        }
        let layer = |conv: &str, norm: &str, [outputs, inputs, taps]: [usize; 3], dilation| {
            Layer::load(weights, [conv, norm], [outputs, inputs, taps], dilation)
        };
        let block = |(index, dilation): (usize, usize)| {
            let name = format!("{name}.layer{index}.se_res2block");
            let ends = |part: usize| {
                let (conv, norm) = (format!("{name}.{part}.conv"), format!("{name}.{part}.bn"));
                layer(&conv, &norm, [width, width, 1], 1)
            };
            let group = |group: usize| {
                let (conv, norm) =
                    (format!("{name}.1.convs.{group}"), format!("{name}.1.bns.{group}"));
                layer(&conv, &norm, [width / SCALE, width / SCALE, 3], dilation)
            };
            let [inner] = weights.shape(&format!("{name}.3.linear1.bias"))?;
            Ok(Block {
                before: ends(0)?,
                groups: (0..SCALE - 1).map(group).collect::<Result<_>>()?,
                after: ends(2)?,
                squeeze: plain_linear(weights, &format!("{name}.3.linear1"), inner, width)?,
                excite: plain_linear(weights, &format!("{name}.3.linear2"), width, inner)?,
            })
        };
        let [outputs] = weights.shape(&format!("{name}.conv.bias"))?;
        let last = weights.tensor(&format!("{name}.conv.weight"), &[outputs, 3 * width, 1])?;
        let bias = weights.tensor(&format!("{name}.conv.bias"), &[outputs])?;
        Ok(Self {
            first: layer(
                &format!("{name}.layer1.conv"),
                &format!("{name}.layer1.bn"),
                [width, mels, taps],
                1,
            )?,
            blocks: [(2, 2), (3, 3), (4, 4)].into_iter().map(block).collect::<Result<_>>()?,
            last: Conv::new(&last, &bias, [3 * width, 1], 1)?,
            width,
        })
    }

    /// `[frames, mels]` to `[frames, channels]`.
    pub(super) fn forward(&self, mel: &[f32]) -> Result<Vec<f32>> {
        let mut x = self.first.forward(mel)?;
        let mut parts = Vec::new();
        for block in &self.blocks {
            x = block.forward(&x, self.width)?;
            parts.push(x.clone());
        }
        let rows = parts.iter().map(|part| part.chunks_exact(self.width)).collect::<Vec<_>>();
        let frames = x.len() / self.width;
        let mut joined = vec![0f32; frames * self.width * parts.len()];
        for (index, rows) in rows.into_iter().enumerate() {
            let places = joined.chunks_exact_mut(self.width).skip(index).step_by(parts.len());
            places.zip(rows).for_each(|(to, from)| to.copy_from_slice(from));
        }
        let mut out = self.last.forward(&joined)?;
        relu(&mut out);
        Ok(out)
    }
}

impl Layer {
    fn load(
        weights: &Floats<'_>,
        [conv, norm]: [&str; 2],
        [outputs, inputs, taps]: [usize; 3],
        dilation: usize,
    ) -> Result<Self> {
        let part = |name: String| weights.tensor(&name, &[outputs]);
        let weight = weights.tensor(&format!("{conv}.weight"), &[outputs, inputs, taps])?;
        let bias = part(format!("{conv}.bias"))?;
        let variance = part(format!("{norm}.running_var"))?;
        let mean = part(format!("{norm}.running_mean"))?;
        let scale = part(format!("{norm}.weight"))?.into_iter().zip(variance);
        let scale: Vec<f32> = scale.map(|(w, var)| w / (var + EPSILON).sqrt()).collect();
        let shift = part(format!("{norm}.bias"))?.into_iter().zip(mean).zip(&scale);
        let shift = shift.map(|((b, mean), scale)| b - mean * scale).collect();
        Ok(Self {
            conv: Conv::new(&weight, &bias, [inputs, taps], dilation)?,
            norm: Affine { scale, shift },
        })
    }

    fn forward(&self, x: &[f32]) -> Result<Vec<f32>> {
        let mut x = self.conv.forward(x)?;
        relu(&mut x);
        for row in x.chunks_exact_mut(self.norm.scale.len()) {
            for ((x, scale), shift) in row.iter_mut().zip(&self.norm.scale).zip(&self.norm.shift) {
                *x = *x * scale + shift;
            }
        }
        Ok(x)
    }
}

impl Block {
    fn forward(&self, x: &[f32], width: usize) -> Result<Vec<f32>> {
        let mut inner = self.before.forward(x)?;
        let size = width / SCALE;
        let mut sum: Vec<f32> = Vec::new();
        for (index, group) in self.groups.iter().enumerate() {
            let mut part: Vec<f32> =
                inner.chunks_exact(size).skip(index).step_by(SCALE).flatten().copied().collect();
            add(&mut part, &sum);
            sum = group.forward(&part)?;
            let places = inner.chunks_exact_mut(size).skip(index).step_by(SCALE);
            places.zip(sum.chunks_exact(size)).for_each(|(to, from)| to.copy_from_slice(from));
        }
        let mut out = self.after.forward(&inner)?;
        let mut mean = vec![0f32; width];
        out.chunks_exact(width).for_each(|row| add(&mut mean, row));
        let frames = (out.len() / width).max(1) as f32;
        mean.iter_mut().for_each(|x| *x /= frames);
        let mut weight = self.squeeze.forward(&mean)?;
        relu(&mut weight);
        let weight = self.excite.forward(&weight)?;
        let weight: Vec<f32> = weight.into_iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect();
        for (row, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            for ((out, weight), x) in row.iter_mut().zip(&weight).zip(x) {
                *out = *out * weight + x;
            }
        }
        Ok(out)
    }
}

fn relu(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = x.max(0.0));
}
