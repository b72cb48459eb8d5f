//! AVX2 and F16C: x86-64 since Haswell and Zen.
//!
//! No fused multiply-add: wasm has none, and both targets give the same answer to the last bit.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::{Kernels, scalar};

const LANES: usize = 8;

/// These kernels, if the processor has the instructions.
pub(super) fn kernels() -> Option<Kernels> {
    let has = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c");
    // Each wrapper is handed out only where both features were found.
    has.then_some(Kernels {
        name: "AVX2",
        // SAFETY: the features are there, as checked above.
        dot: |a, b| unsafe { dot(a, b) },
        // SAFETY: the features are there, as checked above.
        dot_bf16: |a, b| unsafe { dot_bf16(a, b) },
        // SAFETY: the features are there, as checked above.
        dot_f16: |a, b| unsafe { dot_f16(a, b) },
        // SAFETY: the features are there, as checked above.
        axpy: |alpha, x, y| unsafe { axpy(alpha, x, y) },
        // SAFETY: the features are there, as checked above.
        exp_sum: |x, max| unsafe { exp_sum(x, max) },
        // SAFETY: the features are there, as checked above.
        silu_mul: |gate, up, out| unsafe { silu_mul(gate, up, out) },
    })
}

#[target_feature(enable = "avx2,f16c")]
fn load(x: &[f32; LANES]) -> __m256 {
    // SAFETY: the array holds eight floats; the load needs no alignment.
    unsafe { _mm256_loadu_ps(x.as_ptr()) }
}

#[target_feature(enable = "avx2,f16c")]
fn store(x: &mut [f32; LANES], value: __m256) {
    // SAFETY: the array holds eight floats; the store needs no alignment.
    unsafe { _mm256_storeu_ps(x.as_mut_ptr(), value) }
}

#[target_feature(enable = "avx2,f16c")]
fn load_bf16(x: &[bf16; LANES]) -> __m256 {
    // SAFETY: the array holds sixteen bytes; the load needs no alignment.
    let bits = unsafe { _mm_loadu_si128(x.as_ptr().cast()) };
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(bits)))
}

#[target_feature(enable = "avx2,f16c")]
fn load_f16(x: &[f16; LANES]) -> __m256 {
    // SAFETY: the array holds sixteen bytes; the load needs no alignment.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(x.as_ptr().cast()) })
}

#[target_feature(enable = "avx2,f16c")]
fn sum(x: __m256) -> f32 {
    let quad = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let pair = _mm_add_ps(quad, _mm_movehl_ps(quad, quad));
    _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
}

/// x · y + z.
#[target_feature(enable = "avx2,f16c")]
fn multiply_add(x: __m256, y: __m256, z: __m256) -> __m256 {
    _mm256_add_ps(_mm256_mul_ps(x, y), z)
}

/// Four sums of eight lanes hide the latency of the addition.
macro_rules! dot {
    ($name:ident, $weight:ty, $load:ident, $rest:path) => {
        #[target_feature(enable = "avx2,f16c")]
        fn $name(a: &[$weight], b: &[f32]) -> f32 {
            let len = a.len().min(b.len());
            let (a, b) = (&a[..len], &b[..len]);
            let (a_blocks, a_rest) = a.as_chunks::<LANES>();
            let (b_blocks, b_rest) = b.as_chunks::<LANES>();
            let (a_quads, a_blocks) = a_blocks.as_chunks::<4>();
            let (b_quads, b_blocks) = b_blocks.as_chunks::<4>();
            let mut sums = [_mm256_setzero_ps(); 4];
            for (a, b) in a_quads.iter().zip(b_quads) {
                for i in 0..4 {
                    sums[i] = multiply_add($load(&a[i]), load(&b[i]), sums[i]);
                }
            }
            for (a, b) in a_blocks.iter().zip(b_blocks) {
                sums[0] = multiply_add($load(a), load(b), sums[0]);
            }
            let [a, b, c, d] = sums;
            sum(_mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d))) + $rest(a_rest, b_rest)
        }
    };
}

dot!(dot, f32, load, scalar::dot);
dot!(dot_bf16, bf16, load_bf16, scalar::dot_bf16);
dot!(dot_f16, f16, load_f16, scalar::dot_f16);

#[target_feature(enable = "avx2,f16c")]
fn axpy(alpha: f32, x: &[f32], y: &mut [f32]) {
    let len = x.len().min(y.len());
    let (x_blocks, x_rest) = x[..len].as_chunks::<LANES>();
    let (y_blocks, y_rest) = y[..len].as_chunks_mut::<LANES>();
    let wide = _mm256_set1_ps(alpha);
    for (x, y) in x_blocks.iter().zip(y_blocks) {
        store(y, multiply_add(wide, load(x), load(y)));
    }
    scalar::axpy(alpha, x_rest, y_rest);
}

/// [`scalar::exp`] on eight lanes.
#[target_feature(enable = "avx2,f16c")]
fn exp(x: __m256) -> __m256 {
    let least = _mm256_set1_ps(scalar::EXP_MIN);
    let held = _mm256_min_ps(_mm256_max_ps(x, least), _mm256_set1_ps(scalar::EXP_MAX));
    let n = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(_mm256_mul_ps(
        held,
        _mm256_set1_ps(scalar::LOG2_E),
    ));
    let r = _mm256_sub_ps(held, _mm256_mul_ps(n, _mm256_set1_ps(scalar::LN_2_HIGH)));
    let r = _mm256_sub_ps(r, _mm256_mul_ps(n, _mm256_set1_ps(scalar::LN_2_LOW)));
    let mut p = _mm256_set1_ps(scalar::EXP[0]);
    for &c in &scalar::EXP[1..] {
        p = multiply_add(p, r, _mm256_set1_ps(c));
    }
    let y = _mm256_add_ps(multiply_add(p, _mm256_mul_ps(r, r), r), _mm256_set1_ps(1.0));
    let bits = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    let scale = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(bits));
    let vanishes = _mm256_cmp_ps::<_CMP_LT_OQ>(x, least);
    _mm256_andnot_ps(vanishes, _mm256_mul_ps(y, scale))
}

#[target_feature(enable = "avx2,f16c")]
fn exp_sum(x: &mut [f32], max: f32) -> f32 {
    let (blocks, rest) = x.as_chunks_mut::<LANES>();
    let wide = _mm256_set1_ps(max);
    let mut total = _mm256_setzero_ps();
    for block in blocks {
        let y = exp(_mm256_sub_ps(load(block), wide));
        store(block, y);
        total = _mm256_add_ps(total, y);
    }
    sum(total) + scalar::exp_sum(rest, max)
}

#[target_feature(enable = "avx2,f16c")]
fn silu_mul(gate: &[f32], up: &[f32], out: &mut [f32]) {
    let len = gate.len().min(up.len()).min(out.len());
    let (gate_blocks, gate_rest) = gate[..len].as_chunks::<LANES>();
    let (up_blocks, up_rest) = up[..len].as_chunks::<LANES>();
    let (out_blocks, out_rest) = out[..len].as_chunks_mut::<LANES>();
    let one = _mm256_set1_ps(1.0);
    for ((gate, up), out) in gate_blocks.iter().zip(up_blocks).zip(out_blocks) {
        let gate = load(gate);
        let below = _mm256_add_ps(one, exp(_mm256_sub_ps(_mm256_setzero_ps(), gate)));
        store(out, _mm256_mul_ps(_mm256_div_ps(gate, below), load(up)));
    }
    scalar::silu_mul(gate_rest, up_rest, out_rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pair() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
        prop::collection::vec((-8f32..8., -8f32..8.), 0..200).prop_map(|v| v.into_iter().unzip())
    }

    proptest! {
        #[test]
        fn equals_the_scalar_twin((a, b) in pair(), alpha in -4f32..4.) {
            let Some(k) = kernels() else { return Ok(()) };
            prop_assert_eq!((k.dot)(&a, &b), scalar::dot(&a, &b));
            let narrow: Vec<bf16> = a.iter().map(|&x| bf16::from_f32(x)).collect();
            prop_assert_eq!((k.dot_bf16)(&narrow, &b), scalar::dot_bf16(&narrow, &b));
            let narrow: Vec<f16> = a.iter().map(|&x| f16::from_f32(x)).collect();
            prop_assert_eq!((k.dot_f16)(&narrow, &b), scalar::dot_f16(&narrow, &b));

            let (mut fast, mut slow) = (b.clone(), b.clone());
            (k.axpy)(alpha, &a, &mut fast);
            scalar::axpy(alpha, &a, &mut slow);
            prop_assert_eq!(fast, slow);

            let max = a.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let (mut fast, mut slow) = (a.clone(), a.clone());
            prop_assert_eq!((k.exp_sum)(&mut fast, max), scalar::exp_sum(&mut slow, max));
            prop_assert_eq!(fast, slow);

            let (mut fast, mut slow) = (vec![0.; a.len()], vec![0.; a.len()]);
            (k.silu_mul)(&a, &b, &mut fast);
            scalar::silu_mul(&a, &b, &mut slow);
            prop_assert_eq!(fast, slow);
        }

        #[test]
        fn dot_is_near_the_exact_one((a, b) in pair()) {
            let terms = || a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b));
            let magnitude: f64 = terms().map(f64::abs).sum();
            let off = f64::from(scalar::dot(&a, &b)) - terms().sum::<f64>();
            prop_assert!(off.abs() <= 2e-6 * magnitude);
        }

        #[test]
        fn exp_is_near_the_exact_one(x in -87f32..88.) {
            let exact = f64::from(x).exp();
            prop_assert!((f64::from(scalar::exp(x)) - exact).abs() <= 3e-7 * exact);
        }
    }

    #[test]
    fn exp_holds_at_the_ends() {
        assert_eq!(scalar::exp(-1000.0), 0.0);
        assert_eq!(scalar::exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(scalar::exp(0.0), 1.0);
        assert!(scalar::exp(1000.0).is_finite());
    }
}
