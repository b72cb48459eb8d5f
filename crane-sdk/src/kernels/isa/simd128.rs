//! Four floats in WebAssembly's fixed-width SIMD.

use std::arch::wasm32::*;

use half::{bf16, f16};

use crate::kernels::vector::Vector;

/// SIMD128.
pub(in crate::kernels) struct Simd128;

impl Vector for Simd128 {
    const LANES: usize = 4;
    type Floats = v128;

    #[inline(always)]
    unsafe fn prefetch(_at: *const u8) {}

    #[inline(always)]
    unsafe fn splat(x: f32) -> v128 {
        f32x4_splat(x)
    }

    #[inline(always)]
    unsafe fn read(at: *const f32) -> v128 {
        // SAFETY: the caller's pointer is good for four floats.
        unsafe { v128_load(at.cast()) }
    }

    #[inline(always)]
    unsafe fn write(at: *mut f32, x: v128) {
        // SAFETY: the caller's pointer is good for four floats.
        unsafe { v128_store(at.cast(), x) }
    }

    #[inline(always)]
    unsafe fn read_f16(at: *const f16) -> v128 {
        // SAFETY: the caller's pointer is good for eight bytes.
        let x = unsafe { i32x4_load_extend_i16x4(at.cast()) };
        // The sign stays at the top; of its copies below, only those above the exponent have to go. Then the
        // exponent's bias changes from 15 to 127: a product with 2^112, exact for all finite values.
        let x = v128_and(i32x4_shl(x, 13), u32x4_splat(0x8fff_ffff));
        f32x4_mul(x, f32x4_splat(f32::from_bits(0x7780_0000)))
    }

    #[inline(always)]
    unsafe fn read_i8(at: *const i8) -> v128 {
        // SAFETY: the caller's pointer is good for four bytes.
        let x = unsafe { v128_load32_zero(at.cast()) };
        f32x4_convert_i32x4(i32x4_extend_low_i16x8(i16x8_extend_low_i8x16(x)))
    }

    #[inline(always)]
    unsafe fn write_i8(at: *mut i8, x: v128) {
        let x = i32x4_trunc_sat_f32x4(x);
        let x = i16x8_narrow_i32x4(x, x);
        // SAFETY: the caller's pointer is good for four bytes.
        unsafe { v128_store32_lane::<0>(i8x16_narrow_i16x8(x, x), at.cast()) }
    }

    #[inline(always)]
    unsafe fn total(x: v128) -> f32 {
        let x = f32x4_add(x, i32x4_shuffle::<2, 3, 0, 1>(x, x));
        f32x4_extract_lane::<0>(f32x4_add(x, i32x4_shuffle::<1, 0, 3, 2>(x, x)))
    }

    #[inline(always)]
    unsafe fn greatest(x: v128) -> f32 {
        let x = f32x4_pmax(x, i32x4_shuffle::<2, 3, 0, 1>(x, x));
        f32x4_extract_lane::<0>(f32x4_pmax(x, i32x4_shuffle::<1, 0, 3, 2>(x, x)))
    }

    #[inline(always)]
    unsafe fn read_bf16(at: *const bf16) -> v128 {
        // SAFETY: the caller's pointer is good for eight bytes.
        u32x4_shl(unsafe { u32x4_load_extend_u16x4(at.cast()) }, 16)
    }

    #[inline(always)]
    unsafe fn mul_add(x: v128, y: v128, z: v128) -> v128 {
        f32x4_add(f32x4_mul(x, y), z)
    }

    #[inline(always)]
    unsafe fn add(x: v128, y: v128) -> v128 {
        f32x4_add(x, y)
    }

    #[inline(always)]
    unsafe fn sub(x: v128, y: v128) -> v128 {
        f32x4_sub(x, y)
    }

    #[inline(always)]
    unsafe fn mul(x: v128, y: v128) -> v128 {
        f32x4_mul(x, y)
    }

    #[inline(always)]
    unsafe fn div(x: v128, y: v128) -> v128 {
        f32x4_div(x, y)
    }

    #[inline(always)]
    unsafe fn max(x: v128, y: v128) -> v128 {
        f32x4_pmax(y, x)
    }

    #[inline(always)]
    unsafe fn min(x: v128, y: v128) -> v128 {
        f32x4_pmin(y, x)
    }

    #[inline(always)]
    unsafe fn round(x: v128) -> v128 {
        f32x4_nearest(x)
    }

    #[inline(always)]
    unsafe fn power_of_two(n: v128) -> v128 {
        let bits = i32x4_add(i32x4_trunc_sat_f32x4(n), i32x4_splat(127));
        i32x4_shl(bits, 23)
    }

    #[inline(always)]
    unsafe fn zero_below(x: v128, least: v128, y: v128) -> v128 {
        v128_andnot(y, f32x4_lt(x, least))
    }
}
