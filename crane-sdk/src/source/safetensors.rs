//! Safetensors: one file, or shards listed by `model.safetensors.index.json`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use safetensors::Dtype;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::checkpoint::{
    Checkpoint, MAX_DIMENSIONS, MAX_TENSORS, StoredType, TensorInfo, TensorTable,
};
use super::{Blob, Source, impostor, without_bom};
use crate::{Error, Result};

/// The weights file of a model that is not sharded.
const SINGLE: &str = "model.safetensors";
/// The list of shards.
const INDEX: &str = "model.safetensors.index.json";
/// The longest header: the format's own limit.
const MAX_HEADER: u64 = 100_000_000;
/// The most shards: several times what the largest published models have.
const MAX_SHARDS: usize = 1 << 12;

/// The parsed headers of a safetensors checkpoint, and its tensors' bytes on demand.
#[derive(Debug)]
pub struct SafetensorsCheckpoint {
    label: String,
    tensors: TensorTable,
    blobs: Vec<Arc<dyn Blob>>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: WeightMap,
}

/// Which tensor lies in which shard, each shard's name once.
#[derive(Default)]
struct WeightMap {
    /// Names, each with its shard's number.
    tensors: Vec<(String, usize)>,
    shards: Vec<String>,
}

/// A file's header, read entry by entry. The format's own crate counts bytes by an address's width, and files that wasm32 reads
/// a range of may be longer than that.
struct Header(Vec<(String, Described)>);

/// What a header says of a tensor.
#[derive(Deserialize)]
struct Described {
    dtype: Dtype,
    shape: Shape,
    /// Where its bytes begin and end, from the header's end.
    data_offsets: [u64; 2],
}

/// A list of at most [`MAX_DIMENSIONS`] lengths.
struct Shape(Vec<usize>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut tensors = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    if tensors.len() >= MAX_TENSORS {
                        return Err(A::Error::custom(format_args!("over {MAX_TENSORS} tensors")));
                    }
                    tensors.push((name, map.next_value()?));
                }
                Ok(Header(tensors))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lengths;
        impl<'de> Visitor<'de> for Lengths {
            type Value = Shape;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {MAX_DIMENSIONS} lengths")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
                let mut shape = Vec::new();
                while let Some(length) = list.next_element()? {
                    if shape.len() >= MAX_DIMENSIONS {
                        return Err(A::Error::invalid_length(shape.len() + 1, &self));
                    }
                    shape.push(length);
                }
                Ok(Shape(shape))
            }
        }
        deserializer.deserialize_seq(Lengths)
    }
}

impl<'de> Deserialize<'de> for WeightMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Places;
        impl<'de> Visitor<'de> for Places {
            type Value = WeightMap;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors and the shards that hold them")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WeightMap, A::Error> {
                let (mut this, mut numbers) = (WeightMap::default(), HashMap::new());
                while let Some((name, shard)) = map.next_entry::<String, String>()? {
                    if this.tensors.len() >= MAX_TENSORS {
                        return Err(A::Error::custom(format_args!("over {MAX_TENSORS} tensors")));
                    }
                    let number = *numbers.entry(shard).or_insert_with_key(|shard| {
                        this.shards.push(shard.clone());
                        this.shards.len() - 1
                    });
                    if number >= MAX_SHARDS {
                        return Err(A::Error::custom(format_args!("over {MAX_SHARDS} shards")));
                    }
                    this.tensors.push((name, number));
                }
                Ok(this)
            }
        }
        deserializer.deserialize_map(Places)
    }
}

impl SafetensorsCheckpoint {
    /// Opens the checkpoint of a folder: its shards if there is an index, else the single file.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there are no weights or a shard is missing, [`Error::InvalidFile`] if a
    /// header or the index is wrong, or a shard lacks a tensor that the index puts there.
    pub fn open(source: &dyn Source) -> Result<Self> {
        let mut this =
            Self { label: source.label(), tensors: TensorTable::default(), blobs: Vec::new() };
        if !source.contains(INDEX)? {
            no_stray_shards(source)?;
            this.add(source.open(SINGLE)?)?;
            return Ok(this);
        }
        let index = source.open(INDEX)?;
        let index: Index = serde_json::from_slice(without_bom(&index.read_all()?))
            .map_err(|error| Error::invalid_file(INDEX, error))?;
        let WeightMap { tensors, shards } = index.weight_map;
        let mut order: Vec<&String> = shards.iter().collect();
        order.sort();
        for shard in order {
            let blob = source.open(shard).map_err(|error| named_by_index(error, shard))?;
            this.add(blob)?;
        }
        for (name, shard) in &tensors {
            if this.tensors.get(name).is_none() {
                let shard = shards.get(*shard).map_or(INDEX, String::as_str);
                let reason = format_args!("{INDEX} puts tensor {name} there, but it is not");
                return Err(Error::invalid_file(shard, reason));
            }
        }
        Ok(this)
    }

    /// Adds one file to an otherwise empty checkpoint; for files of other names.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if the header is wrong.
    pub fn from_blob(blob: Arc<dyn Blob>) -> Result<Self> {
        let label = blob.label().to_owned();
        let mut this = Self { label, tensors: TensorTable::default(), blobs: Vec::new() };
        this.add(blob)?;
        Ok(this)
    }

    fn add(&mut self, blob: Arc<dyn Blob>) -> Result<()> {
        let label = blob.label();
        let invalid = |reason: String| Error::invalid_file(label, reason);
        if blob.len() < 8 {
            let reason = format_args!("it has {} bytes; its header alone has more", blob.len());
            return Err(impostor::refuse(blob.as_ref(), reason));
        }
        let mut length = [0; 8];
        length.copy_from_slice(&blob.read(0, 8)?);
        let header = u64::from_le_bytes(length);
        if header > MAX_HEADER || header + 8 > blob.len() {
            let reason = format_args!(
                "its header claims {header} bytes, the file has {} (truncated, or not safetensors)",
                blob.len()
            );
            return Err(impostor::refuse(blob.as_ref(), reason));
        }
        let text = blob.read(8, header as usize)?;
        let Header(mut tensors) = serde_json::from_slice(&text).map_err(|error| {
            let reason = format_args!("its header is wrong: {error}");
            impostor::refuse(blob.as_ref(), reason)
        })?;
        tensors.sort_by_key(|(_, described)| described.data_offsets);
        let file = self.blobs.len();
        let mut before = 0;
        for (name, Described { dtype, shape: Shape(shape), data_offsets: [start, end] }) in tensors
        {
            if start != before || end < start {
                return Err(invalid(format!(
                    "its header is wrong: tensor {name} lies at {start}..{end}, and the one before it ends at {before}"
                )));
            }
            before = end;
            let info = TensorInfo::new(&name, label, shape, stored_type(dtype))?;
            let span = end - start;
            if matches!(info.dtype, StoredType::Known(_)) && span != info.bytes as u64 {
                return Err(invalid(format!(
                    "tensor {name} needs {} bytes and is given {span}",
                    info.bytes
                )));
            }
            let start = (8 + header)
                .checked_add(start)
                .ok_or_else(|| invalid(format!("tensor {name} starts at {start}")))?;
            self.tensors.insert(name, info, file, start, blob.as_ref())?;
        }
        self.blobs.push(blob);
        Ok(())
    }
}

/// A shard that is not there: the index is why it was looked for.
fn named_by_index(error: Error, shard: &str) -> Error {
    match error {
        Error::NotFound { place, .. } => Error::NotFound {
            what: shard.to_owned(),
            place,
            hint: format!("{INDEX} names it as one of the model's shards; fetch the model again"),
        },
        error => error,
    }
}

/// Refuses shards without the index that says which tensor lies where.
fn no_stray_shards(source: &dyn Source) -> Result<()> {
    let files = source.files()?;
    let shard = files.iter().find(|file| {
        file.starts_with("model-") && file.contains("-of-") && file.ends_with(".safetensors")
    });
    match shard {
        Some(shard) if !files.iter().any(|file| file == SINGLE) => Err(Error::NotFound {
            what: INDEX.to_owned(),
            place: source.label(),
            hint: format!("{shard} is a shard, and the index names all of them; fetch it too"),
        }),
        _ => Ok(()),
    }
}

fn stored_type(dtype: Dtype) -> StoredType {
    match dtype {
        Dtype::F32 => StoredType::Known(GgmlDType::F32),
        Dtype::F16 => StoredType::Known(GgmlDType::F16),
        Dtype::BF16 => StoredType::Known(GgmlDType::BF16),
        other => StoredType::Other(format!("{other:?}")),
    }
}

impl Checkpoint for SafetensorsCheckpoint {
    fn label(&self) -> &str {
        &self.label
    }

    fn tensors(&self) -> &TensorTable {
        &self.tensors
    }

    fn read_part(&self, name: &str, part: Range<usize>) -> Result<Cow<'_, [u8]>> {
        self.tensors.read(name, part, &self.label, &self.blobs)
    }

    fn discard_part(&self, name: &str, part: Range<usize>) {
        self.tensors.discard(name, part, &self.blobs);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::source::MemorySource;

    fn read(header: &str, data: usize) -> Result<SafetensorsCheckpoint> {
        let length = header.len() as u64;
        let bytes = [&length.to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat();
        SafetensorsCheckpoint::open(&MemorySource::new("m").with(SINGLE, bytes))
    }

    #[test]
    fn tensors_lie_one_after_the_other() {
        let header = r#"{"__metadata__": {"format": "pt"}, "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
            "a": {"dtype": "BF16", "shape": [1, 2], "data_offsets": [0, 4]}}"#;
        let found = read(header, 12).unwrap();
        assert_eq!(found.tensors().get("b").unwrap().shape, [2]);
        assert_eq!(found.read("b").unwrap().len(), 8);
        assert!(read(header, 11).unwrap_err().to_string().contains("truncated"));
        for (from, to, message) in [
            ("[4, 12]", "[5, 13]", "lies at 5..13"),
            ("[4, 12]", "[0, 8]", "lies at 0..8"),
            ("[4, 12]", "[4, 3]", "lies at 4..3"),
            ("[4, 12]", "[4, 8]", "needs 8 bytes and is given 4"),
            ("[4, 12]", "[4, -1]", "header is wrong"),
            ("\"F32\"", "\"F33\"", "header is wrong"),
            ("\"shape\": [2]", "\"size\": [2]", "header is wrong"),
            ("\"shape\": [2]", "\"shape\": [1,1,1,1,1,1,1,1,2]", "at most 8 lengths"),
            ("\"a\"", "\"b\"", "listed twice"),
        ] {
            assert!(header.contains(from), "{from}");
            let error = read(&header.replacen(from, to, 1), 12).unwrap_err().to_string();
            assert!(error.contains(message), "{to}: {error}");
        }
    }
}
