//! `cargo xtask fuzz`: libFuzzer on every parser of bytes from strangers, with stable Rust.
//!
//! The flags are those of `cargo fuzz -s none`: coverage counters without a sanitizer, which stable Rust knows. All targets
//! are one program, so that they are compiled and linked once; only the workspace's own crates are compiled for it, the
//! others are those of the tests.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::process;

/// What one input may take, in seconds and MiB of the whole process.
const TIMEOUT: u64 = 5;
const MEMORY: u64 = 512;
/// Targets that run at a time.
const TOGETHER: usize = 2;
/// The lines of a failed target that are shown.
const LAST_LINES: usize = 12;

/// What to fuzz, and for how long.
#[derive(Debug, Args)]
pub struct Options {
    /// The targets; without one, all
    targets: Vec<String>,
    /// Seconds of each beyond its corpus
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// The seed of the search; 0 is another one each time
    #[arg(long, default_value_t = 0)]
    seed: u32,
    /// Only print the targets' names
    #[arg(long)]
    list: bool,
}

/// `cargo xtask fuzz`.
pub fn run(options: &Options) -> Result<ExitCode> {
    let program = build()?;
    let known = names(&program)?;
    if options.list {
        known.iter().for_each(|name| println!("{name}"));
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(unknown) = options.targets.iter().find(|name| !known.contains(name)) {
        bail!("there is no target {unknown}; there are {}", known.join(", "));
    }
    let chosen = if options.targets.is_empty() { known } else { options.targets.clone() };
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let broken = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..TOGETHER.min(chosen.len()) {
            scope.spawn(|| {
                while let Some(name) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match fuzz(&program, name, options) {
                        Ok(line) => println!("{line}"),
                        Err(error) => {
                            println!("FAILED {name}: {error:#}");
                            match failed.lock() {
                                Ok(mut failed) => failed.push(name.as_str()),
                                Err(_) => broken.store(true, Ordering::Relaxed),
                            }
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_default();
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    // In the words that `cargo xtask test` counts.
    println!("{} passed, {} failed", chosen.len() - failed.len(), failed.len());
    let is_well = failed.is_empty() && !broken.into_inner();
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Ten seconds of every target, as a part of the tests.
pub fn in_tests() -> Result<Command> {
    let mut fuzz = process::command(std::env::current_exe().context("finding this program")?);
    fuzz.args(["fuzz", "--seconds", "10", "--seed", "1"]);
    Ok(fuzz)
}

/// The program of all targets. The features are those of the native tests, so that dependencies are shared with them.
fn build() -> Result<PathBuf> {
    let mut cargo = process::cargo(
        "build --release --workspace --bin fuzz --features crane-sdk/golden,crane-fuzz/libfuzzer",
    );
    cargo.env("RUSTC_WORKSPACE_WRAPPER", process::root().join("xtask/fuzz/rustc"));
    // The counters make code large: optimised as a release it takes a quarter longer to compile.
    for package in ["crane-sdk", "crane-native", "crane-fuzz"] {
        cargo.args(["--config", &format!("profile.release.package.{package}.opt-level=1")]);
    }
    let start = Instant::now();
    process::run(&mut cargo)?;
    println!("built in {:.0} s", start.elapsed().as_secs_f64());
    Ok(process::target_dir()?.join("release/fuzz"))
}

fn names(program: &Path) -> Result<Vec<String>> {
    let list = process::output(process::command(program).env("CRANE_FUZZ_TARGET", "list"))?;
    Ok(list.lines().map(str::to_owned).collect())
}

/// Replays a target's corpus and seeds, then searches for so many seconds. Says how many inputs were tried.
fn fuzz(program: &Path, name: &str, options: &Options) -> Result<String> {
    let seconds = options.seconds;
    let folder = process::root().join("fuzz");
    let corpus = folder.join("corpus").join(name);
    let artifacts = folder.join("artifacts").join(name);
    for folder in [&corpus, &artifacts] {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let seeds = folder.join("seeds").join(name);
    if !seeds.is_dir() {
        bail!("it has no seeds in {}; fuzz/make_seeds.py writes them", seeds.display());
    }
    let stop = artifacts.join("stop");
    let _ = std::fs::remove_file(&stop);
    let mut libfuzzer = process::command(program);
    libfuzzer.env("CRANE_FUZZ_TARGET", name).env("RUST_BACKTRACE", "1");
    libfuzzer.arg(&corpus).arg(&seeds);
    libfuzzer.arg(format!("-timeout={TIMEOUT}")).arg(format!("-rss_limit_mb={MEMORY}"));
    libfuzzer.arg(format!("-artifact_prefix={}/", artifacts.display()));
    libfuzzer.arg(format!("-stop_file={}", stop.display()));
    libfuzzer.arg(format!("-seed={}", options.seed));
    libfuzzer.args(["-print_final_stats=1", "-reload=0"]);
    libfuzzer.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = libfuzzer.spawn().with_context(|| process::spell(&libfuzzer))?;
    let mut told = Told::default();
    let stderr = child.stderr.take().context("libFuzzer has no stderr")?;
    std::thread::scope(|scope| -> Result<()> {
        let mut reader = BufReader::new(stderr);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).context("reading libFuzzer's messages")? > 0 {
            let has_begun = told.began;
            told.read_line(String::from_utf8_lossy(&bytes).trim_end());
            bytes.clear();
            if told.began && !has_begun {
                let stop = &stop;
                scope.spawn(move || {
                    std::thread::sleep(Duration::from_secs(seconds));
                    std::fs::write(stop, "stop")
                });
            }
        }
        Ok(())
    })?;
    let status = child.wait().context("waiting for libFuzzer")?;
    let _ = std::fs::remove_file(&stop);
    if status.success() {
        return Ok(format!("{name}: {} inputs", told.tried));
    }
    let said = told.last.iter().map(|line| format!("\n    {line}")).collect::<String>();
    match told.written {
        Some(path) => bail!(
            "{status}; replay it with\n    CRANE_FUZZ_TARGET={name} {} {path}{said}",
            program.display()
        ),
        None => bail!("{status}, and no input was kept{said}"),
    }
}

/// What libFuzzer has said so far.
#[derive(Debug, Default)]
struct Told {
    /// Whether the corpus has been read and the search goes on.
    began: bool,
    /// Inputs that were tried.
    tried: u64,
    /// Where the input that does not hold was written.
    written: Option<String>,
    last: VecDeque<String>,
}

impl Told {
    fn read_line(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        if line.starts_with('#') && words.nth(1) == Some("INITED") {
            self.began = true;
        }
        if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
            self.tried = count.trim().parse().unwrap_or_default();
        }
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.written = Some(path.to_owned());
        }
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_libfuzzer_are_understood() {
        let mut told = Told::default();
        told.read_line("INFO: seed corpus: files: 3 INITED soon");
        assert!(!told.began);
        told.read_line("#4\tINITED cov: 12 ft: 13 corp: 2/9b exec/s: 0 rss: 50Mb");
        assert!(told.began);
        told.read_line("stat::number_of_executed_units: 95463");
        assert_eq!((told.tried, &told.written), (95_463, &None));
        let crash = "artifact_prefix='a/'; Test unit written to a/crash-00";
        told.read_line(crash);
        assert_eq!(told.written.as_deref(), Some("a/crash-00"));
        for i in 0..100 {
            told.read_line(&format!("line {i}"));
        }
        assert_eq!(told.last.len(), LAST_LINES);
        assert_eq!(told.last.back().map(String::as_str), Some("line 99"));
    }
}
