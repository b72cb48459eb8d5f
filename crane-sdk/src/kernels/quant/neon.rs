//! Eight rows a panel in NEON, with products of matrices (Armv8.6, Apple M2), with dot products (Armv8.2, Apple M1)
//! or with neither.

use std::arch::aarch64::*;
use std::arch::asm;

use super::activations::{Numbers, quantize_group};
use super::format::Kind;
use super::lanes::Lanes;
use super::panels::{Work, multiply};
use super::{Set, with_format};
use crate::kernels::isa;
use crate::kernels::isa::neon::{DOT, MATRIX, Neon, PLAIN};
use crate::kernels::vector::Vector;

/// The loops with products of matrices, if the processor has the instruction.
pub(super) fn i8mm_set() -> Option<Set> {
    let set = Set { name: "NEON i8mm", rows: Neon::<MATRIX>::LANES, run: run_i8mm, quantize };
    isa::has_i8mm().then_some(set)
}

/// The loops with dot products, if the processor has the instruction.
pub(super) fn dotprod_set() -> Option<Set> {
    let set = Set { name: "NEON dotprod", rows: Neon::<DOT>::LANES, run: run_dotprod, quantize };
    isa::has_dotprod().then_some(set)
}

/// The loops without.
pub(super) fn set() -> Option<Set> {
    isa::has_neon().then_some(Set { name: "NEON", rows: Neon::<PLAIN>::LANES, run, quantize })
}

/// # Safety
/// The processor must have products of matrices and dot products, and `work` must be sound as [`multiply`] says.
#[target_feature(enable = "neon,dotprod,i8mm")]
#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the lint does not see comments through macros"
)]
unsafe fn run_i8mm(kind: Kind, work: &Work<'_>) {
    // SAFETY: as the caller says.
    with_format!(kind, F => unsafe { multiply::<Neon<MATRIX>, F>(work) })
}

/// # Safety
/// The processor must have the dot product instructions, and `work` must be sound as [`multiply`] says.
#[target_feature(enable = "neon,dotprod")]
#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the lint does not see comments through macros"
)]
unsafe fn run_dotprod(kind: Kind, work: &Work<'_>) {
    // SAFETY: as the caller says.
    with_format!(kind, F => unsafe { multiply::<Neon<DOT>, F>(work) })
}

/// # Safety
/// `work` must be sound as [`multiply`] says.
#[target_feature(enable = "neon")]
#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the lint does not see comments through macros"
)]
unsafe fn run(kind: Kind, work: &Work<'_>) {
    // SAFETY: as the caller says.
    with_format!(kind, F => unsafe { multiply::<Neon<PLAIN>, F>(work) })
}

/// # Safety
/// As [`quantize_group`] says.
#[target_feature(enable = "neon")]
unsafe fn quantize(x: *const f32, q: *mut i8) -> Numbers {
    // SAFETY: as the caller says.
    unsafe { quantize_group::<Neon>(x, q) }
}

/// `sums` and, for each row, four products with the four numbers of `x` from number 4 · `FOUR` on.
#[target_feature(enable = "neon,dotprod")]
#[inline]
fn add_dot<const FOUR: usize>(mut sums: int32x4_t, w: uint8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: it reads and writes these registers alone, and the processor has it. Rust's own
    // `vdotq_laneq_s32` is not stable yet.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {w:v}.16b, {x:v}.4b[{four}]",
            sums = inlateout(vreg) sums,
            w = in(vreg) w,
            x = in(vreg) x,
            four = const FOUR,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// [`Lanes::dot`] with the instruction for it.
#[target_feature(enable = "neon,dotprod")]
#[inline]
unsafe fn dot_products<const N: usize>(
    first: i32,
    w: &[uint8x16x2_t; N],
    x: *const i8,
) -> int32x4x2_t {
    let (mut low, mut high) = (vdupq_n_s32(first), vdupq_n_s32(first)); // rows 0 to 3, rows 4 to 7
    for (i, w) in w.as_chunks::<4>().0.iter().enumerate() {
        // SAFETY: the caller's pointer is good for 4 · N bytes.
        let x = unsafe { vld1q_s8(x.add(16 * i)) };
        low = add_dot::<0>(low, w[0].0, x);
        high = add_dot::<0>(high, w[0].1, x);
        low = add_dot::<1>(low, w[1].0, x);
        high = add_dot::<1>(high, w[1].1, x);
        low = add_dot::<2>(low, w[2].0, x);
        high = add_dot::<2>(high, w[2].1, x);
        low = add_dot::<3>(low, w[3].0, x);
        high = add_dot::<3>(high, w[3].1, x);
    }
    int32x4x2_t(low, high)
}

/// `sums` and the products of two rows of eight weights with two rows of eight numbers, row by row.
#[target_feature(enable = "neon,i8mm")]
#[inline]
fn add_matrix(mut sums: int32x4_t, w: uint8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: it reads and writes these registers alone, and the processor has it. Rust's own `vmmlaq_s32` is not
    // stable yet.
    unsafe {
        asm!(
            "smmla {sums:v}.4s, {w:v}.16b, {x:v}.16b",
            sums = inlateout(vreg) sums,
            w = in(vreg) w,
            x = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// [`Lanes::dot_tokens`] with the instruction for it.
#[target_feature(enable = "neon,i8mm")]
#[inline]
unsafe fn matrix_products<const N: usize>(
    first: [i32; 2],
    w: &[uint8x16x2_t; N],
    x: [*const i8; 2],
) -> [int32x4x2_t; 2] {
    // Two rows of the panel with both tokens: rows 0 and 2, 1 and 3, 4 and 6, 5 and 7. They keep the order in which
    // two vectors of four columns become one of eight.
    let start = vzip1q_s32(vdupq_n_s32(first[0]), vdupq_n_s32(first[1]));
    let mut sums = [start; 4];
    for (i, w) in w.as_chunks::<2>().0.iter().enumerate() {
        // SAFETY: the caller's pointers are good for 4 · N bytes each.
        let x = unsafe { vcombine_s8(vld1_s8(x[0].add(8 * i)), vld1_s8(x[1].add(8 * i))) };
        let halves = [(w[0].0, w[1].0), (w[0].1, w[1].1)];
        for (half, (left, right)) in halves.into_iter().enumerate() {
            let (left, right) = (vreinterpretq_s32_u8(left), vreinterpretq_s32_u8(right));
            let even = vreinterpretq_u8_s32(vtrn1q_s32(left, right));
            let odd = vreinterpretq_u8_s32(vtrn2q_s32(left, right));
            sums[2 * half] = add_matrix(sums[2 * half], even, x);
            sums[2 * half + 1] = add_matrix(sums[2 * half + 1], odd, x);
        }
    }
    [
        int32x4x2_t(vtrn1q_s32(sums[0], sums[1]), vtrn1q_s32(sums[2], sums[3])),
        int32x4x2_t(vtrn2q_s32(sums[0], sums[1]), vtrn2q_s32(sums[2], sums[3])),
    ]
}

/// Defines eight products of sixteen bits, added to `sums` if there are any yet.
///
/// There are stable functions for it. Through them the compiler takes the halves of every weight apart before the
/// loop over tokens, and the registers no longer suffice.
macro_rules! long_products {
    ($name:ident, $of:literal) => {
        #[target_feature(enable = "neon")]
        #[inline]
        fn $name(sums: Option<int16x8_t>, w: uint8x16_t, x: int8x16_t) -> int16x8_t {
            let out;
            // SAFETY: they read and write these registers alone.
            unsafe {
                match sums {
                    None => asm!(
                        concat!("smull", $of),
                        out = lateout(vreg) out,
                        w = in(vreg) w,
                        x = in(vreg) x,
                        options(pure, nomem, nostack, preserves_flags),
                    ),
                    Some(sums) => asm!(
                        concat!("smlal", $of),
                        out = inlateout(vreg) sums => out,
                        w = in(vreg) w,
                        x = in(vreg) x,
                        options(pure, nomem, nostack, preserves_flags),
                    ),
                }
            }
            out
        }
    };
}
long_products!(low_products, " {out:v}.8h, {w:v}.8b, {x:v}.8b");
long_products!(high_products, "2 {out:v}.8h, {w:v}.16b, {x:v}.16b");

/// [`Lanes::dot`] with products of sixteen bits.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn long_dot<const N: usize>(
    first: i32,
    w: &[uint8x16x2_t; N],
    x: *const i8,
    bits: usize,
) -> int32x4x2_t {
    // How many products fit sixteen bits: 8 · 31 · 127, 4 · 63 · 127 and 2 · 128 · 127 do.
    let run = match bits {
        4 | 5 => 8,
        6 => 4,
        _ => 2,
    };
    let mut products = [vdupq_n_s16(0); 4]; // two rows each
    let mut pairs = [vdupq_n_s32(0); 4];
    for (i, w) in w.iter().enumerate() {
        // SAFETY: the caller's pointer is good for 4 · N bytes.
        let four = unsafe { x.add(4 * i).cast::<i32>().read_unaligned() };
        let x = vreinterpretq_s8_s32(vdupq_n_s32(four));
        let before = |part: usize| if i % run == 0 { None } else { Some(products[part]) };
        products = [
            low_products(before(0), w.0, x),
            high_products(before(1), w.0, x),
            low_products(before(2), w.1, x),
            high_products(before(3), w.1, x),
        ];
        if i % run == run - 1 || i == N - 1 {
            for (pair, product) in pairs.iter_mut().zip(products) {
                *pair = if i < run { vpaddlq_s16(product) } else { vpadalq_s16(*pair, product) };
            }
        }
    }
    let first = vdupq_n_s32(first);
    int32x4x2_t(
        vaddq_s32(vpaddq_s32(pairs[0], pairs[1]), first),
        vaddq_s32(vpaddq_s32(pairs[2], pairs[3]), first),
    )
}

impl<const PRODUCTS: u8> Lanes for Neon<PRODUCTS> {
    const TOKEN_PAIRS: bool = PRODUCTS == MATRIX;
    const BYTE_ZERO: Option<u32> = None;
    type Bytes = uint8x16x2_t;
    type Ints = int32x4x2_t;

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn load(at: *const u8) -> uint8x16x2_t {
        // SAFETY: the caller's pointer is good for 32 bytes.
        unsafe { uint8x16x2_t(vld1q_u8(at), vld1q_u8(at.add(16))) }
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn low(x: uint8x16x2_t) -> uint8x16x2_t {
        let mask = vdupq_n_u8(15);
        uint8x16x2_t(vandq_u8(x.0, mask), vandq_u8(x.1, mask))
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn high(x: uint8x16x2_t) -> uint8x16x2_t {
        uint8x16x2_t(vshrq_n_u8::<4>(x.0), vshrq_n_u8::<4>(x.1))
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn with_bits(x: uint8x16x2_t, plane: uint8x16x2_t, from: u32, mask: u8) -> uint8x16x2_t {
        // To the left, or to the right if it is negative.
        let places = vdupq_n_s8(4 - from as i8);
        let mask = vdupq_n_u8(mask << 4);
        uint8x16x2_t(
            vorrq_u8(x.0, vandq_u8(vshlq_u8(plane.0, places), mask)),
            vorrq_u8(x.1, vandq_u8(vshlq_u8(plane.1, places), mask)),
        )
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn dot<const N: usize>(
        first: i32,
        w: &[uint8x16x2_t; N],
        x: *const i8,
        bits: usize,
    ) -> int32x4x2_t {
        // SAFETY: as the caller says, who uses a set only where its instructions are.
        unsafe {
            match PRODUCTS {
                PLAIN => long_dot(first, w, x, bits),
                _ => dot_products(first, w, x),
            }
        }
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn dot_tokens<const N: usize>(
        first: [i32; 2],
        w: &[uint8x16x2_t; N],
        x: [*const i8; 2],
        bits: usize,
    ) -> [int32x4x2_t; 2] {
        // SAFETY: as above.
        unsafe {
            match PRODUCTS {
                MATRIX => matrix_products(first, w, x),
                _ => [Self::dot(first[0], w, x[0], bits), Self::dot(first[1], w, x[1], bits)],
            }
        }
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn to_floats(x: int32x4x2_t) -> float32x4x2_t {
        float32x4x2_t(vcvtq_f32_s32(x.0), vcvtq_f32_s32(x.1))
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn unsigned(at: *const u8) -> float32x4x2_t {
        // SAFETY: the caller's pointer is good for eight bytes.
        let x = vmovl_u8(unsafe { vld1_u8(at) });
        float32x4x2_t(vcvtq_f32_u32(vmovl_u16(vget_low_u16(x))), vcvtq_f32_u32(vmovl_high_u16(x)))
    }
}
