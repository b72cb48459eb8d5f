//! What every checkpoint format offers: a table of named tensors, and their bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use candle_core::quantized::GgmlDType;

use super::Blob;
use crate::{Error, Result};

/// The most tensors of a checkpoint: several times what the largest published ones have. A tensor's description takes a few
/// hundred bytes of memory, and as few as thirty in a file.
pub(super) const MAX_TENSORS: usize = 1 << 18;
/// The longest name of a tensor, in bytes: models and messages repeat it.
const MAX_NAME: usize = 1 << 12;
/// The most dimensions of a tensor.
pub(super) const MAX_DIMENSIONS: usize = 8;

/// How a tensor's numbers are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredType {
    /// A type that can be read: f32, f16, bf16 or a ggml block type.
    Known(GgmlDType),
    /// A type that cannot, by its name in the file.
    Other(String),
}

impl fmt::Display for StoredType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoredType::Known(dtype) => write!(f, "{dtype:?}"),
            StoredType::Other(name) => f.write_str(name),
        }
    }
}

/// A tensor's shape and storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Dimensions, the slowest-varying first.
    pub shape: Vec<usize>,
    /// How the numbers are stored.
    pub dtype: StoredType,
    /// Bytes in the file; 0 if the type is not known.
    pub bytes: usize,
}

impl TensorInfo {
    /// Checks that a shape and a block type go together and computes the size.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if the size overflows, or the last dimension is not whole blocks.
    pub fn new(name: &str, file: &str, shape: Vec<usize>, dtype: StoredType) -> Result<Self> {
        let invalid = |reason: &str| {
            Error::invalid_file(file, format_args!("tensor {name} {shape:?} of {dtype}: {reason}"))
        };
        if shape.len() > MAX_DIMENSIONS {
            let (count, most) = (shape.len(), MAX_DIMENSIONS);
            let reason = format_args!("tensor {name} has {count} dimensions, more than {most}");
            return Err(Error::invalid_file(file, reason));
        }
        let elements = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        let elements = elements.ok_or_else(|| invalid("its size overflows"))?;
        let bytes = match &dtype {
            StoredType::Other(_) => 0,
            StoredType::Known(ggml) => {
                if !shape.last().unwrap_or(&1).is_multiple_of(ggml.block_size()) {
                    return Err(invalid("its rows are not whole blocks"));
                }
                (elements / ggml.block_size())
                    .checked_mul(ggml.type_size())
                    .ok_or_else(|| invalid("its size overflows"))?
            }
        };
        Ok(Self { shape, dtype, bytes })
    }

    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().fold(1, |product, n| product.saturating_mul(*n))
    }
}

/// Where each tensor of a checkpoint lies.
#[derive(Debug, Default)]
pub struct TensorTable {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    info: TensorInfo,
    file: usize,
    offset: u64,
}

impl TensorTable {
    /// Adds a tensor that starts at byte `offset` of the checkpoint's file number `file`.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if it reaches past the file's end or the name is taken.
    pub(super) fn insert(
        &mut self,
        name: String,
        info: TensorInfo,
        file: usize,
        offset: u64,
        blob: &dyn Blob,
    ) -> Result<()> {
        let end = offset.checked_add(info.bytes as u64);
        if end.is_none_or(|end| end > blob.len()) {
            return Err(Error::invalid_file(
                blob.label(),
                format_args!(
                    "tensor {name} needs bytes {offset}..+{}, but the file has {} (truncated?)",
                    info.bytes,
                    blob.len()
                ),
            ));
        }
        if name.len() > MAX_NAME {
            let (len, label) = (name.len(), blob.label());
            let reason = format_args!("a tensor's name has {len} bytes, over {MAX_NAME}");
            return Err(Error::invalid_file(label, reason));
        }
        if self.entries.len() >= MAX_TENSORS {
            let reason =
                format_args!("there are more than {MAX_TENSORS} tensors, the most that are read");
            return Err(Error::invalid_file(blob.label(), reason));
        }
        if self.entries.contains_key(&name) {
            let reason = format_args!("tensor {name} is listed twice");
            return Err(Error::invalid_file(blob.label(), reason));
        }
        self.entries.insert(name, Entry { info, file, offset });
        Ok(())
    }

    /// Bytes of all tensors; those that share bytes count each.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = self.entries.values().map(|entry| entry.info.bytes as u64);
        bytes.fold(0, u64::saturating_add)
    }

    /// The shape and storage of a tensor.
    pub fn get(&self, name: &str) -> Option<&TensorInfo> {
        self.entries.get(name).map(|entry| &entry.info)
    }

    /// All tensors, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), &entry.info))
    }

    /// Some of a tensor's bytes; a range that reaches past its end is cut there.
    ///
    /// # Errors
    /// [`Error::Weights`] if there is no such tensor, and what reading the file may give.
    pub(super) fn read<'a>(
        &self,
        name: &str,
        part: Range<usize>,
        label: &str,
        blobs: &'a [Arc<dyn Blob>],
    ) -> Result<Cow<'a, [u8]>> {
        let Some((blob, offset, len)) = self.place(name, part, blobs) else {
            return Err(Error::Weights {
                name: name.to_owned(),
                file: label.to_owned(),
                reason: "the model needs it, but the checkpoint does not have it".to_owned(),
            });
        };
        blob.read(offset, len)
    }

    /// Tells the file that some of a tensor's bytes will not be read again.
    pub(super) fn discard(&self, name: &str, part: Range<usize>, blobs: &[Arc<dyn Blob>]) {
        if let Some((blob, offset, len)) = self.place(name, part, blobs) {
            blob.discard(offset, len);
        }
    }

    fn place<'a>(
        &self,
        name: &str,
        part: Range<usize>,
        blobs: &'a [Arc<dyn Blob>],
    ) -> Option<(&'a Arc<dyn Blob>, u64, usize)> {
        let entry = self.entries.get(name)?;
        let end = part.end.min(entry.info.bytes);
        let start = part.start.min(end);
        Some((blobs.get(entry.file)?, entry.offset + start as u64, end - start))
    }
}

/// A checkpoint: named tensors in one or several files.
pub trait Checkpoint: Send + Sync {
    /// What to call the checkpoint in a message.
    fn label(&self) -> &str;

    /// Every tensor's shape and storage.
    fn tensors(&self) -> &TensorTable;

    /// The bytes of a tensor, little-endian, as stored.
    ///
    /// # Errors
    /// [`Error::Weights`] if there is no such tensor, [`Error::Io`] if reading fails.
    fn read(&self, name: &str) -> Result<Cow<'_, [u8]>> {
        self.read_part(name, 0..usize::MAX)
    }

    /// Some of a tensor's bytes; a range that reaches past its end is cut there.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    fn read_part(&self, name: &str, part: Range<usize>) -> Result<Cow<'_, [u8]>>;

    /// Says that some of a tensor's bytes will not be read again, so that their memory may be given back.
    fn discard_part(&self, name: &str, part: Range<usize>);
}
