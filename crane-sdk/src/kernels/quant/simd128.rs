//! Eight rows a panel in WebAssembly's fixed-width SIMD, with relaxed SIMD's dot product of bytes or without it.

use std::arch::wasm32::*;

use super::activations::{Numbers, quantize_group};
use super::format::{Format, Kind};
use super::lanes::Lanes;
use super::panels::{Work, multiply};
use super::{Set, with_format};
use crate::kernels::isa::simd128::Simd128;
use crate::kernels::isa::simd128_pair::Simd128Pair;
use crate::kernels::vector::Vector;

/// Rows of a panel.
const ROWS: usize = Simd128Pair::<false>::LANES;

/// The loops, with relaxed SIMD's dot products in a module that may hold them.
#[cfg(not(feature = "relaxed-simd"))]
pub(super) const SET: Set = Set { name: "SIMD128", rows: ROWS, run, quantize };
#[cfg(feature = "relaxed-simd")]
pub(super) const SET: Set = Set { name: "relaxed SIMD", rows: ROWS, run, quantize };

/// # Safety
/// `work` must be sound as [`multiply`] says.
#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the lint does not see comments through macros"
)]
unsafe fn run(kind: Kind, work: &Work<'_>) {
    // SAFETY: as the caller says.
    with_format!(kind, F => unsafe { of_format::<F>(work) })
}

/// A function for each format: one that held all of them V8 compiled badly (Node 20: 12 tokens a second of Qwen2.5-0.5B
/// instead of 21).
///
/// # Safety
/// As [`run`] says.
#[inline(never)]
#[cfg_attr(feature = "relaxed-simd", target_feature(enable = "relaxed-simd"))]
unsafe fn of_format<F: Format>(work: &Work<'_>) {
    // SAFETY: as the caller says.
    unsafe { multiply::<Simd128Pair<{ cfg!(feature = "relaxed-simd") }>, F>(work) }
}

/// # Safety
/// As [`quantize_group`] says.
unsafe fn quantize(x: *const f32, q: *mut i8) -> Numbers {
    // SAFETY: as the caller says.
    unsafe { quantize_group::<Simd128>(x, q) }
}

/// Four activations in every lane.
#[inline(always)]
unsafe fn four(x: *const i8) -> v128 {
    // SAFETY: the caller's pointer is good for four bytes.
    unsafe { v128_load32_splat(x.cast()) }
}

/// Each byte shifted, as 16-bit numbers: x86 has no shift of bytes, and an engine's own way round it is longer.
#[inline(always)]
fn shift_right<const PLACES: u32>(x: v128) -> v128 {
    v128_and(u16x8_shr(x, PLACES), u8x16_splat(0xff >> PLACES))
}

/// [`Lanes::dot`] of four rows, `half` of a panel's eight.
#[inline(always)]
unsafe fn long_dot<const N: usize>(
    first: i32,
    w: &[[v128; 2]; N],
    half: usize,
    x: *const i8,
    bits: usize,
) -> v128 {
    // Products that fit sixteen bits: 8 · 31 · 127, 4 · 63 · 127 and 2 · 128 · 127 do.
    let run = match bits {
        4 | 5 => 8,
        6 => 4,
        _ => 2,
    };
    let (mut low, mut high) = (i16x8_splat(0), i16x8_splat(0)); // products of rows 0, 1 and of rows 2, 3
    let (mut low_pairs, mut high_pairs) = (i32x4_splat(0), i32x4_splat(0));
    for (i, w) in w.iter().enumerate() {
        // SAFETY: the caller's pointer is good for 4 · N bytes.
        let x = unsafe { four(x.add(4 * i)) };
        let (a, b) = (i16x8_extmul_low_i8x16(w[half], x), i16x8_extmul_high_i8x16(w[half], x));
        (low, high) = if i % run == 0 { (a, b) } else { (i16x8_add(low, a), i16x8_add(high, b)) };
        if i % run == run - 1 || i == N - 1 {
            let (a, b) = (i32x4_extadd_pairwise_i16x8(low), i32x4_extadd_pairwise_i16x8(high));
            (low_pairs, high_pairs) =
                if i < run { (a, b) } else { (i32x4_add(low_pairs, a), i32x4_add(high_pairs, b)) };
        }
    }
    let total = i32x4_add(
        i32x4_shuffle::<0, 2, 4, 6>(low_pairs, high_pairs),
        i32x4_shuffle::<1, 3, 5, 7>(low_pairs, high_pairs),
    );
    if first == 0 { total } else { i32x4_add(total, i32x4_splat(first)) }
}

/// [`Lanes::dot`] with the instruction for it, which wants one side in 0 ..= 127 and is exact then: the instruction
/// may take sums of two products in sixteen bits, and 2 · 127 · 127 fit.
#[cfg(feature = "relaxed-simd")]
#[target_feature(enable = "relaxed-simd")]
#[inline]
unsafe fn relaxed_dot<const N: usize>(
    first: i32,
    w: &[[v128; 2]; N],
    x: *const i8,
    bits: usize,
) -> [v128; 2] {
    let mut sums = [i32x4_splat(first); 2];
    let mut signs = [i32x4_splat(0); 2];
    for (i, w) in w.iter().enumerate() {
        // SAFETY: the caller's pointer is good for 4 · N bytes.
        let x = unsafe { four(x.add(4 * i)) };
        for half in 0..2 {
            let w = w[half];
            if bits == 8 {
                // A signed byte is its low seven bits less 128 times its highest.
                let low = v128_and(w, u8x16_splat(127));
                sums[half] = i32x4_relaxed_dot_i8x16_i7x16_add(x, low, sums[half]);
                signs[half] =
                    i32x4_relaxed_dot_i8x16_i7x16_add(x, shift_right::<7>(w), signs[half]);
            } else {
                sums[half] = i32x4_relaxed_dot_i8x16_i7x16_add(x, w, sums[half]);
            }
        }
    }
    if bits == 8 {
        for (sum, signs) in sums.iter_mut().zip(signs) {
            *sum = i32x4_sub(*sum, i32x4_shl(signs, 7));
        }
    }
    sums
}

impl<const RELAXED: bool> Lanes for Simd128Pair<RELAXED> {
    const BYTE_ZERO: Option<u32> = None;
    const READS_AHEAD: bool = true;
    type Bytes = [v128; 2];
    type Ints = [v128; 2];

    #[inline(always)]
    unsafe fn load(at: *const u8) -> [v128; 2] {
        // SAFETY: the caller's pointer is good for 32 bytes.
        unsafe { [v128_load(at.cast()), v128_load(at.add(16).cast())] }
    }

    #[inline(always)]
    unsafe fn low(x: [v128; 2]) -> [v128; 2] {
        [v128_and(x[0], u8x16_splat(15)), v128_and(x[1], u8x16_splat(15))]
    }

    #[inline(always)]
    unsafe fn high(x: [v128; 2]) -> [v128; 2] {
        [shift_right::<4>(x[0]), shift_right::<4>(x[1])]
    }

    #[inline(always)]
    unsafe fn with_bits(x: [v128; 2], plane: [v128; 2], from: u32, mask: u8) -> [v128; 2] {
        // Shifts of 16-bit numbers: what crosses into the neighbour is masked away.
        let place = |x, plane| {
            let moved = match from {
                0..4 => u16x8_shl(plane, 4 - from),
                4 => plane,
                _ => u16x8_shr(plane, from - 4),
            };
            v128_or(x, v128_and(moved, u8x16_splat(mask << 4)))
        };
        [place(x[0], plane[0]), place(x[1], plane[1])]
    }

    #[inline(always)]
    unsafe fn dot<const N: usize>(
        first: i32,
        w: &[[v128; 2]; N],
        x: *const i8,
        bits: usize,
    ) -> [v128; 2] {
        #[cfg(feature = "relaxed-simd")]
        if RELAXED {
            // SAFETY: as the caller says, who uses `Simd128Pair<true>` only where there are dot products.
            return unsafe { relaxed_dot(first, w, x, bits) };
        }
        // SAFETY: as the caller says.
        unsafe { [long_dot(first, w, 0, x, bits), long_dot(first, w, 1, x, bits)] }
    }

    #[inline(always)]
    unsafe fn to_floats(x: [v128; 2]) -> [v128; 2] {
        [f32x4_convert_i32x4(x[0]), f32x4_convert_i32x4(x[1])]
    }

    #[inline(always)]
    unsafe fn unsigned(at: *const u8) -> [v128; 2] {
        // SAFETY: the caller's pointer is good for eight bytes.
        let x = unsafe { u16x8_load_extend_u8x8(at) };
        [
            f32x4_convert_i32x4(u32x4_extend_low_u16x8(x)),
            f32x4_convert_i32x4(u32x4_extend_high_u16x8(x)),
        ]
    }
}
