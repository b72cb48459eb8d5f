//! Four rows a panel in WebAssembly's fixed-width SIMD.

use std::arch::wasm32::*;

use super::activations::{Numbers, quantize_group};
use super::format::Kind;
use super::lanes::Lanes;
use super::panels::{Work, multiply};
use super::{Set, with_format};
use crate::kernels::isa::simd128::Simd128;
use crate::kernels::vector::Vector;

pub(super) const SET: Set = Set { name: "SIMD128", rows: Simd128::LANES, run, quantize };

/// # Safety
/// `work` must be sound as [`multiply`] says.
#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the lint does not see comments through macros"
)]
unsafe fn run(kind: Kind, work: &Work<'_>) {
    // SAFETY: as the caller says.
    with_format!(kind, F => unsafe { multiply::<Simd128, F>(work) })
}

/// Four bytes to 32-bit integers.
#[inline(always)]
unsafe fn bytes(at: *const u8) -> v128 {
    // SAFETY: the caller's pointer is good for four bytes.
    unsafe { v128_load32_zero(at.cast()) }
}

/// # Safety
/// As [`quantize_group`] says.
unsafe fn quantize(x: *const f32, q: *mut i8) -> Numbers {
    // SAFETY: as the caller says.
    unsafe { quantize_group::<Simd128>(x, q) }
}

impl Lanes for Simd128 {
    const BYTE_ZERO: Option<u32> = None;
    type Bytes = v128;
    type Ints = v128;

    #[inline(always)]
    unsafe fn load(at: *const u8) -> v128 {
        // SAFETY: the caller's pointer is good for sixteen bytes.
        unsafe { v128_load(at.cast()) }
    }

    #[inline(always)]
    unsafe fn low(x: v128) -> v128 {
        v128_and(x, u8x16_splat(15))
    }

    #[inline(always)]
    unsafe fn high(x: v128) -> v128 {
        u8x16_shr(x, 4)
    }

    #[inline(always)]
    unsafe fn with_bits(x: v128, plane: v128, from: u32, mask: u8) -> v128 {
        // Shifts of 16-bit numbers: what crosses into the neighbour is masked away.
        let moved = match from {
            0..4 => u16x8_shl(plane, 4 - from),
            4 => plane,
            _ => u16x8_shr(plane, from - 4),
        };
        v128_or(x, v128_and(moved, u8x16_splat(mask << 4)))
    }

    #[inline(always)]
    unsafe fn dot<const N: usize>(first: i32, w: &[v128; N], x: *const i8, bits: usize) -> v128 {
        // Products that fit sixteen bits: 8 · 31 · 127, 4 · 63 · 127 and 2 · 128 · 127 do.
        let run = match bits {
            4 | 5 => 8,
            6 => 4,
            _ => 2,
        };
        let (mut low, mut high) = (i16x8_splat(0), i16x8_splat(0)); // products of rows 0, 1 and of rows 2, 3
        let (mut low_pairs, mut high_pairs) = (i32x4_splat(0), i32x4_splat(0));
        for (i, &w) in w.iter().enumerate() {
            // SAFETY: the caller's pointer is good for 4 · N bytes.
            let x = unsafe { v128_load32_splat(x.add(4 * i).cast()) };
            let (a, b) = (i16x8_extmul_low_i8x16(w, x), i16x8_extmul_high_i8x16(w, x));
            (low, high) =
                if i % run == 0 { (a, b) } else { (i16x8_add(low, a), i16x8_add(high, b)) };
            if i % run == run - 1 || i == N - 1 {
                let (a, b) = (i32x4_extadd_pairwise_i16x8(low), i32x4_extadd_pairwise_i16x8(high));
                (low_pairs, high_pairs) = if i < run {
                    (a, b)
                } else {
                    (i32x4_add(low_pairs, a), i32x4_add(high_pairs, b))
                };
            }
        }
        let total = i32x4_add(
            i32x4_shuffle::<0, 2, 4, 6>(low_pairs, high_pairs),
            i32x4_shuffle::<1, 3, 5, 7>(low_pairs, high_pairs),
        );
        if first == 0 { total } else { i32x4_add(total, i32x4_splat(first)) }
    }

    #[inline(always)]
    unsafe fn to_floats(x: v128) -> v128 {
        f32x4_convert_i32x4(x)
    }

    #[inline(always)]
    unsafe fn unsigned(at: *const u8) -> v128 {
        // SAFETY: the caller's pointer is good for four bytes.
        let x = unsafe { bytes(at) };
        f32x4_convert_i32x4(u32x4_extend_low_u16x8(u16x8_extend_low_u8x16(x)))
    }
}
