//! A part of a source as a source of its own.

use std::sync::Arc;

use super::{Blob, Source};
use crate::Result;

/// The files below a folder of another source.
///
/// ```
/// use crane_sdk::source::{MemorySource, Source, Subfolder};
///
/// let source = MemorySource::new("m").with("codec/config.json", b"{}".to_vec());
/// let codec = Subfolder::new(&source, "codec");
/// assert_eq!(codec.files()?, ["config.json"]);
/// assert!(codec.contains("config.json")? && !codec.contains("codec/config.json")?);
/// # Ok::<(), crane_sdk::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Subfolder<'a> {
    source: &'a dyn Source,
    prefix: String,
}

impl<'a> Subfolder<'a> {
    /// `folder` is relative, with or without a slash at its end.
    pub fn new(source: &'a dyn Source, folder: &str) -> Self {
        Self { source, prefix: format!("{}/", folder.trim_end_matches('/')) }
    }
}

impl Source for Subfolder<'_> {
    fn label(&self) -> String {
        format!(
            "{}/{}",
            self.source.label().trim_end_matches('/'),
            self.prefix.trim_end_matches('/')
        )
    }

    fn files(&self) -> Result<Vec<String>> {
        let files = self.source.files()?.into_iter();
        Ok(files.filter_map(|file| Some(file.strip_prefix(&self.prefix)?.to_owned())).collect())
    }

    fn open(&self, name: &str) -> Result<Arc<dyn Blob>> {
        self.source.open(&format!("{}{name}", self.prefix))
    }

    fn contains(&self, name: &str) -> Result<bool> {
        self.source.contains(&format!("{}{name}", self.prefix))
    }
}
