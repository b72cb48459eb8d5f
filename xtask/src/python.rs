//! Python environments of the tests, each in a folder of its own below the target folder.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::process;
use crate::setup::{Outcome, apt_install};

/// An environment and what it holds.
pub struct Environment {
    /// Its folder's name.
    pub name: &'static str,
    /// The file of its packages, with versions.
    pub requirements: &'static str,
}

impl Environment {
    /// Makes it, unless it was made from these very requirements.
    pub fn install(&self) -> Result<Outcome> {
        let folder = self.folder()?;
        let place = folder.display().to_string();
        let wanted = std::fs::read(process::root().join(self.requirements))
            .with_context(|| format!("reading {}", self.requirements))?;
        let stamp = folder.join("installed-from.txt");
        if std::fs::read(&stamp).is_ok_and(|from| from == wanted) {
            return Ok(Outcome::Present(place));
        }
        if process::output(process::command("python3").args(["-c", "import ensurepip, venv"]))
            .is_err()
        {
            apt_install("python3-venv")?;
        }
        process::run(process::command("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        let mut pip = process::command(self.program()?);
        pip.args(["-m", "pip", "install", "--quiet", "-r", self.requirements]);
        process::run(&mut pip)?;
        std::fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))?;
        Ok(Outcome::Installed(place))
    }

    /// Its folder.
    pub fn folder(&self) -> Result<PathBuf> {
        Ok(process::target_dir()?.join(self.name))
    }

    /// Its interpreter.
    pub fn program(&self) -> Result<PathBuf> {
        Ok(self.folder()?.join("bin/python"))
    }
}
