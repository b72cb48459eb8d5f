//! How long programs take from the command to the first token, and how much memory they hold then.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::{Options, median, round};
use crate::process;

/// Turns of each program: a start is short, so one may be disturbed.
const ROUNDS: usize = 5;

/// One program's start, with the weights in the page cache.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Start {
    pub program: String,
    pub threads: usize,
    /// Milliseconds from the command to its end after one token: the median of the turns.
    pub ms: f64,
    /// Every turn's milliseconds.
    pub samples: Vec<f64>,
    /// The most memory that the program held, in bytes, pages of mapped files included.
    pub peak_rss: u64,
}

/// Crane, and llama.cpp where `$LLAMA_BENCH` lies beside `llama-completion`, in turns.
pub(super) fn measure(options: &Options, threads: usize) -> Result<Vec<Start>> {
    let model = std::env::current_dir().context("finding the current folder")?.join(&options.model);
    let count = threads.to_string();
    let mut crane = process::command(process::target_dir()?.join("release/crane"));
    crane.args(["run", "--temp", "0", "-n", "1", "-t", &count, "-m"]).arg(&model).arg("Hello");
    let mut programs = vec![("Crane", crane)];
    let beside = |bench| Path::new(&bench).with_file_name("llama-completion");
    let llama = std::env::var_os("LLAMA_BENCH").map(beside).filter(|program| program.exists());
    if let (true, Some(program)) = (model.extension().is_some_and(|end| end == "gguf"), llama) {
        let mut command = process::command(program);
        command.args(["-n", "1", "--temp", "0", "-t", &count, "-p", "Hello", "-no-cnv", "-m"]);
        command.arg(&model);
        programs.push(("llama.cpp", command));
    }
    let mut starts: Vec<Start> = programs
        .iter()
        .map(|(name, _)| Start {
            program: (*name).to_owned(),
            threads,
            ms: 0.0,
            samples: Vec::new(),
            peak_rss: 0,
        })
        .collect();
    for _ in 0..ROUNDS {
        for (start, (_, command)) in starts.iter_mut().zip(&mut programs) {
            let (ms, peak) = once(command)?;
            start.samples.push(round(ms));
            start.peak_rss = start.peak_rss.max(peak);
        }
    }
    starts.iter_mut().for_each(|start| start.ms = round(median(start.samples.clone())));
    Ok(starts)
}

/// Runs a program to its end: milliseconds, and the most bytes that it held.
pub(super) fn once(command: &mut Command) -> Result<(f64, u64)> {
    let begun = Instant::now();
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {}", process::spell(command)))?;
    let (ok, peak) = wait(child)?;
    if !ok {
        bail!("{} failed", process::spell(command));
    }
    Ok((begun.elapsed().as_secs_f64() * 1e3, peak))
}

#[cfg(unix)]
fn wait(child: std::process::Child) -> Result<(bool, u64)> {
    let mut status = 0;
    // SAFETY: all zeros are a valid value of this struct of numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the child has not been waited for, and both places are this function's own.
    let ended =
        unsafe { libc::wait4(child.id().cast_signed(), &raw mut status, 0, &raw mut usage) };
    if ended < 0 {
        return Err(std::io::Error::last_os_error()).context("waiting for the program");
    }
    // Linux counts in KiB, macOS in bytes.
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    Ok((status == 0, u64::try_from(usage.ru_maxrss).unwrap_or(0) * unit))
}

#[cfg(not(unix))]
fn wait(mut child: std::process::Child) -> Result<(bool, u64)> {
    Ok((child.wait().context("waiting for the program")?.success(), 0))
}
