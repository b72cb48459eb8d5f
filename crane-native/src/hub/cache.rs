//! The cache layout that the Hugging Face family shares, so that nothing is fetched twice:
//! `models--org--name/{blobs,refs,snapshots}`.
//!
//! A blob is named by its checksum, a snapshot is a folder of links named by its commit, and a ref is a
//! small file that holds the commit a branch pointed at.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::progress::{Event, Progress};
use crate::{Error, Result, regular};

/// The longest file that holds a commit, in bytes.
const MAX_REF: u64 = 4096;

/// One repository's place in the cache.
#[derive(Debug, Clone)]
pub(crate) struct RepoCache {
    cache_dir: PathBuf,
    folder_name: String,
}

impl RepoCache {
    pub(crate) fn new(cache_dir: &Path, repo: &str) -> Self {
        let folder_name = format!("models--{}", repo.replace('/', "--"));
        Self { cache_dir: cache_dir.to_owned(), folder_name }
    }

    /// `models--org--name`.
    pub(crate) fn folder(&self) -> PathBuf {
        self.cache_dir.join(&self.folder_name)
    }

    pub(crate) fn blob(&self, name: &str) -> PathBuf {
        self.folder().join("blobs").join(name)
    }

    /// Where a blob grows until it is whole.
    pub(crate) fn incomplete(&self, key: &str) -> PathBuf {
        self.folder().join("blobs").join(format!("{key}.incomplete"))
    }

    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder().join("snapshots").join(commit)
    }

    /// The commit that a revision pointed at when it was last fetched; a commit is itself.
    pub(crate) fn commit(&self, revision: &str) -> Option<String> {
        match regular::read_text(&self.folder().join("refs").join(revision), MAX_REF) {
            Ok(commit) => Some(commit.trim().to_owned()).filter(|commit| is_safe_name(commit)),
            Err(_) => self.snapshot(revision).is_dir().then(|| revision.to_owned()),
        }
    }

    /// Remembers the commit of a revision.
    pub(crate) fn set_commit(&self, revision: &str, commit: &str) -> Result<()> {
        if revision == commit {
            return Ok(());
        }
        let path = self.folder().join("refs").join(revision);
        create_parent(&path)?;
        let partial = path.with_added_extension(format!("{}.part", std::process::id()));
        regular::replace(&partial)
            .and_then(|mut file| file.write_all(commit.as_bytes()))
            .map_err(|e| Error::io("cannot write", &partial, &e))?;
        fs::rename(&partial, &path).map_err(|e| Error::io("cannot move into place", &path, &e))
    }

    /// Makes `file` of a snapshot lead to a blob.
    pub(crate) fn link(&self, commit: &str, file: &str, name: &str) -> Result<()> {
        let pointer = self.snapshot(commit).join(file);
        let blob = self.blob(name);
        if same_file(&pointer, &blob) {
            return Ok(());
        }
        create_parent(&pointer)?;
        // Up from the folder of the pointer to the folder of the repository.
        let up = "../".repeat(2 + file.matches('/').count());
        let relative = PathBuf::from(format!("{up}blobs/{name}"));
        // Made beside its place and moved there, so that two processes never see it missing.
        let fresh = pointer.with_added_extension(format!("{}.part", std::process::id()));
        let _ = fs::remove_file(&fresh);
        symlink(&relative, &fresh)
            .or_else(|_| fs::hard_link(&blob, &fresh))
            .or_else(|_| fs::copy(&blob, &fresh).map(|_| ()))
            .map_err(|e| Error::io("cannot link", &pointer, &e))?;
        fs::rename(&fresh, &pointer).map_err(|e| Error::io("cannot link", &pointer, &e))
    }

    /// The files of a snapshot whose blobs are there, with `/` between folders, sorted.
    pub(crate) fn files(&self, commit: &str) -> Vec<String> {
        let mut files = Vec::new();
        walk(&self.snapshot(commit), &mut |path, name| {
            if path.is_file() {
                files.push(name.to_owned());
            }
        });
        files.sort();
        files
    }

    /// Notes that a commit has no such file, in the way of the family: an empty file in `.no_exist`.
    pub(crate) fn note_absent(&self, commit: &str, file: &str) -> Result<()> {
        let path = self.folder().join(".no_exist").join(commit).join(file);
        create_parent(&path)?;
        regular::replace(&path).map(drop).map_err(|e| Error::io("cannot write", &path, &e))
    }

    /// Whether a commit is known to have no such file.
    pub(crate) fn is_absent(&self, commit: &str, file: &str) -> bool {
        self.folder().join(".no_exist").join(commit).join(file).is_file()
    }

    /// Takes the lock of one blob, waiting while another process fetches it. It is released when
    /// the file is dropped, or when the process ends in whatever way.
    pub(crate) fn lock(&self, key: &str, file: &str, progress: &dyn Progress) -> Result<File> {
        let folder = self.cache_dir.join(".locks").join(&self.folder_name);
        lock_file(&folder.join(format!("{key}.lock")), file, progress)
    }
}

/// Takes an exclusive lock on `path`, waiting and saying so while another process holds it.
pub(crate) fn lock_file(path: &Path, what: &str, progress: &dyn Progress) -> Result<File> {
    create_parent(path)?;
    let lock = regular::update(path).map_err(|e| Error::io("cannot create", path, &e))?;
    let mut told = false;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) => {
                if !told {
                    progress.report(Event::Notice(&format!(
                        "{what} is being fetched by another process; waiting for it"
                    )));
                    told = true;
                }
                if progress.cancelled() {
                    return Err(Error::Cancelled);
                }
                thread::sleep(Duration::from_millis(50));
            }
            // Some network file systems cannot lock. Two processes may then fetch the same bytes
            // into one file; the checksum tells if that went wrong.
            Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => {
                return Ok(lock);
            }
            Err(TryLockError::Error(e)) => return Err(Error::io("cannot lock", path, &e)),
        }
    }
}

/// Calls `visit` with the path and the `/`-separated name of every file or link below a folder.
pub(crate) fn walk(folder: &Path, visit: &mut dyn FnMut(&Path, &str)) {
    fn inner(folder: &Path, prefix: &str, depth: usize, visit: &mut dyn FnMut(&Path, &str)) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let name = format!("{prefix}{name}");
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth < 8 => {
                    inner(&entry.path(), &format!("{name}/"), depth + 1, visit);
                }
                Ok(kind) if !kind.is_dir() => visit(&entry.path(), &name),
                _ => {}
            }
        }
    }
    inner(folder, "", 0, visit);
}

/// Whether a name from a server (an ETag, a commit) can be a file's name without harm.
pub(crate) fn is_safe_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// Makes the folder that `path` lies in.
pub(crate) fn create_parent(path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    fs::create_dir_all(parent).map_err(|e| Error::io("cannot create", parent, &e))
}

fn same_file(pointer: &Path, blob: &Path) -> bool {
    match (fs::canonicalize(pointer), fs::canonicalize(blob)) {
        (Ok(pointer), Ok(blob)) => pointer == blob,
        _ => false,
    }
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_target: &Path, _link: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
