//! Eight floats in two NEON registers: every 64-bit Arm processor.
//!
//! Two registers a vector, since there are 32: as many sums and weights stay in them as with AVX2's sixteen of
//! twice the width, and panels have the eight rows that they have there.

use std::arch::aarch64::*;
use std::arch::asm;

use half::{bf16, f16};

use crate::kernels::vector::Vector;

/// NEON, with what it has for products of bytes: [`PLAIN`], [`DOT`] or [`MATRIX`].
pub(in crate::kernels) struct Neon<const PRODUCTS: u8 = PLAIN>;

/// No instruction for sums of products.
pub(in crate::kernels) const PLAIN: u8 = 0;
/// The one that adds four products of bytes to each lane.
pub(in crate::kernels) const DOT: u8 = 1;
/// Also the one that multiplies matrices of two rows and eight columns.
pub(in crate::kernels) const MATRIX: u8 = 2;

/// Both halves of the result of an operation on both halves of its arguments.
macro_rules! halves {
    ($op:ident, $($x:ident),+) => {
        float32x4x2_t($op($($x.0),+), $op($($x.1),+))
    };
}

/// The greater lanes; `y` where neither is. `vmaxq_f32` has other rules for zeros and for what is no number.
#[target_feature(enable = "neon")]
#[inline]
fn max(x: float32x4_t, y: float32x4_t) -> float32x4_t {
    vbslq_f32(vcgtq_f32(x, y), x, y)
}

/// The lesser lanes; `y` where neither is.
#[target_feature(enable = "neon")]
#[inline]
fn min(x: float32x4_t, y: float32x4_t) -> float32x4_t {
    vbslq_f32(vcltq_f32(x, y), x, y)
}

#[target_feature(enable = "neon")]
#[inline]
fn power_of_two(n: float32x4_t) -> float32x4_t {
    let bits = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
    vreinterpretq_f32_s32(vshlq_n_s32::<23>(bits))
}

/// y, but 0 where x < least.
#[target_feature(enable = "neon")]
#[inline]
fn zero_below(x: float32x4_t, least: float32x4_t, y: float32x4_t) -> float32x4_t {
    vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(y), vcltq_f32(x, least)))
}

impl<const PRODUCTS: u8> Vector for Neon<PRODUCTS> {
    const LANES: usize = 8;
    type Floats = float32x4x2_t;

    #[target_feature(enable = "neon")]
    #[inline]
    #[allow(clippy::pointers_in_nomem_asm_block, reason = "the program sees no read of it")]
    unsafe fn prefetch(at: *const u8) {
        // SAFETY: a prefetch may go anywhere and changes nothing. Rust's own is not stable yet.
        unsafe {
            asm!("prfm pldl1keep, [{}]", in(reg) at, options(nomem, nostack, preserves_flags));
        }
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn splat(x: f32) -> float32x4x2_t {
        let x = vdupq_n_f32(x);
        float32x4x2_t(x, x)
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn read(at: *const f32) -> float32x4x2_t {
        // SAFETY: the caller's pointer is good for eight floats.
        unsafe { float32x4x2_t(vld1q_f32(at), vld1q_f32(at.add(4))) }
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn write(at: *mut f32, x: float32x4x2_t) {
        // SAFETY: the caller's pointer is good for eight floats.
        unsafe {
            vst1q_f32(at, x.0);
            vst1q_f32(at.add(4), x.1);
        }
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn read_f16(at: *const f16) -> float32x4x2_t {
        // SAFETY: the caller's pointer is good for sixteen bytes.
        let x = vreinterpretq_f16_u16(unsafe { vld1q_u16(at.cast()) });
        float32x4x2_t(vcvt_f32_f16(vget_low_f16(x)), vcvt_high_f32_f16(x))
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn read_bf16(at: *const bf16) -> float32x4x2_t {
        // SAFETY: the caller's pointer is good for sixteen bytes.
        let x = unsafe { vld1q_u16(at.cast()) };
        let (low, high) = (vshll_n_u16::<16>(vget_low_u16(x)), vshll_high_n_u16::<16>(x));
        float32x4x2_t(vreinterpretq_f32_u32(low), vreinterpretq_f32_u32(high))
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn read_i8(at: *const i8) -> float32x4x2_t {
        // SAFETY: the caller's pointer is good for eight bytes.
        let x = vmovl_s8(unsafe { vld1_s8(at) });
        let (low, high) = (vmovl_s16(vget_low_s16(x)), vmovl_high_s16(x));
        float32x4x2_t(vcvtq_f32_s32(low), vcvtq_f32_s32(high))
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn write_i8(at: *mut i8, x: float32x4x2_t) {
        let low = vqmovn_s32(vcvtq_s32_f32(x.0));
        let x = vqmovn_high_s32(low, vcvtq_s32_f32(x.1));
        // SAFETY: the caller's pointer is good for eight bytes.
        unsafe { vst1_s8(at, vqmovn_s16(x)) }
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn total(x: float32x4x2_t) -> f32 {
        vaddvq_f32(vaddq_f32(x.0, x.1))
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn greatest(x: float32x4x2_t) -> f32 {
        // The rule that passes over what is no number, as the portable loop does.
        vmaxnmvq_f32(vmaxnmq_f32(x.0, x.1))
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn add(x: float32x4x2_t, y: float32x4x2_t) -> float32x4x2_t {
        halves!(vaddq_f32, x, y)
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn sub(x: float32x4x2_t, y: float32x4x2_t) -> float32x4x2_t {
        halves!(vsubq_f32, x, y)
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn mul(x: float32x4x2_t, y: float32x4x2_t) -> float32x4x2_t {
        halves!(vmulq_f32, x, y)
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn div(x: float32x4x2_t, y: float32x4x2_t) -> float32x4x2_t {
        halves!(vdivq_f32, x, y)
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn mul_add(x: float32x4x2_t, y: float32x4x2_t, z: float32x4x2_t) -> float32x4x2_t {
        halves!(vfmaq_f32, z, x, y)
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn max(x: float32x4x2_t, y: float32x4x2_t) -> float32x4x2_t {
        halves!(max, x, y)
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn min(x: float32x4x2_t, y: float32x4x2_t) -> float32x4x2_t {
        halves!(min, x, y)
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn round(x: float32x4x2_t) -> float32x4x2_t {
        halves!(vrndnq_f32, x)
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn power_of_two(n: float32x4x2_t) -> float32x4x2_t {
        halves!(power_of_two, n)
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn zero_below(
        x: float32x4x2_t,
        least: float32x4x2_t,
        y: float32x4x2_t,
    ) -> float32x4x2_t {
        halves!(zero_below, x, least, y)
    }
}
