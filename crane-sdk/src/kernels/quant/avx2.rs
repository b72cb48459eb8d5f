//! The integer loops in AVX2 and FMA.

use std::arch::x86_64::*;

use super::unpack::{Unpack, float};
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

/// The portable loops, compiled for these instructions, but for the types whose fifth bits lie apart:
/// compilers find no good way to spread those.
#[target_feature(enable = "avx2,fma")]
fn unpack_row(unpack: Unpack, bytes: &[u8], row: &mut Row) {
    match unpack {
        Unpack::Q5_0 => {
            let (blocks, _) = bytes.as_chunks::<22>();
            for (index, (block, q)) in blocks.iter().zip(row.q.as_chunks_mut().0).enumerate() {
                let [a, b, c, d, e, f, packed @ ..] = block;
                five_bits(packed, i32::from_le_bytes([*c, *d, *e, *f]), q);
                let scale = float(&[*a, *b], 0);
                (row.scales[index], row.offsets[index]) = (scale, -16.0 * scale);
            }
        }
        Unpack::Q5_1 => {
            let (blocks, _) = bytes.as_chunks::<24>();
            for (index, (block, q)) in blocks.iter().zip(row.q.as_chunks_mut().0).enumerate() {
                let [_, _, _, _, e, f, g, h, packed @ ..] = block;
                five_bits(packed, i32::from_le_bytes([*e, *f, *g, *h]), q);
                (row.scales[index], row.offsets[index]) = (float(block, 0), float(block, 2));
            }
        }
        other => other.run(bytes, row),
    }
}

/// Low halves are numbers 0..16, high halves 16..32; bit i of `fifths` is the fifth bit of number i.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn five_bits(packed: &[u8; 16], fifths: i32, q: &mut [u8; GROUP]) {
    // SAFETY: the array holds sixteen bytes; the load needs no alignment.
    let packed = unsafe { _mm_loadu_si128(packed.as_ptr().cast()) };
    let both = _mm256_set_m128i(_mm_srli_epi16::<4>(packed), packed);
    let low = _mm256_and_si256(both, _mm256_set1_epi8(15));
    // Byte i gets the byte that holds bit i, then keeps that bit alone.
    let from =
        _mm256_set_epi64x(0x0303_0303_0303_0303, 0x0202_0202_0202_0202, 0x0101_0101_0101_0101, 0);
    let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64.cast_signed());
    let spread = _mm256_shuffle_epi8(_mm256_set1_epi32(fifths), from);
    let is_set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit);
    let all = _mm256_or_si256(low, _mm256_and_si256(is_set, _mm256_set1_epi8(16)));
    // SAFETY: the array holds 32 bytes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(q.as_mut_ptr().cast(), all) };
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
    let per_group = if HALVES { 2 } else { 1 };
    let rows = tile.map(|row| (row.x.as_chunks::<GROUP>().0, row.scales));
    let groups = rows.iter().fold(q.len(), |n, (x, scales)| n.min(x.len()).min(scales.len()));
    let groups = groups.min(weights.scales.len() / per_group);
    // Cut to one length first, so that the loop checks no index.
    let (q, weight_scales) = (&q[..groups], &weights.scales[..groups * per_group]);
    let rows = rows.map(|(x, scales)| (&x[..groups], &scales[..groups]));
    let halves = weight_scales.as_chunks::<2>().0;
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
                let [low, high] = halves[group];
                let (low, high) = (_mm_set1_ps(low), _mm_set1_ps(high));
                _mm256_mul_ps(_mm256_set_m128(high, low), _mm256_set1_ps(scales[group]))
            } else {
                _mm256_set1_ps(weight_scales[group] * scales[group])
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
