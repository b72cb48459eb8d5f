//! The number types that weights and caches are held in without scales.

use half::{bf16, f16};

use super::vector::Vector;

/// A number type that kernels are compiled for.
pub(super) trait Number {
    /// What lies in memory.
    type Stored: Copy;

    /// Reads a vector.
    ///
    /// # Safety
    /// As [`Vector`] says.
    unsafe fn read<V: Vector>(at: *const Self::Stored) -> V::Floats;
    /// The number as a float.
    fn widen(x: Self::Stored) -> f32;
}

/// f32.
pub(super) struct Single;
/// f16.
pub(super) struct Half;
/// bf16.
pub(super) struct Brain;

impl Number for Single {
    type Stored = f32;

    #[inline(always)]
    unsafe fn read<V: Vector>(at: *const f32) -> V::Floats {
        // SAFETY: as the caller says.
        unsafe { V::read(at) }
    }
    #[inline(always)]
    fn widen(x: f32) -> f32 {
        x
    }
}

impl Number for Half {
    type Stored = f16;

    #[inline(always)]
    unsafe fn read<V: Vector>(at: *const f16) -> V::Floats {
        // SAFETY: as the caller says.
        unsafe { V::read_f16(at) }
    }
    #[inline(always)]
    fn widen(x: f16) -> f32 {
        x.to_f32()
    }
}

impl Number for Brain {
    type Stored = bf16;

    #[inline(always)]
    unsafe fn read<V: Vector>(at: *const bf16) -> V::Floats {
        // SAFETY: as the caller says.
        unsafe { V::read_bf16(at) }
    }
    #[inline(always)]
    fn widen(x: bf16) -> f32 {
        x.to_f32()
    }
}
