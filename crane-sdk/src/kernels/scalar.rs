//! The definition of every primitive loop, in portable code.

use half::{bf16, f16};

const LANES: usize = 8;

/// Σ aᵢ·bᵢ over the shorter length, in 32 partial sums.
///
/// Every instruction set adds in this order, so that all give the same to the last bit.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    dot_with(a, b, |a| a)
}

/// [`dot`] with weights widened from bf16.
pub fn dot_bf16(weights: &[bf16], x: &[f32]) -> f32 {
    dot_with(weights, x, bf16::to_f32)
}

/// [`dot`] with weights widened from f16.
pub fn dot_f16(weights: &[f16], x: &[f32]) -> f32 {
    dot_with(weights, x, f16::to_f32)
}

#[inline(always)]
fn dot_with<T: Copy>(a: &[T], b: &[f32], widen: impl Fn(T) -> f32) -> f32 {
    let len = a.len().min(b.len());
    let (a_blocks, a_rest) = a[..len].as_chunks::<LANES>();
    let (b_blocks, b_rest) = b[..len].as_chunks::<LANES>();
    let (a_quads, a_blocks) = a_blocks.as_chunks::<4>();
    let (b_quads, b_blocks) = b_blocks.as_chunks::<4>();
    let mut sums = [[0f32; LANES]; 4];
    for (a, b) in a_quads.iter().zip(b_quads) {
        for ((sums, a), b) in sums.iter_mut().zip(a).zip(b) {
            for lane in 0..LANES {
                sums[lane] += widen(a[lane]) * b[lane];
            }
        }
    }
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..LANES {
            sums[0][lane] += widen(a[lane]) * b[lane];
        }
    }
    let [a, b, c, d] = sums;
    let total = std::array::from_fn(|lane| (a[lane] + b[lane]) + (c[lane] + d[lane]));
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(&a, &b)| widen(a) * b).sum();
    sum(total) + rest
}

/// Halves, then quarters, then neighbours: the order that vector registers add in.
#[inline(always)]
fn sum([a, b, c, d, e, f, g, h]: [f32; LANES]) -> f32 {
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// yᵢ += α·xᵢ over the shorter length.
pub fn axpy(alpha: f32, x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += alpha * x;
    }
}

/// xᵢ = exp(xᵢ − max); returns the sum of the results.
pub fn exp_sum(x: &mut [f32], max: f32) -> f32 {
    let mut sums = [0f32; LANES];
    let (blocks, rest) = x.as_chunks_mut::<LANES>();
    for block in blocks {
        for lane in 0..LANES {
            block[lane] = exp(block[lane] - max);
            sums[lane] += block[lane];
        }
    }
    let mut last = 0.0;
    for x in rest {
        *x = exp(*x - max);
        last += *x;
    }
    sum(sums) + last
}

/// outᵢ = gateᵢ·sigmoid(gateᵢ)·upᵢ over the shortest length.
pub fn silu_mul(gate: &[f32], up: &[f32], out: &mut [f32]) {
    for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
        *out = gate / (1.0 + exp(0.0 - gate)) * up;
    }
}

/// log2(e) and ln(2) in two parts, the first exact in few bits (Cody and Waite's reduction).
pub(super) const LOG2_E: f32 = std::f32::consts::LOG2_E;
pub(super) const LN_2_HIGH: f32 = 0.693_359_4;
pub(super) const LN_2_LOW: f32 = -2.121_944_4e-4;
/// exp's polynomial on ±ln(2)/2, highest power first (Cephes `expf`).
#[allow(clippy::excessive_precision)]
pub(super) const EXP: [f32; 6] =
    [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5.000_000_1e-1];
/// Below it the result is 0, above the second it is held: the float's exponent ends there.
pub(super) const EXP_MIN: f32 = -87.336_54;
pub(super) const EXP_MAX: f32 = 88.0;

/// eˣ to about one unit in the last place; 0 below −87.3, held above 88.
///
/// The same steps on every instruction set, so that targets agree where a system's `expf` would not.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let held = x.clamp(EXP_MIN, EXP_MAX);
    let n = (held * LOG2_E).round_ties_even();
    let r = held - n * LN_2_HIGH - n * LN_2_LOW;
    let mut p = EXP[0];
    for c in &EXP[1..] {
        p = p * r + c;
    }
    let y = p * (r * r) + r + 1.0;
    let scale = f32::from_bits(((n as i32 + 127) << 23) as u32);
    if x < EXP_MIN { 0.0 } else { y * scale }
}
