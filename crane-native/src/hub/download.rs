//! One file from the Hub into a blob of the cache: resumed, verified, and moved into place whole.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::cache::{RepoCache, create_parent};
use super::client::{Client, Failure};
use super::digest::{Checksum, sha256};
use super::progress::{Event, Progress, Transfer};
use crate::{Error, Result, regular};

/// Bytes that are read, hashed and written at a time.
const CHUNK: usize = 256 * 1024;
/// The least time between two reports of progress.
const REPORT: Duration = Duration::from_millis(100);

/// A file that is known well enough to fetch.
#[derive(Debug, Clone)]
pub(crate) struct RemoteFile {
    /// The name in the repository.
    pub(crate) name: String,
    /// Where to ask for it.
    pub(crate) url: String,
    /// What the server calls this content, in whatever form.
    pub(crate) etag: String,
    /// Its checksum and the name of its blob, if the Hub tells.
    pub(crate) sum: Option<String>,
    /// Its length in bytes.
    pub(crate) size: u64,
}

impl RemoteFile {
    /// The name under which it grows: that of its blob, else one that no other content has.
    fn key(&self) -> String {
        let Self { url, etag, sum, size, .. } = self;
        sum.clone().unwrap_or_else(|| sha256(format!("{url}\n{etag}\n{size}").as_bytes()))
    }
}

/// Fetches files one after the other.
pub(crate) struct Downloader<'a> {
    pub(crate) client: &'a Client,
    pub(crate) cache: &'a RepoCache,
    pub(crate) progress: &'a dyn Progress,
}

impl Downloader<'_> {
    /// The blob of `file`, if it is in the cache. One of another length has the name by mistake.
    pub(crate) fn cached(&self, file: &RemoteFile) -> Option<String> {
        let meta = fs::metadata(self.cache.blob(file.sum.as_deref()?)).ok()?;
        file.sum.clone().filter(|_| meta.is_file() && meta.len() == file.size)
    }

    /// Makes sure that the blob of `file` is in the cache, whole and verified; returns its name.
    ///
    /// Content that the Hub names no checksum of is kept under its own, so that no two files can be taken for one.
    pub(crate) fn fetch(&self, file: &RemoteFile) -> Result<String> {
        if let Some(blob) = self.cached(file) {
            return Ok(blob);
        }
        let key = file.key();
        let _lock = self.cache.lock(&key, &file.name, self.progress)?;
        // Another process may have finished it while this one waited.
        if let Some(blob) = self.cached(file) {
            return Ok(blob);
        }
        let path = self.cache.incomplete(&key);
        create_parent(&path)?;
        let mut partial = Partial::open(&path, file)?;
        let leftover = partial.loaded > 0;
        let mut outcome = self.fill(&mut partial).and_then(|()| partial.verify());
        // Bytes of an earlier try may be bad (a crash, a lock that did not hold): begin anew once.
        if leftover && matches!(outcome, Err(Error::Checksum { .. })) {
            self.notice(&format!(
                "{}: what an earlier try left is damaged; starting over",
                file.name
            ));
            outcome = self.fill(&mut partial).and_then(|()| partial.verify());
        }
        if matches!(outcome, Err(Error::Checksum { .. })) {
            // The empty file that is left does no harm where it cannot be removed.
            let _ = fs::remove_file(&path);
        }
        let name = outcome?;
        partial.file.sync_all().map_err(|e| Error::io("cannot write", &path, &e))?;
        let elapsed = partial.transfer();
        let blob = self.cache.blob(&name);
        fs::rename(&path, &blob).map_err(|e| Error::io("cannot move into place", &blob, &e))?;
        self.progress.report(Event::Finished(elapsed));
        if file.sum.is_none() {
            self.notice(&format!(
                "{}: {} tells no checksum of it, so nothing but its size was checked",
                file.name,
                self.client.config().endpoint
            ));
        }
        Ok(name)
    }

    /// Transfers what is missing, resuming after each drop until one brings nothing new too often.
    fn fill(&self, partial: &mut Partial<'_>) -> Result<()> {
        self.progress.report(Event::Started(partial.transfer()));
        let mut fruitless = 0;
        while partial.loaded < partial.remote.size {
            let before = partial.loaded;
            let failure = match self.transfer(partial) {
                Ok(()) => continue,
                Err(failure) => failure,
            };
            let reason = match failure {
                Failure::Fatal(error) => return Err(error),
                // A host that was never reached will not be reached by asking again.
                Failure::Connect(error) if partial.loaded == 0 => return Err(error),
                Failure::Connect(error) => error.to_string(),
                Failure::Transient(reason) => reason,
            };
            fruitless = if partial.loaded > before { 1 } else { fruitless + 1 };
            if fruitless > self.client.config().retries {
                return Err(Error::Interrupted {
                    file: partial.remote.name.clone(),
                    loaded: partial.loaded,
                    total: partial.remote.size,
                    reason,
                });
            }
            let wait = backoff(self.client.config().backoff, fruitless);
            self.notice(&format!(
                "{}: {reason}; resuming in {:.1} s",
                partial.remote.name,
                wait.as_secs_f32()
            ));
            self.pause(wait)?;
        }
        Ok(())
    }

    /// One request for the bytes that are missing.
    fn transfer(&self, partial: &mut Partial<'_>) -> Result<(), Failure> {
        let remote = partial.remote;
        let response = self.client.get(&remote.url, partial.loaded)?;
        match response.status().as_u16() {
            206 => {
                let range = response.headers().get("content-range").and_then(|v| v.to_str().ok());
                if range.and_then(range_start) != Some(partial.loaded) {
                    partial.restart().map_err(Failure::Fatal)?;
                    return Err(Failure::Transient("the server sent another range".to_owned()));
                }
            }
            // A server without ranges sends the file from its first byte.
            200 if partial.loaded > 0 => partial.restart().map_err(Failure::Fatal)?,
            200 => {}
            416 => {
                partial.restart().map_err(Failure::Fatal)?;
                return Err(Failure::Transient("the server refused the range".to_owned()));
            }
            _ => return Err(self.client.refusal(&remote.url, &response)),
        }
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; CHUNK];
        let mut reported = Instant::now();
        loop {
            if self.progress.cancelled() {
                return Err(Failure::Fatal(Error::Cancelled));
            }
            let count = match body.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::Transient(error.to_string())),
            };
            if count == 0 {
                break;
            }
            partial.append(buffer.get(..count).unwrap_or_default()).map_err(Failure::Fatal)?;
            if reported.elapsed() >= REPORT {
                reported = Instant::now();
                self.progress.report(Event::Advanced(partial.transfer()));
            }
        }
        if partial.loaded < remote.size {
            return Err(Failure::Transient("the connection ended early".to_owned()));
        }
        Ok(())
    }

    fn notice(&self, sentence: &str) {
        self.progress.report(Event::Notice(sentence));
    }

    fn pause(&self, time: Duration) -> Result<()> {
        pause(time, self.progress)
    }
}

/// The wait before try number `tries` (from one): doubled each time, a minute at most.
pub(crate) fn backoff(first: Duration, tries: u32) -> Duration {
    first.saturating_mul(1 << tries.saturating_sub(1).min(10)).min(Duration::from_secs(60))
}

/// Sleeps, but wakes soon after the user wants to stop.
pub(crate) fn pause(time: Duration, progress: &dyn Progress) -> Result<()> {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        if progress.cancelled() {
            return Err(Error::Cancelled);
        }
        thread::sleep(left.min(Duration::from_millis(50)));
    }
    Ok(())
}

/// The first byte of `bytes 100-199/200`.
fn range_start(range: &str) -> Option<u64> {
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

/// A blob that is growing.
struct Partial<'a> {
    remote: &'a RemoteFile,
    path: &'a Path,
    file: File,
    checksum: Checksum,
    loaded: u64,
    began: Instant,
    /// Bytes that were there before this try.
    earlier: u64,
}

impl<'a> Partial<'a> {
    /// Opens what an earlier try left, and sums it up.
    fn open(path: &'a Path, remote: &'a RemoteFile) -> Result<Self> {
        let file = regular::update(path).map_err(|e| Error::io("cannot write", path, &e))?;
        let checksum = Checksum::new(remote.sum.as_deref(), remote.size);
        let began = Instant::now();
        let mut partial = Self { remote, path, file, checksum, loaded: 0, began, earlier: 0 };
        let mut buffer = vec![0; CHUNK];
        loop {
            match partial.file.read(&mut buffer) {
                // More than the file has: nothing of it can be trusted.
                _ if partial.loaded > remote.size => break,
                Ok(0) => break,
                Ok(count) => {
                    partial.checksum.update(buffer.get(..count).unwrap_or_default());
                    partial.loaded += count as u64;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("cannot read", path, &e)),
            }
        }
        // Without a checksum nobody would notice that what an earlier try left is damaged.
        if partial.loaded > remote.size || remote.sum.is_none() {
            partial.restart()?;
        }
        partial.earlier = partial.loaded;
        partial.began = Instant::now();
        Ok(partial)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let left = self.remote.size - self.loaded;
        if bytes.len() as u64 > left {
            let (found, size) = (self.loaded + bytes.len() as u64, self.remote.size);
            return self.damaged(
                "size",
                format!("{size} bytes"),
                format!("at least {found} bytes"),
            );
        }
        self.file.write_all(bytes).map_err(|e| match Error::io("cannot write", self.path, &e) {
            Error::DiskFull { path, .. } => Error::DiskFull { path, needed: Some(left) },
            other => other,
        })?;
        self.checksum.update(bytes);
        self.loaded += bytes.len() as u64;
        Ok(())
    }

    /// Throws away what was loaded.
    fn restart(&mut self) -> Result<()> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map_err(|e| Error::io("cannot write", self.path, &e))?;
        self.checksum = Checksum::new(self.remote.sum.as_deref(), self.remote.size);
        (self.loaded, self.earlier) = (0, 0);
        Ok(())
    }

    /// Compares the sum with the one that was announced, and returns it; bytes that do not match are thrown away.
    fn verify(&mut self) -> Result<String> {
        let (algorithm, found) = self.checksum.clone().finish();
        match &self.remote.sum {
            Some(expected) if *expected != found => {
                self.damaged(algorithm, expected.clone(), found)
            }
            _ => Ok(found),
        }
    }

    /// Throws away what was loaded, and says why.
    fn damaged<T>(
        &mut self,
        algorithm: &'static str,
        expected: String,
        found: String,
    ) -> Result<T> {
        self.restart()?;
        Err(Error::Checksum { file: self.remote.name.clone(), algorithm, expected, found })
    }

    fn transfer(&self) -> Transfer<'a> {
        let seconds = self.began.elapsed().as_secs_f64().max(1e-3);
        Transfer {
            file: &self.remote.name,
            loaded: self.loaded,
            total: self.remote.size,
            bytes_per_second: self.loaded.saturating_sub(self.earlier) as f64 / seconds,
        }
    }
}
