//! Eight floats in AVX2 and F16C: x86-64 since Haswell and Zen.

use std::arch::x86_64::*;

use half::{bf16, f16};

use crate::kernels::vector::Vector;

/// AVX2 with F16C; with `VNNI` also the instruction that adds four products of bytes to each lane.
pub(in crate::kernels) struct Avx2<const VNNI: bool = false>;

impl<const VNNI: bool> Vector for Avx2<VNNI> {
    const LANES: usize = 8;
    type Floats = __m256;

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn prefetch(at: *const u8) {
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn splat(x: f32) -> __m256 {
        _mm256_set1_ps(x)
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn read(at: *const f32) -> __m256 {
        // SAFETY: the caller's pointer is good for eight floats.
        unsafe { _mm256_loadu_ps(at) }
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn write(at: *mut f32, x: __m256) {
        // SAFETY: the caller's pointer is good for eight floats.
        unsafe { _mm256_storeu_ps(at, x) }
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn read_f16(at: *const f16) -> __m256 {
        // SAFETY: the caller's pointer is good for sixteen bytes.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(at.cast()) })
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn read_i8(at: *const i8) -> __m256 {
        // SAFETY: the caller's pointer is good for eight bytes.
        _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(unsafe { _mm_loadl_epi64(at.cast()) }))
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn write_i8(at: *mut i8, x: __m256) {
        let x = _mm256_cvtps_epi32(x);
        let x = _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
        // SAFETY: the caller's pointer is good for eight bytes.
        unsafe { _mm_storel_epi64(at.cast(), _mm_packs_epi16(x, x)) }
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn total(x: __m256) -> f32 {
        let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
        let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
        _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps::<1>(x, x)))
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn greatest(x: __m256) -> f32 {
        let x = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
        let x = _mm_max_ps(x, _mm_movehl_ps(x, x));
        _mm_cvtss_f32(_mm_max_ss(x, _mm_shuffle_ps::<1>(x, x)))
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn read_bf16(at: *const bf16) -> __m256 {
        // SAFETY: the caller's pointer is good for sixteen bytes.
        let bits = _mm256_cvtepu16_epi32(unsafe { _mm_loadu_si128(at.cast()) });
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits))
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    unsafe fn mul_add(x: __m256, y: __m256, z: __m256) -> __m256 {
        _mm256_fmadd_ps(x, y, z)
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn add(x: __m256, y: __m256) -> __m256 {
        _mm256_add_ps(x, y)
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn sub(x: __m256, y: __m256) -> __m256 {
        _mm256_sub_ps(x, y)
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn mul(x: __m256, y: __m256) -> __m256 {
        _mm256_mul_ps(x, y)
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn div(x: __m256, y: __m256) -> __m256 {
        _mm256_div_ps(x, y)
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn max(x: __m256, y: __m256) -> __m256 {
        _mm256_max_ps(x, y)
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn min(x: __m256, y: __m256) -> __m256 {
        _mm256_min_ps(x, y)
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn round(x: __m256) -> __m256 {
        _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x)
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn power_of_two(n: __m256) -> __m256 {
        let bits = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
        _mm256_castsi256_ps(_mm256_slli_epi32::<23>(bits))
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn zero_below(x: __m256, least: __m256, y: __m256) -> __m256 {
        _mm256_andnot_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(x, least), y)
    }
}
