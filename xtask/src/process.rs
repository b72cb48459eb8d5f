//! Running other programs: where they run, what their failure says, which of them exist.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The repository's root folder.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// The folder that cargo builds into: the one this program was built into.
pub fn target_dir() -> Result<PathBuf> {
    let program = std::env::current_exe().context("finding the target folder")?;
    let target = program.ancestors().nth(2).context("finding the target folder")?;
    Ok(target.to_path_buf())
}

/// A program to be run in the repository's root.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// The cargo that runs this program, with the words of `line` as arguments.
pub fn cargo(line: &str) -> Command {
    let mut command = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(line.split_whitespace());
    // Cargo sets these for the program it runs; in a child they would make build scripts run again.
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("CARGO_PKG_") || name_text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// What native builds compile, all of them the same: another choice of packages or features is another build of candle and
/// of the kernels, which takes minutes.
pub const EVERYTHING: &str = "--release --workspace --features crane-sdk/golden";

/// The program of the workspace that is called `name`, built of this very source.
///
/// # Errors
/// If it does not compile.
pub fn built(name: &str) -> Result<PathBuf> {
    run(&mut cargo(&format!("build --quiet {EVERYTHING} --bin {name}")))?;
    Ok(target_dir()?.join("release").join(name))
}

/// The command as a person would type it.
pub fn spell(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let program_name =
        |word: &OsStr| Path::new(word).file_name().unwrap_or(word).to_string_lossy().into_owned();
    words
        .enumerate()
        .map(
            |(i, word)| {
                if i == 0 { program_name(word) } else { word.to_string_lossy().into_owned() }
            },
        )
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs the command with its output on this terminal; failing is an error.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {}", spell(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", spell(command));
    }
    Ok(())
}

/// Runs the command, shows its standard output line by line as it comes, and hands each line on.
/// Returns whether it succeeded.
pub fn watch(command: &mut Command, mut line: impl FnMut(&str)) -> Result<bool> {
    let spelled = spell(command);
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("starting {spelled}"))?;
    if let Some(stdout) = child.stdout.take() {
        let mut reader = BufReader::new(stdout);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).with_context(|| format!("reading {spelled}"))?
            > 0
        {
            let text = String::from_utf8_lossy(&bytes);
            print!("{text}");
            line(text.trim_end());
            bytes.clear();
        }
    }
    Ok(child.wait().with_context(|| format!("waiting for {spelled}"))?.success())
}

/// The standard output of the command, trimmed; failing is an error with what it said.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("starting {}", spell(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed ({}): {}", spell(command), output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs the command for at most `limit`, its output hidden; whether it succeeded in time.
pub fn succeeds_within(command: &mut Command, limit: Duration) -> bool {
    let Ok(mut child) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
        return false;
    };
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if start.elapsed() < limit => std::thread::sleep(Duration::from_millis(50)),
            _ => {
                // It may have ended just now; either way it is gone after this.
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

/// Where a program is on PATH.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}
