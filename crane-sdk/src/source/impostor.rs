//! Files that are not the one that their name promises: what downloads leave behind when they go wrong.

use super::{Blob, without_bom};
use crate::Error;

/// Bytes at the beginning that tell.
const HEAD: usize = 512;

/// A damaged file: what it is instead of a model's file, if that can be told, else `reason`.
pub(crate) fn refuse(blob: &dyn Blob, reason: impl std::fmt::Display) -> Error {
    let head = blob.read(0, HEAD.min(usize::try_from(blob.len()).unwrap_or(HEAD)));
    let told = head.ok().and_then(|head| {
        // A damaged file of the format that was expected is no impostor.
        let other = || format(&head).filter(|(ending, _)| !blob.label().ends_with(ending));
        what(&head).or_else(|| other().map(|(_, told)| told))
    });
    match told {
        Some(what) => Error::invalid_file(blob.label(), what),
        None => Error::invalid_file(blob.label(), reason),
    }
}

/// What a file is that begins so, and what to do about it, if it cannot be a model's file.
pub(crate) fn what(head: &[u8]) -> Option<&'static str> {
    let text = without_bom(head).trim_ascii_start();
    let tag = |name: &str| {
        text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
    };
    Some(match head {
        [] => "it is empty; fetch it again",
        _ if head.starts_with(b"version https://git-lfs.github.com/") => {
            "it is a pointer of Git LFS and not the file itself; run `git lfs pull` where it was cloned, or fetch the file again"
        }
        _ if tag("<!doctype html") || tag("<html") || tag("<head") => {
            "it is a web page (HTML), saved in the file's place; fetch the file from a link that leads to it directly"
        }
        _ if tag("<?xml") || tag("<Error") => {
            "it is a server's message (XML), saved in the file's place; fetch the file again"
        }
        [0x1F, 0x8B, ..] => "it is compressed (gzip); unpack it first",
        [0x28, 0xB5, 0x2F, 0xFD, ..] => "it is compressed (zstd); unpack it first",
        [0xFD, b'7', b'z', b'X', b'Z', ..] => "it is compressed (xz); unpack it first",
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => "it is compressed (bzip2); unpack it first",
        [b'7', b'z', 0xBC, 0xAF, ..] => "it is a 7z archive; unpack it first",
        _ if head.iter().all(|byte| *byte == 0) => {
            "it begins with zeros: its transfer was cut; fetch it again"
        }
        _ => return None,
    })
}

/// Which format of models a file has, by the ending that it should have, and what to do if another one was expected.
fn format(head: &[u8]) -> Option<(&'static str, &'static str)> {
    Some(match head {
        [b'P', b'K', 3, 4, ..] => (".bin", "it is a ZIP archive (or a PyTorch file)"),
        [b'G', b'G', b'U', b'F', ..] => (".gguf", "it is a GGUF file; give it the ending .gguf"),
        [_, _, _, _, _, 0, 0, 0, b'{', b'"', ..] => (
            ".safetensors",
            "it is a safetensors file; give it the ending .safetensors, in a folder with its config.json",
        ),
        _ if is_old(head) => (
            ".ggml",
            "it is a file of GGML from before GGUF; convert it again, or fetch the model as GGUF",
        ),
        _ => return None,
    })
}

/// Magic numbers of llama.cpp's formats before GGUF, little-endian.
fn is_old(head: &[u8]) -> bool {
    [b"lmgg", b"fmgg", b"tjgg", b"algg"].iter().any(|magic| head.starts_with(*magic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Gguf, MemorySource, SafetensorsCheckpoint, Source, json};

    #[test]
    fn what_stands_in_a_files_place_is_named() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
        let table: [(&[u8], &str); 9] = [
            (pointer, "git lfs pull"),
            (b"", "empty"),
            (b"<!DOCTYPE html><html>", "web page (HTML)"),
            (b"\xef\xbb\xbf\n <HTML lang=en>", "web page (HTML)"),
            (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML"),
            (b"\x1f\x8b\x08\0\0\0\0\0\0\0", "gzip"),
            (b"\x28\xb5\x2f\xfd\0\0\0\0\0", "zstd"),
            (b"BZh91AY&SY", "bzip2"),
            (&[0; 600], "zeros"),
        ];
        for (bytes, said) in table {
            for (name, read) in [
                (
                    "m.gguf",
                    (|s, n| Gguf::open(s, n).err()) as fn(&dyn Source, &str) -> Option<Error>,
                ),
                ("model.safetensors", |s, _| SafetensorsCheckpoint::open(s).err()),
                ("config.json", |s, n| json::read::<serde_json::Value>(s, n).err()),
            ] {
                let source = MemorySource::new("m").with(name, bytes.to_vec());
                let error = read(&source, name).unwrap().to_string();
                assert!(error.contains(said) && error.contains(name), "{name}: {error}");
            }
        }
        for (bytes, said) in [
            (&b"PK\x03\x04"[..], "ZIP"),
            (b"\x40\0\0\0\0\0\0\0{\"a\": 1}", "safetensors"),
            (b"lmgg\x01\0\0\0", "before GGUF"),
            (b"abcdefgh", "magic"),
        ] {
            let source = MemorySource::new("m").with("m.gguf", bytes.to_vec());
            let error = Gguf::open(&source, "m.gguf").unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let gguf = MemorySource::new("m").with("model.safetensors", b"GGUF\x03\0\0\0\xff".to_vec());
        let error = SafetensorsCheckpoint::open(&gguf).unwrap_err().to_string();
        assert!(error.contains(".gguf"), "{error}");
    }
}
