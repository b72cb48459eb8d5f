//! Removing a model, one revision or one file of it, without harm to what others still use.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::hub::{ModelId, PackageModel, named_files, walk};
use crate::{Error, Result};

use super::Store;

/// What a removal did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// The full name of what was removed.
    pub name: String,
    /// Bytes that are free again.
    pub bytes: u64,
}

impl Store<'_> {
    /// Removes a model by a name that [`Store::list`] shows, or by the last part of it.
    ///
    /// `org/name` removes all of it, `org/name@revision` one revision, `org/name:file.gguf` or `org/name:TAG` one file
    /// in all revisions. Content that another revision uses stays. A path is refused: a user's own
    /// files are not Crane's to remove.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is nothing of that name, [`Error::Ambiguous`] if several models
    /// end in it or several files have the tag, [`Error::Io`] if the system refuses.
    pub fn remove(&self, name: &str) -> Result<Removed> {
        if let Some(package) = PackageModel::find(name) {
            return self.remove_package(package);
        }
        let id = match name.parse::<ModelId>() {
            Ok(id) => Some(id),
            Err(_) => self.hub_id_by_short_name(name)?,
        };
        let folder = id.as_ref().and_then(|id| self.repos().ok()?.remove(&id.repo));
        let (Some(id), Some(folder)) = (id, folder) else { return Err(not_cached(name)) };
        let before = weight(&folder);
        if id.revision.is_none() && id.file.is_none() {
            remove_tree(&folder)?;
        } else {
            self.remove_part(&id, &folder)?;
        }
        Ok(Removed { name: id.to_string(), bytes: before.saturating_sub(weight(&folder)) })
    }

    fn remove_package(&self, package: &PackageModel) -> Result<Removed> {
        let path = package.path(self.config);
        let mut bytes = 0;
        for path in [path.with_added_extension("incomplete"), path] {
            let Ok(meta) = fs::metadata(&path) else { continue };
            fs::remove_file(&path).map_err(|e| Error::io("cannot remove", &path, &e))?;
            bytes += meta.len();
        }
        match bytes {
            0 => Err(not_cached(package.name)),
            _ => Ok(Removed { name: package.name.to_owned(), bytes }),
        }
    }

    fn remove_part(&self, id: &ModelId, folder: &Path) -> Result<()> {
        let commit = match &id.revision {
            None => None,
            Some(revision) => {
                let reference = folder.join("refs").join(revision);
                let commit = fs::read_to_string(&reference).unwrap_or_else(|_| revision.clone());
                Some(commit.trim().to_owned())
            }
        };
        // A tag means files by the names that stand beside them, in each revision for itself.
        let mut revisions: BTreeMap<String, Vec<(String, PathBuf)>> = BTreeMap::new();
        walk(&folder.join("snapshots"), &mut |path, name| {
            let Some((of, file)) = name.split_once('/') else { return };
            if commit.as_deref().is_none_or(|commit| commit == of) {
                let files = revisions.entry(of.to_owned()).or_default();
                files.push((file.to_owned(), path.to_owned()));
            }
        });
        let mut doomed = Vec::new();
        for files in revisions.into_values() {
            let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
            let meant = match &id.file {
                None => names,
                Some(wanted) => match named_files(&id.repo, &names, wanted) {
                    Err(Error::NotFound { .. }) => Vec::new(),
                    meant => meant?,
                },
            };
            let meant = files.into_iter().filter(|(name, _)| meant.contains(name));
            doomed.extend(meant.map(|(_, path)| path));
        }
        if doomed.is_empty() {
            return Err(not_cached(&id.to_string()));
        }
        for path in &doomed {
            fs::remove_file(path).map_err(|e| Error::io("cannot remove", path, &e))?;
        }
        let mut used = BTreeSet::new();
        walk(&folder.join("snapshots"), &mut |path, _| used.extend(fs::canonicalize(path)));
        for blob in fs::read_dir(folder.join("blobs")).into_iter().flatten().flatten() {
            let path = blob.path();
            let unfinished = path.extension().is_some_and(|end| end == "incomplete");
            if !unfinished && fs::canonicalize(&path).is_ok_and(|real| !used.contains(&real)) {
                fs::remove_file(&path).map_err(|e| Error::io("cannot remove", &path, &e))?;
            }
        }
        remove_empty(&folder.join("snapshots"));
        self.forget_lost_refs(folder)?;
        if used.is_empty() { remove_tree(folder) } else { Ok(()) }
    }

    /// Drops the refs whose snapshot is gone.
    fn forget_lost_refs(&self, folder: &Path) -> Result<()> {
        let mut lost: Vec<PathBuf> = Vec::new();
        walk(&folder.join("refs"), &mut |path, _| {
            let commit = fs::read_to_string(path).unwrap_or_default();
            if !folder.join("snapshots").join(commit.trim()).is_dir() {
                lost.push(path.to_owned());
            }
        });
        for path in lost {
            fs::remove_file(&path).map_err(|e| Error::io("cannot remove", &path, &e))?;
        }
        Ok(())
    }
}

fn not_cached(name: &str) -> Error {
    Error::NotFound {
        what: format!("model {name:?}"),
        place: "the cache".to_owned(),
        hint: "`crane list` shows what is there".to_owned(),
    }
}

fn remove_tree(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder).map_err(|e| Error::io("cannot remove", folder, &e))
}

/// Removes the folders below that hold nothing, deepest first.
fn remove_empty(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
            // Fails on a folder that holds something, which is meant to stay.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Bytes that the files below a folder take; links take none.
fn weight(folder: &Path) -> u64 {
    let mut bytes = 0;
    walk(folder, &mut |path, _| {
        bytes += fs::symlink_metadata(path).ok().filter(|m| !m.is_symlink()).map_or(0, |m| m.len());
    });
    bytes
}
