//! libFuzzer around the one target that `CRANE_FUZZ_TARGET` names, so that all targets are linked once.
//!
//! `cargo xtask fuzz` builds and runs it. With `CRANE_FUZZ_TARGET=list` it prints the targets' names.
#![no_main]

use std::sync::OnceLock;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

libfuzzer_sys::fuzz_target!(init: choose(), |bytes: &[u8]| {
    if let Some(target) = TARGET.get() {
        target(bytes);
    }
});

fn choose() {
    // libfuzzer-sys ends the process at every panic, but one that the library turns into an error is no finding.
    // A panic that leaves the target does end the process.
    drop(std::panic::take_hook());
    let name = std::env::var("CRANE_FUZZ_TARGET").unwrap_or_default();
    if name == "list" {
        for (name, _) in
            crane_fuzz::targets::TARGETS.iter().chain(crane_fuzz::native_targets::TARGETS)
        {
            println!("{name}");
        }
        std::process::exit(0);
    }
    match crane_fuzz::find(&name) {
        Some(target) => drop(TARGET.set(target)),
        None => {
            eprintln!(
                "CRANE_FUZZ_TARGET is {name:?}; CRANE_FUZZ_TARGET=list prints the targets' names"
            );
            std::process::exit(2);
        }
    }
}
