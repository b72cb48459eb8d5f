//! GGUF: metadata and tensors in one file, or in a numbered set of files.
//!
//! Layout as documented in ggml's `docs/gguf.md`: magic, version, tensor count, metadata count,
//! metadata, tensor descriptions, padding to `general.alignment`, tensor data.

mod integers;
mod metadata;
mod reader;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use candle_core::quantized::GgmlDType;

use super::checkpoint::{Checkpoint, MAX_TENSORS, StoredType, TensorInfo, TensorTable};
use super::{Blob, Source};
use crate::{Error, Result};
use reader::Reader;

pub use integers::Integers;
pub use metadata::{Metadata, Value};

/// Bytes of the shortest tensor description: name length, dimension count, one dimension, type, offset.
const LEAST_TENSOR: u64 = 8 + 4 + 8 + 4 + 8;
/// Bytes of the shortest metadata pair: key length, type, one byte.
const LEAST_PAIR: u64 = 8 + 4 + 1;
const MAX_DIMENSIONS: u32 = 4;
/// The most metadata pairs: a thousand times what converters write.
const MAX_PAIRS: usize = 1 << 16;
/// Files of a split set; the name has five digits.
const MAX_SPLITS: u64 = 99_999;

/// The parsed head of a GGUF file (or of a split set), and its tensors' bytes on demand.
#[derive(Debug)]
pub struct Gguf {
    metadata: Metadata,
    tensors: TensorTable,
    blobs: Vec<Arc<dyn Blob>>,
}

impl Gguf {
    /// Parses one file.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if the magic, a count, a length, a shape or an offset is wrong;
    /// [`Error::Unsupported`] for versions and byte orders that are not read.
    pub fn parse(blob: Arc<dyn Blob>) -> Result<Self> {
        let mut gguf =
            Self { metadata: Metadata::default(), tensors: TensorTable::default(), blobs: vec![] };
        gguf.metadata = gguf.add(blob)?;
        Ok(gguf)
    }

    /// Opens `name` in `source`, with the rest of its set if it is `…-00001-of-0000N.gguf`.
    ///
    /// # Errors
    /// As [`Gguf::parse`]; [`Error::NotFound`] if a file of the set is missing.
    pub fn open(source: &dyn Source, name: &str) -> Result<Self> {
        let mut gguf = Self::parse(source.open(name)?)?;
        let splits = gguf.metadata.opt_u64("split.count")?.unwrap_or(1);
        if splits <= 1 {
            return Ok(gguf);
        }
        let stem = name.strip_suffix(&format!("-00001-of-{splits:05}.gguf"));
        let (Some(stem), true) = (stem, splits <= MAX_SPLITS) else {
            return Err(Error::invalid_file(
                name,
                format_args!(
                    "it is one of a set of {splits}; open the one that ends in \
                     -00001-of-{splits:05}.gguf"
                ),
            ));
        };
        for split in 2..=splits {
            gguf.add(source.open(&format!("{stem}-{split:05}-of-{splits:05}.gguf"))?)?;
        }
        Ok(gguf)
    }

    /// The key/value pairs.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Reads one file's head, adds its tensors, and returns its metadata.
    fn add(&mut self, blob: Arc<dyn Blob>) -> Result<Metadata> {
        let mut reader = Reader::new(blob.as_ref());
        reader.preamble()?;
        let tensor_count = reader.count("tensors", LEAST_TENSOR)?;
        let pair_count = reader.count("metadata pairs", LEAST_PAIR)?;
        if tensor_count > MAX_TENSORS || pair_count > MAX_PAIRS {
            return Err(reader.invalid(format_args!(
                "it lists {tensor_count} tensors and {pair_count} metadata pairs; {MAX_TENSORS} and \
                 {MAX_PAIRS} are the most that are read"
            )));
        }
        let mut pairs = BTreeMap::new();
        for _ in 0..pair_count {
            let (key, value) = (reader.key()?, reader.value()?);
            if pairs.contains_key(&key) {
                return Err(reader.invalid(format_args!("metadata has {key} twice")));
            }
            pairs.insert(key, value);
        }
        let metadata = Metadata::new(blob.label().to_owned(), pairs);
        let alignment = metadata.opt_u64("general.alignment")?.unwrap_or(32);
        if !alignment.is_power_of_two() || alignment > 1 << 16 {
            return Err(reader.invalid(format_args!("the alignment {alignment} makes no sense")));
        }

        let mut described = Vec::with_capacity(tensor_count);
        for _ in 0..tensor_count {
            described.push(read_tensor(&mut reader)?);
        }
        let data = reader.position().next_multiple_of(alignment);
        let file = self.blobs.len();
        // In the order of the file: what overlaps is no checkpoint, and a short file could stand for a large model.
        described.sort_by_key(|(.., offset)| *offset);
        let mut before = 0u64;
        for (name, shape, tag, offset) in described {
            let dtype = stored_type(tag);
            let start = data.checked_add(offset).ok_or_else(|| {
                reader.invalid(format_args!("tensor {name} starts at the impossible {offset}"))
            })?;
            let info = TensorInfo::new(&name, blob.label(), shape, dtype)?;
            if start < before && info.bytes > 0 {
                return Err(reader.invalid(format_args!(
                    "tensor {name} starts at byte {start}, before the end of another at {before}"
                )));
            }
            before = before.max(start.saturating_add(info.bytes as u64));
            self.tensors.insert(name, info, file, start, blob.as_ref())?;
        }
        self.blobs.push(blob);
        Ok(metadata)
    }
}

fn read_tensor(reader: &mut Reader<'_>) -> Result<(String, Vec<usize>, u32, u64)> {
    let name = reader.string()?;
    let dimensions = reader.u32()?;
    if dimensions > MAX_DIMENSIONS {
        return Err(reader.invalid(format_args!("tensor {name} has {dimensions} dimensions")));
    }
    let mut shape = Vec::new();
    for _ in 0..dimensions {
        let dimension = reader.u64()?;
        shape.push(usize::try_from(dimension).map_err(|_| {
            reader.invalid(format_args!("tensor {name} has a dimension of {dimension}"))
        })?);
    }
    // GGUF lists the fastest-varying dimension first.
    shape.reverse();
    Ok((name, shape, reader.u32()?, reader.u64()?))
}

/// The element type of a ggml type number, as listed in ggml.h.
fn stored_type(tag: u32) -> StoredType {
    use GgmlDType::*;
    StoredType::Known(match tag {
        0 => F32,
        1 => F16,
        2 => Q4_0,
        3 => Q4_1,
        6 => Q5_0,
        7 => Q5_1,
        8 => Q8_0,
        9 => Q8_1,
        10 => Q2K,
        11 => Q3K,
        12 => Q4K,
        13 => Q5K,
        14 => Q6K,
        15 => Q8K,
        30 => BF16,
        other => return StoredType::Other(format!("ggml type {other}")),
    })
}

impl Checkpoint for Gguf {
    fn label(&self) -> &str {
        self.metadata.label()
    }

    fn tensors(&self) -> &TensorTable {
        &self.tensors
    }

    fn read_part(&self, name: &str, part: Range<usize>) -> Result<Cow<'_, [u8]>> {
        self.tensors.read(name, part, self.label(), &self.blobs)
    }

    fn discard_part(&self, name: &str, part: Range<usize>) {
        self.tensors.discard(name, part, &self.blobs);
    }
}

/// The GGUF file of a source: the only one, or the first of a split set.
///
/// A file that is all there is needs no extension: its magic tells.
///
/// # Errors
/// [`Error::InvalidArgument`] if there are several that are not one set.
pub fn find_gguf(source: &dyn Source) -> Result<Option<String>> {
    let files = source.files()?;
    if let [only] = files.as_slice()
        && !is_gguf_name(only)
    {
        let blob = source.open(only)?;
        let magic = blob.len() >= 4 && blob.read(0, 4)?.as_ref() == b"GGUF";
        return Ok(magic.then(|| only.clone()));
    }
    let mut found: Vec<String> = files
        .into_iter()
        .filter(|name| is_gguf_name(name))
        .filter(|name| !name.contains("-of-") || name.contains("-00001-of-"))
        .collect();
    match found.len() {
        0 | 1 => Ok(found.pop()),
        _ => Err(Error::argument(
            "model",
            format_args!(
                "{} holds several GGUF files, name one of: {}",
                source.label(),
                found.join(", ")
            ),
        )),
    }
}

fn is_gguf_name(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case("gguf"))
}
