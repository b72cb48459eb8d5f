//! The files of a model as JavaScript hands them over: names, sizes and a function that reads a range.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use crane_sdk::source::{Blob, Source, checked_range};
use crane_sdk::{Error, Result};
use js_sys::{Function, Uint8Array};
use wasm_bindgen::prelude::*;

/// The named files of one model.
///
/// Their bytes stay in JavaScript's hands (a buffer, a `Blob`, a file handle) and enter wasm memory
/// one range at a time while the model is loaded.
#[wasm_bindgen]
#[derive(Debug)]
pub struct FileSet {
    label: String,
    files: BTreeMap<String, Arc<OutsideBlob>>,
}

#[wasm_bindgen]
impl FileSet {
    /// An empty set that messages call `label`.
    #[wasm_bindgen(constructor)]
    pub fn new(label: String) -> Self {
        Self { label, files: BTreeMap::new() }
    }

    /// Adds a file of `size` bytes; `read(offset, length)` returns that range as a `Uint8Array`,
    /// synchronously.
    pub fn add(&mut self, name: String, size: f64, read: Function) {
        let blob = OutsideBlob { label: name.clone(), len: size as u64, reader: Reader::new(read) };
        self.files.insert(name, Arc::new(blob));
    }
}

impl Source for FileSet {
    fn label(&self) -> String {
        self.label.clone()
    }

    fn files(&self) -> Result<Vec<String>> {
        Ok(self.files.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> Result<Arc<dyn Blob>> {
        match self.files.get(name) {
            Some(blob) => Ok(blob.clone()),
            None => Err(Error::NotFound {
                what: name.to_owned(),
                place: self.label.clone(),
                hint: "hand the file over with the model's other files".to_owned(),
            }),
        }
    }
}

/// One file whose bytes stay outside wasm memory: only the range that is asked for enters it, so a
/// checkpoint costs its weights plus one tensor and never lies in wasm memory twice.
#[derive(Debug)]
struct OutsideBlob {
    label: String,
    len: u64,
    reader: Reader,
}

impl Blob for OutsideBlob {
    fn label(&self) -> &str {
        &self.label
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        checked_range(&self.label, self.len, offset, len)?;
        self.reader.read(&self.label, offset, len).map(Cow::Owned)
    }
}

thread_local! {
    /// JavaScript functions may not leave their thread, and a blob must be `Send`: the blob holds a
    /// number and the function lies here.
    static FUNCTIONS: RefCell<BTreeMap<u32, Function>> = const { RefCell::new(BTreeMap::new()) };
}

/// A read function of JavaScript's, by its number.
#[derive(Debug)]
struct Reader(u32);

impl Reader {
    fn new(read: Function) -> Self {
        FUNCTIONS.with_borrow_mut(|functions| {
            let number = functions.last_key_value().map_or(0, |(last, _)| last.wrapping_add(1));
            functions.insert(number, read);
            Self(number)
        })
    }

    fn read(&self, label: &str, offset: u64, len: usize) -> Result<Vec<u8>> {
        let io = |reason: String| Error::Io { path: label.to_owned(), reason };
        let read = FUNCTIONS
            .with_borrow(|functions| functions.get(&self.0).cloned())
            .ok_or_else(|| io("it belongs to another thread".to_owned()))?;
        let bytes = read
            .call2(&JsValue::NULL, &(offset as f64).into(), &(len as f64).into())
            .map_err(|thrown| io(message_of(&thrown)))?
            .dyn_into::<Uint8Array>()
            .map_err(|_| io("the read function did not return a Uint8Array".to_owned()))?;
        if bytes.length() as usize != len {
            let came = bytes.length();
            return Err(io(format!("{len} bytes were asked for at {offset}, {came} came")));
        }
        let mut copy = Vec::new();
        copy.try_reserve_exact(len).map_err(|_| Error::OutOfMemory {
            what: label.to_owned(),
            bytes: len as u64,
            hint: "close other models, or choose a smaller one".to_owned(),
        })?;
        copy.resize(len, 0);
        bytes.copy_to(&mut copy);
        Ok(copy)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        FUNCTIONS.with_borrow_mut(|functions| functions.remove(&self.0));
    }
}

fn message_of(thrown: &JsValue) -> String {
    match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.message()),
        None => format!("{thrown:?}"),
    }
}
