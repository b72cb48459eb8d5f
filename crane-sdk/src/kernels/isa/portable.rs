//! Eight floats in plain Rust: the definition of every instruction set's vectors.

use half::{bf16, f16};

use crate::kernels::vector::Vector;

/// An array that compilers turn into what vectors a target has.
pub(in crate::kernels) struct Portable;

const LANES: usize = 8;

/// One number for every lane.
#[inline(always)]
fn each(lane: impl FnMut(usize) -> f32) -> [f32; LANES] {
    std::array::from_fn(lane)
}

impl Vector for Portable {
    const LANES: usize = LANES;
    type Floats = [f32; LANES];

    #[inline(always)]
    unsafe fn prefetch(_at: *const u8) {}

    #[inline(always)]
    unsafe fn splat(x: f32) -> [f32; LANES] {
        [x; LANES]
    }

    #[inline(always)]
    unsafe fn read(at: *const f32) -> [f32; LANES] {
        // SAFETY: the caller's pointer is good for as many floats.
        unsafe { at.cast::<[f32; LANES]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn write(at: *mut f32, x: [f32; LANES]) {
        // SAFETY: the caller's pointer is good for as many floats.
        unsafe { at.cast::<[f32; LANES]>().write_unaligned(x) }
    }

    #[inline(always)]
    unsafe fn read_f16(at: *const f16) -> [f32; LANES] {
        // SAFETY: the caller's pointer is good for as many numbers.
        unsafe { at.cast::<[f16; LANES]>().read_unaligned() }.map(f16::to_f32)
    }

    #[inline(always)]
    unsafe fn read_i8(at: *const i8) -> [f32; LANES] {
        // SAFETY: the caller's pointer is good for as many bytes; bytes need no alignment.
        let bytes: [i8; LANES] = unsafe { *at.cast() };
        bytes.map(f32::from)
    }

    #[inline(always)]
    unsafe fn write_i8(at: *mut i8, x: [f32; LANES]) {
        // SAFETY: the caller's pointer is good for as many bytes; bytes need no alignment.
        unsafe { *at.cast() = x.map(|x| x as i8) }
    }

    #[inline(always)]
    unsafe fn total(x: [f32; LANES]) -> f32 {
        x.iter().sum()
    }

    #[inline(always)]
    unsafe fn greatest(x: [f32; LANES]) -> f32 {
        x.iter().fold(f32::NEG_INFINITY, |most, &x| if x > most { x } else { most })
    }

    #[inline(always)]
    unsafe fn read_bf16(at: *const bf16) -> [f32; LANES] {
        // SAFETY: the caller's pointer is good for as many numbers.
        unsafe { at.cast::<[bf16; LANES]>().read_unaligned() }.map(bf16::to_f32)
    }

    #[inline(always)]
    unsafe fn mul_add(x: [f32; LANES], y: [f32; LANES], z: [f32; LANES]) -> [f32; LANES] {
        each(|i| x[i] * y[i] + z[i])
    }

    #[inline(always)]
    unsafe fn add(x: [f32; LANES], y: [f32; LANES]) -> [f32; LANES] {
        each(|i| x[i] + y[i])
    }

    #[inline(always)]
    unsafe fn sub(x: [f32; LANES], y: [f32; LANES]) -> [f32; LANES] {
        each(|i| x[i] - y[i])
    }

    #[inline(always)]
    unsafe fn mul(x: [f32; LANES], y: [f32; LANES]) -> [f32; LANES] {
        each(|i| x[i] * y[i])
    }

    #[inline(always)]
    unsafe fn div(x: [f32; LANES], y: [f32; LANES]) -> [f32; LANES] {
        each(|i| x[i] / y[i])
    }

    #[inline(always)]
    unsafe fn max(x: [f32; LANES], y: [f32; LANES]) -> [f32; LANES] {
        each(|i| if x[i] > y[i] { x[i] } else { y[i] })
    }

    #[inline(always)]
    unsafe fn min(x: [f32; LANES], y: [f32; LANES]) -> [f32; LANES] {
        each(|i| if x[i] < y[i] { x[i] } else { y[i] })
    }

    #[inline(always)]
    unsafe fn round(x: [f32; LANES]) -> [f32; LANES] {
        x.map(f32::round_ties_even)
    }

    #[inline(always)]
    unsafe fn power_of_two(n: [f32; LANES]) -> [f32; LANES] {
        n.map(|n| f32::from_bits(((n as i32 + 127) << 23).cast_unsigned()))
    }

    #[inline(always)]
    unsafe fn zero_below(x: [f32; LANES], least: [f32; LANES], y: [f32; LANES]) -> [f32; LANES] {
        each(|i| if x[i] < least[i] { 0.0 } else { y[i] })
    }
}
