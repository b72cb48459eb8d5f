//! A source whose files are buffers: what a web page hands over, and what tests build.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Blob, Source, checked_range};
use crate::{Error, Result};

/// Named buffers in memory.
///
/// ```
/// use crane_sdk::source::{MemorySource, Source};
/// let source = MemorySource::new("demo").with("config.json", b"{}".to_vec());
/// assert_eq!(source.open("config.json")?.read_all()?.as_ref(), b"{}");
/// # Ok::<(), crane_sdk::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct MemorySource {
    label: String,
    files: BTreeMap<String, Arc<Buffer>>,
}

#[derive(Debug)]
struct Buffer {
    label: String,
    bytes: Vec<u8>,
}

impl MemorySource {
    /// An empty set of files that messages call `label`.
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), files: BTreeMap::new() }
    }

    /// Adds a file, replacing one of the same name.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, bytes: Vec<u8>) -> Self {
        let label = name.into();
        self.files.insert(label.clone(), Arc::new(Buffer { label, bytes }));
        self
    }
}

impl Source for MemorySource {
    fn label(&self) -> String {
        self.label.clone()
    }

    fn files(&self) -> Result<Vec<String>> {
        Ok(self.files.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> Result<Arc<dyn Blob>> {
        match self.files.get(name) {
            Some(buffer) => Ok(buffer.clone()),
            None => Err(Error::NotFound {
                what: name.to_owned(),
                place: self.label.clone(),
                hint: "add the file to the source".to_owned(),
            }),
        }
    }
}

impl Blob for Buffer {
    fn label(&self) -> &str {
        &self.label
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        let range = checked_range(&self.label, self.len(), offset, len)?;
        Ok(Cow::Borrowed(self.bytes.get(range).unwrap_or_default()))
    }
}
