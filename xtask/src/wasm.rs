//! Building for the browser: the wasm modules, their JavaScript bindings, and wasm-opt for releases.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

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

/// A build of crane-wasm. An engine refuses a module with an instruction that it does not know, so what only some
/// engines have is a build of its own.
struct Build {
    features: &'static str,
    /// Whether instances in several workers share its memory, which only isolated pages let them.
    shared: bool,
    /// What the module is called, without `_bg.wasm`, and its bindings, without `.js`.
    module: &'static str,
    bindings: &'static str,
}

/// Those with the same features follow each other, so that crates are compiled once.
const BUILDS: [Build; 3] = [
    Build {
        features: FEATURES,
        shared: true,
        module: "crane_wasm_threads",
        bindings: "crane_wasm_threads",
    },
    Build {
        features: FEATURES,
        shared: false,
        module: "crane_wasm_relaxed",
        bindings: "crane_wasm",
    },
    Build { features: "", shared: false, module: "crane_wasm", bindings: "crane_wasm" },
];

/// What a module is linked with whose memory is shared. The standard library is not made for that: `crane-sdk`'s
/// `kernels/threads` says why it goes well all the same. wasm-bindgen wants the exports.
const SHARED_MEMORY: [&str; 9] = [
    "--shared-memory",
    "--import-memory",
    "--no-check-features",
    // All that 32 bits reach: a memory that is shared has to name its end.
    "--max-memory=4294967296",
    "--export=__heap_base",
    "--export=__wasm_init_tls",
    "--export=__tls_size",
    "--export=__tls_align",
    "--export=__tls_base",
];

/// Crates that no token waits for: read once when a model is loaded, or run once a prompt. They are built to
/// be small, since a page fetches them before it can do anything.
const COLD: [&str; 33] = [
    "aho-corasick",
    "candle-core",
    "candle-nn",
    "daachorse",
    "derivre",
    "fancy-regex",
    "flate2",
    "gemm",
    "gemm-common",
    "gemm-f16",
    "gemm-f32",
    "gemm-f64",
    "hashbrown",
    "indexmap",
    "jiff",
    "jiff-core",
    "llguidance",
    "minijinja",
    "minijinja-contrib",
    "miniz_oxide",
    "rayon",
    "rayon-core",
    "regex-automata",
    "regex-syntax",
    "rustfft",
    "safetensors",
    "serde",
    "serde-wasm-bindgen",
    "serde_core",
    "serde_json",
    "tokenizers",
    "toktrie",
    "yaml-rust2",
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
    let mut scripts: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    std::fs::create_dir_all(&out).with_context(|| format!("making {}", out.display()))?;
    for Build { features, shared, module: name, bindings } in BUILDS {
        let scratch = process::target_dir()?.join("wasm-package");
        match shared {
            true => compile_shared(features)?,
            false => compile(&["crane-wasm"], features)?,
        }
        bind("crane-wasm", &scratch, names)?;
        let module = scratch.join("crane_wasm_bg.wasm");
        if optimize {
            shrink(&module)?;
        }
        let size = std::fs::metadata(&module).context("reading the module's size")?;
        println!("{PACKAGE_FOLDER}/{name}_bg.wasm: {:.2} MB", size.len() as f64 / 1e6);
        copy(&module, &out.join(format!("{name}_bg.wasm")))?;
        // One JavaScript file serves several builds.
        let script = std::fs::read(scratch.join("crane_wasm.js")).context("reading bindings")?;
        if scripts.insert(bindings, script.clone()).is_some_and(|other| other != script) {
            bail!("{name} needs other bindings than the builds before it");
        }
        for end in [".js", ".d.ts", "_bg.wasm.d.ts"] {
            let from = scratch.join(format!("crane_wasm{end}"));
            copy(&from, &out.join(format!("{bindings}{end}")))?;
        }
    }
    Ok(())
}

/// Whether the npm package has all modules, none of them older than what it is built from.
pub fn is_current() -> bool {
    let out = process::root().join(PACKAGE_FOLDER);
    let oldest = BUILDS
        .iter()
        .map(|build| modified(&out.join(format!("{}_bg.wasm", build.module))))
        .min()
        .flatten();
    let sources = ["crane-sdk/src", "crane-wasm/src", "crane-wasm/Cargo.toml", "Cargo.lock"];
    let newest = sources.iter().filter_map(|name| newest_in(&process::root().join(name))).max();
    oldest.is_some_and(|oldest| newest.is_none_or(|newest| newest <= oldest))
}

fn modified(file: &Path) -> Option<SystemTime> {
    file.metadata().and_then(|metadata| metadata.modified()).ok()
}

/// When the newest file of a folder was changed, or the file itself.
fn newest_in(path: &Path) -> Option<SystemTime> {
    if !path.is_dir() {
        return modified(path);
    }
    let entries = std::fs::read_dir(path).ok()?;
    entries.flatten().filter_map(|entry| newest_in(&entry.path())).max()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).with_context(|| format!("writing {}", to.display()))?;
    Ok(())
}

/// Builds packages for wasm32, together, so that what they share is compiled once.
pub fn compile(packages: &[&str], features: &str) -> Result<()> {
    let mut cargo = cargo("build", features);
    for package in packages {
        cargo.args(["--package", package]);
    }
    process::run(&mut cargo)
}

/// Builds crane-wasm so that instances share its memory; only the linking differs.
fn compile_shared(features: &str) -> Result<()> {
    let mut cargo = cargo("rustc", features);
    cargo.args(["--package", "crane-wasm", "--crate-type", "cdylib", "--"]);
    cargo.args(SHARED_MEMORY.map(|argument| format!("-Clink-arg={argument}")));
    process::run(&mut cargo)
}

/// A cargo command that builds for wasm32.
fn cargo(command: &str, features: &str) -> Command {
    let mut cargo = process::cargo(&format!("{command} --release --lib"));
    cargo.args(["--features", features]);
    for package in COLD {
        // Not in Cargo.toml, where it would hold for native builds too.
        let profile = format!("profile.release.package.{package}");
        // Sound and dense products still pass through a few of them.
        let computes =
            ["candle-", "gemm", "rayon", "rustfft"].iter().any(|it| package.starts_with(it));
        let level = if computes { "s" } else { "z" };
        cargo.args(["--config", &format!("{profile}.opt-level=\"{level}\"")]);
        cargo.args(["--config", &format!("{profile}.codegen-units=1")]);
    }
    // RUSTFLAGS would displace the flags of `.cargo/config.toml`.
    cargo.env_remove("RUSTFLAGS").args(["--target", TARGET]);
    cargo
}

/// Writes the module of a compiled package, with its JavaScript bindings, into `out`.
pub fn bind(package: &str, out: &Path, names: Names) -> Result<()> {
    let file = format!("{}.wasm", package.replace('-', "_"));
    let module = process::target_dir()?.join(TARGET).join("release").join(file);
    std::fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
    let mut bindgen = process::command(process::built("xtask-bindgen")?);
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
