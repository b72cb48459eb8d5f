//! What must hold beside the tests: format, lints, documentation, README's tables, dependencies.

use std::process::ExitCode;

use crate::process::{self, find_program};
use crate::report::Report;
use crate::{bench, models, wasm};

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
    let mut clippy_wasm = process::cargo("clippy --release --lib");
    for package in wasm::PACKAGES {
        clippy_wasm.args(["--package", package]);
    }
    clippy_wasm.env_remove("RUSTFLAGS").args(["--target", wasm::TARGET, "--", "-D", "warnings"]);
    report.check("clippy for wasm32", &mut clippy_wasm);
    report.check(
        "documentation",
        process::cargo("doc --release --no-deps -p crane-sdk -p crane-native -p crane-wasm")
            .env("RUSTDOCFLAGS", "-D warnings"),
    );
    report.step("README's tables", || models::run(true).and_then(|()| bench::write_report(true)));
    if find_program("cargo-deny").is_some() {
        report.check("dependencies", &mut process::cargo("deny --all-features check"));
    } else {
        println!("\n=== dependencies\nnot checked: `cargo install cargo-deny` first");
    }
}
