//! Models from the Hugging Face Hub, kept in the cache that the whole family shares.
//!
//! The protocol is the documented one: `api/models/…/revision/…` lists a revision's files,
//! `resolve/…` describes one (`HEAD`) and gives its bytes (`GET`, by range), the ETag is its checksum.

mod cache;
mod client;
mod config;
mod digest;
mod download;
mod files;
mod id;
mod package;
mod progress;
mod snapshot;

use std::fs;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::folder::is_relative;
use crate::{Error, Result};
use cache::RepoCache;
use client::{Client, Failure, Headers};
use download::{Downloader, RemoteFile, backoff, pause};
use files::Weights;

pub use config::{HubConfig, Token};
pub use id::ModelId;
pub use package::{PACKAGES, PackageModel};
pub use progress::{Event, Progress, Silent, TerminalProgress, Transfer, size};
pub use snapshot::Snapshot;

pub(crate) use cache::walk;
pub(crate) use config::expand;
pub(crate) use snapshot::find as find_cached;

/// The largest list of files that is read from the Hub, in bytes.
const MAX_LISTING: u64 = 64 << 20;

/// The Hub, as one user on this machine sees it.
///
/// ```no_run
/// use crane_native::hub::{Hub, TerminalProgress};
///
/// # fn main() -> crane_native::Result<()> {
/// let hub = Hub::from_env()?;
/// let id = "Qwen/Qwen2.5-0.5B-Instruct".parse()?;
/// let model = hub.get(&id, &TerminalProgress::new())?;
/// println!("{} files in {}", model.files.len(), model.folder.display());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Hub {
    client: Client,
}

impl Hub {
    /// The Hub by this configuration. No connection is made yet.
    ///
    /// # Errors
    /// [`Error::Usage`] if the endpoint is no address.
    pub fn new(config: HubConfig) -> Result<Self> {
        Ok(Self { client: Client::new(config)? })
    }

    /// The Hub by the environment's configuration.
    ///
    /// # Errors
    /// As [`Hub::new`].
    pub fn from_env() -> Result<Self> {
        Self::new(HubConfig::from_env())
    }

    /// The configuration.
    pub fn config(&self) -> &HubConfig {
        self.client.config()
    }

    /// Asks the Hub for a sign of life, and tells how long it took. Any answer is one.
    ///
    /// # Errors
    /// [`Error::Offline`] if the network must not be used, [`Error::Unreachable`] or
    /// [`Error::Server`] if nothing answers.
    pub fn ping(&self) -> Result<Duration> {
        let config = self.config();
        let url = &config.endpoint;
        if config.offline {
            return Err(Error::Offline { what: url.clone() });
        }
        let start = Instant::now();
        self.client.get(url, 0).map_err(|failure| failure.into_error(url))?;
        Ok(start.elapsed())
    }

    /// A model that is wholly in the cache, looked up without the network.
    ///
    /// # Errors
    /// [`Error::Ambiguous`] if several cached files fit equally well; [`Error::Sdk`] if the index of
    /// a cached checkpoint is damaged.
    pub fn cached(&self, id: &ModelId) -> Result<Option<Snapshot>> {
        snapshot::find(&self.config().cache_dir, id)
    }

    /// The model from the cache if it is there, else from the Hub.
    ///
    /// # Errors
    /// As [`Hub::cached`] and [`Hub::pull`].
    pub fn get(&self, id: &ModelId, progress: &dyn Progress) -> Result<Snapshot> {
        let Some(snapshot) = self.cached(id)? else { return self.pull(id, progress) };
        if snapshot.sure || self.config().offline {
            return Ok(snapshot);
        }
        // Another program may have fetched the weights alone; the Hub knows what else there is.
        match self.pull(id, progress) {
            Err(Error::Unreachable { .. } | Error::Server { .. }) => Ok(snapshot),
            outcome => outcome,
        }
    }

    /// The model as the Hub has it now: asks for the revision, and fetches what is not cached.
    ///
    /// # Errors
    /// [`Error::Offline`] in offline mode, [`Error::Unreachable`] where there is no connection,
    /// [`Error::NotFound`], [`Error::Refused`] (gated, private) and [`Error::Ambiguous`] for the
    /// model, [`Error::Interrupted`] for a transfer that can be resumed, [`Error::Checksum`],
    /// [`Error::DiskFull`], [`Error::Io`], and [`Error::Cancelled`] if `progress` says so.
    pub fn pull(&self, id: &ModelId, progress: &dyn Progress) -> Result<Snapshot> {
        if self.config().offline {
            return Err(Error::Offline { what: id.to_string() });
        }
        let cache = RepoCache::new(&self.config().cache_dir, &id.repo);
        let Listing { commit, files } = self.list(id, progress)?;
        let plan = files::plan(&id.repo, &files, id.file.as_deref())?;
        let mut fetched = plan.side.clone();
        let weights = match plan.weights {
            Weights::Files(weights) => {
                fetched.extend(weights);
                self.fetch(id, &cache, &commit, &fetched, progress)?;
                Vec::new()
            }
            Weights::Index(index) => {
                self.fetch(id, &cache, &commit, &fetched, progress)?;
                let path = cache.snapshot(&commit).join(&index);
                let bytes = fs::read(&path).map_err(|e| Error::io("cannot read", &path, &e))?;
                let shards = files::shards(&index, &bytes)?;
                if let Some(missing) = shards.iter().find(|shard| !files.contains(shard)) {
                    return Err(Error::NotFound {
                        what: missing.clone(),
                        place: id.repo.clone(),
                        hint: format!("{index} names it, so the repository is incomplete"),
                    });
                }
                self.fetch(id, &cache, &commit, &shards, progress)?;
                shards
            }
        };
        fetched.extend(weights);
        fetched.sort();
        if !files.iter().any(|file| file == snapshot::TOKENIZER) {
            cache.note_absent(&commit, snapshot::TOKENIZER)?;
        }
        // Last, so that the revision never points at a snapshot that is not whole.
        cache.set_commit(id.revision(), &commit)?;
        let folder = cache.snapshot(&commit);
        Ok(Snapshot { id: id.clone(), commit, folder, files: fetched, sure: true })
    }

    fn list(&self, id: &ModelId, progress: &dyn Progress) -> Result<Listing> {
        #[derive(Deserialize)]
        struct Info {
            sha: String,
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let url = format!(
            "{}/api/models/{}/revision/{}",
            self.config().endpoint,
            id.repo,
            encode(id.revision(), true)
        );
        let bytes = self.patiently(&url, progress, || {
            let response = self.client.get(&url, 0)?;
            if !response.status().is_success() {
                return Err(self.client.refusal(&url, &response));
            }
            let body = response.into_body().into_with_config().limit(MAX_LISTING);
            { body }.read_to_vec().map_err(|error| Failure::Transient(error.to_string()))
        })?;
        let server = |reason: String| Error::Server { url: url.clone(), reason };
        let info: Info = serde_json::from_slice(&bytes)
            .map_err(|e| server(format!("something that is not the Hub's list of files ({e})")))?;
        if !cache::is_safe_name(&info.sha) {
            return Err(server(format!("a commit of a strange form: {:?}", info.sha)));
        }
        let names = info.siblings.into_iter().map(|sibling| sibling.rfilename);
        // A name that leads out of the cache folder is not asked for.
        let files = names.filter(|name| is_relative(name)).collect();
        Ok(Listing { commit: info.sha, files })
    }

    fn fetch(
        &self,
        id: &ModelId,
        cache: &RepoCache,
        commit: &str,
        names: &[String],
        progress: &dyn Progress,
    ) -> Result<()> {
        let mut missing = Vec::new();
        for name in names {
            // A commit never changes: a file of it that is here needs no question.
            if cache.snapshot(commit).join(name).is_file() {
                continue;
            }
            let url = format!(
                "{}/{}/resolve/{}/{}",
                self.config().endpoint,
                id.repo,
                encode(commit, true),
                encode(name, false)
            );
            let headers = self.patiently(&url, progress, || self.client.head(&url))?;
            missing.push(remote_file(name, url, headers)?);
        }
        let absent: Vec<&RemoteFile> =
            missing.iter().filter(|file| !cache.blob(&file.etag).is_file()).collect();
        progress.report(Event::Planned {
            files: absent.len(),
            bytes: absent.iter().map(|file| file.size).sum(),
        });
        let downloader = Downloader { client: &self.client, cache, progress };
        for file in &missing {
            downloader.fetch(file)?;
            cache.link(commit, &file.name, &file.etag)?;
        }
        Ok(())
    }

    /// Asks again, with growing pauses, after failures that may pass.
    fn patiently<T>(
        &self,
        url: &str,
        progress: &dyn Progress,
        ask: impl Fn() -> Result<T, Failure>,
    ) -> Result<T> {
        let mut tries = 0;
        loop {
            if progress.cancelled() {
                return Err(Error::Cancelled);
            }
            match ask() {
                Ok(answer) => return Ok(answer),
                Err(Failure::Transient(reason)) if tries < self.config().retries => {
                    tries += 1;
                    let wait = backoff(self.config().backoff, tries);
                    let seconds = wait.as_secs_f32();
                    let notice = format!("the Hub: {reason}; asking again in {seconds:.1} s");
                    progress.report(Event::Notice(&notice));
                    pause(wait, progress)?;
                }
                Err(failure) => return Err(failure.into_error(url)),
            }
        }
    }
}

/// A revision's commit and the names of its files.
struct Listing {
    commit: String,
    files: Vec<String>,
}

fn remote_file(name: &str, url: String, headers: Headers) -> Result<RemoteFile> {
    let missing = |what: &str| Error::Server {
        url: url.clone(),
        reason: format!("without {what}; is HF_ENDPOINT a Hub?"),
    };
    let etag = headers.etag.filter(|etag| cache::is_safe_name(etag));
    let etag = etag.ok_or_else(|| missing("a usable ETag"))?;
    let size = headers.size.ok_or_else(|| missing("a size"))?;
    Ok(RemoteFile { name: name.to_owned(), etag, size, url })
}

/// Percent-encodes a path; the slash too where a revision must stay one part of it.
fn encode(text: &str, slash: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        if plain || (byte == b'/' && !slash) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
