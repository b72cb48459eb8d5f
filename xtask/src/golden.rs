//! `cargo xtask golden`: a model's tensors beside recorded ones, natively or in wasm under Node.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, wasm};

/// The package that links the models.
pub const PACKAGE: &str = "xtask-models";
/// Where the repository keeps its golden folders.
const FIXTURES: &str = "crane-sdk/tests/fixtures";

/// Compares every folder; a miss is an error.
pub fn run(folders: &[PathBuf], in_wasm: bool) -> Result<()> {
    // The commands run in the repository's root, the caller may be elsewhere.
    let here = std::env::current_dir().context("finding the current folder")?;
    let mut command = if in_wasm { wasm_command()? } else { native_command()? };
    process::run(command.args(folders.iter().map(|folder| here.join(folder))))
}

/// The wasm comparison of every golden folder of the repository; the module is built first.
pub fn fixtures_in_wasm() -> Result<Command> {
    let fixtures = process::root().join(FIXTURES);
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&fixtures)
        .with_context(|| format!("listing {}", fixtures.display()))?
        .flatten()
        .map(|entry| entry.path())
        // A record without a config is for a test of its own.
        .filter(|folder| {
            ["golden.safetensors", "config.json"].iter().all(|file| folder.join(file).is_file())
        })
        .collect();
    folders.sort();
    if folders.is_empty() {
        bail!("{} holds no golden folder", fixtures.display());
    }
    let mut command = wasm_command()?;
    command
        .args(folders.iter().map(|folder| folder.strip_prefix(process::root()).unwrap_or(folder)));
    Ok(command)
}

fn native_command() -> Result<Command> {
    let mut command = process::command(process::built(PACKAGE)?);
    command.arg("golden");
    Ok(command)
}

fn wasm_command() -> Result<Command> {
    let bindings = process::target_dir()?.join("wasm-golden");
    wasm::compile(&[PACKAGE], "")?;
    wasm::bind(PACKAGE, &bindings, wasm::Names::Kept)?;
    let mut command = process::command("node");
    command.arg(Path::new("xtask/models/golden.mjs")).arg(bindings);
    Ok(command)
}
