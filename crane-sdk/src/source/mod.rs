//! Where bytes come from: a set of named files, and the formats read out of them.

mod byte_order_mark;
mod checkpoint;
mod gguf;
pub(crate) mod impostor;
pub(crate) mod json;
mod memory;
mod model;
mod onnx;
mod safetensors;
mod subfolder;
mod torch;
pub(crate) mod yaml;

use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;

use crate::{Error, Result};

pub use byte_order_mark::without_bom;
pub use checkpoint::{Checkpoint, StoredType, TensorInfo, TensorTable};
pub use gguf::{Gguf, Integers, Metadata, Value, find_gguf};
pub use memory::MemorySource;
pub use model::{check_model, model_gguf};
pub use onnx::OnnxCheckpoint;
pub use safetensors::SafetensorsCheckpoint;
pub use subfolder::Subfolder;
pub use torch::TorchCheckpoint;

/// A set of named files that make up a model: a folder, a single GGUF file, blobs in memory.
///
/// A source knows nothing of models. Names are relative and use `/`.
pub trait Source: Send + Sync + Debug {
    /// What to call this source in a message: a path, a hub id, "memory".
    fn label(&self) -> String;

    /// The names of all files, sorted.
    ///
    /// # Errors
    /// [`Error::Io`] if the place cannot be listed.
    fn files(&self) -> Result<Vec<String>>;

    /// Opens one file.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such file, [`Error::Io`] if it cannot be opened.
    fn open(&self, name: &str) -> Result<Arc<dyn Blob>>;

    /// Whether the file exists.
    ///
    /// # Errors
    /// [`Error::Io`] if the place cannot be listed.
    fn contains(&self, name: &str) -> Result<bool> {
        Ok(self.files()?.iter().any(|file| file == name))
    }
}

/// The bytes of one file, read by range so that a checkpoint larger than memory can be used.
///
/// A memory map and a buffer lend their bytes; a range reader (a browser's file handle, an HTTP
/// range) owns what it returns.
pub trait Blob: Send + Sync + Debug {
    /// What to call this file in a message.
    fn label(&self) -> &str;

    /// The length in bytes.
    fn len(&self) -> u64;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `len` bytes that start at `offset`.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if the range reaches past the end, [`Error::Io`] if reading fails.
    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>>;

    /// Says that the bytes of a range will not be read again, so that their memory may be given back.
    fn discard(&self, offset: u64, len: usize) {
        let _ = (offset, len);
    }

    /// The whole file.
    ///
    /// # Errors
    /// As [`Blob::read`]; [`Error::OutOfMemory`] if the file cannot be addressed on this target.
    fn read_all(&self) -> Result<Cow<'_, [u8]>> {
        let len = usize::try_from(self.len()).map_err(|_| Error::OutOfMemory {
            what: self.label().to_owned(),
            bytes: self.len(),
            hint: "the file is larger than this target can address".to_owned(),
        })?;
        self.read(0, len)
    }
}

/// Checks that `offset .. offset + len` lies in a file of `total` bytes and returns it as indices.
///
/// # Errors
/// [`Error::InvalidFile`] that names the file and the range.
pub fn checked_range(
    label: &str,
    total: u64,
    offset: u64,
    len: usize,
) -> Result<std::ops::Range<usize>> {
    let end = offset.checked_add(len as u64).filter(|&end| end <= total);
    match (usize::try_from(offset), end.map(usize::try_from)) {
        (Ok(start), Some(Ok(end))) => Ok(start..end),
        _ => Err(Error::invalid_file(
            label,
            format_args!("bytes {offset}..+{len} are needed, but it has {total} (truncated?)"),
        )),
    }
}
