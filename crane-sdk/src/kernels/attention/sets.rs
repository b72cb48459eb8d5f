//! The loops of [`super::tile`] compiled for each instruction set, and the choice among them.

use std::sync::OnceLock;

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

const PORTABLE: Set = Set { name: "portable", run: portable };

/// The fastest loops that this processor runs.
pub(super) fn fastest() -> &'static Set {
    sets().first().unwrap_or(&PORTABLE)
}

/// Every set that this processor runs, the fastest first.
pub(super) fn sets() -> &'static [Set] {
    static SETS: OnceLock<Vec<Set>> = OnceLock::new();
    SETS.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        let fast = [
            isa::has_avx512().then_some(Set { name: "AVX-512", run: avx512 }),
            isa::has_avx2().then_some(Set { name: "AVX2", run: avx2 }),
        ];
        #[cfg(target_arch = "aarch64")]
        let fast = [isa::has_neon().then_some(Set { name: "NEON", run: neon })];
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        let fast = [Some(Set { name: "SIMD128", run: simd128 })];
        #[cfg(not(any(
            target_arch = "x86_64",
            target_arch = "aarch64",
            all(target_arch = "wasm32", target_feature = "simd128")
        )))]
        let fast: [Option<Set>; 0] = [];
        fast.into_iter().flatten().chain([PORTABLE]).collect()
    })
}

macro_rules! set {
    ($name:ident, $vector:path $(, $feature:literal)?) => {
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
    };
}

#[cfg(target_arch = "x86_64")]
set!(avx512, isa::avx512::Avx512, "avx512f");
#[cfg(target_arch = "x86_64")]
set!(avx2, isa::avx2::Avx2, "avx2,f16c");
#[cfg(target_arch = "aarch64")]
set!(neon, isa::neon::Neon, "neon");
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
set!(simd128, isa::simd128::Simd128);
set!(portable, isa::portable::Portable);
