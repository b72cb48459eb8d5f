//! The standard library for wasm32-unknown-unknown: from rustup, or built from Debian's rust-src.
//!
//! Where rustup cannot download (a closed network with a Debian mirror, a Rust that is not rustup's),
//! the package `rust-src` of the very same compiler version holds the sources. std is built from them
//! once, and its libraries are laid where rustup would put them, so that a plain
//! `cargo build --target wasm32-unknown-unknown` works on stable.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::{self, find_program};
use crate::setup::Outcome;

const TARGET: &str = "wasm32-unknown-unknown";
/// rustup that cannot reach its server may take long to say so.
const RUSTUP_LIMIT: Duration = Duration::from_secs(180);
/// Where Debian keeps several versions of rust-src.
const SUITES: [&str; 3] = ["trixie-backports", "sid", "trixie"];

/// Sees to it that the active toolchain can build for wasm32.
pub fn install() -> Result<Outcome> {
    if let Some(outcome) = from_rustup(TARGET)? {
        return Ok(outcome);
    }
    println!(
        "rustup cannot add {TARGET} here; building its standard library from Debian's rust-src"
    );
    let scratch = process::target_dir()?.join("wasm-std");
    let sources = sysroot()?.join("lib/rustlib/src/rust/library");
    if !sources.join("Cargo.lock").is_file() {
        unpack_sources(&scratch, &sources)?;
    }
    let libraries = libraries(TARGET)?;
    build(&scratch, &libraries)?;
    if !has_std(&libraries) {
        bail!("std was built, but {} holds no libstd", libraries.display());
    }
    Ok(Outcome::Installed(format!("{} (built)", libraries.display())))
}

/// The standard library of `target`, if the active toolchain has it or rustup can add it.
pub fn from_rustup(target: &str) -> Result<Option<Outcome>> {
    let libraries = libraries(target)?;
    if has_std(&libraries) {
        return Ok(Some(Outcome::Present(libraries.display().to_string())));
    }
    let Some(rustup) = find_program("rustup") else { return Ok(None) };
    process::succeeds_within(
        process::command(rustup).args(["target", "add", target]),
        RUSTUP_LIMIT,
    );
    let installed = || Outcome::Installed(format!("{} (rustup)", libraries.display()));
    Ok(has_std(&libraries).then(installed))
}

fn sysroot() -> Result<PathBuf> {
    Ok(PathBuf::from(process::output(rustc().args(["--print", "sysroot"]))?))
}

fn libraries(target: &str) -> Result<PathBuf> {
    Ok(sysroot()?.join("lib/rustlib").join(target).join("lib"))
}

fn rustc() -> Command {
    process::command(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

fn has_std(libraries: &Path) -> bool {
    fs::read_dir(libraries).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libstd-") && name.ends_with(".rlib")
        })
    })
}

/// Fetches rust-src of this compiler's version, with lists of apt's own kept apart from the
/// system's, and puts the sources of std into the toolchain.
fn unpack_sources(scratch: &Path, sources: &Path) -> Result<()> {
    let version = process::output(rustc().arg("--version"))?;
    let version = version.split(' ').nth(1).context("reading rustc's version")?.to_owned();
    if find_program("apt-get").is_none() {
        bail!("no apt-get to fetch rust-src with; run `rustup target add {TARGET}` yourself");
    }
    fs::create_dir_all(scratch.join("lists/partial"))?;
    let list = scratch.join("sources.list");
    let mirror = debian_mirror()?;
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let lines = SUITES.map(|suite| format!("deb [signed-by={keyring}] {mirror} {suite} main\n"));
    fs::write(&list, lines.concat())?;
    let apt = |program: &str| {
        let mut command = process::command(program);
        command
            .arg(format!("-oDir::Etc::SourceList={}", list.display()))
            .arg("-oDir::Etc::SourceParts=/dev/null")
            .arg(format!("-oDir::State::Lists={}", scratch.join("lists").display()))
            .arg("-oAPT::Sandbox::User=root")
            .current_dir(scratch);
        command
    };
    process::run(apt("apt-get").args(["-q", "update"]))?;
    // Lines read "rust-src | 1.95.0+dfsg1-1 | ...".
    let known = process::output(apt("apt-cache").args(["madison", "rust-src"]))?;
    let package = known
        .lines()
        .filter_map(|line| line.split('|').nth(1))
        .map(str::trim)
        .find(|found| found.starts_with(&format!("{version}+dfsg")))
        .with_context(|| {
            format!("Debian has no rust-src {version}; run `rustup target add {TARGET}` yourself")
        })?;
    process::run(apt("apt-get").args(["-q", "download", &format!("rust-src={package}")]))?;
    let file = fs::read_dir(scratch)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get downloaded no rust-src package")?;
    let unpacked = scratch.join("unpacked");
    process::run(process::command("dpkg").arg("-x").arg(&file).arg(&unpacked))?;
    fs::remove_file(&file)?;
    let library = unpacked.join(format!("usr/src/rustc-{version}/library"));
    let parent = sources.parent().context("the sysroot has no parent folder")?;
    fs::create_dir_all(parent)?;
    process::run(process::command("cp").arg("-a").arg(&library).arg(parent))?;
    Ok(fs::remove_dir_all(&unpacked)?)
}

/// The Debian archive that this system's apt already uses.
fn debian_mirror() -> Result<String> {
    let parts = fs::read_to_string("/etc/apt/sources.list.d/debian.sources").unwrap_or_default();
    let lines = fs::read_to_string("/etc/apt/sources.list").unwrap_or_default();
    let from_parts = parts.lines().filter_map(|line| line.strip_prefix("URIs:"));
    let from_lines = lines.lines().filter_map(|line| line.strip_prefix("deb "));
    from_parts
        .chain(from_lines)
        .flat_map(str::split_whitespace)
        .find(|word| word.contains("://"))
        .map(str::to_owned)
        .context("apt's sources name no Debian archive")
}

/// Builds std for wasm32 as a dependency of an empty crate and copies its libraries out.
fn build(scratch: &Path, libraries: &Path) -> Result<()> {
    let package = scratch.join("package");
    fs::create_dir_all(package.join("src"))?;
    fs::write(package.join("src/lib.rs"), "")?;
    fs::write(
        package.join("Cargo.toml"),
        "[package]\nname = \"empty\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         [profile.release]\ncodegen-units = 1\npanic = \"abort\"\n[workspace]\n",
    )?;
    let mut cargo =
        process::cargo("build --release -Zbuild-std=std,panic_abort,panic_unwind,proc_macro,test");
    let build_dir = scratch.join("build");
    process::run(
        cargo
            .args(["--target", TARGET])
            .current_dir(&package)
            .env("RUSTC_BOOTSTRAP", "1")
            // The libraries must serve builds with and without link-time optimisation.
            .env("RUSTFLAGS", "-Cembed-bitcode=yes")
            .env("CARGO_TARGET_DIR", &build_dir),
    )?;
    fs::create_dir_all(libraries)?;
    for entry in fs::read_dir(build_dir.join(TARGET).join("release/deps"))?.flatten() {
        let name = entry.file_name();
        let text = name.to_string_lossy();
        if text.ends_with(".rlib") && !text.starts_with("libempty-") {
            fs::copy(entry.path(), libraries.join(&name))?;
        }
    }
    Ok(())
}
