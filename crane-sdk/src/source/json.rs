//! The small JSON files of a checkpoint: configs and lists, whose size bounds the memory that reading them takes.

use serde::de::DeserializeOwned;

use super::{Source, impostor, without_bom};
use crate::{Error, Result};

/// The longest file, in bytes: many times the longest that the models here have. A byte of JSON takes up to 60 in memory.
pub(crate) const MOST: u64 = 1 << 20;

/// Reads a file of at most a megabyte. Values lie at most 128 deep in each other, serde_json's own limit.
///
/// # Errors
/// What `source` says of the file, and [`Error::InvalidFile`] for what is too long, not JSON or not a `T`.
pub(crate) fn read<T: DeserializeOwned>(source: &dyn Source, name: &str) -> Result<T> {
    let blob = source.open(name)?;
    if blob.len() > MOST {
        let (bytes, label) = (blob.len(), blob.label());
        let reason = format_args!("it has {bytes} bytes; a file of its kind has at most {MOST}");
        return Err(Error::invalid_file(label, reason));
    }
    let bytes = blob.read_all()?;
    serde_json::from_slice(without_bom(&bytes))
        .map_err(|error| impostor::refuse(blob.as_ref(), error))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::source::MemorySource;

    #[test]
    fn long_and_deep_files_are_refused() {
        let read = |text: String| {
            read::<Value>(&MemorySource::new("m").with("a.json", text.into_bytes()), "a.json")
        };
        assert!(read("[1, 2]".to_owned()).is_ok());
        assert!(read("\u{feff}[1, 2]".to_owned()).is_ok());
        for (text, part) in [
            (" ".repeat(MOST as usize + 1), "at most 1048576"),
            ("[".repeat(10_000), "recursion limit"),
            ("{\"a\":".repeat(10_000), "recursion limit"),
        ] {
            let refusal = read(text).unwrap_err().to_string();
            assert!(refusal.contains(part) && refusal.contains("a.json"), "{refusal}");
        }
    }
}
