//! The checksum that the Hub names a file's content by: SHA-256 of a large file, git's SHA-1 of a small one.

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Whether a text has the shape of such a checksum.
pub(crate) fn is_sum(text: &str) -> bool {
    matches!(text.len(), 40 | 64)
        && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Sums up the bytes of one file as they arrive.
#[derive(Debug, Clone)]
pub(crate) enum Checksum {
    Sha256(Sha256),
    Git(Sha1),
}

impl Checksum {
    /// The algorithm that gives a sum of this shape, SHA-256 where none is known, before any byte of a file of `size` bytes.
    pub(crate) fn new(sum: Option<&str>, size: u64) -> Self {
        match sum.filter(|sum| is_sum(sum)).map(str::len) {
            Some(40) => {
                // Git hashes a header before the content: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
                let mut sha1 = Sha1::new();
                sha1.update(format!("blob {size}\0"));
                Self::Git(sha1)
            }
            _ => Self::Sha256(Sha256::new()),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(sha) => sha.update(bytes),
            Self::Git(sha) => sha.update(bytes),
        }
    }

    /// The algorithm's name and the sum in hexadecimal.
    pub(crate) fn finish(self) -> (&'static str, String) {
        match self {
            Self::Sha256(sha) => ("SHA-256", hex(&sha.finalize())),
            Self::Git(sha) => ("git SHA-1", hex(&sha.finalize())),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of a few bytes, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(known: Option<&str>, bytes: &[u8]) -> String {
        let mut sum = Checksum::new(known, bytes.len() as u64);
        sum.update(bytes);
        sum.finish().1
    }

    #[test]
    fn sums_are_those_of_git_and_sha256sum() {
        // `git hash-object` of "hello\n", and `sha256sum` of nothing.
        let git = "ce013625030ba8dba906f756967f9e9ca394464a";
        assert_eq!(sum(Some(git), b"hello\n"), git);
        let sha = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sum(Some(sha), b""), sha);
        assert_eq!(sum(None, b""), sha);
    }

    #[test]
    fn other_names_of_content_are_no_sums() {
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        for name in ["", "5f3759df-2", md5, &format!("{md5}-2"), &"g".repeat(64), &"A".repeat(40)] {
            assert!(!is_sum(name), "{name}");
        }
    }
}
