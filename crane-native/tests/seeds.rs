//! The fuzz targets' seeds, whole and damaged, and the inputs that once did harm, through every parser of this crate.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(
    clippy::indexing_slicing,
    missing_docs,
    reason = "what is included is made for the fuzzer"
)]

#[path = "../../fuzz/src/native_regressions.rs"]
mod native_regressions;
#[path = "../../fuzz/src/native_targets.rs"]
mod native_targets;
#[path = "../../fuzz/src/replay.rs"]
mod replay;

macro_rules! replayed {
    ($($target:ident)*) => {
        $(
            #[test]
            fn $target() {
                replay::seeds(stringify!($target), native_targets::$target);
            }
        )*

        #[test]
        fn every_fuzz_target_is_replayed() {
            let known: Vec<&str> = native_targets::TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!([$(stringify!($target)),*].as_slice(), known);
        }
    };
}

replayed! {
    request
    wheel
    wav
    hub
}

#[test]
fn what_once_did_harm_does_none() {
    replay::regressions(&native_regressions::all(), native_targets::TARGETS);
}
