//! Sixteen floats in AVX-512: x86-64 since Skylake-X and Zen 4.

use std::arch::x86_64::*;

use half::{bf16, f16};

use crate::kernels::vector::Vector;

/// AVX-512, its foundation.
pub(in crate::kernels) struct Avx512;

impl Vector for Avx512 {
    const LANES: usize = 16;
    type Floats = __m512;

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn prefetch(at: *const u8) {
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn splat(x: f32) -> __m512 {
        _mm512_set1_ps(x)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn read(at: *const f32) -> __m512 {
        // SAFETY: the caller's pointer is good for sixteen floats.
        unsafe { _mm512_loadu_ps(at) }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn write(at: *mut f32, x: __m512) {
        // SAFETY: the caller's pointer is good for sixteen floats.
        unsafe { _mm512_storeu_ps(at, x) }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn read_f16(at: *const f16) -> __m512 {
        // SAFETY: the caller's pointer is good for 32 bytes.
        _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(at.cast()) })
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn read_i8(at: *const i8) -> __m512 {
        // SAFETY: the caller's pointer is good for sixteen bytes.
        _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(unsafe { _mm_loadu_si128(at.cast()) }))
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn write_i8(at: *mut i8, x: __m512) {
        // SAFETY: the caller's pointer is good for sixteen bytes.
        unsafe { _mm_storeu_si128(at.cast(), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x))) }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn total(x: __m512) -> f32 {
        _mm512_reduce_add_ps(x)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn greatest(x: __m512) -> f32 {
        _mm512_reduce_max_ps(x)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn read_bf16(at: *const bf16) -> __m512 {
        // SAFETY: the caller's pointer is good for 32 bytes.
        let bits = _mm512_cvtepu16_epi32(unsafe { _mm256_loadu_si256(at.cast()) });
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits))
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn mul_add(x: __m512, y: __m512, z: __m512) -> __m512 {
        _mm512_fmadd_ps(x, y, z)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn add(x: __m512, y: __m512) -> __m512 {
        _mm512_add_ps(x, y)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn sub(x: __m512, y: __m512) -> __m512 {
        _mm512_sub_ps(x, y)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn mul(x: __m512, y: __m512) -> __m512 {
        _mm512_mul_ps(x, y)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn div(x: __m512, y: __m512) -> __m512 {
        _mm512_div_ps(x, y)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn max(x: __m512, y: __m512) -> __m512 {
        _mm512_max_ps(x, y)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn min(x: __m512, y: __m512) -> __m512 {
        _mm512_min_ps(x, y)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn round(x: __m512) -> __m512 {
        _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn power_of_two(n: __m512) -> __m512 {
        let bits = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
        _mm512_castsi512_ps(_mm512_slli_epi32::<23>(bits))
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn zero_below(x: __m512, least: __m512, y: __m512) -> __m512 {
        _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, least), y)
    }
}
