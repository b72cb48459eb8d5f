//! Building for the browser: the wasm module, its JavaScript bindings, and wasm-opt for releases.

use std::path::Path;

use anyhow::{Context, Result};

use crate::process;

/// The target of every browser build; `.cargo/config.toml` holds its flags.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// The packages that compile for [`TARGET`].
pub const PACKAGES: &[&str] = &["crane-sdk", "crane-wasm", "xtask-models"];

/// Where the npm package expects the module and its bindings.
const PACKAGE_FOLDER: &str = "npm/wasm";

/// `cargo xtask wasm`: crane-wasm, into the npm package.
pub fn package(optimize: bool) -> Result<()> {
    let out = process::root().join(PACKAGE_FOLDER);
    compile(&["crane-wasm"])?;
    bind("crane-wasm", &out)?;
    let module = out.join("crane_wasm_bg.wasm");
    if optimize {
        shrink(&module)?;
    }
    let size =
        std::fs::metadata(&module).with_context(|| format!("reading {}", module.display()))?;
    println!("{PACKAGE_FOLDER}/crane_wasm_bg.wasm: {:.2} MB", size.len() as f64 / 1e6);
    Ok(())
}

/// Builds packages for wasm32, together, so that what they share is compiled once.
pub fn compile(packages: &[&str]) -> Result<()> {
    let mut cargo = process::cargo("build --release --lib");
    for package in packages {
        cargo.args(["--package", package]);
    }
    // RUSTFLAGS would displace the flags of `.cargo/config.toml`.
    process::run(cargo.env_remove("RUSTFLAGS").args(["--target", TARGET]))
}

/// Writes the module of a compiled package, with its JavaScript bindings, into `out`.
pub fn bind(package: &str, out: &Path) -> Result<()> {
    let file = format!("{}.wasm", package.replace('-', "_"));
    let module = process::target_dir()?.join(TARGET).join("release").join(file);
    std::fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
    process::run(
        process::cargo("run --release --quiet --package xtask-bindgen --").arg(&module).arg(out),
    )
}

/// Runs wasm-opt over a module; npm fetches it, since few distributions have a recent one.
fn shrink(module: &Path) -> Result<()> {
    process::run(
        process::command("npm")
            .args(["exec", "--yes", "--package=binaryen@132.0.0", "--"])
            .args(["wasm-opt", "-O3", "--all-features", "-o"])
            .arg(module)
            .arg(module),
    )
}
