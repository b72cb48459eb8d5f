//! Sixteen rows a panel in AVX-512 with byte products (VNNI): x86-64 since Ice Lake and Zen 4.

use std::arch::x86_64::*;

use super::activations::{Numbers, quantize_group};
use super::format::Kind;
use super::lanes::Lanes;
use super::panels::{Work, multiply};
use super::{Set, with_format};
use crate::kernels::isa::{self, avx512::Avx512};
use crate::kernels::vector::Vector;

/// These loops, if the processor has the instructions.
pub(super) fn set() -> Option<Set> {
    let has = isa::has_avx512() && is_x86_feature_detected!("avx512vnni");
    has.then_some(Set { name: "AVX-512 VNNI", rows: Avx512::LANES, run, quantize })
}

/// # Safety
/// The processor must have AVX-512 F, BW and VNNI, and `work` must be sound as [`multiply`] says.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the lint does not see comments through macros"
)]
unsafe fn run(kind: Kind, work: &Work<'_>) {
    // SAFETY: as the caller says.
    with_format!(kind, F => unsafe { multiply::<Avx512, F>(work) })
}

/// Four activations in every lane.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn four(x: *const i8) -> __m512i {
    // SAFETY: the caller's pointer is good for four bytes.
    _mm512_set1_epi32(unsafe { x.cast::<i32>().read_unaligned() })
}

/// # Safety
/// As [`quantize_group`] says.
#[target_feature(enable = "avx512f")]
unsafe fn quantize(x: *const f32, q: *mut i8) -> Numbers {
    // SAFETY: as the caller says.
    unsafe { quantize_group::<Avx512>(x, q) }
}

impl Lanes for Avx512 {
    const BYTE_ZERO: Option<u32> = Some(7);
    type Bytes = __m512i;
    type Ints = __m512i;

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn load(at: *const u8) -> __m512i {
        // SAFETY: the caller's pointer is good for 64 bytes.
        unsafe { _mm512_loadu_si512(at.cast()) }
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    unsafe fn low(x: __m512i) -> __m512i {
        _mm512_and_si512(x, _mm512_set1_epi8(15))
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    unsafe fn high(x: __m512i) -> __m512i {
        _mm512_and_si512(_mm512_srli_epi16::<4>(x), _mm512_set1_epi8(15))
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    unsafe fn with_bits(x: __m512i, plane: __m512i, from: u32, mask: u8) -> __m512i {
        // Shifts of 16-bit numbers: what crosses into the neighbour is masked away.
        let count = |n: u32| _mm_cvtsi32_si128(n.cast_signed());
        let moved = if from <= 4 {
            _mm512_sll_epi16(plane, count(4 - from))
        } else {
            _mm512_srl_epi16(plane, count(from - 4))
        };
        _mm512_or_si512(x, _mm512_and_si512(moved, _mm512_set1_epi8((mask << 4).cast_signed())))
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    #[inline]
    unsafe fn dot<const N: usize>(
        first: i32,
        w: &[__m512i; N],
        x: *const i8,
        bits: usize,
    ) -> __m512i {
        let mut total = _mm512_set1_epi32(first);
        for (i, &w) in w.iter().enumerate() {
            // SAFETY: the caller's pointer is good for 4 · N bytes.
            let x = unsafe { four(x.add(4 * i)) };
            // A signed number with its top bit turned is that number + 128, unsigned.
            let w = match bits {
                8 => _mm512_xor_si512(w, _mm512_set1_epi8(i8::MIN)),
                _ => w,
            };
            total = _mm512_dpbusd_epi32(total, w, x);
        }
        total
    }

    // Reading a number into every lane is what there is least of: once for both panels.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    #[inline]
    unsafe fn dot_pair<const N: usize>(
        first: i32,
        w: [&[__m512i; N]; 2],
        x: *const i8,
        bits: usize,
    ) -> [__m512i; 2] {
        let mut totals = [_mm512_set1_epi32(first); 2];
        let turn = _mm512_set1_epi8(if bits == 8 { i8::MIN } else { 0 });
        for (i, (&a, &b)) in w[0].iter().zip(w[1]).enumerate() {
            // SAFETY: the caller's pointer is good for 4 · N bytes.
            let x = unsafe { four(x.add(4 * i)) };
            totals[0] = _mm512_dpbusd_epi32(totals[0], _mm512_xor_si512(a, turn), x);
            totals[1] = _mm512_dpbusd_epi32(totals[1], _mm512_xor_si512(b, turn), x);
        }
        totals
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn to_floats(x: __m512i) -> __m512 {
        _mm512_cvtepi32_ps(x)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn unsigned(at: *const u8) -> __m512 {
        // SAFETY: the caller's pointer is good for sixteen bytes.
        _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(at.cast()) }))
    }
}
