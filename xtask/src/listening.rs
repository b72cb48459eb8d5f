//! A speech recogniser that writes down what hibari says, natively and in the page.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

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

/// The folders of the voice and the recogniser's weights, among the test weights.
pub fn models() -> Result<[PathBuf; 2]> {
    let folder =
        process::output(process::command("python3").args(["xtask/weights.py", "--folder"]))?;
    let folders = ["hibari", "whisper-base-ct2"].map(|name| PathBuf::from(&folder).join(name));
    if let Some(missing) = folders.iter().find(|folder| !folder.exists()) {
        bail!("{} is missing; `cargo xtask setup` fetches it", missing.display());
    }
    Ok(folders)
}

/// Transcribes what `crane tts` says, and what the page said to its test.
pub fn transcription() -> Result<Command> {
    let [voice, whisper] = models()?;
    let mut listen = process::command(PYTHON.program()?);
    listen.arg("xtask/listening/listen.py").arg(process::built("crane")?);
    listen.arg(voice).arg(whisper).arg(PYTHON.folder()?);
    Ok(listen)
}

/// Of each folder with a wav file for each of the recogniser's sentences, the part of the words that are heard as others.
pub fn rates(whisper: &Path, folders: &[&PathBuf]) -> Result<Vec<f64>> {
    let mut listen = process::command(PYTHON.program()?);
    listen.arg("xtask/listening/rates.py").arg(whisper).args(folders);
    let text = process::output(&mut listen)?;
    let rates: BTreeMap<PathBuf, f64> =
        serde_json::from_str(&text).context("reading the recogniser's JSON")?;
    let rate = |folder: &&PathBuf| rates.get(*folder).copied().context("a folder has no rate");
    folders.iter().map(rate).collect()
}
