//! `cargo xtask test`: set-up, every check and every test, and one sum at the end.

use std::process::{Command, ExitCode};

use crate::report::Report;
use crate::setup::{self, STEPS};
use crate::{checks, process, wasm};

/// Everything. With `strict`, a test whose weights are missing fails instead of being skipped.
pub fn all(strict: bool) -> ExitCode {
    let mut report = Report::default();
    println!("=== set-up");
    for step in STEPS {
        report.requirement(step.name, || step.perform());
    }
    checks::add(&mut report);
    let mut native = native_tests();
    if strict {
        native.env("CRANE_REQUIRE_MODELS", "1");
    }
    report.suite("native tests", &mut native);
    report.step("wasm package", || wasm::package(false));
    report.check(
        "TypeScript package",
        process::command("npm").args(["--prefix", "npm", "run", "build"]),
    );
    for folder in ["npm", "web"] {
        let mut tests = process::command("npm");
        tests.args(["--prefix", folder, "test"]);
        if let Some(chromium) = setup::chromium() {
            tests.env("CHROMIUM", chromium);
        }
        if strict {
            tests.env("CRANE_REQUIRE_MODELS", "1");
        }
        report.suite(&format!("tests of {folder}/"), &mut tests);
    }
    report.finish()
}

/// The native tests alone, with the small checkpoints of the repository.
pub fn quick() -> ExitCode {
    let mut report = Report::default();
    let mut tests = native_tests();
    // An empty folder: tests of real weights find none and say so.
    tests.env_remove("CRANE_REQUIRE_MODELS").env("CRANE_TEST_MODELS", "target/no-weights");
    report.suite("native tests", &mut tests);
    report.finish()
}

fn native_tests() -> Command {
    process::cargo("test --release --workspace --features crane-sdk/golden --no-fail-fast")
}
