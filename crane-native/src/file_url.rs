//! `file://` addresses: how a path is written as text, whatever bytes it has.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

const SCHEME: &str = "file://";

/// Whether a text is spelt as one.
pub(crate) fn is_one(text: &str) -> bool {
    text.get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME))
}

/// The path that an address of this machine names.
pub(crate) fn path(text: &str) -> Option<PathBuf> {
    let rest = text.get(SCHEME.len()..).filter(|_| is_one(text))?;
    let rest = match rest.strip_prefix("localhost/") {
        Some(_) => rest.strip_prefix("localhost")?,
        None => rest,
    };
    // `/C:/models` of an address is `C:/models` on Windows.
    let rest = match (cfg!(windows), rest.as_bytes()) {
        (true, [b'/', drive, b':', ..]) if drive.is_ascii_alphabetic() => rest.get(1..)?,
        _ => rest,
    };
    Some(PathBuf::from(os_string(decode(rest.as_bytes()))?))
}

/// The address of a path that no text names as it is: one that is not UTF-8.
pub(crate) fn of(path: &Path) -> Option<String> {
    let absolute = std::path::absolute(path).ok()?;
    let bytes = absolute.as_os_str().as_encoded_bytes();
    // Only where a path is bytes can they be written.
    if !cfg!(unix) {
        return None;
    }
    let mut text = SCHEME.to_owned();
    for &byte in bytes {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => text.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    Some(text)
}

/// `%2F` is a byte; what is none stays as it is.
fn decode(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|&byte| char::from(byte).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(unix)]
fn os_string(bytes: Vec<u8>) -> Option<std::ffi::OsString> {
    use std::os::unix::ffi::OsStrExt;
    Some(OsStr::from_bytes(&bytes).to_owned())
}

#[cfg(not(unix))]
fn os_string(bytes: Vec<u8>) -> Option<std::ffi::OsString> {
    String::from_utf8(bytes).ok().map(|text| OsStr::new(&text).to_owned())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn every_path_has_an_address() {
        for bytes in [&b"/m/q.gguf"[..], b"/m \xff/a:b@c%20.gguf", "/größe/世.gguf".as_bytes()] {
            let there = Path::new(OsStr::from_bytes(bytes));
            let address = of(there).unwrap();
            assert!(is_one(&address) && address.is_ascii(), "{address}");
            assert_eq!(path(&address).as_deref(), Some(there), "{address}");
        }
        for (text, expected) in [
            ("file:///a%20b", Some("/a b")),
            ("FILE://localhost/a", Some("/a")),
            ("file:///100%", Some("/100%")),
            ("file:///a%2", Some("/a%2")),
            ("file:/a", None),
            ("filé://a", None),
            ("a", None),
        ] {
            assert_eq!(path(text).as_deref(), expected.map(Path::new), "{text}");
        }
    }
}
