//! Eight rows a panel in AVX2 and F16C (x86-64 since Haswell and Zen), with byte products (VNNI) or without.

use std::arch::x86_64::*;

use super::activations::{Numbers, quantize_group};
use super::format::Kind;
use super::lanes::Lanes;
use super::panels::{Work, multiply};
use super::{Set, with_format};
use crate::kernels::isa::{self, avx2::Avx2};
use crate::kernels::vector::Vector;

/// The loops with byte products, if the processor has the instruction.
pub(super) fn vnni_set() -> Option<Set> {
    let set = Set { name: "AVX-VNNI", rows: Avx2::<true>::LANES, run: run_vnni, quantize };
    isa::has_avx_vnni().then_some(set)
}

/// The loops without.
pub(super) fn set() -> Option<Set> {
    isa::has_avx2().then_some(Set { name: "AVX2", rows: Avx2::<false>::LANES, run, quantize })
}

/// # Safety
/// The processor must have AVX2, F16C and AVX-VNNI, and `work` must be sound as [`multiply`] says.
#[target_feature(enable = "avx2,f16c,avxvnni")]
#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the lint does not see comments through macros"
)]
unsafe fn run_vnni(kind: Kind, work: &Work<'_>) {
    // SAFETY: as the caller says.
    with_format!(kind, F => unsafe { multiply::<Avx2<true>, F>(work) })
}

/// # Safety
/// The processor must have AVX2 and F16C, and `work` must be sound as [`multiply`] says.
#[target_feature(enable = "avx2,f16c")]
#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the lint does not see comments through macros"
)]
unsafe fn run(kind: Kind, work: &Work<'_>) {
    // SAFETY: as the caller says.
    with_format!(kind, F => unsafe { multiply::<Avx2<false>, F>(work) })
}

/// Four activations in every lane.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn four(x: *const i8) -> __m256i {
    // SAFETY: the caller's pointer is good for four bytes.
    _mm256_set1_epi32(unsafe { x.cast::<i32>().read_unaligned() })
}

/// # Safety
/// As [`quantize_group`] says.
#[target_feature(enable = "avx2,f16c")]
unsafe fn quantize(x: *const f32, q: *mut i8) -> Numbers {
    // SAFETY: as the caller says.
    unsafe { quantize_group::<Avx2>(x, q) }
}

/// [`Lanes::dot`] with the instruction for it.
#[target_feature(enable = "avx2,avxvnni")]
#[inline]
unsafe fn byte_products<const N: usize>(
    first: i32,
    w: &[__m256i; N],
    x: *const i8,
    bits: usize,
) -> __m256i {
    let mut total = _mm256_set1_epi32(first);
    for (i, &w) in w.iter().enumerate() {
        // SAFETY: the caller's pointer is good for 4 · N bytes.
        let x = unsafe { four(x.add(4 * i)) };
        // A signed number with its top bit turned is that number + 128, unsigned.
        let w = match bits {
            8 => _mm256_xor_si256(w, _mm256_set1_epi8(i8::MIN)),
            _ => w,
        };
        total = _mm256_dpbusd_avx_epi32(total, w, x);
    }
    total
}

/// [`Lanes::dot`] with sums of two products in sixteen bits.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn pair_products<const N: usize>(
    first: i32,
    w: &[__m256i; N],
    x: *const i8,
    bits: usize,
) -> __m256i {
    let ones = _mm256_set1_epi16(1);
    let mut total = _mm256_set1_epi32(first);
    // How many pairs of products fit sixteen bits: 2 · 15 · 127 · 8 and 2 · 31 · 127 · 4 and 2 · 63 · 127 · 2 do.
    let run = match bits {
        4 => 8,
        5 => 4,
        6 => 2,
        _ => 1,
    };
    let mut pairs = _mm256_setzero_si256();
    for (i, &w) in w.iter().enumerate() {
        // SAFETY: the caller's pointer is good for 4 · N bytes.
        let x = unsafe { four(x.add(4 * i)) };
        let products = if bits == 8 {
            // |w| · (x with w's sign): at most 2 · 128 · 127.
            _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w))
        } else {
            _mm256_maddubs_epi16(w, x)
        };
        pairs = if i % run == 0 { products } else { _mm256_add_epi16(pairs, products) };
        if i % run == run - 1 || i == N - 1 {
            let fours = _mm256_madd_epi16(pairs, ones);
            total = _mm256_add_epi32(total, fours);
        }
    }
    total
}

impl<const VNNI: bool> Lanes for Avx2<VNNI> {
    const BYTE_ZERO: Option<u32> = if VNNI { Some(7) } else { None };
    type Bytes = __m256i;
    type Ints = __m256i;

    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn load(at: *const u8) -> __m256i {
        // SAFETY: the caller's pointer is good for 32 bytes.
        unsafe { _mm256_loadu_si256(at.cast()) }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn low(x: __m256i) -> __m256i {
        _mm256_and_si256(x, _mm256_set1_epi8(15))
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn high(x: __m256i) -> __m256i {
        _mm256_and_si256(_mm256_srli_epi16::<4>(x), _mm256_set1_epi8(15))
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn with_bits(x: __m256i, plane: __m256i, from: u32, mask: u8) -> __m256i {
        // Shifts of 16-bit numbers: what crosses into the neighbour is masked away.
        let count = |n: u32| _mm_cvtsi32_si128(n.cast_signed());
        let moved = if from <= 4 {
            _mm256_sll_epi16(plane, count(4 - from))
        } else {
            _mm256_srl_epi16(plane, count(from - 4))
        };
        _mm256_or_si256(x, _mm256_and_si256(moved, _mm256_set1_epi8((mask << 4).cast_signed())))
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn dot<const N: usize>(
        first: i32,
        w: &[__m256i; N],
        x: *const i8,
        bits: usize,
    ) -> __m256i {
        // SAFETY: as the caller says, who uses a set only where its instructions are.
        unsafe {
            if VNNI { byte_products(first, w, x, bits) } else { pair_products(first, w, x, bits) }
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn to_floats(x: __m256i) -> __m256 {
        _mm256_cvtepi32_ps(x)
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn unsigned(at: *const u8) -> __m256 {
        // SAFETY: the caller's pointer is good for eight bytes.
        _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(unsafe { _mm_loadl_epi64(at.cast()) }))
    }
}
