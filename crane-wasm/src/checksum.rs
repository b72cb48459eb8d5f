//! Checksums of files that arrive in pieces, which a browser's own cryptography does not offer.

use sha1::Sha1;
use sha2::{Digest, Sha256};
use wasm_bindgen::prelude::*;

/// Sums up the bytes of one file as they come.
#[wasm_bindgen]
#[derive(Debug, Clone)]
pub struct Checksum(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Sha256(Sha256),
    Git(Sha1),
}

#[wasm_bindgen]
impl Checksum {
    /// SHA-256, by which the Hub names large files.
    pub fn sha256() -> Self {
        Self(Kind::Sha256(Sha256::new()))
    }

    /// The SHA-1 by which git, and with it the Hub, names a small file of `size` bytes.
    ///
    /// Git hashes a header before the content: <https://git-scm.com/book/en/v2/Git-Internals-Git-Objects>
    pub fn git(size: f64) -> Self {
        let mut sha1 = Sha1::new();
        sha1.update(format!("blob {}\0", size as u64));
        Self(Kind::Git(sha1))
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Kind::Sha256(sum) => sum.update(bytes),
            Kind::Git(sum) => sum.update(bytes),
        }
    }

    /// The sum of what came so far, in hexadecimal; more may follow.
    pub fn hex(&self) -> String {
        match &self.0 {
            Kind::Sha256(sum) => hex(&sum.clone().finalize()),
            Kind::Git(sum) => hex(&sum.clone().finalize()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_git_and_sha256sum() {
        // `git hash-object` and `sha256sum` of "hello\n".
        for (mut sum, expected) in [
            (Checksum::git(6.0), "ce013625030ba8dba906f756967f9e9ca394464a"),
            (
                Checksum::sha256(),
                "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
            ),
        ] {
            sum.update(b"hel");
            sum.update(b"lo\n");
            assert_eq!(sum.hex(), expected);
        }
    }
}
