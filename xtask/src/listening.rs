//! A speech recogniser that writes down what hibari says, natively and in the page.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;
use crate::python::Environment;
use crate::setup::Outcome;

const PYTHON: Environment =
    Environment { name: "listening", requirements: "xtask/listening/requirements.txt" };

/// Installs the recogniser; its weights are among the test weights.
pub fn install() -> Result<Outcome> {
    PYTHON.install()
}

/// Where the page's test saves what it has heard.
pub fn recording() -> Result<PathBuf> {
    Ok(PYTHON.folder()?.join("page.wav"))
}

/// Transcribes what `crane tts` says, and what the page said to its test.
pub fn transcription() -> Result<Command> {
    let models =
        process::output(process::command("python3").args(["xtask/weights.py", "--folder"]))?;
    let [voice, whisper] =
        ["hibari", "whisper-base-ct2"].map(|name| PathBuf::from(&models).join(name));
    if let Some(missing) = [&voice, &whisper].into_iter().find(|folder| !folder.exists()) {
        bail!("{} is missing; `cargo xtask setup` fetches it", missing.display());
    }
    process::run(&mut process::cargo("build --release -p crane-native --bin crane"))?;
    let mut listen = process::command(PYTHON.program()?);
    listen.arg("xtask/listening/listen.py").arg(process::target_dir()?.join("release/crane"));
    listen.arg(voice).arg(whisper).arg(PYTHON.folder()?);
    Ok(listen)
}
