//! The one error type of the native face, and the exit code that each error means.

use std::io;
use std::path::{Path, PathBuf};

use crane_sdk::error::ErrorKind;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong between a model's name and its bytes on this machine.
///
/// Each message names the thing that failed and says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The library refused: see [`crane_sdk::Error`].
    #[error(transparent)]
    Sdk(#[from] crane_sdk::Error),
    /// The library refused the files of a model in the cache.
    #[error(
        "{error}; if the cached copy is damaged, `crane rm {name}` and `crane pull {name}` fetch it anew"
    )]
    CachedCopy {
        /// The model, as `crane pull` takes it.
        name: String,
        /// What is wrong.
        error: crane_sdk::Error,
    },
    /// An argument or option has a value that cannot act.
    #[error("{0}")]
    Usage(String),
    /// A model name that leads nowhere: no such folder, file, repository, revision or cached name.
    #[error("{what} not found in {place}; {hint}")]
    NotFound {
        /// The thing that is missing, as the user spelt it.
        what: String,
        /// Where it was looked for.
        place: String,
        /// What to do next.
        hint: String,
    },
    /// A name fits several files or models.
    #[error("{what} is ambiguous; say which one:\n  {}", .choices.join("\n  "))]
    Ambiguous {
        /// The name, as the user spelt it.
        what: String,
        /// What it could mean, spelt so that it can be used as it stands.
        choices: Vec<String>,
    },
    /// No connection could be made: no network, no such host, a firewall.
    #[error(
        "cannot reach {place}: {reason}; check the network (HF_ENDPOINT names another Hub, --offline uses cached models only)"
    )]
    Unreachable {
        /// The host or URL.
        place: String,
        /// The system's own words.
        reason: String,
    },
    /// The network must not be used, and the model is not cached.
    #[error(
        "{what} is not cached, and offline mode (--offline, CRANE_OFFLINE, HF_HUB_OFFLINE) forbids the network; run `crane pull` once while online"
    )]
    Offline {
        /// The model or file.
        what: String,
    },
    /// The Hub wants to know who asks, or has decided that the asker may not have the model.
    #[error("the Hub refuses {what}: {reason}")]
    Refused {
        /// The repository or file.
        what: String,
        /// Why, and what to do next.
        reason: String,
    },
    /// A server answered with a status or body that the protocol does not allow for.
    #[error("{url} answered {reason}; try again later")]
    Server {
        /// What was asked for.
        url: String,
        /// The status and the server's own words.
        reason: String,
    },
    /// A transfer broke off and could not be resumed; what was loaded is kept for the next try.
    #[error(
        "the transfer of {file} broke off at {loaded} of {total} bytes: {reason}; run the command again to resume it"
    )]
    Interrupted {
        /// The file.
        file: String,
        /// Bytes that are safe on disk.
        loaded: u64,
        /// Bytes that the file has.
        total: u64,
        /// The system's own words.
        reason: String,
    },
    /// The bytes of a file are not those that its publisher announced; nothing was kept.
    #[error(
        "{file} is damaged: its {algorithm} is {found}, but {expected} was announced; nothing was kept, run the command again"
    )]
    Checksum {
        /// The file.
        file: String,
        /// SHA-256, git SHA-1 or size.
        algorithm: &'static str,
        /// What the publisher announced.
        expected: String,
        /// What arrived.
        found: String,
    },
    /// The disk has no room for a file.
    #[error("no space left for {path}{}; free some (`crane list`, `crane rm`), or choose another cache with HF_HUB_CACHE", .needed.map(|bytes| format!(" ({bytes} bytes are needed)")).unwrap_or_default())]
    DiskFull {
        /// The file that did not fit.
        path: PathBuf,
        /// How many bytes it still needs, where that is known.
        needed: Option<u64>,
    },
    /// The operating system refused to write, move, lock or list.
    #[error("{action} {path}: {reason}")]
    Io {
        /// What was tried, as "cannot ...".
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's own words.
        reason: String,
    },
    /// A device that this build or this machine does not have.
    #[error("device {device}: {reason}")]
    Device {
        /// The device, as the user spelt it.
        device: String,
        /// What is missing, and what to do next.
        reason: String,
    },
    /// The package fallback for the default model failed.
    #[error("package {package}: {reason}")]
    Package {
        /// The package and its version.
        package: String,
        /// What failed, and what to do next.
        reason: String,
    },
    /// The user stopped it.
    #[error("interrupted")]
    Cancelled,
}

impl Error {
    /// The exit code of a command that fails so: 2 usage, 3 model not found or incompatible,
    /// 4 out of memory, 130 interrupted, 1 anything else. Success is 0.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Sdk(error) | Error::CachedCopy { error, .. } => match error.kind() {
                ErrorKind::Argument => 2,
                ErrorKind::Model => 3,
                ErrorKind::Memory => 4,
                _ => 1,
            },
            Error::Usage(_) | Error::Device { .. } => 2,
            Error::NotFound { .. }
            | Error::Ambiguous { .. }
            | Error::Unreachable { .. }
            | Error::Offline { .. }
            | Error::Refused { .. }
            | Error::Checksum { .. }
            | Error::Package { .. } => 3,
            Error::Cancelled => 130,
            Error::Server { .. }
            | Error::Interrupted { .. }
            | Error::DiskFull { .. }
            | Error::Io { .. } => 1,
        }
    }

    /// A refusal of the operating system; a full disk gets its own variant.
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>, error: &io::Error) -> Self {
        let path = path.as_ref().to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Error::DiskFull { path, needed: None }
            }
            _ => Error::Io { action, path, reason: error.to_string() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_follow_the_documented_table() {
        let usage = Error::Usage("--temp: not a number".to_owned());
        assert_eq!(usage.exit_code(), 2);
        let missing = Error::NotFound { what: "a".into(), place: "b".into(), hint: "c".into() };
        assert_eq!(missing.exit_code(), 3);
        let memory = crane_sdk::Error::OutOfMemory { what: "a".into(), bytes: 1, hint: "b".into() };
        assert_eq!(Error::from(memory).exit_code(), 4);
        assert_eq!(Error::Cancelled.exit_code(), 130);
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(matches!(Error::io("cannot write", "x", &full), Error::DiskFull { .. }));
        assert_eq!(Error::io("cannot write", "x", &full).exit_code(), 1);
    }
}
