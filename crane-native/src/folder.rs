//! A model that lies on disk: a folder, or one `.gguf` file with its sister shards, memory-mapped.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crane_sdk::source::{Blob, Source, checked_range};
use crane_sdk::{Error, Result};

/// How deep a model folder is searched; published layouts (speech models with one folder a part)
/// need two levels.
const MAX_DEPTH: usize = 4;
/// The reason of a closed door.
const DENIED: &str = "permission denied; check who owns it";
/// More files than any model has: such a folder is a home folder or a disk, not a model.
const MAX_FILES: usize = 20_000;

/// The files of a model on disk, each opened as a memory map.
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
        Ok(Self { root: path.to_owned(), label: path.display().to_string(), only: None })
    }

    /// One file, or all parts of the split GGUF set (`name-00001-of-00003.gguf`) it belongs to.
    ///
    /// # Errors
    /// [`Error::NotFound`] if a part is missing, [`Error::Io`] if the path has no file name.
    pub fn file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(Error::Io {
                path: path.display().to_string(),
                reason: "it has no file name that is valid UTF-8".to_owned(),
            });
        };
        let root = path.parent().unwrap_or(Path::new("")).to_owned();
        let only = split_set(name).unwrap_or_else(|| vec![name.to_owned()]);
        for part in &only {
            let part = root.join(part);
            fs::metadata(&part).map_err(|error| path_error(&part, &error))?;
        }
        Ok(Self { root, label: path.display().to_string(), only: Some(only) })
    }

    /// Some files of a folder, as when a cache folder holds several quantisations of one model.
    pub fn some_files(root: impl Into<PathBuf>, files: Vec<String>) -> Self {
        let root = root.into();
        Self { label: root.display().to_string(), root, only: Some(files) }
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
        if !known || !is_relative(name) {
            return Err(Error::NotFound {
                what: name.to_owned(),
                place: self.label.clone(),
                hint: "the model does not have this file".to_owned(),
            });
        }
        Ok(Arc::new(MappedFile::open(&self.root.join(name))?))
    }

    fn contains(&self, name: &str) -> Result<bool> {
        Ok(match &self.only {
            Some(only) => only.iter().any(|file| file == name),
            None => is_relative(name) && self.root.join(name).is_file(),
        })
    }
}

/// One memory-mapped file. Pages are read when they are touched and shared with other processes.
#[derive(Debug)]
struct MappedFile {
    label: String,
    map: Option<memmap2::Mmap>,
}

impl MappedFile {
    fn open(path: &Path) -> Result<Self> {
        let label = path.display().to_string();
        let file = File::open(path).map_err(|error| path_error(path, &error))?;
        let meta = file.metadata().map_err(|error| path_error(path, &error))?;
        if !meta.is_file() {
            let reason = "it is a folder where a file is needed".to_owned();
            return Err(Error::Io { path: label, reason });
        }
        if meta.len() == 0 {
            return Ok(Self { label, map: None });
        }
        // SAFETY: the map is private and read-only. Cache files are written under another name and
        // moved into place, never changed afterwards; a user's own file must not be truncated while
        // the model runs, which is the contract of every engine that maps its weights.
        let map = unsafe { memmap2::Mmap::map(&file) }
            .map_err(|error| map_error(path, meta.len(), &error))?;
        Ok(Self { label, map: Some(map) })
    }
}

impl Blob for MappedFile {
    fn label(&self) -> &str {
        &self.label
    }

    fn len(&self) -> u64 {
        self.map.as_ref().map_or(0, |map| map.len() as u64)
    }

    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        let range = checked_range(&self.label, self.len(), offset, len)?;
        let bytes: &[u8] = self.map.as_ref().map_or(&[], |map| map);
        bytes.get(range).map(Cow::Borrowed).ok_or_else(|| Error::Io {
            path: self.label.clone(),
            reason: "the range does not lie in the map".to_owned(),
        })
    }

    #[cfg(unix)]
    fn discard(&self, offset: u64, len: usize) {
        if let Ok(range) = checked_range(&self.label, self.len(), offset, len) {
            self.drop_pages(range);
        }
    }
}

impl MappedFile {
    /// Drops the pages that lie wholly in a range; they would be read again from the file.
    #[cfg(unix)]
    fn drop_pages(&self, range: std::ops::Range<usize>) {
        /// At least the page size of every system in use.
        const PAGE: usize = 1 << 16;
        let (start, end) = (range.start.next_multiple_of(PAGE), range.end / PAGE * PAGE);
        if let (Some(map), true) = (&self.map, start < end) {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: the map is shared with the file and never written, so dropped pages come back
            // with the same bytes; a slice that is still lent stays valid.
            let dropped = unsafe { map.unchecked_advise_range(advice, start, end - start) };
            // Advice that is not taken costs memory, nothing else.
            let _ = dropped;
        }
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

/// Whether a name stays below the folder that it is joined to.
pub(crate) fn is_relative(name: &str) -> bool {
    !name.is_empty()
        && !name.contains(['\\', '\0', ':'])
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

/// Says why a file cannot be mapped: address space may be what lacks (`ulimit -v`).
fn map_error(path: &Path, bytes: u64, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::OutOfMemory => Error::OutOfMemory {
            what: format!("a map of {}", path.display()),
            bytes,
            hint: "raise the limit on address space (ulimit -v), or take a smaller \
                   quantisation or a smaller model"
                .to_owned(),
        },
        _ => path_error(path, error),
    }
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
