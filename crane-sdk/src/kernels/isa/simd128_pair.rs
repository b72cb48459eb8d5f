//! Eight floats in two vectors of WebAssembly's fixed-width SIMD.
//!
//! A product with quantised weights spreads four activations over a vector for each step; with eight rows that
//! serves twice as many weights.

use std::arch::wasm32::v128;

use half::{bf16, f16};

use super::simd128::Simd128;
use crate::kernels::vector::Vector;

/// Two vectors of SIMD128; with `RELAXED` also relaxed SIMD's dot product of bytes.
pub(in crate::kernels) struct Simd128Pair<const RELAXED: bool>;

/// An operation on both halves of its arguments.
macro_rules! both {
    ($($op:ident($($x:ident),+);)*) => {
        $(
            #[inline(always)]
            unsafe fn $op($($x: [v128; 2]),+) -> [v128; 2] {
                // SAFETY: as the caller says.
                unsafe { [Simd128::$op($($x[0]),+), Simd128::$op($($x[1]),+)] }
            }
        )*
    };
}

/// Eight numbers of a type from memory.
macro_rules! reads {
    ($($op:ident($number:ty);)*) => {
        $(
            #[inline(always)]
            unsafe fn $op(at: *const $number) -> [v128; 2] {
                // SAFETY: the caller's pointer is good for eight numbers.
                unsafe { [Simd128::$op(at), Simd128::$op(at.add(4))] }
            }
        )*
    };
}

impl<const RELAXED: bool> Vector for Simd128Pair<RELAXED> {
    const LANES: usize = 8;
    type Floats = [v128; 2];

    reads! {
        read(f32);
        read_f16(f16);
        read_bf16(bf16);
        read_i8(i8);
    }

    both! {
        add(x, y);
        sub(x, y);
        mul(x, y);
        div(x, y);
        mul_add(x, y, z);
        max(x, y);
        min(x, y);
        round(x);
        power_of_two(n);
        zero_below(x, least, y);
    }

    #[inline(always)]
    unsafe fn prefetch(_at: *const u8) {}

    #[inline(always)]
    unsafe fn splat(x: f32) -> [v128; 2] {
        // SAFETY: as the caller says.
        unsafe { [Simd128::splat(x); 2] }
    }

    #[inline(always)]
    unsafe fn write(at: *mut f32, [low, high]: [v128; 2]) {
        // SAFETY: the caller's pointer is good for eight floats.
        unsafe {
            Simd128::write(at, low);
            Simd128::write(at.add(4), high);
        }
    }

    #[inline(always)]
    unsafe fn write_i8(at: *mut i8, [low, high]: [v128; 2]) {
        // SAFETY: the caller's pointer is good for eight bytes.
        unsafe {
            Simd128::write_i8(at, low);
            Simd128::write_i8(at.add(4), high);
        }
    }

    #[inline(always)]
    unsafe fn total([low, high]: [v128; 2]) -> f32 {
        // SAFETY: as the caller says.
        unsafe { Simd128::total(Simd128::add(low, high)) }
    }

    #[inline(always)]
    unsafe fn greatest([low, high]: [v128; 2]) -> f32 {
        // SAFETY: as the caller says.
        unsafe { Simd128::greatest(Simd128::max(low, high)) }
    }
}
