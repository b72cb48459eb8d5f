//! A model in the cache at one commit: found without the network, and opened.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::cache::RepoCache;
use super::files::{self, Plan, Weights};
use super::id::ModelId;
use crate::folder::{FolderSource, split_set};
use crate::{Error, Result, regular};

/// The file that a text model published with safetensors always has.
pub(super) const TOKENIZER: &str = "tokenizer.json";

/// The files of a model in the cache, at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// What was asked for.
    pub id: ModelId,
    /// The commit that the revision pointed at.
    pub commit: String,
    /// The folder that the files lie in.
    pub folder: PathBuf,
    /// The files that make up the model, sorted; the folder may hold more.
    pub files: Vec<String>,
    /// Whether it is known to have all that it needs. One that has weights but neither a tokenizer
    /// nor a note that there is none may have been fetched in part.
    pub(super) sure: bool,
}

impl Snapshot {
    /// The files as a source of the library.
    pub fn source(&self) -> FolderSource {
        FolderSource::some_files(&self.folder, self.files.clone()).with_label(self.id.to_string())
    }
}

/// A model that is wholly in the cache, looked up without the network.
///
/// # Errors
/// [`Error::Ambiguous`] if several cached files fit equally well; [`Error::Sdk`] if the index of a
/// cached checkpoint is damaged.
pub(crate) fn find(cache_dir: &Path, id: &ModelId) -> Result<Option<Snapshot>> {
    let cache = RepoCache::new(cache_dir, &id.repo);
    let Some(commit) = cache.commit(id.revision()) else { return Ok(None) };
    let folder = cache.snapshot(&commit);
    let have = cache.files(&commit);
    let Plan { mut side, weights } = match files::plan(&id.repo, &have, id.file.as_deref()) {
        Ok(plan) => plan,
        Err(Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let weights = match weights {
        Weights::Files(files) => with_whole_sets(files),
        Weights::Index(name) => {
            let path = folder.join(&name);
            let index = regular::read(&path, files::MAX_INDEX)
                .map_err(|e| Error::io("cannot read", &path, &e))?;
            files::shards(&name, &index)?
        }
    };
    if !weights.iter().all(|file| have.contains(file)) {
        return Ok(None);
    }
    side.extend(weights);
    side.sort();
    let sure = side.iter().any(|file| file.ends_with(".gguf") || file == TOKENIZER)
        || cache.is_absent(&commit, TOKENIZER);
    Ok(Some(Snapshot { id: id.clone(), commit, folder, files: side, sure }))
}

/// What is said of a model that is in the cache with other files than the one that was named.
pub(super) fn lacking(cache_dir: &Path, id: &ModelId) -> Option<Error> {
    let cache = RepoCache::new(cache_dir, &id.repo);
    let have = cache.files(&cache.commit(id.revision())?);
    let ggufs: Vec<&str> =
        have.iter().map(String::as_str).filter(|file| file.ends_with(".gguf")).collect();
    let wanted = id.file.as_ref().filter(|_| !ggufs.is_empty())?;
    Some(Error::NotFound {
        what: wanted.clone(),
        place: format!("the cached part of {}", id.repo),
        hint: format!(
            "it has {}; `crane pull {id}` fetches what is missing, which offline mode (--offline, CRANE_OFFLINE, \
             HF_HUB_OFFLINE) forbids",
            ggufs.join(", ")
        ),
    })
}

/// Numbered shards without an index (`x-00001-of-00003.safetensors`): all of them count.
fn with_whole_sets(files: Vec<String>) -> Vec<String> {
    let mut whole = BTreeSet::new();
    for file in files {
        let as_gguf = file.strip_suffix(".safetensors").map(|stem| format!("{stem}.gguf"));
        match as_gguf.as_deref().and_then(split_set) {
            Some(set) => {
                whole.extend(set.iter().filter_map(|name| {
                    Some(format!("{}.safetensors", name.strip_suffix(".gguf")?))
                }))
            }
            None => {
                whole.insert(file);
            }
        }
    }
    whole.into_iter().collect()
}
