//! Building for the browser: the wasm modules, their JavaScript bindings, and wasm-opt for releases.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::process;

/// The target of every browser build; `.cargo/config.toml` holds its flags.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// The packages that compile for [`TARGET`].
pub const PACKAGES: &[&str] = &["crane-sdk", "crane-wasm", "xtask-models"];

/// The features that lints see: a build with them holds everything that one without them does.
pub const FEATURES: &str = "crane-wasm/relaxed-simd";

/// Where the npm package expects the modules and their bindings.
const PACKAGE_FOLDER: &str = "npm/wasm";

/// The builds of crane-wasm: features, and what the module is called. An engine refuses a module with an
/// instruction that it does not know, so what only some engines have is a build of its own.
const BUILDS: [(&str, &str); 2] =
    [(FEATURES, "crane_wasm_relaxed_bg.wasm"), ("", "crane_wasm_bg.wasm")];

/// Crates that no token waits for: read once when a model is loaded, or run once a prompt. They are built to
/// be small, since a page fetches them before it can do anything.
const COLD: [&str; 12] = [
    "aho-corasick",
    "fancy-regex",
    "gemm-common",
    "gemm-f16",
    "gemm-f32",
    "gemm-f64",
    "jiff",
    "minijinja",
    "minijinja-contrib",
    "regex-automata",
    "regex-syntax",
    "tokenizers",
];

/// Whether a module says what its functions are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// For profilers.
    Kept,
    /// A tenth smaller.
    Removed,
}

/// `cargo xtask wasm`: crane-wasm, into the npm package.
pub fn package(optimize: bool, names: Names) -> Result<()> {
    let out = process::root().join(PACKAGE_FOLDER);
    let mut bindings: Option<Vec<u8>> = None;
    for (features, name) in BUILDS {
        let scratch = process::target_dir()?.join("wasm-package");
        compile(&["crane-wasm"], features)?;
        bind("crane-wasm", &scratch, names)?;
        let module = scratch.join("crane_wasm_bg.wasm");
        if optimize {
            shrink(&module)?;
        }
        let size = std::fs::metadata(&module).context("reading the module's size")?;
        println!("{PACKAGE_FOLDER}/{name}: {:.2} MB", size.len() as f64 / 1e6);
        std::fs::create_dir_all(&out).with_context(|| format!("making {}", out.display()))?;
        copy(&module, &out.join(name))?;
        // One JavaScript file serves all builds.
        let script = std::fs::read(scratch.join("crane_wasm.js")).context("reading bindings")?;
        if bindings.as_ref().is_some_and(|other| *other != script) {
            bail!("{name} needs other bindings than the builds before it");
        }
        bindings = Some(script);
        for file in ["crane_wasm.js", "crane_wasm.d.ts", "crane_wasm_bg.wasm.d.ts"] {
            copy(&scratch.join(file), &out.join(file))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).with_context(|| format!("writing {}", to.display()))?;
    Ok(())
}

/// Builds packages for wasm32, together, so that what they share is compiled once.
pub fn compile(packages: &[&str], features: &str) -> Result<()> {
    let mut cargo = process::cargo("build --release --lib");
    for package in packages {
        cargo.args(["--package", package]);
    }
    cargo.args(["--features", features]);
    for package in COLD {
        // Not in Cargo.toml, where it would hold for native builds too.
        let profile = format!("profile.release.package.{package}");
        cargo.args(["--config", &format!("{profile}.opt-level=\"s\"")]);
        cargo.args(["--config", &format!("{profile}.codegen-units=1")]);
    }
    // RUSTFLAGS would displace the flags of `.cargo/config.toml`.
    process::run(cargo.env_remove("RUSTFLAGS").args(["--target", TARGET]))
}

/// Writes the module of a compiled package, with its JavaScript bindings, into `out`.
pub fn bind(package: &str, out: &Path, names: Names) -> Result<()> {
    let file = format!("{}.wasm", package.replace('-', "_"));
    let module = process::target_dir()?.join(TARGET).join("release").join(file);
    std::fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
    let mut bindgen = process::cargo("run --release --quiet --package xtask-bindgen --");
    bindgen.arg(&module).arg(out);
    if names == Names::Kept {
        bindgen.arg("--names");
    }
    process::run(&mut bindgen)
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
