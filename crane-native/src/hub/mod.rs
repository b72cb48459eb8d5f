//! Models from the Hugging Face Hub, kept in the cache that the whole family shares.
//!
//! The protocol is the documented one: `api/models/…/revision/…` lists a revision's files,
//! `resolve/…` describes one (`HEAD`) and gives its bytes (`GET`, by range), the ETag is its checksum. Where a mirror's is
//! none, the list with `?blobs=true` tells it.

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
mod tags;

use std::cell::OnceCell;
use std::collections::HashMap;
use std::io::Read;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::folder::is_relative;
use crate::{Error, Result, regular};
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
pub(crate) use files::named as named_files;
pub(crate) use snapshot::find as find_cached;

/// The largest list of files that is read from the Hub, in bytes.
const MAX_LISTING: u64 = 64 << 20;
/// How long the Hub may take to send it.
const LISTING_TIME: Duration = Duration::from_secs(300);

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
            let lacking = snapshot::lacking(&self.config().cache_dir, id);
            return Err(lacking.unwrap_or(Error::Offline { what: id.to_string() }));
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
                let bytes = regular::read(&path, files::MAX_INDEX)
                    .map_err(|e| Error::io("cannot read", &path, &e))?;
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
        let (url, info) = self.info(id, id.revision(), "", progress)?;
        if !cache::is_safe_name(&info.sha) {
            let reason = format!("a commit of a strange form: {:?}", info.sha);
            return Err(Error::Server { url, reason });
        }
        let names = info.siblings.into_iter().map(|sibling| sibling.rfilename);
        // A name that leads out of the cache folder is not asked for.
        let files = names.filter(|name| is_relative(name)).collect();
        Ok(Listing { commit: info.sha, files })
    }

    /// The checksums of a commit's files, as far as the Hub lists them.
    fn sums(
        &self,
        id: &ModelId,
        commit: &str,
        progress: &dyn Progress,
    ) -> Result<HashMap<String, String>> {
        let info = match self.info(id, commit, "?blobs=true", progress) {
            Ok((_, info)) => info,
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            // A mirror that does not know the question tells no checksums, which is said of each file.
            Err(_) => return Ok(HashMap::new()),
        };
        let sums = info.siblings.into_iter().filter_map(|sibling| {
            let sum = match sibling.lfs {
                Some(lfs) => lfs.sha256,
                None => sibling.blob_id,
            }?;
            digest::is_sum(&sum).then_some((sibling.rfilename, sum))
        });
        Ok(sums.collect())
    }

    /// What the Hub says of a revision, and where it was asked.
    fn info(
        &self,
        id: &ModelId,
        revision: &str,
        query: &str,
        progress: &dyn Progress,
    ) -> Result<(String, Info)> {
        let url = format!(
            "{}/api/models/{}/revision/{}{query}",
            self.config().endpoint,
            id.repo,
            encode(revision, true)
        );
        let bytes = self.patiently(&url, progress, || {
            let response = self.client.get(&url, 0)?;
            if !response.status().is_success() {
                return Err(self.client.refusal(&url, &response));
            }
            read_listing(&url, response.into_body().into_reader(), progress)
        })?;
        match serde_json::from_slice(&bytes) {
            Ok(info) => Ok((url, info)),
            Err(error) => {
                let reason = format!("something that is not the Hub's list of files ({error})");
                Err(Error::Server { url, reason })
            }
        }
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
        // Asked for once, and only where an ETag is no checksum.
        let listed = OnceCell::new();
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
            let mut file = remote_file(name, url, headers)?;
            if file.sum.is_none() {
                let listed = match listed.get() {
                    Some(listed) => listed,
                    None => {
                        let sums = self.sums(id, commit, progress)?;
                        listed.get_or_init(|| sums)
                    }
                };
                file.sum = listed.get(name).cloned();
            }
            missing.push(file);
        }
        let downloader = Downloader { client: &self.client, cache, progress };
        let absent: Vec<&RemoteFile> =
            missing.iter().filter(|file| downloader.cached(file).is_none()).collect();
        progress.report(Event::Planned {
            files: absent.len(),
            bytes: absent.iter().map(|file| file.size).fold(0, u64::saturating_add),
        });
        for file in &missing {
            let blob = downloader.fetch(file)?;
            cache.link(commit, &file.name, &blob)?;
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

/// The Hub's answer about a revision.
#[derive(Deserialize)]
struct Info {
    sha: String,
    siblings: Vec<Sibling>,
}

/// One file of it; what is not its name comes with `?blobs=true`.
#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    /// Git's SHA-1 of what lies in the repository: of a large file, its pointer.
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    /// A large file.
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    #[serde(alias = "oid")]
    sha256: Option<String>,
}

/// Reads an answer of a limited length in a limited time.
fn read_listing(url: &str, from: impl Read, progress: &dyn Progress) -> Result<Vec<u8>, Failure> {
    let server = |reason: String| Failure::Fatal(Error::Server { url: url.to_owned(), reason });
    let began = Instant::now();
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    let mut from = from.take(MAX_LISTING + 1);
    loop {
        if progress.cancelled() {
            return Err(Failure::Fatal(Error::Cancelled));
        }
        if began.elapsed() > LISTING_TIME {
            let seconds = LISTING_TIME.as_secs();
            return Err(server(format!(
                "for more than {seconds} s, the limit for a list of files"
            )));
        }
        match from.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::Transient(error.to_string())),
        }
        if bytes.len() as u64 > MAX_LISTING {
            let reason =
                format!("with more than {MAX_LISTING} bytes, the limit for a list of files");
            return Err(server(reason));
        }
    }
}

fn remote_file(name: &str, url: String, headers: Headers) -> Result<RemoteFile> {
    let missing = |what: &str| Error::Server {
        url: url.clone(),
        reason: format!("without {what}; is HF_ENDPOINT a Hub?"),
    };
    let size = headers.size.ok_or_else(|| missing("a size"))?;
    let etag = headers.etag.unwrap_or_default();
    let sum = Some(etag.to_ascii_lowercase()).filter(|etag| digest::is_sum(etag));
    Ok(RemoteFile { name: name.to_owned(), etag, sum, size, url })
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
