//! What must hold beside the tests: format, lints, documentation, README's tables, dependencies.

use std::process::{Command, ExitCode};

use crate::process::{self, find_program};
use crate::report::Report;
use crate::{bench, models, setup, wasm, wasm_std};

/// The Arm target whose kernels are checked: its C compiler is in Debian.
const ARM: &str = "aarch64-unknown-linux-gnu";

/// `cargo xtask check`.
pub fn run() -> ExitCode {
    let mut report = Report::default();
    add(&mut report);
    report.finish()
}

/// Adds every check to a report. Lints use the release profile so that clippy, the documentation
/// and the tests share what cargo has built.
pub fn add(report: &mut Report) {
    report.check("format", &mut process::cargo("fmt --all --check"));
    report.check(
        "clippy",
        &mut process::cargo("clippy --release --workspace --all-targets -- -D warnings"),
    );
    if setup::can_play() {
        let play = "clippy --release --workspace --features crane-native/play --all-targets -- -D warnings";
        report.check("clippy with sound output", &mut process::cargo(play));
    } else {
        println!("\n=== clippy with sound output\nnot checked: install ALSA's headers first");
    }
    let mut clippy_wasm = process::cargo("clippy --release --lib");
    for package in wasm::PACKAGES {
        clippy_wasm.args(["--package", package]);
    }
    clippy_wasm.env_remove("RUSTFLAGS").args(["--features", wasm::FEATURES]);
    clippy_wasm.args(["--target", wasm::TARGET, "--", "-D", "warnings"]);
    report.check("clippy for wasm32", &mut clippy_wasm);
    match wasm_std::from_rustup(ARM) {
        Ok(Some(_)) => report.check("clippy for aarch64", &mut clippy_for_arm()),
        Ok(None) => {
            println!("\n=== clippy for aarch64\nnot checked: `rustup target add {ARM}` first");
        }
        Err(error) => report.step("clippy for aarch64", || Err(error)),
    }
    report.check("clippy for CUDA", &mut clippy_for_cuda());
    report.check(
        "documentation",
        // Of all packages: of some, the crates beneath would be checked once more.
        process::cargo("doc --release --no-deps --workspace").env("RUSTDOCFLAGS", "-D warnings"),
    );
    report.step("tables of README and docs", || {
        models::run(true)?;
        bench::write_report(true)?;
        bench::speech::write_report(true)
    });
    if find_program("cargo-deny").is_some() {
        report.check("dependencies", &mut process::cargo("deny --all-features check"));
    } else {
        println!("\n=== dependencies\nnot checked: `cargo install cargo-deny` first");
    }
}

/// What only a build for NVIDIA's GPUs compiles. Needs no toolkit of theirs: candle's kernels are left out, under a
/// profile of their own, so that no real build finds them missing.
fn clippy_for_cuda() -> Command {
    let mut clippy = process::cargo("clippy --release --workspace");
    clippy.args(["--features", "crane-native/cuda,crane-sdk/cuda"]);
    clippy.args(["--config", "profile.release.package.candle-kernels.opt-level=0"]);
    clippy.env("NVCC", process::root().join("xtask/cuda/nvcc"));
    clippy.env("CUDA_COMPUTE_CAP", "90").env("CUDARC_CUDA_VERSION", "13000");
    clippy.args(["--", "-D", "warnings"]);
    clippy
}

/// The library's NEON kernels, which no x86 build compiles.
fn clippy_for_arm() -> Command {
    let mut clippy = process::cargo("clippy --release --lib --package crane-sdk");
    clippy.env_remove("RUSTFLAGS").args(["--target", ARM, "--", "-D", "warnings"]);
    // A library in C is compiled on the way, but nothing is linked: without a cross compiler any will do.
    let variable = "CC_aarch64_unknown_linux_gnu";
    if std::env::var_os(variable).is_none() && find_program("aarch64-linux-gnu-gcc").is_none() {
        clippy.env(variable, "cc").env("AR_aarch64_unknown_linux_gnu", "ar");
    }
    clippy
}
