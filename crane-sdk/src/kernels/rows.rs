//! Loops over the rows of an activation matrix: norms, rotary embedding, gated activation.

use super::kernels;
use super::shared::Shared;
use super::threads::parallel_for;

/// RMSNorm of each row: x · w / sqrt(mean(x²) + ε), `x` and the result `[rows, weight.len()]`.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let width = weight.len().max(1);
    let mut out = vec![0f32; x.len()];
    let shared = Shared::new(&mut out);
    parallel_for(x.len() / width, 4 * width, |rows| {
        for row in rows {
            let range = row * width..(row + 1) * width;
            // SAFETY: each row is given to one thread.
            let out = unsafe { shared.slice(range.clone()) };
            norm_row(&x[range], weight, eps, out);
        }
    });
    out
}

/// x + y, and [`rms_norm`] of it: what a residual stream is between two blocks, in one pass.
pub fn add_rms_norm(x: &[f32], y: &[f32], weight: &[f32], eps: f32) -> (Vec<f32>, Vec<f32>) {
    let width = weight.len().max(1);
    let (mut sum, mut out) = (vec![0f32; x.len()], vec![0f32; x.len()]);
    let (sums, shared) = (Shared::new(&mut sum), Shared::new(&mut out));
    parallel_for(x.len().min(y.len()) / width, 5 * width, |rows| {
        for row in rows {
            let range = row * width..(row + 1) * width;
            // SAFETY: each row is given to one thread.
            let (sum, out) = unsafe { (sums.slice(range.clone()), shared.slice(range.clone())) };
            for ((sum, x), y) in sum.iter_mut().zip(&x[range.clone()]).zip(&y[range]) {
                *sum = x + y;
            }
            norm_row(sum, weight, eps, out);
        }
    });
    (sum, out)
}

fn norm_row(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let mean = (kernels().dot)(x, x) / weight.len().max(1) as f32;
    let scale = 1.0 / (mean + eps).sqrt();
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = x * scale * weight;
    }
}

/// Angles of the rotary embedding for a list of positions.
#[derive(Debug, Clone)]
pub struct RotaryTable {
    /// cos, `[positions, head_dim / 2]`.
    pub cos: Vec<f32>,
    /// sin, `[positions, head_dim / 2]`.
    pub sin: Vec<f32>,
    /// `head_dim / 2`.
    pub half: usize,
}

impl RotaryTable {
    /// cos and sin of position · frequency, the angle in f32 as transformers computes it.
    ///
    /// They are computed in f64 and rounded: systems differ in the last bits of theirs.
    pub fn new(positions: &[usize], inv_freq: &[f32]) -> Self {
        let angles = positions.iter().flat_map(|&p| inv_freq.iter().map(move |f| p as f32 * f));
        let (cos, sin) =
            angles.map(f64::from).map(|angle| (angle.cos() as f32, angle.sin() as f32)).unzip();
        Self { cos, sin, half: inv_freq.len() }
    }

    /// The number of positions.
    pub fn rows(&self) -> usize {
        self.cos.len() / self.half.max(1)
    }
}

/// Rotates one head by the angles of row `row` (half-split convention: element i pairs with
/// i + head_dim / 2).
pub(super) fn rotate(x: &[f32], table: &RotaryTable, row: usize, out: &mut [f32]) {
    let half = table.half;
    let angles = row * half..(row + 1) * half;
    let (cos, sin) = (&table.cos[angles.clone()], &table.sin[angles]);
    let (low, high) = x.split_at(half);
    let (out_low, out_high) = out.split_at_mut(half);
    for i in 0..half {
        out_low[i] = low[i] * cos[i] - high[i] * sin[i];
        out_high[i] = high[i] * cos[i] + low[i] * sin[i];
    }
}

/// gate · sigmoid(gate) · up, element by element.
pub fn silu_mul(gate: &[f32], up: &[f32]) -> Vec<f32> {
    let mut out = vec![0f32; gate.len().min(up.len())];
    let len = out.len();
    let shared = Shared::new(&mut out);
    const BLOCK: usize = 1024;
    parallel_for(len.div_ceil(BLOCK), 8 * BLOCK, |blocks| {
        let range = blocks.start * BLOCK..(blocks.end * BLOCK).min(len);
        // SAFETY: ranges of blocks do not overlap.
        let out = unsafe { shared.slice(range.clone()) };
        (kernels().silu_mul)(&gate[range.clone()], &up[range], out);
    });
    out
}
