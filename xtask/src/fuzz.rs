//! `cargo xtask fuzz`: every fuzz target for a while, from its seeds.

use anyhow::{Result, bail};

use crate::process::{self, find_program};

/// Runs the targets (all, if none is named) for `seconds` each; a finding is an error.
pub fn run(targets: &[String], seconds: u32) -> Result<()> {
    if find_program("cargo-fuzz").is_none() {
        bail!("cargo-fuzz is missing; install it: cargo install cargo-fuzz");
    }
    let fuzz = process::root().join("fuzz");
    let mut targets = targets.to_vec();
    if targets.is_empty() {
        let listed = process::output(cargo_fuzz("list").current_dir(&fuzz))?;
        targets = listed.lines().map(str::to_owned).collect();
    }
    let mut failed = Vec::new();
    for target in targets {
        println!("=== {target}");
        let corpus = fuzz.join("corpus").join(&target);
        std::fs::create_dir_all(&corpus)?;
        let outcome = process::run(
            // What is found anew goes to the first folder; the seeds stay as they are.
            cargo_fuzz("run")
                .arg(&target)
                .args([corpus, fuzz.join("seeds").join(&target)])
                .args(["--", "-timeout=10"])
                .arg(format!("-max_total_time={seconds}")),
        );
        if let Err(error) = outcome {
            println!("{error:#}");
            failed.push(target);
        }
    }
    if !failed.is_empty() {
        bail!("findings in {} (inputs are in fuzz/artifacts)", failed.join(", "));
    }
    Ok(())
}

fn cargo_fuzz(command: &str) -> std::process::Command {
    let mut cargo = process::cargo("fuzz");
    // libFuzzer's instrumentation is a nightly flag; stable takes it under this name.
    cargo.arg(command).env("RUSTC_BOOTSTRAP", "1");
    cargo
}
