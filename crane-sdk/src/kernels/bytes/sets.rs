//! The loops of [`super::loops`] compiled for each instruction set, and the choice among them.

use std::sync::OnceLock;

use super::super::isa;
use super::loops::{self, Work};

/// The loops of one instruction set.
#[derive(Clone, Copy)]
pub(super) struct Set {
    /// What it is called.
    #[cfg_attr(not(test), allow(dead_code, reason = "tests name what fails"))]
    pub name: &'static str,
    /// As [`loops::multiply`].
    pub run: unsafe fn(&Work),
    /// As [`loops::quantize`].
    pub quantize: unsafe fn(&[f32], f32, &mut [i16]) -> f32,
}

/// The fastest loops that this processor runs.
pub(super) fn fastest() -> &'static Set {
    sets().first().unwrap_or(isa::always!(SIMD128, PORTABLE))
}

/// Every set that this processor runs, the fastest first. Arm's has no products of pairs that floats would not beat.
pub(super) fn sets() -> &'static [Set] {
    static SETS: OnceLock<Vec<Set>> = OnceLock::new();
    SETS.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        let fast = [
            (isa::has_avx512() && is_x86_feature_detected!("avx512vnni")).then_some(AVX512),
            isa::has_avx2().then_some(AVX2),
        ];
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        let fast = [Some(SIMD128)];
        #[cfg(not(any(
            target_arch = "x86_64",
            all(target_arch = "wasm32", target_feature = "simd128")
        )))]
        let fast: [Option<Set>; 0] = [];
        let fast = fast.into_iter().flatten();
        fast.chain((!isa::SETTLED).then_some(PORTABLE)).collect()
    })
}

macro_rules! set {
    ($set:ident, $name:literal, $module:ident, $pairs:path $(, $feature:literal)?) => {
        mod $module {
            use super::*;

            /// # Safety
            /// As [`loops::multiply`] says.
            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn run(work: &Work) {
                // SAFETY: as the caller says.
                unsafe { loops::multiply::<$pairs>(work) }
            }

            /// # Safety
            /// The processor must have the instructions.
            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn quantize(x: &[f32], limit: f32, out: &mut [i16]) -> f32 {
                loops::quantize(x, limit, out)
            }
        }

        pub(super) const $set: Set =
            Set { name: $name, run: $module::run, quantize: $module::quantize };
    };
}

#[cfg(target_arch = "x86_64")]
set!(AVX512, "AVX-512 VNNI", avx512, isa::avx512::Avx512, "avx512f,avx512bw,avx512vnni");
#[cfg(target_arch = "x86_64")]
set!(AVX2, "AVX2", avx2, isa::avx2::Avx2, "avx2");
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
set!(SIMD128, "SIMD128", simd128, isa::simd128::Simd128);
set!(PORTABLE, "portable", portable, isa::portable::Portable);
