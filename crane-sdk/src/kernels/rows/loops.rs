//! Norm and gated activation of one row: the loops of every instruction set.

use super::super::scalar;
use super::super::vector::{Vector, exp};

/// Partial sums of a norm: each instruction set adds in this order, so that all give the same to the last bit.
const SUMS: usize = 32;

/// A row to be normalised. The pointers are good for `width` floats.
pub(super) struct NormRow {
    pub x: *const f32,
    /// What is added to `x` first, and where the sum goes; null if nothing is.
    pub added: *const f32,
    pub sum: *mut f32,
    pub weight: *const f32,
    pub out: *mut f32,
    pub width: usize,
    pub eps: f32,
}

/// x · w / sqrt(mean(x²) + ε).
///
/// # Safety
/// The processor must have the instructions of `V`; the row's pointers must be good.
#[inline(always)]
pub(super) unsafe fn norm<V: Vector>(row: &NormRow) {
    let width = row.width;
    // SAFETY: every index is below the width.
    unsafe {
        let mut x = row.x;
        if !row.added.is_null() {
            let mut i = 0;
            while i + V::LANES <= width {
                let sum = V::add(V::read(row.x.add(i)), V::read(row.added.add(i)));
                V::write(row.sum.add(i), sum);
                i += V::LANES;
            }
            while i < width {
                *row.sum.add(i) = *row.x.add(i) + *row.added.add(i);
                i += 1;
            }
            x = row.sum;
        }
        let total = total::<V, true>(x, width);
        let scale = 1.0 / (total / width as f32 + row.eps).sqrt();
        let wide = V::splat(scale);
        let mut i = 0;
        while i + V::LANES <= width {
            let scaled = V::mul(V::read(x.add(i)), wide);
            V::write(row.out.add(i), V::mul(scaled, V::read(row.weight.add(i))));
            i += V::LANES;
        }
        while i < width {
            *row.out.add(i) = *x.add(i) * scale * *row.weight.add(i);
            i += 1;
        }
    }
}

/// A row to be normalised to mean 0. The pointers are good for `width` floats.
pub(super) struct CentredRow {
    pub x: *const f32,
    /// What is added to `x` first; null if nothing is.
    pub added: *const f32,
    pub weight: *const f32,
    pub bias: *const f32,
    pub out: *mut f32,
    pub width: usize,
    pub eps: f32,
}

/// (x − mean) · w / sqrt(variance + ε) + b, in two passes: the variance is that of what was centred.
///
/// # Safety
/// The processor must have the instructions of `V`; the row's pointers must be good.
#[inline(always)]
pub(super) unsafe fn layer_norm<V: Vector>(row: &CentredRow) {
    let (width, out) = (row.width, row.out);
    // SAFETY: every index is below the width.
    unsafe {
        let mut i = 0;
        while i + V::LANES <= width {
            let mut x = V::read(row.x.add(i));
            if !row.added.is_null() {
                x = V::add(x, V::read(row.added.add(i)));
            }
            V::write(out.add(i), x);
            i += V::LANES;
        }
        while i < width {
            let added = if row.added.is_null() { 0.0 } else { *row.added.add(i) };
            *out.add(i) = *row.x.add(i) + added;
            i += 1;
        }
        let mean = total::<V, false>(out, width) / width as f32;
        let wide = V::splat(mean);
        let mut i = 0;
        while i + V::LANES <= width {
            V::write(out.add(i), V::sub(V::read(out.add(i)), wide));
            i += V::LANES;
        }
        while i < width {
            *out.add(i) -= mean;
            i += 1;
        }
        let square = total::<V, true>(out, width);
        let scale = 1.0 / (square / width as f32 + row.eps).sqrt();
        let wide = V::splat(scale);
        let mut i = 0;
        while i + V::LANES <= width {
            let scaled = V::mul(V::read(out.add(i)), wide);
            let weighted = V::mul(scaled, V::read(row.weight.add(i)));
            V::write(out.add(i), V::add(weighted, V::read(row.bias.add(i))));
            i += V::LANES;
        }
        while i < width {
            *out.add(i) = *out.add(i) * scale * *row.weight.add(i) + *row.bias.add(i);
            i += 1;
        }
    }
}

/// The sum of a row, or of its squares, in the same order on every instruction set.
#[inline(always)]
unsafe fn total<V: Vector, const SQUARES: bool>(x: *const f32, width: usize) -> f32 {
    let whole = width / SUMS * SUMS;
    // SAFETY: every index is below the width.
    unsafe {
        let mut sums = [0f32; SUMS];
        let mut first = 0;
        while first < SUMS {
            let mut sum = V::splat(0.0);
            let mut i = first;
            while i < whole {
                let x = V::read(x.add(i));
                sum = V::add(sum, if SQUARES { V::mul(x, x) } else { x });
                i += SUMS;
            }
            V::write(sums.as_mut_ptr().add(first), sum);
            first += V::LANES;
        }
        let mut half = SUMS / 2;
        while half > 0 {
            let mut i = 0;
            while i < half {
                sums[i] += sums[i + half];
                i += 1;
            }
            half /= 2;
        }
        let mut total = sums[0];
        let mut i = whole;
        while i < width {
            let x = *x.add(i);
            total += if SQUARES { x * x } else { x };
            i += 1;
        }
        total
    }
}

/// outᵢ = gateᵢ · sigmoid(gateᵢ) · upᵢ.
///
/// # Safety
/// The processor must have the instructions of `V`; the pointers must be good for `len` floats.
#[inline(always)]
pub(super) unsafe fn silu_mul<V: Vector>(
    gate: *const f32,
    up: *const f32,
    out: *mut f32,
    len: usize,
) {
    // SAFETY: every index is below the length.
    unsafe {
        let (zero, one) = (V::splat(0.0), V::splat(1.0));
        let mut i = 0;
        while i + V::LANES <= len {
            let gate = V::read(gate.add(i));
            let below = V::add(one, exp::<V>(V::sub(zero, gate)));
            V::write(out.add(i), V::mul(V::div(gate, below), V::read(up.add(i))));
            i += V::LANES;
        }
        while i < len {
            let gate = *gate.add(i);
            *out.add(i) = gate / (1.0 + scalar::exp(0.0 - gate)) * *up.add(i);
            i += 1;
        }
    }
}

/// The error function's complement by formula 7.1.26 of Abramowitz and Stegun: off by at most 1.5e-7.
const ERFC: [f32; 5] = [1.061_405_4, -1.453_152, 1.421_413_7, -0.284_496_72, 0.254_829_6];
const ERFC_SCALE: f32 = 0.327_591_1;

/// xᵢ becomes xᵢ · Φ(xᵢ), with Φ by the error function.
///
/// # Safety
/// The processor must have the instructions of `V`; the pointer must be good for `len` floats.
#[inline(always)]
pub(super) unsafe fn gelu<V: Vector>(x: *mut f32, len: usize) {
    // SAFETY: every index is below the length.
    unsafe {
        let (zero, half, one) = (V::splat(0.0), V::splat(0.5), V::splat(1.0));
        let (root, scale) = (V::splat(std::f32::consts::FRAC_1_SQRT_2), V::splat(ERFC_SCALE));
        let mut i = 0;
        while i + V::LANES <= len {
            let at = V::read(x.add(i));
            let size = V::max(at, V::sub(zero, at));
            let z = V::mul(size, root);
            let t = V::div(one, V::add(one, V::mul(scale, z)));
            let mut p = V::splat(ERFC[0]);
            let mut c = 1;
            while c < ERFC.len() {
                p = V::add(V::mul(p, t), V::splat(ERFC[c]));
                c += 1;
            }
            let tail = V::mul(V::mul(p, t), exp::<V>(V::sub(zero, V::mul(z, z))));
            let lost = V::mul(V::mul(half, size), tail);
            V::write(x.add(i), V::sub(V::max(at, zero), lost));
            i += V::LANES;
        }
        while i < len {
            let at = *x.add(i);
            let size = at.max(0.0 - at);
            let z = size * std::f32::consts::FRAC_1_SQRT_2;
            let t = 1.0 / (1.0 + ERFC_SCALE * z);
            let mut p = ERFC[0];
            let mut c = 1;
            while c < ERFC.len() {
                p = p * t + ERFC[c];
                c += 1;
            }
            let tail = p * t * scalar::exp(0.0 - z * z);
            *x.add(i) = at.max(0.0) - 0.5 * size * tail;
            i += 1;
        }
    }
}

/// sin on −π/2..π/2 is r + r³ · P(r²): Taylor's series, off by at most 6e-8.
const SIN: [f32; 5] = [-2.505_210_8e-8, 2.755_732e-6, -1.984_127e-4, 8.333_334e-3, -0.166_666_67];
/// π in two parts, the first exact in so few bits that n · it is exact too.
const PI_HIGH: f32 = 3.140_625;
const PI_LOW: f32 = 9.676_536e-4;

/// Rows of a snake activation.
pub(super) struct SnakeRows {
    /// `[rows, width]`, changed in place.
    pub x: *mut f32,
    /// `[width]` each.
    pub alpha: *const f32,
    pub scale: *const f32,
    pub rows: usize,
    pub width: usize,
}

/// x becomes x + scale · sin²(alpha · x); sin² has the period π, so that its argument is taken to −π/2..π/2.
///
/// # Safety
/// The processor must have the instructions of `V`; the pointers must be good for what the counts say.
#[inline(always)]
pub(super) unsafe fn snake<V: Vector>(work: &SnakeRows) {
    let SnakeRows { x, alpha, scale, rows, width } = *work;
    // SAFETY: every index is below the width, every row below the count.
    unsafe {
        let (inverse, high, low) =
            (V::splat(std::f32::consts::FRAC_1_PI), V::splat(PI_HIGH), V::splat(PI_LOW));
        let mut row = 0;
        while row < rows {
            let x = x.add(row * width);
            let mut i = 0;
            while i + V::LANES <= width {
                let at = V::read(x.add(i));
                let angle = V::mul(at, V::read(alpha.add(i)));
                let n = V::round(V::mul(angle, inverse));
                let r = V::sub(V::sub(angle, V::mul(n, high)), V::mul(n, low));
                let square = V::mul(r, r);
                let mut p = V::splat(SIN[0]);
                let mut c = 1;
                while c < SIN.len() {
                    p = V::add(V::mul(p, square), V::splat(SIN[c]));
                    c += 1;
                }
                let sin = V::add(V::mul(V::mul(p, square), r), r);
                let bend = V::mul(V::mul(sin, sin), V::read(scale.add(i)));
                V::write(x.add(i), V::add(at, bend));
                i += V::LANES;
            }
            while i < width {
                let at = *x.add(i);
                let angle = at * *alpha.add(i);
                let n = (angle * std::f32::consts::FRAC_1_PI).round_ties_even();
                let r = angle - n * PI_HIGH - n * PI_LOW;
                let square = r * r;
                let mut p = SIN[0];
                let mut c = 1;
                while c < SIN.len() {
                    p = p * square + SIN[c];
                    c += 1;
                }
                let sin = p * square * r + r;
                *x.add(i) = at + sin * sin * *scale.add(i);
                i += 1;
            }
            row += 1;
        }
    }
}

/// Rows of a depthwise convolution.
pub(super) struct DepthwiseRows {
    /// The first row that the first output needs, `[.., width]`.
    pub x: *const f32,
    /// `[taps, width]`.
    pub weight: *const f32,
    /// `[width]`.
    pub bias: *const f32,
    /// `[rows, width]`.
    pub out: *mut f32,
    pub rows: usize,
    pub width: usize,
    pub taps: usize,
    /// Rows from tap to tap.
    pub dilation: usize,
}

/// Each output is the bias and, in the order of taps, weight · x, channel by channel.
///
/// # Safety
/// The processor must have the instructions of `V`; the pointers must be good for what the counts say.
#[inline(always)]
pub(super) unsafe fn depthwise<V: Vector>(work: &DepthwiseRows) {
    let DepthwiseRows { x, weight, bias, out, rows, width, taps, dilation } = *work;
    // SAFETY: every index is below the width; the last row's last tap is in the input, as the caller says.
    unsafe {
        let mut row = 0;
        while row < rows {
            let (x, out) = (x.add(row * width), out.add(row * width));
            let mut i = 0;
            while i + V::LANES <= width {
                let mut sum = V::read(bias.add(i));
                let mut tap = 0;
                while tap < taps {
                    let x = V::read(x.add(tap * dilation * width + i));
                    sum = V::add(sum, V::mul(x, V::read(weight.add(tap * width + i))));
                    tap += 1;
                }
                V::write(out.add(i), sum);
                i += V::LANES;
            }
            while i < width {
                let mut sum = *bias.add(i);
                let mut tap = 0;
                while tap < taps {
                    sum += *x.add(tap * dilation * width + i) * *weight.add(tap * width + i);
                    tap += 1;
                }
                *out.add(i) = sum;
                i += 1;
            }
            row += 1;
        }
    }
}
