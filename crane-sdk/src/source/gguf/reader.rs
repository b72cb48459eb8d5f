//! A cursor over the head of a GGUF file that checks every length before it takes memory.

use std::borrow::Cow;

use super::integers::{Integers, Kind};
use super::metadata::Value;
use crate::source::{Blob, impostor};
use crate::{Error, Result};

/// Bytes fetched at a time; a range reader pays for each fetch.
const WINDOW: u64 = 1 << 20;
/// The longest key or text: vocabulary entries and templates are far below it.
const MAX_STRING: u64 = 1 << 26;
/// The longest key, by the format's own documentation.
const MAX_KEY: u64 = 65_535;
/// The most texts in all arrays of a file: eight times the largest published vocabularies with their merges. A text in memory
/// takes some fifty bytes, one in the file at least eight.
const MAX_TEXTS: usize = 1 << 21;
/// Bytes of an array of integers that are copied at a time.
const PIECE: usize = 1 << 16;

/// Reads little-endian values one after the other.
pub(super) struct Reader<'a> {
    blob: &'a dyn Blob,
    window: Cow<'a, [u8]>,
    window_start: u64,
    position: u64,
    version: u32,
    /// Texts in the arrays so far.
    texts: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(blob: &'a dyn Blob) -> Self {
        Self {
            blob,
            window: Cow::Borrowed(&[]),
            window_start: 0,
            position: 0,
            version: 0,
            texts: 0,
        }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The magic and the version (2 or 3, little-endian).
    pub(super) fn preamble(&mut self) -> Result<()> {
        if self.blob.is_empty() {
            return Err(impostor::refuse(self.blob, "it is empty"));
        }
        let magic = self.array::<4>()?;
        if &magic != b"GGUF" {
            let reason = format_args!("the magic is {magic:02x?}, not \"GGUF\"");
            return Err(impostor::refuse(self.blob, reason));
        }
        self.version = self.u32()?;
        match self.version {
            2 | 3 => Ok(()),
            1 => Err(self.unsupported("GGUF version 1 (convert it again with current tools)")),
            version if version.swap_bytes() <= 3 => {
                Err(self.unsupported("big-endian GGUF (a little-endian file is needed)"))
            }
            version => Err(self.invalid(format_args!("version {version} is unknown"))),
        }
    }

    /// A count of things that each take at least `least` bytes of the rest of the file.
    pub(super) fn count(&mut self, what: &str, least: u64) -> Result<usize> {
        let count = self.u64()?;
        let rest = self.blob.len().saturating_sub(self.position);
        match usize::try_from(count) {
            Ok(n) if count.checked_mul(least).is_some_and(|bytes| bytes <= rest) => Ok(n),
            _ => Err(self.invalid(format_args!(
                "it claims {count} {what}, which {rest} remaining bytes cannot hold (truncated?)"
            ))),
        }
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// The name of a pair.
    pub(super) fn key(&mut self) -> Result<String> {
        self.text(MAX_KEY)
    }

    pub(super) fn string(&mut self) -> Result<String> {
        self.text(MAX_STRING)
    }

    fn text(&mut self, most: u64) -> Result<String> {
        let at = self.position;
        let len = self.count("bytes of text", 1)?;
        if len as u64 > most {
            return Err(self.invalid(format_args!(
                "the text at byte {at} claims {len} bytes; {most} are the most"
            )));
        }
        let bytes = self.take(len)?.to_vec();
        String::from_utf8(bytes)
            .map_err(|_| self.invalid(format_args!("the text at byte {at} is not UTF-8")))
    }

    /// A value: its type tag, then its bytes.
    pub(super) fn value(&mut self) -> Result<Value> {
        match self.u32()? {
            9 => self.array_value(),
            8 => Ok(Value::String(self.string()?)),
            7 => Ok(Value::Bool(self.bool()?)),
            6 => Ok(Value::Float(f32::from_le_bytes(self.array()?).into())),
            12 => Ok(Value::Float(f64::from_le_bytes(self.array()?))),
            tag @ (0 | 2 | 4 | 10) => Ok(Value::Unsigned(self.unsigned(tag)?)),
            tag => Ok(Value::Signed(self.signed(tag)?)),
        }
    }

    fn array_value(&mut self) -> Result<Value> {
        let tag = self.u32()?;
        let least = match tag {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            9 => return Err(self.unsupported("a nested array in GGUF metadata")),
            _ => return Err(self.unknown_type(tag)),
        };
        let len = self.count("array elements", least)?;
        Ok(match tag {
            8 => {
                self.texts = self.texts.saturating_add(len);
                if self.texts > MAX_TEXTS {
                    return Err(self.invalid(format_args!(
                        "its arrays hold more than {MAX_TEXTS} texts, the most that are read"
                    )));
                }
                Value::Strings(self.collect(len, Self::string)?)
            }
            7 => Value::Bools(self.collect(len, Self::bool)?),
            6 => Value::Floats(self.collect(len, |r| Ok(f32::from_le_bytes(r.array()?).into()))?),
            12 => Value::Floats(self.collect(len, |r| Ok(f64::from_le_bytes(r.array()?)))?),
            tag => match Kind::of(tag) {
                Some(kind) => Value::Integers(self.integers(len, kind)?),
                None => return Err(self.unknown_type(tag)),
            },
        })
    }

    /// `count` has found that the file has room for `len`, so that all of their memory may be taken at once.
    fn collect<T>(
        &mut self,
        len: usize,
        mut next: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut out = Vec::with_capacity(len);
        for _ in 0..len {
            out.push(next(self)?);
        }
        Ok(out)
    }

    /// Integers as they are stored.
    fn integers(&mut self, len: usize, kind: Kind) -> Result<Integers> {
        let mut rest = len.saturating_mul(kind.width());
        let mut bytes = Vec::with_capacity(rest);
        while rest > 0 {
            let piece = rest.min(PIECE);
            bytes.extend_from_slice(self.take(piece)?);
            rest -= piece;
        }
        Integers::from_bytes(kind, bytes)
            .map_err(|value| self.invalid(format_args!("the array element {value} is too large")))
    }

    fn unsigned(&mut self, tag: u32) -> Result<u64> {
        Ok(match tag {
            0 => u8::from_le_bytes(self.array()?).into(),
            2 => u16::from_le_bytes(self.array()?).into(),
            4 => u32::from_le_bytes(self.array()?).into(),
            10 => self.u64()?,
            _ => return Err(self.unknown_type(tag)),
        })
    }

    fn signed(&mut self, tag: u32) -> Result<i64> {
        Ok(match tag {
            1 => i8::from_le_bytes(self.array()?).into(),
            3 => i16::from_le_bytes(self.array()?).into(),
            5 => i32::from_le_bytes(self.array()?).into(),
            11 => i64::from_le_bytes(self.array()?),
            _ => return Err(self.unknown_type(tag)),
        })
    }

    fn bool(&mut self) -> Result<bool> {
        Ok(self.array::<1>()? != [0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn take(&mut self, len: usize) -> Result<&[u8]> {
        let have = self.window.len() as u64;
        let inside = self.position >= self.window_start
            && self.position + len as u64 <= self.window_start + have;
        if !inside {
            let rest = self.blob.len().saturating_sub(self.position);
            // At least what is asked for, so that a short file is reported by the blob itself.
            let fetch = rest.min(WINDOW).max(len as u64);
            self.window = self.blob.read(self.position, fetch as usize)?;
            self.window_start = self.position;
        }
        let start = (self.position - self.window_start) as usize;
        self.position += len as u64;
        Ok(self.window.get(start..start + len).unwrap_or_default())
    }

    pub(super) fn invalid(&self, reason: impl std::fmt::Display) -> Error {
        Error::invalid_file(self.blob.label(), reason)
    }

    fn unknown_type(&self, tag: u32) -> Error {
        let at = self.position;
        self.invalid(format_args!("unknown metadata type {tag} before byte {at}"))
    }

    fn unsupported(&self, what: &str) -> Error {
        Error::Unsupported { what: what.to_owned(), hint: format!("in {}", self.blob.label()) }
    }
}
