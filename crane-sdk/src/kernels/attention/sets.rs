//! The loops of [`super::tile`] compiled for each instruction set, and the choice among them.

use super::super::isa;
use super::stored::{KvType, with_element};
use super::tile::{self, Tile};

/// The loops of one instruction set.
#[derive(Clone, Copy)]
pub(super) struct Set {
    /// What it is called.
    #[cfg_attr(not(test), allow(dead_code, reason = "tests name what fails"))]
    pub name: &'static str,
    run: unsafe fn(KvType, &Tile),
}

impl Set {
    /// Runs a tile.
    ///
    /// # Safety
    /// As [`tile::attend`] says; the set comes from [`sets`].
    pub(super) unsafe fn run(&self, kind: KvType, tile: &Tile) {
        // SAFETY: as the caller says.
        unsafe { (self.run)(kind, tile) }
    }
}

isa::choose_set!();

macro_rules! set {
    ($set:ident, $called:literal, $name:ident, $vector:path $(, $feature:literal)?) => {
        /// # Safety
        /// The processor must have the instructions, and the tile's pointers must be good.
        $(#[target_feature(enable = $feature)])?
        #[allow(
            clippy::undocumented_unsafe_blocks,
            reason = "the lint does not see comments through macros"
        )]
        unsafe fn $name(kind: KvType, tile: &Tile) {
            // SAFETY: as the caller says.
            with_element!(kind, E => unsafe { tile::attend::<$vector, E>(tile) })
        }

        const $set: Set = Set { name: $called, run: $name };
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
