//! The checksum that an ETag is: SHA-256 of a large file, git's SHA-1 of a small one.

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Sums up the bytes of one file as they arrive, by the algorithm that its ETag is made with.
#[derive(Debug, Clone)]
pub(crate) enum Checksum {
    Sha256(Sha256),
    Git(Sha1),
    /// The server names content in a way of its own; the size alone is checked.
    Unknown,
}

impl Checksum {
    /// The algorithm that gives an ETag of this shape, before any byte of a file of `size` bytes.
    pub(crate) fn new(etag: &str, size: u64) -> Self {
        let hex = etag.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        match etag.len() {
            64 if hex => Self::Sha256(Sha256::new()),
            40 if hex => {
                // Git hashes a header before the content: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
                let mut sha1 = Sha1::new();
                sha1.update(format!("blob {size}\0"));
                Self::Git(sha1)
            }
            _ => Self::Unknown,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(sha) => sha.update(bytes),
            Self::Git(sha) => sha.update(bytes),
            Self::Unknown => {}
        }
    }

    /// The algorithm's name and the sum in hexadecimal; nothing where there is none to compare.
    pub(crate) fn finish(self) -> Option<(&'static str, String)> {
        match self {
            Self::Sha256(sha) => Some(("SHA-256", hex(&sha.finalize()))),
            Self::Git(sha) => Some(("git SHA-1", hex(&sha.finalize()))),
            Self::Unknown => None,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(etag: &str, bytes: &[u8]) -> Option<String> {
        let mut sum = Checksum::new(etag, bytes.len() as u64);
        sum.update(bytes);
        sum.finish().map(|(_, sum)| sum)
    }

    #[test]
    fn sums_are_those_of_git_and_sha256sum() {
        // `git hash-object` of "hello\n", and `sha256sum` of nothing.
        let git = "ce013625030ba8dba906f756967f9e9ca394464a";
        assert_eq!(sum(git, b"hello\n").as_deref(), Some(git));
        let sha = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sum(sha, b"").as_deref(), Some(sha));
        assert_eq!(sum("5f3759df-2", b"x"), None);
    }
}
