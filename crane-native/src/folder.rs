//! A model that lies on disk: a folder, or one `.gguf` file with its sister shards.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crane_sdk::source::{Blob, Source, checked_range};
use crane_sdk::{Error, Result};

use crate::regular;

/// How deep a model folder is searched; published layouts (speech models with one folder a part)
/// need two levels.
const MAX_DEPTH: usize = 4;
/// The reason of a closed door.
const DENIED: &str = "permission denied; check who owns it";
/// More files than any model has: such a folder is a home folder or a disk, not a model.
const MAX_FILES: usize = 20_000;

/// The files of a model on disk, read part by part. A file that changes while it is read is an error.
///
/// ```no_run
/// use crane_native::folder::FolderSource;
/// use crane_sdk::source::Source;
///
/// # fn main() -> crane_sdk::Result<()> {
/// let source = FolderSource::open_path("models/Qwen2.5-0.5B-Instruct")?;
/// let config = source.open("config.json")?;
/// assert!(config.len() > 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FolderSource {
    root: PathBuf,
    label: String,
    /// The only files that belong to the source, or everything below `root`.
    only: Option<Vec<String>>,
    /// The path of a single file whose name is not UTF-8, under the name that it has here.
    exact: Option<(String, PathBuf)>,
}

impl FolderSource {
    /// Opens a folder, or a single `.gguf` file (of a split set, any part: all parts belong to it).
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is nothing at `path` or a part of a split set is missing,
    /// [`Error::Io`] if it cannot be read or is neither a folder nor a file.
    pub fn open_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let meta = fs::metadata(path).map_err(|error| path_error(path, &error))?;
        if meta.is_dir() {
            Self::folder(path)
        } else if meta.is_file() {
            Self::file(path)
        } else {
            Err(Error::Io {
                path: path.display().to_string(),
                reason: "it is neither a folder nor a regular file".to_owned(),
            })
        }
    }

    /// Every file below a folder; hidden files and folders are left out.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::Io`] if the folder cannot be listed.
    pub fn folder(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        fs::read_dir(path).map_err(|error| path_error(path, &error))?;
        let label = path.display().to_string();
        Ok(Self { root: path.to_owned(), label, only: None, exact: None })
    }

    /// One file, or all parts of the split GGUF set (`name-00001-of-00003.gguf`) it belongs to.
    ///
    /// # Errors
    /// [`Error::NotFound`] if a part is missing, [`Error::Io`] if the path has no file name.
    pub fn file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let label = path.display().to_string();
        let Some(name) = path.file_name() else {
            let reason = "it has no file name".to_owned();
            return Err(Error::Io { path: label, reason });
        };
        let root = path.parent().unwrap_or(Path::new("")).to_owned();
        let Some(name) = name.to_str() else {
            fs::metadata(path).map_err(|error| path_error(path, &error))?;
            let name = name.to_string_lossy().into_owned();
            let exact = Some((name.clone(), path.to_owned()));
            return Ok(Self { root, label, only: Some(vec![name]), exact });
        };
        let only = split_set(name).unwrap_or_else(|| vec![name.to_owned()]);
        for part in &only {
            let part = root.join(part);
            fs::metadata(&part).map_err(|error| path_error(&part, &error))?;
        }
        Ok(Self { root, label, only: Some(only), exact: None })
    }

    /// Some files of a folder, as when a cache folder holds several quantisations of one model.
    pub fn some_files(root: impl Into<PathBuf>, files: Vec<String>) -> Self {
        let root = root.into();
        Self { label: root.display().to_string(), root, only: Some(files), exact: None }
    }

    /// The same source under another name in messages, such as the hub id it was fetched by.
    #[must_use]
    pub fn with_label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// The folder that names are relative to.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Source for FolderSource {
    fn label(&self) -> String {
        self.label.clone()
    }

    fn files(&self) -> Result<Vec<String>> {
        let mut files = match &self.only {
            Some(only) => only.clone(),
            None => {
                let mut files = Vec::new();
                list(&self.root, "", 0, &mut files)?;
                files
            }
        };
        files.sort();
        Ok(files)
    }

    fn open(&self, name: &str) -> Result<Arc<dyn Blob>> {
        let known = self.only.as_ref().is_none_or(|only| only.iter().any(|file| file == name));
        if !known || !stays_below(name) {
            return Err(Error::NotFound {
                what: name.to_owned(),
                place: self.label.clone(),
                hint: "the model does not have this file".to_owned(),
            });
        }
        let exact = self.exact.as_ref().filter(|(known, _)| known == name);
        let path = exact.map_or_else(|| self.root.join(name), |(_, path)| path.clone());
        Ok(Arc::new(OpenFile::open(&path)?))
    }

    fn contains(&self, name: &str) -> Result<bool> {
        Ok(match &self.only {
            Some(only) => only.iter().any(|file| file == name),
            None => stays_below(name) && self.root.join(name).is_file(),
        })
    }
}

/// One file, whose bytes are copied as they are asked for.
///
/// Weights are packed for the kernels while they are loaded, so they are copied in any case. A memory map would save
/// nothing, and a file that shrinks under a map ends the process (SIGBUS).
#[derive(Debug)]
struct OpenFile {
    label: String,
    file: Mutex<File>,
    /// What the file was when it was opened.
    opened: State,
}

/// What tells that a file is not what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    len: u64,
    modified: Option<SystemTime>,
}

impl State {
    fn of(file: &File) -> io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self { len: meta.len(), modified: meta.modified().ok() })
    }
}

impl OpenFile {
    fn open(path: &Path) -> Result<Self> {
        let opened = regular::open(path).and_then(|file| Ok((State::of(&file)?, file)));
        let (opened, file) = opened.map_err(|error| path_error(path, &error))?;
        Ok(Self { label: path.display().to_string(), file: Mutex::new(file), opened })
    }

    fn unreadable(&self, error: &io::Error) -> Error {
        Error::Io { path: self.label.clone(), reason: error.to_string() }
    }

    fn changed(&self, now: State) -> Error {
        let reason = match (self.opened.len, now.len) {
            (before, now) if before == now => "it was written to".to_owned(),
            (before, now) => format!("it had {before} bytes and has {now} now"),
        };
        Error::Changed { file: self.label.clone(), reason }
    }
}

impl Blob for OpenFile {
    fn label(&self) -> &str {
        &self.label
    }

    fn len(&self) -> u64 {
        self.opened.len
    }

    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        checked_range(&self.label, self.len(), offset, len)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| Error::OutOfMemory {
            what: self.label.clone(),
            bytes: len as u64,
            hint: "take a smaller quantisation or a smaller model".to_owned(),
        })?;
        // A file has one position, which readers share.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset)).map_err(|error| self.unreadable(&error))?;
        let mut part = Read::take(&mut *file, len as u64);
        part.read_to_end(&mut bytes).map_err(|error| self.unreadable(&error))?;
        // Looked at afterwards, so that a change while the bytes were copied counts.
        let now = State::of(&file).map_err(|error| self.unreadable(&error))?;
        if now != self.opened || bytes.len() != len {
            return Err(self.changed(now));
        }
        Ok(Cow::Owned(bytes))
    }
}

/// The names of all parts of a split GGUF set, if `name` is one of its parts.
///
/// The convention is `NAME-00001-of-00003.gguf`, counted from one.
pub(crate) fn split_set(name: &str) -> Option<Vec<String>> {
    let stem = name.strip_suffix(".gguf")?;
    let (rest, total) = stem.rsplit_once("-of-")?;
    let (prefix, part) = rest.rsplit_once('-')?;
    if part.len() != 5 || total.len() != 5 {
        return None;
    }
    let (part, total): (u32, u32) = (part.parse().ok()?, total.parse().ok()?);
    (1..=total)
        .contains(&part)
        .then(|| (1..=total).map(|i| format!("{prefix}-{i:05}-of-{total:05}.gguf")).collect())
}

/// Whether a name stays below the folder that it is joined to, on every system: the rule for names that come from elsewhere.
pub(crate) fn is_relative(name: &str) -> bool {
    stays_below(name) && !name.contains(['\\', ':'])
}

/// Whether a name stays below the folder that it is joined to, on this system: a file here may be called `a:b`.
fn stays_below(name: &str) -> bool {
    let foreign: &[char] = if cfg!(windows) { &['\\', ':', '\0'] } else { &['\0'] };
    !name.is_empty()
        && !name.contains(foreign)
        && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

fn list(folder: &Path, prefix: &str, depth: usize, files: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|error| path_error(folder, &error))? {
        let entry = entry.map_err(|error| path_error(folder, &error))?;
        let name = entry.file_name();
        // A name that is not UTF-8 cannot be a file of a checkpoint.
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
        // Follows links, since cache folders are made of them; a broken one is skipped here and
        // named when something asks for it.
        let Ok(meta) = fs::metadata(entry.path()) else { continue };
        if meta.is_dir() && depth + 1 < MAX_DEPTH {
            match list(&entry.path(), &format!("{prefix}{name}/"), depth + 1, files) {
                // A closed folder somewhere below holds no part of a model that can be read.
                Err(Error::Io { reason, .. }) if reason == DENIED => {}
                listed => listed?,
            }
        } else if meta.is_file() {
            files.push(format!("{prefix}{name}"));
        }
        if files.len() > MAX_FILES {
            return Err(Error::Io {
                path: folder.display().to_string(),
                reason: format!("it holds over {MAX_FILES} files; a model folder is expected"),
            });
        }
    }
    Ok(())
}

/// Says why a path cannot be read, telling a missing file from a broken link and a closed door.
fn path_error(path: &Path, error: &io::Error) -> Error {
    let shown = path.display().to_string();
    match error.kind() {
        io::ErrorKind::NotFound => match fs::read_link(path) {
            Ok(target) => Error::Io {
                path: shown,
                reason: format!(
                    "it is a link to {}, which does not exist; fetch the model again",
                    target.display()
                ),
            },
            Err(_) => Error::NotFound {
                what: path.file_name().map_or(shown.clone(), |n| n.to_string_lossy().into_owned()),
                place: path.parent().map_or_else(String::new, |folder| {
                    let folder = folder.display().to_string();
                    if folder.is_empty() { "the current folder".to_owned() } else { folder }
                }),
                hint: "check the path".to_owned(),
            },
        },
        io::ErrorKind::PermissionDenied => Error::Io { path: shown, reason: DENIED.to_owned() },
        _ => Error::Io { path: shown, reason: error.to_string() },
    }
}
