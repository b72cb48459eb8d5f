//! What `golden.mjs` calls.

use crane_sdk::source::MemorySource;
use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;

/// What came of one folder.
#[wasm_bindgen]
pub struct Golden {
    outcome: crate::golden::Outcome,
}

#[wasm_bindgen]
impl Golden {
    /// Compares the model whose files are `buffers` (of the names in `names`) with the tensors
    /// recorded among them.
    #[wasm_bindgen(constructor)]
    pub fn new(label: String, names: Vec<String>, buffers: Array) -> Golden {
        let mut source = MemorySource::new(label);
        for (name, buffer) in names.into_iter().zip(buffers.iter()) {
            source = source.with(name, Uint8Array::new(&buffer).to_vec());
        }
        Golden { outcome: crate::golden::run(&source) }
    }

    /// A line for each tensor.
    #[wasm_bindgen(getter)]
    pub fn text(&self) -> String {
        self.outcome.text.clone()
    }

    /// Whether every tensor is within its tolerance.
    #[wasm_bindgen(getter)]
    pub fn passed(&self) -> bool {
        self.outcome.passed
    }
}
