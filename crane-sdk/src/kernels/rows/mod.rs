//! Loops over the rows of an activation matrix: norms, rotary embedding, activations, depthwise convolution.

mod loops;
mod sets;

use super::shared::Shared;
use super::threads::parallel_for;
use loops::{CentredRow, DepthwiseRows, NormRow, SnakeRows};
use sets::Set;

/// RMSNorm of each row: x · w / sqrt(mean(x²) + ε), `x` and the result `[rows, weight.len()]`.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    norm_with(sets::fastest(), x, None, weight, eps).1
}

/// x + y, and [`rms_norm`] of it: what a residual stream is between two blocks, in one pass. Both are empty
/// unless `x` and `y` have the same length.
pub fn add_rms_norm(x: &[f32], y: &[f32], weight: &[f32], eps: f32) -> (Vec<f32>, Vec<f32>) {
    if x.len() != y.len() {
        return (Vec::new(), Vec::new());
    }
    norm_with(sets::fastest(), x, Some(y), weight, eps)
}

/// The sum (empty without `added`) and its norm.
fn norm_with(
    set: &Set,
    x: &[f32],
    added: Option<&[f32]>,
    weight: &[f32],
    eps: f32,
) -> (Vec<f32>, Vec<f32>) {
    let width = weight.len().max(1);
    let mut sum = vec![0f32; added.map_or(0, <[f32]>::len)];
    let mut out = vec![0f32; x.len()];
    let (sums, outs) = (Shared::new(&mut sum), Shared::new(&mut out));
    parallel_for(x.len() / width, 5 * width, |rows| {
        for row in rows {
            let at = row * width;
            // SAFETY: the row lies in every slice, as its length says; each row is given to one thread, and the set is
            // one that the processor runs.
            unsafe {
                (set.norm)(&NormRow {
                    x: x[at..at + width].as_ptr(),
                    added: added.map_or(std::ptr::null(), |y| y[at..at + width].as_ptr()),
                    sum: sums.start().wrapping_add(at),
                    weight: weight.as_ptr(),
                    out: outs.start().wrapping_add(at),
                    width: weight.len(),
                    eps,
                });
            }
        }
    });
    (sum, out)
}

/// Layer normalisation (Ba et al. 2016) of each row: (x − mean) · w / sqrt(variance + ε) + b, `x` and the result
/// `[rows, weight.len()]`. With `added`, of as many numbers as `x`, it is that of their sum. Empty unless the lengths go together.
pub fn layer_norm(
    x: &[f32],
    added: Option<&[f32]>,
    weight: &[f32],
    bias: &[f32],
    eps: f32,
) -> Vec<f32> {
    layer_norm_with(sets::fastest(), x, added, weight, bias, eps)
}

fn layer_norm_with(
    set: &Set,
    x: &[f32],
    added: Option<&[f32]>,
    weight: &[f32],
    bias: &[f32],
    eps: f32,
) -> Vec<f32> {
    let width = weight.len();
    let fits = added.is_none_or(|added| added.len() == x.len()) && bias.len() == width;
    if !fits || width == 0 || !x.len().is_multiple_of(width) {
        return Vec::new();
    }
    let mut out = vec![0f32; x.len()];
    let outs = Shared::new(&mut out);
    parallel_for(x.len() / width, 8 * width, |rows| {
        for row in rows {
            let at = row * width;
            // SAFETY: the row lies in every slice, as the lengths say; each row is given to one thread, and the set is one
            // that the processor runs.
            unsafe {
                (set.layer_norm)(&CentredRow {
                    x: x[at..at + width].as_ptr(),
                    added: added.map_or(std::ptr::null(), |added| added[at..at + width].as_ptr()),
                    weight: weight.as_ptr(),
                    bias: bias.as_ptr(),
                    out: outs.start().wrapping_add(at),
                    width,
                    eps,
                });
            }
        }
    });
    out
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

/// gate · sigmoid(gate) · up, element by element, over the shorter length.
pub fn silu_mul(gate: &[f32], up: &[f32]) -> Vec<f32> {
    silu_mul_with(sets::fastest(), gate, up)
}

fn silu_mul_with(set: &Set, gate: &[f32], up: &[f32]) -> Vec<f32> {
    let mut out = vec![0f32; gate.len().min(up.len())];
    let len = out.len();
    let shared = Shared::new(&mut out);
    const BLOCK: usize = 1024;
    parallel_for(len.div_ceil(BLOCK), 8 * BLOCK, |blocks| {
        let range = blocks.start * BLOCK..(blocks.end * BLOCK).min(len);
        let (gate, up) = (&gate[range.clone()], &up[range.clone()]);
        let out = shared.start().wrapping_add(range.start);
        // SAFETY: ranges of blocks do not overlap, and the set is one that the processor runs.
        unsafe { (set.silu_mul)(gate.as_ptr(), up.as_ptr(), out, range.len()) };
    });
    out
}

/// Each x becomes x · Φ(x), Φ the normal distribution's (the exact GELU of Hendrycks and Gimpel 2016, not its
/// approximation by tanh), to about 2e-7 · x.
pub fn gelu(x: &mut [f32]) {
    gelu_with(sets::fastest(), x);
}

fn gelu_with(set: &Set, x: &mut [f32]) {
    let len = x.len();
    let shared = Shared::new(x);
    const BLOCK: usize = 1024;
    parallel_for(len.div_ceil(BLOCK), 16 * BLOCK, |blocks| {
        let range = blocks.start * BLOCK..(blocks.end * BLOCK).min(len);
        // SAFETY: ranges of blocks do not overlap and lie in the slice, and the set is one that the processor runs.
        unsafe { (set.gelu)(shared.start().wrapping_add(range.start), range.len()) };
    });
}

/// Each x of `[rows, alpha.len()]` becomes x + scale · sin²(alpha · x) of its column, "snake" (Ziyin et al. 2020); nothing
/// unless `alpha` and `scale` have one length. Off by about 1e-7 · scale for arguments up to 10⁴.
pub fn snake(x: &mut [f32], alpha: &[f32], scale: &[f32]) {
    snake_with(sets::fastest(), x, alpha, scale);
}

fn snake_with(set: &Set, x: &mut [f32], alpha: &[f32], scale: &[f32]) {
    let width = alpha.len();
    if width == 0 || scale.len() != width {
        return;
    }
    let rows = x.len() / width;
    let shared = Shared::new(x);
    parallel_for(rows, 16 * width, |range| {
        let x = shared.start().wrapping_add(range.start * width);
        let (alpha, scale) = (alpha.as_ptr(), scale.as_ptr());
        // SAFETY: ranges of rows do not overlap and lie in the slice, and the set is one that the processor runs.
        unsafe { (set.snake)(&SnakeRows { x, alpha, scale, rows: range.len(), width }) };
    });
}

/// A convolution that keeps channels apart: output row r is bias + Σ of weight row t · x row r + t · dilation. `x` is
/// `[rows, bias.len()]`, `weight` `[taps, bias.len()]`; there are as many outputs as have all their rows, at most `count`.
pub fn depthwise(
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    dilation: usize,
    count: usize,
) -> Vec<f32> {
    depthwise_with(sets::fastest(), x, weight, bias, dilation, count)
}

fn depthwise_with(
    set: &Set,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    dilation: usize,
    count: usize,
) -> Vec<f32> {
    let width = bias.len().max(1);
    let taps = weight.len() / width;
    let span = taps.saturating_sub(1) * dilation;
    let count = count.min((x.len() / width).saturating_sub(span));
    let mut out = vec![0f32; count * bias.len()];
    let shared = Shared::new(&mut out);
    parallel_for(count, taps.max(1) * width, |rows| {
        // SAFETY: each output row has its `span` further rows in `x`, as `count` was chosen; each is written by one thread,
        // and the set is one that the processor runs.
        unsafe {
            (set.depthwise)(&DepthwiseRows {
                x: x.as_ptr().wrapping_add(rows.start * width),
                weight: weight.as_ptr(),
                bias: bias.as_ptr(),
                out: shared.start().wrapping_add(rows.start * width),
                rows: rows.len(),
                width: bias.len(),
                taps,
                dilation,
            });
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// x · Φ(x), by the series of the error function.
    fn exact_gelu(x: f64) -> f64 {
        let z = x / std::f64::consts::SQRT_2;
        let (mut term, mut sum) = (z, z);
        for n in 1..200 {
            term *= -z * z / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        0.5 * x * (1.0 + sum * 2.0 / std::f64::consts::PI.sqrt())
    }

    proptest! {
        #[test]
        fn norms_are_their_definition_on_every_instruction_set(
            rows in 1usize..4, width in 1usize..150, seed in any::<u32>(), eps in 1e-6f32..1e-3,
        ) {
            let mut state = seed;
            let mut numbers = |len: usize| -> Vec<f32> {
                let mut next = || {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 8) as f32 / (1 << 21) as f32 - 4.0
                };
                (0..len).map(|_| next()).collect()
            };
            let (x, y, weight) = (numbers(rows * width), numbers(rows * width), numbers(width));
            let (sum, normed) = add_rms_norm(&x, &y, &weight, eps);
            let expected: Vec<f32> = x.iter().zip(&y).map(|(x, y)| x + y).collect();
            prop_assert_eq!(&sum, &expected);
            prop_assert_eq!(&rms_norm(&sum, &weight, eps), &normed);
            for (sum, normed) in sum.chunks(width).zip(normed.chunks(width)) {
                let square: f64 = sum.iter().map(|x| f64::from(*x).powi(2)).sum();
                let scale = 1.0 / (square / width as f64 + f64::from(eps)).sqrt();
                for ((x, weight), found) in sum.iter().zip(&weight).zip(normed) {
                    let expected = f64::from(*x) * scale * f64::from(*weight);
                    prop_assert!((f64::from(*found) - expected).abs() <= 1e-5 * expected.abs() + 1e-6);
                }
            }
            let bias = numbers(width);
            let centred = layer_norm(&x, Some(&y), &weight, &bias, eps);
            prop_assert_eq!(&layer_norm(&sum, None, &weight, &bias, eps), &centred);
            for (sum, centred) in sum.chunks(width).zip(centred.chunks(width)) {
                let mean = sum.iter().map(|x| f64::from(*x)).sum::<f64>() / width as f64;
                let square: f64 = sum.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum();
                let scale = 1.0 / (square / width as f64 + f64::from(eps)).sqrt();
                let parts = sum.iter().zip(&weight).zip(&bias).zip(centred);
                for (((x, weight), bias), found) in parts {
                    let scaled = (f64::from(*x) - mean) * scale * f64::from(*weight);
                    let off = (f64::from(*found) - scaled - f64::from(*bias)).abs();
                    // Where all numbers are nearly one, what is left of them is the rounding of their mean.
                    prop_assert!(off <= 1e-5 * scaled.abs() + 2e-6 * (1.0 + scale), "{off} of {scaled}");
                }
            }
            prop_assert!(layer_norm(&x, Some(&[]), &weight, &bias, eps).is_empty());
            let gated = silu_mul(&x, &y);
            for ((x, y), found) in x.iter().zip(&y).zip(&gated) {
                let (x, y) = (f64::from(*x), f64::from(*y));
                let expected = x / (1.0 + (-x).exp()) * y;
                prop_assert!((f64::from(*found) - expected).abs() <= 1e-6 * expected.abs() + 1e-7);
            }
            let mut curved = x.clone();
            gelu(&mut curved);
            for (x, found) in x.iter().zip(&curved) {
                prop_assert!((f64::from(*found) - exact_gelu((*x).into())).abs() <= 1e-6, "{x}: {found}");
            }
            let scale: Vec<f32> = weight.iter().map(|w| 1.0 / (w.abs() + 0.1)).collect();
            let mut bent = x.iter().map(|x| 20.0 * x).collect::<Vec<_>>();
            let straight = bent.clone();
            snake(&mut bent, &weight, &scale);
            for (row, found) in straight.chunks(width).zip(bent.chunks(width)) {
                for (((x, alpha), scale), found) in row.iter().zip(&weight).zip(&scale).zip(found) {
                    // The product is what f32 makes of it: sin would turn its rounding into a large error.
                    let sin = f64::from(x * alpha).sin();
                    let expected = f64::from(*x) + f64::from(*scale) * sin * sin;
                    let off = (f64::from(*found) - expected).abs();
                    prop_assert!(off <= 5e-6 * f64::from(*scale) + 1e-6 * f64::from(x.abs()), "{x} {alpha}: {found}");
                }
            }
            let taps = numbers(3 * width);
            let long = numbers((rows + 4) * width);
            let mixed = depthwise(&long, &taps, &weight, 2, rows);
            prop_assert_eq!(mixed.len(), rows * width);
            for (i, found) in mixed.iter().enumerate() {
                let term = |tap: usize| f64::from(long[i + 2 * tap * width]) * f64::from(taps[tap * width + i % width]);
                let expected = f64::from(weight[i % width]) + term(0) + term(1) + term(2);
                prop_assert!((f64::from(*found) - expected).abs() <= 2e-5);
            }
            for set in sets::sets() {
                let mut found = straight.clone();
                snake_with(set, &mut found, &weight, &scale);
                prop_assert_eq!(&found, &bent, "{}", set.name);
                let found = depthwise_with(set, &long, &taps, &weight, 2, rows);
                prop_assert_eq!(&found, &mixed, "{}", set.name);
                let mut found = x.clone();
                gelu_with(set, &mut found);
                prop_assert_eq!(&found, &curved, "{}", set.name);
                let found = norm_with(set, &x, Some(&y), &weight, eps);
                prop_assert_eq!((&found.0, &found.1), (&sum, &normed), "{}", set.name);
                let found = layer_norm_with(set, &x, Some(&y), &weight, &bias, eps);
                prop_assert_eq!(&found, &centred, "{}", set.name);
                prop_assert_eq!(&silu_mul_with(set, &x, &y), &gated, "{}", set.name);
            }
        }
    }
}
