//! What an instruction set must be able to do with pairs of 16-bit numbers.

use super::super::isa::portable::Portable;

/// Vectors with one 32-bit lane, or one pair of 16-bit numbers, for each of a few rows.
///
/// # Safety
/// Each method may only be called where the processor has its instructions; pointers must be good for what it reads or
/// writes, and none needs alignment.
pub(super) trait Pairs {
    /// Rows of a vector: 4, 8 or 16.
    const LANES: usize;
    /// A vector of either kind.
    type Ints: Copy;

    /// 0 in every lane.
    unsafe fn zero() -> Self::Ints;
    /// A pair for every lane.
    unsafe fn read(at: *const i16) -> Self::Ints;
    /// The same pair in every lane.
    unsafe fn splat(at: *const i16) -> Self::Ints;
    /// sum + w₀ · x₀ + w₁ · x₁.
    unsafe fn dot(sum: Self::Ints, w: Self::Ints, x: Self::Ints) -> Self::Ints;
    /// Writes sum · scale + bias.
    unsafe fn write(at: *mut f32, sum: Self::Ints, scale: f32, bias: *const f32);
}

const LANES: usize = 8;

impl Pairs for Portable {
    const LANES: usize = LANES;
    type Ints = [i32; LANES];

    #[inline(always)]
    unsafe fn zero() -> [i32; LANES] {
        [0; LANES]
    }

    #[inline(always)]
    unsafe fn read(at: *const i16) -> [i32; LANES] {
        // SAFETY: the caller's pointer is good for as many pairs.
        unsafe { at.cast::<[i32; LANES]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn splat(at: *const i16) -> [i32; LANES] {
        // SAFETY: the caller's pointer is good for a pair.
        [unsafe { at.cast::<i32>().read_unaligned() }; LANES]
    }

    #[inline(always)]
    unsafe fn dot(sum: [i32; LANES], w: [i32; LANES], x: [i32; LANES]) -> [i32; LANES] {
        std::array::from_fn(|i| {
            let low = i32::from(w[i] as i16) * i32::from(x[i] as i16);
            let high = (w[i] >> 16) * (x[i] >> 16);
            sum[i].wrapping_add(low).wrapping_add(high)
        })
    }

    #[inline(always)]
    unsafe fn write(at: *mut f32, sum: [i32; LANES], scale: f32, bias: *const f32) {
        // SAFETY: the caller's pointers are good for as many floats.
        unsafe {
            let bias = bias.cast::<[f32; LANES]>().read_unaligned();
            let out: [f32; LANES] = std::array::from_fn(|i| sum[i] as f32 * scale + bias[i]);
            at.cast::<[f32; LANES]>().write_unaligned(out);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;
    use std::arch::x86_64::*;

    use super::super::super::isa::{avx2::Avx2, avx512::Avx512};
    use super::Pairs;

    /// With VNNI's products of pairs.
    impl Pairs for Avx512 {
        const LANES: usize = 16;
        type Ints = __m512i;

        #[target_feature(enable = "avx512f")]
        #[inline]
        unsafe fn zero() -> __m512i {
            _mm512_setzero_si512()
        }

        #[target_feature(enable = "avx512f")]
        #[inline]
        unsafe fn read(at: *const i16) -> __m512i {
            // SAFETY: the caller's pointer is good for sixteen pairs.
            unsafe { _mm512_loadu_si512(at.cast()) }
        }

        #[target_feature(enable = "avx512f")]
        #[inline]
        unsafe fn splat(at: *const i16) -> __m512i {
            // SAFETY: the caller's pointer is good for a pair.
            _mm512_set1_epi32(unsafe { at.cast::<i32>().read_unaligned() })
        }

        #[target_feature(enable = "avx512f,avx512vnni")]
        #[inline]
        unsafe fn dot(sum: __m512i, w: __m512i, x: __m512i) -> __m512i {
            let mut sum = sum;
            // Not the intrinsic: LLVM takes it apart into a product and a sum, which are two instructions and half as fast.
            // SAFETY: the instruction is there, and touches these registers alone.
            unsafe {
                asm!(
                    "vpdpwssd {sum}, {w}, {x}",
                    sum = inout(zmm_reg) sum, w = in(zmm_reg) w, x = in(zmm_reg) x,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
            sum
        }

        #[target_feature(enable = "avx512f")]
        #[inline]
        unsafe fn write(at: *mut f32, sum: __m512i, scale: f32, bias: *const f32) {
            // SAFETY: the caller's pointers are good for sixteen floats.
            unsafe {
                let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(scale));
                _mm512_storeu_ps(at, _mm512_add_ps(scaled, _mm512_loadu_ps(bias)));
            }
        }
    }

    impl Pairs for Avx2 {
        const LANES: usize = 8;
        type Ints = __m256i;

        #[target_feature(enable = "avx2")]
        #[inline]
        unsafe fn zero() -> __m256i {
            _mm256_setzero_si256()
        }

        #[target_feature(enable = "avx2")]
        #[inline]
        unsafe fn read(at: *const i16) -> __m256i {
            // SAFETY: the caller's pointer is good for eight pairs.
            unsafe { _mm256_loadu_si256(at.cast()) }
        }

        #[target_feature(enable = "avx2")]
        #[inline]
        unsafe fn splat(at: *const i16) -> __m256i {
            // SAFETY: the caller's pointer is good for a pair.
            _mm256_set1_epi32(unsafe { at.cast::<i32>().read_unaligned() })
        }

        #[target_feature(enable = "avx2")]
        #[inline]
        unsafe fn dot(sum: __m256i, w: __m256i, x: __m256i) -> __m256i {
            _mm256_add_epi32(sum, _mm256_madd_epi16(w, x))
        }

        #[target_feature(enable = "avx2")]
        #[inline]
        unsafe fn write(at: *mut f32, sum: __m256i, scale: f32, bias: *const f32) {
            // SAFETY: the caller's pointers are good for eight floats.
            unsafe {
                let scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(scale));
                _mm256_storeu_ps(at, _mm256_add_ps(scaled, _mm256_loadu_ps(bias)));
            }
        }
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm {
    use std::arch::wasm32::*;

    use super::super::super::isa::simd128::Simd128;
    use super::Pairs;

    impl Pairs for Simd128 {
        const LANES: usize = 4;
        type Ints = v128;

        #[inline(always)]
        unsafe fn zero() -> v128 {
            i32x4_splat(0)
        }

        #[inline(always)]
        unsafe fn read(at: *const i16) -> v128 {
            // SAFETY: the caller's pointer is good for four pairs.
            unsafe { v128_load(at.cast()) }
        }

        #[inline(always)]
        unsafe fn splat(at: *const i16) -> v128 {
            // SAFETY: the caller's pointer is good for a pair.
            unsafe { v128_load32_splat(at.cast()) }
        }

        #[inline(always)]
        unsafe fn dot(sum: v128, w: v128, x: v128) -> v128 {
            i32x4_add(sum, i32x4_dot_i16x8(w, x))
        }

        #[inline(always)]
        unsafe fn write(at: *mut f32, sum: v128, scale: f32, bias: *const f32) {
            // SAFETY: the caller's pointers are good for four floats.
            unsafe {
                let scaled = f32x4_mul(f32x4_convert_i32x4(sum), f32x4_splat(scale));
                v128_store(at.cast(), f32x4_add(scaled, v128_load(bias.cast())));
            }
        }
    }
}
