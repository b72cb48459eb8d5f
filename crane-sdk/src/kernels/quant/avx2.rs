//! The integer loops in AVX2 and FMA.

use std::arch::x86_64::*;

use super::unpack::Unpack;
use super::{Format, GROUP, Row, Set, TileRow};

/// These loops, if the processor has the instructions.
pub(super) fn set() -> Option<Set> {
    let has = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    has.then_some(Set {
        // SAFETY: the features are there, as checked above.
        unpack: |unpack, bytes, row| unsafe { unpack_row(unpack, bytes, row) },
        // SAFETY: the features are there, as checked above.
        dot: |weights, format, tile| unsafe { dot(weights, format, tile) },
        // SAFETY: the features are there, as checked above.
        dot_tile: |weights, format, tile| unsafe { dot(weights, format, tile) },
    })
}

/// The portable loops, compiled for these instructions.
#[target_feature(enable = "avx2,fma")]
fn unpack_row(unpack: Unpack, bytes: &[u8], row: &mut Row) {
    unpack.run(bytes, row);
}

#[target_feature(enable = "avx2,fma")]
fn dot<const R: usize>(weights: &Row, format: &Format, tile: &[TileRow<'_>; R]) -> [f32; R] {
    match (format.signed, format.group) {
        (true, _) => dot_as::<R, true, false>(weights, tile),
        (false, GROUP) => dot_as::<R, false, false>(weights, tile),
        (false, _) => dot_as::<R, false, true>(weights, tile),
    }
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn load<T>(bytes: &[T; GROUP]) -> __m256i {
    const { assert!(size_of::<T>() == 1) };
    // SAFETY: the array holds 32 bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn sum(x: __m256) -> f32 {
    let quad = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let pair = _mm_add_ps(quad, _mm_movehl_ps(quad, quad));
    _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
}

/// `SIGNED`: the weights are i8. `HALVES`: each 16 numbers have a scale of their own.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn dot_as<const R: usize, const SIGNED: bool, const HALVES: bool>(
    weights: &Row,
    tile: &[TileRow<'_>; R],
) -> [f32; R] {
    let ones = _mm256_set1_epi16(1);
    let mut sums = [_mm256_setzero_ps(); R];
    let q = weights.q.as_chunks::<GROUP>().0;
    let groups = q.len().min(weights.scales.len() / if HALVES { 2 } else { 1 });
    let rows = tile.map(|row| (row.x.as_chunks::<GROUP>().0, row.scales));
    let groups = rows.iter().fold(groups, |n, (x, scales)| n.min(x.len()).min(scales.len()));
    for group in 0..groups {
        let q = load(&q[group]);
        let magnitude = if SIGNED { _mm256_sign_epi8(q, q) } else { q };
        for i in 0..R {
            let (x, scales) = rows[i];
            let mut x = load(&x[group]);
            if SIGNED {
                x = _mm256_sign_epi8(x, q);
            }
            // Pairs are at most 2·127·127 or 2·63·127: they fit sixteen bits.
            let pairs = _mm256_maddubs_epi16(magnitude, x);
            let fours = _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, ones));
            let scale = if HALVES {
                let low = _mm_set1_ps(weights.scales[2 * group] * scales[group]);
                let high = _mm_set1_ps(weights.scales[2 * group + 1] * scales[group]);
                _mm256_set_m128(high, low)
            } else {
                _mm256_set1_ps(weights.scales[group] * scales[group])
            };
            sums[i] = _mm256_fmadd_ps(fours, scale, sums[i]);
        }
    }
    if !SIGNED {
        let (offsets, rest) = weights.offsets.as_chunks::<8>();
        for i in 0..R {
            let (row, row_rest) = tile[i].sums.as_chunks::<8>();
            for (offsets, row) in offsets.iter().zip(row) {
                // SAFETY: both arrays hold eight floats; the loads need no alignment.
                let (offsets, row) =
                    unsafe { (_mm256_loadu_ps(offsets.as_ptr()), _mm256_loadu_ps(row.as_ptr())) };
                sums[i] = _mm256_fmadd_ps(offsets, row, sums[i]);
            }
            let rest: f32 = rest.iter().zip(row_rest).map(|(offset, sum)| offset * sum).sum();
            sums[i] = _mm256_add_ps(sums[i], _mm256_set_ps(0., 0., 0., 0., 0., 0., 0., rest));
        }
    }
    sums.map(|total| sum(total))
}
