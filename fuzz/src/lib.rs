//! Every parser of bytes that come from strangers, as functions that a fuzzer and the tests call.
//!
//! `cargo xtask fuzz` drives them with libFuzzer. `crane-sdk/tests/seeds.rs` and `crane-native/tests/seeds.rs` include
//! the same files and replay the seeds, damaged copies of them and the inputs that once did harm.

pub mod native_targets;
pub mod targets;

/// The target of a name.
#[must_use]
pub fn find(name: &str) -> Option<fn(&[u8])> {
    let mut all = targets::TARGETS.iter().chain(native_targets::TARGETS);
    all.find(|(known, _)| *known == name).map(|(_, run)| *run)
}
