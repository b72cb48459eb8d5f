//! `cargo xtask test`: set-up, every check and every test, and one sum at the end.

use std::process::{Command, ExitCode};

use crate::process::EVERYTHING;
use crate::report::Report;
use crate::setup::{self, STEPS};
use crate::{attack, checks, clients, fuzz, golden, listening, process, wasm};

/// Everything. With `strict`, a test whose weights are missing fails instead of being skipped.
pub fn all(strict: bool) -> ExitCode {
    let mut report = Report::default();
    println!("=== set-up");
    for step in STEPS {
        report.requirement(step.name, || step.perform());
    }
    checks::add(&mut report);
    let demand_weights = |mut command: Command| {
        if strict {
            command.env("CRANE_REQUIRE_MODELS", "1");
        }
        Ok(command)
    };
    report.suite("native tests", || demand_weights(native_tests()));
    report.suite("tests with sound output", || {
        // Of the whole workspace, so that the crates beneath are those of the tests before.
        let tests = format!("test {EVERYTHING} --features crane-native/play --lib --test cli");
        let names = "player the_sound_output what_cannot_be_heard";
        demand_weights(process::cargo(&format!("{tests} -- {names}")))
    });
    report.suite("official clients against crane serve", clients::conformance);
    report.suite("bad requests to crane serve", clients::robustness);
    report.suite("replicas of crane serve behind a proxy", clients::replicas);
    report.suite("requests of crane serve's OpenAPI document", clients::schemas);
    report.suite("attacks on crane serve and its parsers", attack::in_tests);
    report.suite("ten seconds of each fuzz target", fuzz::in_tests);
    // What all modules share is compiled once.
    report.step("wasm modules", || {
        wasm::compile(&["crane-wasm", golden::PACKAGE], "")?;
        wasm::package(false, wasm::Names::Removed)
    });
    report.suite("golden tensors in wasm", golden::fixtures_in_wasm);
    report
        .check("build of npm/", process::command("npm").args(["--prefix", "npm", "run", "build"]));
    report.check(
        "reference of npm/",
        process::command("npm").args(["--prefix", "npm/reference", "run", "build"]),
    );
    for folder in ["npm", "web"] {
        report.suite(&format!("tests of {folder}/"), || {
            let mut tests = process::command("npm");
            tests.args(["--prefix", folder, "test"]);
            if let Some(chromium) = setup::chromium() {
                tests.env("CHROMIUM", chromium);
            }
            if let Some(firefox) = setup::firefox() {
                tests.env("FIREFOX", firefox);
            }
            tests.env("CRANE_SPEECH_WAV", listening::recording()?);
            demand_weights(tests)
        });
    }
    report.suite("what a recogniser hears", listening::transcription);
    report.finish()
}

/// The native tests alone, with the small checkpoints of the repository.
pub fn quick() -> ExitCode {
    let mut report = Report::default();
    report.suite("native tests", || {
        let mut tests = native_tests();
        // A folder that is not there: tests of real weights find none and say so.
        tests
            .env_remove("CRANE_REQUIRE_MODELS")
            .env("CRANE_TEST_MODELS", process::target_dir()?.join("no-weights"));
        Ok(tests)
    });
    report.finish()
}

fn native_tests() -> Command {
    process::cargo(&format!("test {EVERYTHING} --no-fail-fast"))
}
