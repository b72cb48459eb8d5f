//! The float vectors of each instruction set, and which sets may be used.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(super) mod neon;
pub(super) mod portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(super) mod simd128;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(super) mod simd128_pair;
#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests;

/// Whether the program is for one instruction set alone, so that loops for others need not be linked into it: a page has
/// to fetch them. Tests compare all.
pub(super) const SETTLED: bool =
    cfg!(all(target_arch = "wasm32", target_feature = "simd128", not(test)));

/// Of the loops for WebAssembly's vectors and the portable ones those that every machine runs which this program is for.
macro_rules! always {
    ($simd128:expr, $portable:expr) => {{
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        {
            &$simd128
        }
        #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
        {
            &$portable
        }
    }};
}
pub(super) use always;

/// Defines `sets()` and `fastest()` of a module whose loops of each instruction set are the constants `AVX512`, `AVX2`,
/// `NEON`, `SIMD128` and `PORTABLE` of its type `Set`, those of other processors left out.
macro_rules! choose_set {
    () => {
        /// The fastest loops that this processor runs.
        pub(super) fn fastest() -> &'static Set {
            sets().first().unwrap_or(isa::always!(SIMD128, PORTABLE))
        }

        /// Every set that this processor runs, the fastest first.
        pub(super) fn sets() -> &'static [Set] {
            static SETS: std::sync::OnceLock<Vec<Set>> = std::sync::OnceLock::new();
            SETS.get_or_init(|| {
                #[cfg(target_arch = "x86_64")]
                let fast = [isa::has_avx512().then_some(AVX512), isa::has_avx2().then_some(AVX2)];
                #[cfg(target_arch = "aarch64")]
                let fast = [isa::has_neon().then_some(NEON)];
                #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
                let fast = [Some(SIMD128)];
                #[cfg(not(any(
                    target_arch = "x86_64",
                    target_arch = "aarch64",
                    all(target_arch = "wasm32", target_feature = "simd128")
                )))]
                let fast: [Option<Set>; 0] = [];
                let fast = fast.into_iter().flatten();
                fast.chain((!isa::SETTLED).then_some(PORTABLE)).collect()
            })
        }
    };
}
pub(super) use choose_set;

/// The environment variable that names the widest instruction set to use, for comparisons and bug reports.
pub const VARIABLE: &str = "CRANE_ISA";

/// What [`VARIABLE`] may say: on this kind of processor, the widest first.
pub const NAMES: &[&str] = if cfg!(target_arch = "x86_64") {
    &["avx512", "avxvnni", "avx2", "portable"]
} else if cfg!(target_arch = "aarch64") {
    &["i8mm", "dotprod", "neon", "portable"]
} else {
    &["portable"]
};

/// Whether the set called `name` is no wider than [`VARIABLE`] allows; a name that is not in [`NAMES`] allows all.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn allowed(name: &str) -> bool {
    let place = |name: &str| NAMES.iter().position(|other| *other == name);
    let widest = std::env::var(VARIABLE).ok().and_then(|name| place(&name));
    widest.is_none_or(|widest| place(name) >= Some(widest))
}

/// Whether the processor has AVX-512 with byte and word instructions.
#[cfg(target_arch = "x86_64")]
pub(super) fn has_avx512() -> bool {
    allowed("avx512") && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
}

/// Whether the processor has products of bytes without AVX-512, as Intel's since Alder Lake and AMD's since Zen 5.
#[cfg(target_arch = "x86_64")]
pub(super) fn has_avx_vnni() -> bool {
    allowed("avxvnni") && has_avx2() && is_x86_feature_detected!("avxvnni")
}

/// Whether the processor has AVX2, F16C and FMA, as all have since Haswell and Zen.
#[cfg(target_arch = "x86_64")]
pub(super) fn has_avx2() -> bool {
    allowed("avx2")
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("f16c")
        && is_x86_feature_detected!("fma")
}

/// Whether the processor has NEON with dot products of bytes, as all have since Armv8.4 and every Apple M.
#[cfg(target_arch = "aarch64")]
pub(super) fn has_dotprod() -> bool {
    allowed("dotprod") && has_neon() && std::arch::is_aarch64_feature_detected!("dotprod")
}

/// Whether the processor also has products of matrices of bytes, as most have since Armv8.6 and every Apple M since M2.
#[cfg(target_arch = "aarch64")]
pub(super) fn has_i8mm() -> bool {
    allowed("i8mm") && has_dotprod() && std::arch::is_aarch64_feature_detected!("i8mm")
}

/// Whether the processor has NEON, as all 64-bit ones of a desktop, a phone or a server have.
#[cfg(target_arch = "aarch64")]
pub(super) fn has_neon() -> bool {
    allowed("neon") && std::arch::is_aarch64_feature_detected!("neon")
}
