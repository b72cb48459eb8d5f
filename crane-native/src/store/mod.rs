//! The models on this machine: what is cached, how large it is, and how to be rid of it.

mod remove;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::hub::{HubConfig, ModelId, PACKAGES, find_cached, walk};
use crate::{Error, Result};

pub use remove::Removed;

/// What kind of weights a model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Weights as published, in safetensors.
    Safetensors,
    /// One or several quantisations in GGUF.
    Gguf,
    /// Weights as published, in PyTorch's own format.
    PyTorch,
    /// A speech model in ONNX.
    Onnx,
    /// No weights that Crane knows: another library's model, or only its small files.
    Other,
}

impl Kind {
    /// The name that `crane list` prints.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Gguf => "gguf",
            Self::PyTorch => "pytorch",
            Self::Onnx => "onnx",
            Self::Other => "other",
        }
    }
}

/// One model in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The name that MODEL takes: `org/name`, or a package's short name.
    pub name: String,
    /// The folder or file that holds it.
    pub path: PathBuf,
    /// Its files, with `/` between folders, sorted; those of all its revisions together.
    pub files: Vec<String>,
    /// Bytes on disk, those of unfinished transfers included. What revisions share counts once.
    pub size: u64,
    /// The kind of its weights.
    pub kind: Kind,
    /// Whether the model can be used without the network; if not, `crane pull` completes it.
    pub complete: bool,
    /// When a file of it was last written.
    pub modified: Option<SystemTime>,
    /// When a file of it was last read, as far as the file system notes that.
    pub used: Option<SystemTime>,
}

/// The models on this machine: the shared cache of the Hub and Crane's own.
#[derive(Debug)]
pub struct Store<'a> {
    config: &'a HubConfig,
}

impl<'a> Store<'a> {
    /// The caches of this configuration.
    pub fn new(config: &'a HubConfig) -> Self {
        Self { config }
    }

    /// All models, sorted by name.
    ///
    /// # Errors
    /// [`Error::Io`] if a cache exists but cannot be listed.
    pub fn list(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for (repo, folder) in self.repos()? {
            entries.push(self.repo_entry(repo, folder));
        }
        for package in PACKAGES {
            let path = package.path(self.config);
            let partial = path.with_added_extension("incomplete");
            let there: Vec<_> = [&path, &partial].into_iter().flat_map(fs::metadata).collect();
            if there.is_empty() {
                continue;
            }
            entries.push(Entry {
                name: package.name.to_owned(),
                files: vec![package.file.to_owned()],
                size: there.iter().map(fs::Metadata::len).sum(),
                kind: package.kind,
                complete: package.cached(self.config).is_some(),
                modified: there.iter().flat_map(fs::Metadata::modified).max(),
                used: there.iter().flat_map(fs::Metadata::accessed).max(),
                path,
            });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// The model of the cache whose name, or last part of it, is `name`, in any case; `name:TAG` and `name@revision` are of it.
    ///
    /// # Errors
    /// [`Error::Ambiguous`] if several models end so; [`Error::Io`] as [`Store::list`].
    pub fn hub_id_by_short_name(&self, name: &str) -> Result<Option<ModelId>> {
        let repos = self.repos()?;
        // What may stand behind a name is read as of a whole one.
        let id: Option<ModelId> = name.parse().or_else(|_| format!("any/{name}").parse()).ok();
        let bare = name.split([':', '@']).next().unwrap_or(name);
        let found: Vec<ModelId> = repos
            .into_keys()
            .filter(|repo| {
                let last = repo.rsplit('/').next().unwrap_or(repo);
                repo.eq_ignore_ascii_case(bare) || last.eq_ignore_ascii_case(bare)
            })
            .filter_map(|repo| Some(ModelId { repo, ..id.clone()? }))
            .collect();
        match found.as_slice() {
            [] => Ok(None),
            [id] => Ok(Some(id.clone())),
            several => Err(Error::Ambiguous {
                what: format!("model {name:?}"),
                choices: several.iter().map(ModelId::to_string).collect(),
            }),
        }
    }

    /// The repositories in the Hub's cache, by id.
    fn repos(&self) -> Result<BTreeMap<String, PathBuf>> {
        let cache = &self.config.cache_dir;
        let mut repos = BTreeMap::new();
        let folders = match fs::read_dir(cache) {
            Ok(folders) => folders,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(repos),
            Err(error) => return Err(Error::io("cannot list", cache, &error)),
        };
        for folder in folders.flatten() {
            let name = folder.file_name();
            let Some(id) = name.to_str().and_then(|name| name.strip_prefix("models--")) else {
                continue;
            };
            // Names have no `--` of their own, so the first one stands for the slash. A name
            // without any is an old model that has no organisation.
            if let Some((org, name)) = id.split_once("--") {
                repos.insert(format!("{org}/{name}"), folder.path());
            }
        }
        Ok(repos)
    }

    fn repo_entry(&self, repo: String, folder: PathBuf) -> Entry {
        let mut files = BTreeSet::new();
        walk(&folder.join("snapshots"), &mut |path, name| {
            if let (true, Some((_commit, file))) = (path.exists(), name.split_once('/')) {
                files.insert(file.to_owned());
            }
        });
        let mut entry = Entry {
            complete: self.is_complete(&repo, &folder),
            kind: kind(&files),
            files: files.into_iter().collect(),
            name: repo,
            size: 0,
            modified: None,
            used: None,
            path: folder,
        };
        // Links have no weight of their own; a cache without links has its files in the snapshots.
        walk(&entry.path, &mut |path, _| {
            let Ok(meta) = fs::symlink_metadata(path).and_then(|meta| {
                if meta.is_symlink() {
                    Err(std::io::ErrorKind::InvalidInput.into())
                } else {
                    Ok(meta)
                }
            }) else {
                return;
            };
            entry.size += meta.len();
            entry.modified = entry.modified.max(meta.modified().ok());
            entry.used = entry.used.max(meta.accessed().ok());
        });
        entry
    }

    /// Whether any revision in the cache is whole.
    fn is_complete(&self, repo: &str, folder: &Path) -> bool {
        let commits = fs::read_dir(folder.join("snapshots")).into_iter().flatten().flatten();
        commits.filter_map(|commit| commit.file_name().into_string().ok()).any(|commit| {
            let id = ModelId { repo: repo.to_owned(), revision: Some(commit), file: None };
            // Several quantisations side by side are each complete, though one must be named.
            matches!(
                find_cached(&self.config.cache_dir, &id),
                Ok(Some(_)) | Err(Error::Ambiguous { .. })
            )
        })
    }
}

fn kind(files: &BTreeSet<String>) -> Kind {
    let any = |end: &str| files.iter().any(|file| file.ends_with(end));
    if any(".safetensors") {
        Kind::Safetensors
    } else if any(".gguf") {
        Kind::Gguf
    } else if files.iter().any(|file| file.contains("pytorch_model") && file.ends_with(".bin")) {
        Kind::PyTorch
    } else {
        Kind::Other
    }
}
