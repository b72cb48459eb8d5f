//! The loops of [`super::loops`] compiled for each instruction set, and the choice among them.

use super::super::isa;
use super::loops;

/// The loops of one instruction set.
#[derive(Clone, Copy)]
pub(super) struct Set {
    /// What it is called.
    #[cfg_attr(not(test), allow(dead_code, reason = "tests name what fails"))]
    pub name: &'static str,
    /// As [`loops::polar`].
    pub polar: unsafe fn(*mut f32, *mut f32, usize, f32, bool),
    /// As [`loops::exponential`].
    pub exponential: unsafe fn(*mut f32, usize, f32),
    /// As [`loops::pulses`].
    pub pulses: unsafe fn(*mut f32, *mut f32, usize, f32),
    /// As [`loops::normals`].
    pub normals: unsafe fn(&[u64], &mut [[f32; 2]]),
}

isa::choose_set!();

macro_rules! set {
    ($set:ident, $name:literal, $module:ident, $vector:path $(, $feature:literal)?) => {
        mod $module {
            use super::*;

            /// # Safety
            /// As [`loops::polar`] says.
            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn polar(
                size: *mut f32,
                angle: *mut f32,
                len: usize,
                most: f32,
                bounded: bool,
            ) {
                // SAFETY: as the caller says.
                unsafe { loops::polar::<$vector>(size, angle, len, most, bounded) }
            }

            /// # Safety
            /// As [`loops::exponential`] says.
            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn exponential(x: *mut f32, len: usize, most: f32) {
                // SAFETY: as the caller says.
                unsafe { loops::exponential::<$vector>(x, len, most) }
            }

            /// # Safety
            /// As [`loops::pulses`] says.
            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn pulses(phase: *mut f32, count: *mut f32, len: usize, near: f32) {
                // SAFETY: as the caller says.
                unsafe { loops::pulses::<$vector>(phase, count, len, near) }
            }

            /// # Safety
            /// The processor must have the instructions.
            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn normals(words: &[u64], pairs: &mut [[f32; 2]]) {
                loops::normals(words, pairs);
            }
        }

        const $set: Set = Set {
            name: $name,
            polar: $module::polar,
            exponential: $module::exponential,
            pulses: $module::pulses,
            normals: $module::normals,
        };
    };
}

#[cfg(target_arch = "x86_64")]
set!(AVX512, "AVX-512", avx512, isa::avx512::Avx512, "avx512f");
#[cfg(target_arch = "x86_64")]
set!(AVX2, "AVX2", avx2, isa::avx2::Avx2, "avx2,f16c");
#[cfg(target_arch = "aarch64")]
set!(NEON, "NEON", neon, isa::neon::Neon, "neon");
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
set!(SIMD128, "SIMD128", simd128, isa::simd128::Simd128);
set!(PORTABLE, "portable", portable, isa::portable::Portable);
