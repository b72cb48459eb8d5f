//! The tiny checkpoints, loaded.

#![allow(dead_code, reason = "each test program uses its own part")]

pub mod history_model;

use std::path::Path;
use std::sync::Arc;

use crane_sdk::generate::{FinishReason, GenerationConfig, Session, Step};
use crane_sdk::models::{CausalLm, LoadOptions, load};
use crane_sdk::source::MemorySource;
use crane_sdk::text::Tokenizer;

pub const FIXTURES: [&str; 4] = ["qwen2_tied", "qwen2_untied_sharded", "llama32", "qwen3"];

pub fn folder(name: &str) -> MemorySource {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let mut source = MemorySource::new(name);
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        source = source.with(file, std::fs::read(&path).unwrap());
    }
    source
}

pub struct Fixture {
    pub model: Arc<dyn CausalLm>,
    pub tokenizer: Arc<Tokenizer>,
    pub config: GenerationConfig,
}

pub fn fixture(name: &str) -> Fixture {
    let source = folder(name);
    let tokenizer = Arc::new(Tokenizer::from_source(&source).unwrap());
    let config = GenerationConfig::from_source(&source, &tokenizer).unwrap();
    Fixture { model: load(&source, &LoadOptions::default()).unwrap().model, tokenizer, config }
}

impl Fixture {
    pub fn session(&self, context: usize) -> Session {
        Session::new(self.model.clone(), self.tokenizer.clone(), context).unwrap()
    }
}

/// Steps to the end of what was begun.
pub fn drive(session: &mut Session) -> (Vec<u32>, FinishReason) {
    while session.step().unwrap() != Step::Done {}
    let output = session.finish().unwrap();
    (output.ids, output.finish_reason)
}
