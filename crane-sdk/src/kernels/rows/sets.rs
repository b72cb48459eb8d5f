//! The loops of [`super::loops`] compiled for each instruction set, and the choice among them.

use super::super::isa;
use super::loops::{self, CentredRow, DepthwiseRows, NormRow, SnakeRows};

/// The loops of one instruction set.
#[derive(Clone, Copy)]
pub(super) struct Set {
    /// What it is called.
    #[cfg_attr(not(test), allow(dead_code, reason = "tests name what fails"))]
    pub name: &'static str,
    /// As [`loops::norm`].
    pub norm: unsafe fn(&NormRow),
    /// As [`loops::layer_norm`].
    pub layer_norm: unsafe fn(&CentredRow),
    /// As [`loops::silu_mul`].
    pub silu_mul: unsafe fn(*const f32, *const f32, *mut f32, usize),
    /// As [`loops::gelu`].
    pub gelu: unsafe fn(*mut f32, usize),
    /// As [`loops::snake`].
    pub snake: unsafe fn(&SnakeRows),
    /// As [`loops::depthwise`].
    pub depthwise: unsafe fn(&DepthwiseRows),
}

isa::choose_set!();

macro_rules! set {
    ($set:ident, $name:literal, $module:ident, $vector:path $(, $feature:literal)?) => {
        mod $module {
            use super::*;

            /// # Safety
            /// As [`loops::norm`] says.
            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn norm(row: &NormRow) {
                // SAFETY: as the caller says.
                unsafe { loops::norm::<$vector>(row) }
            }

            /// # Safety
            /// As [`loops::layer_norm`] says.
            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn layer_norm(row: &CentredRow) {
                // SAFETY: as the caller says.
                unsafe { loops::layer_norm::<$vector>(row) }
            }

            /// # Safety
            /// As [`loops::silu_mul`] says.
            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn silu_mul(
                gate: *const f32,
                up: *const f32,
                out: *mut f32,
                len: usize,
            ) {
                // SAFETY: as the caller says.
                unsafe { loops::silu_mul::<$vector>(gate, up, out, len) }
            }

            /// # Safety
            /// As [`loops::gelu`] says.
            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn gelu(x: *mut f32, len: usize) {
                // SAFETY: as the caller says.
                unsafe { loops::gelu::<$vector>(x, len) }
            }

            /// # Safety
            /// As [`loops::snake`] says.
            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn snake(work: &SnakeRows) {
                // SAFETY: as the caller says.
                unsafe { loops::snake::<$vector>(work) }
            }

            /// # Safety
            /// As [`loops::depthwise`] says.
            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn depthwise(work: &DepthwiseRows) {
                // SAFETY: as the caller says.
                unsafe { loops::depthwise::<$vector>(work) }
            }
        }

        const $set: Set = Set {
            name: $name,
            norm: $module::norm,
            layer_norm: $module::layer_norm,
            silu_mul: $module::silu_mul,
            gelu: $module::gelu,
            snake: $module::snake,
            depthwise: $module::depthwise,
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
