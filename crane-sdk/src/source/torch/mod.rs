//! PyTorch checkpoints (`pytorch_model.bin`): zip archives of raw tensors with a pickled table, read without running the pickle.

mod archive;
mod table;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use candle_core::quantized::GgmlDType;

use super::checkpoint::{Checkpoint, StoredType, TensorInfo, TensorTable};
use super::{Blob, Source};
use crate::{Error, Result};
use table::{Described, Table};

/// The file's name in published folders.
const FILE: &str = "pytorch_model.bin";
/// The largest table that is read: that of a checkpoint with a million tensors.
const MAX_TABLE: u64 = 256 << 20;
/// How many times a byte of the file may be part of a tensor, on average. Tied weights share their storages.
const MAX_SHARING: u64 = 4;

/// The tensors of a PyTorch state dictionary, read on demand.
///
/// ```no_run
/// # fn example(source: &dyn crane_sdk::source::Source) -> crane_sdk::Result<()> {
/// use crane_sdk::source::{Checkpoint, TorchCheckpoint};
///
/// let weights = TorchCheckpoint::open(source)?;
/// for (name, info) in weights.tensors().iter() {
///     println!("{name} {:?} {}", info.shape, info.dtype);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TorchCheckpoint {
    tensors: TensorTable,
    blobs: [Arc<dyn Blob>; 1],
}

impl TorchCheckpoint {
    /// Opens the `pytorch_model.bin` of a folder.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none; as [`TorchCheckpoint::from_blob`].
    pub fn open(source: &dyn Source) -> Result<Self> {
        Self::from_blob(source.open(FILE)?)
    }

    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if it is no archive of a state dictionary, is truncated, or its pickle does anything but list
    /// tensors; [`Error::Unsupported`] for numbers of the other byte order; [`Error::Io`] if it cannot be read.
    pub fn from_blob(blob: Arc<dyn Blob>) -> Result<Self> {
        let label = blob.label();
        let invalid = |reason: String| Error::invalid_file(label, reason);
        let members = archive::members(blob.as_ref())?;
        let table = members.iter().find_map(|(name, range)| {
            Some((
                name.strip_suffix("data.pkl").filter(|at| at.is_empty() || at.ends_with('/'))?,
                range,
            ))
        });
        let (folder, range) = table.ok_or_else(|| {
            invalid("it has no data.pkl, so it is not a PyTorch checkpoint".to_owned())
        })?;
        let read = |range: &Range<u64>| {
            let len = range.end - range.start;
            if len > MAX_TABLE {
                return Err(invalid(format!("its table of tensors claims {len} bytes")));
            }
            blob.read(range.start, len as usize)
        };
        let little = b"little";
        if let Some(order) = members.get(&format!("{folder}byteorder"))
            && (order.end - order.start != little.len() as u64 || read(order)?.as_ref() != little)
        {
            return Err(Error::Unsupported {
                what: format!("{label}: numbers that are not little-endian"),
                hint: "save the checkpoint again on a little-endian machine".to_owned(),
            });
        }
        let data = format!("{folder}data/");
        let storages: HashMap<&str, &Range<u64>> = members
            .iter()
            .filter_map(|(name, range)| Some((name.strip_prefix(&data)?, range)))
            .collect();
        let pickle = read(range)?;
        let table = Table::read(&pickle).map_err(invalid)?;
        let mut tensors = TensorTable::default();
        for tensor in table.tensors() {
            let tensor = tensor.map_err(invalid)?;
            let storage = storages.get(tensor.key).map(|range| (*range).clone());
            let (info, at) = place(&tensor, label, storage)?;
            tensors.insert(tensor.name.to_owned(), info, 0, at, blob.as_ref())?;
        }
        if tensors.bytes() > blob.len().saturating_mul(MAX_SHARING) {
            return Err(invalid(format!(
                "its tensors have {} bytes, more than {MAX_SHARING} times those of the file: they share storages",
                tensors.bytes()
            )));
        }
        Ok(Self { tensors, blobs: [blob] })
    }
}

/// The shape of a tensor and its first byte's place in the file.
fn place(
    tensor: &Described<'_>,
    label: &str,
    storage: Option<Range<u64>>,
) -> Result<(TensorInfo, u64)> {
    let Described { name, kind, key, offset, shape, strides } = tensor;
    let invalid =
        |reason: String| Error::invalid_file(label, format_args!("tensor {name}: {reason}"));
    let dtype = match *kind {
        ("torch", "FloatStorage") => StoredType::Known(GgmlDType::F32),
        ("torch", "HalfStorage") => StoredType::Known(GgmlDType::F16),
        ("torch", "BFloat16Storage") => StoredType::Known(GgmlDType::BF16),
        // Any number of tensors may name it.
        (_, other) => StoredType::Other(other.chars().take(32).collect()),
    };
    let info = TensorInfo::new(name, label, shape.clone(), dtype)?;
    let range =
        storage.ok_or_else(|| invalid(format!("its storage {key} is not in the archive")))?;
    let StoredType::Known(number) = info.dtype else {
        return Ok((info, range.start));
    };
    if !in_order(shape, strides) {
        return Err(invalid(format!(
            "shape {shape:?} with strides {strides:?} is not in order; save a contiguous copy"
        )));
    }
    let skipped = offset.checked_mul(number.type_size() as u64);
    let start = skipped.and_then(|skipped| range.start.checked_add(skipped));
    let fits =
        |start: &u64| start.checked_add(info.bytes as u64).is_some_and(|end| end <= range.end);
    let start = start.filter(fits).ok_or_else(|| {
        invalid(format!(
            "{} bytes from element {offset} on do not lie in its storage of {}",
            info.bytes,
            range.end - range.start
        ))
    })?;
    Ok((info, start))
}

/// Whether elements lie one after the other, the last dimension first.
fn in_order(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1usize;
    let dimensions = shape.iter().zip(strides).rev();
    shape.len() == strides.len()
        && (shape.contains(&0)
            || dimensions.into_iter().all(|(size, stride)| {
                let fits = *size == 1 || *stride == expected;
                expected = expected.saturating_mul(*size);
                fits
            }))
}

impl Checkpoint for TorchCheckpoint {
    fn label(&self) -> &str {
        self.blobs[0].label()
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
