//! One function for each format that comes from strangers: any bytes may give an error, none may
//! panic, hang or take memory that the bytes do not justify.
//!
//! `cargo fuzz run NAME` drives them with libFuzzer; `crane-sdk/tests/seeds.rs` replays the seeds, and
//! damaged copies of them, on stable.

use crane_sdk::generate::GenerationConfig;
use crane_sdk::models::{LoadOptions, load};
use crane_sdk::source::{
    Checkpoint, Gguf, MemorySource, OnnxCheckpoint, SafetensorsCheckpoint, Source, TorchCheckpoint,
};
use crane_sdk::text::{ChatTemplate, Message, RenderOptions, SpecialTokens, Tokenizer};

/// A text with several scripts, a special token and bytes that byte-level tokenizers split.
const TEXT: &str = "Hello, wörld! 世界 🦀 <|im_start|> 12345\n\n  x";

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crane-sdk/tests/fixtures/qwen2_tied");

fn tiny(file: &str) -> Vec<u8> {
    std::fs::read(format!("{TINY}/{file}")).unwrap_or_default()
}

fn source(file: &str, bytes: &[u8]) -> MemorySource {
    MemorySource::new("fuzz").with(file, bytes.to_vec())
}

/// A safetensors file: its head, then the bytes of every tensor that the head lists.
pub fn safetensors(bytes: &[u8]) {
    let Ok(blob) = source("model.safetensors", bytes).open("model.safetensors") else { return };
    if let Ok(checkpoint) = SafetensorsCheckpoint::from_blob(blob) {
        read_tensors(&checkpoint);
    }
}

/// The list of shards, beside one real shard.
pub fn safetensors_index(bytes: &[u8]) {
    let shards = source("model.safetensors.index.json", bytes)
        .with("a.safetensors", tiny("model.safetensors"));
    if let Ok(checkpoint) = SafetensorsCheckpoint::open(&shards) {
        read_tensors(&checkpoint);
    }
}

/// A GGUF file: its head, then the bytes of every tensor that the head lists.
pub fn gguf(bytes: &[u8]) {
    let Ok(blob) = source("model.gguf", bytes).open("model.gguf") else { return };
    if let Ok(gguf) = Gguf::parse(blob) {
        read_tensors(&gguf);
    }
    // A model that is whole enough to load is fine; that it is refused without a panic is the test.
    let _ = load(&source("model.gguf", bytes), &LoadOptions::default());
}

/// A PyTorch checkpoint: its archive and its pickle, then the bytes of every tensor that they list.
pub fn torch(bytes: &[u8]) {
    if let Ok(checkpoint) = TorchCheckpoint::open(&source("pytorch_model.bin", bytes)) {
        read_tensors(&checkpoint);
    }
}

/// An ONNX file: its protocol buffers, then the matrices of its graph.
pub fn onnx(bytes: &[u8]) {
    let source = source("model.onnx", bytes);
    let Ok(blob) = source.open("model.onnx") else { return };
    if let Ok(checkpoint) = OnnxCheckpoint::read(blob.as_ref()) {
        for name in ["a.weight", "a.bias", "b.in_proj_weight"] {
            if let Ok([rows, width]) = checkpoint.shape(name) {
                let _ = checkpoint.tensor(name, &[rows, width]);
            }
            let _ = (checkpoint.bytes(name), checkpoint.uses(name));
        }
    }
}

fn read_tensors(checkpoint: &dyn Checkpoint) {
    for (name, _) in checkpoint.tensors().iter() {
        let _ = checkpoint.read(name);
    }
}

/// `config.json`, beside the weights of a real small model.
pub fn config(bytes: &[u8]) {
    let model = source("config.json", bytes).with("model.safetensors", tiny("model.safetensors"));
    let _ = load(&model, &LoadOptions::default());
}

/// `generation_config.json`, beside a real tokenizer.
pub fn generation_config(bytes: &[u8]) {
    let Ok(tokenizer) = Tokenizer::from_json(&tiny("tokenizer.json"), None) else { return };
    let _ = GenerationConfig::from_source(&source("generation_config.json", bytes), &tokenizer);
}

/// `tokenizer.json`, and a text through the tokenizer that comes of it.
pub fn tokenizer_json(bytes: &[u8]) {
    if let Ok(tokenizer) = Tokenizer::from_json(bytes, None) {
        there_and_back(&tokenizer);
    }
}

/// The tokenizer in a GGUF file's metadata, and a text through it.
pub fn tokenizer_gguf(bytes: &[u8]) {
    let Ok(blob) = source("model.gguf", bytes).open("model.gguf") else { return };
    let Ok(gguf) = Gguf::parse(blob) else { return };
    if let Ok(tokenizer) = Tokenizer::from_gguf(gguf.metadata()) {
        there_and_back(&tokenizer);
    }
}

fn there_and_back(tokenizer: &Tokenizer) {
    for special in [false, true] {
        if let Ok(ids) = tokenizer.encode(TEXT, special) {
            let _ = tokenizer.decode(&ids, special);
            for id in ids {
                let _ = (tokenizer.id_to_token(id), tokenizer.token_bytes(id));
            }
        }
    }
}

/// A chat template, rendered with and without the beginning of an answer.
pub fn chat_template(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let tokens = SpecialTokens::new().with("bos_token", "<s>").with("eos_token", "</s>");
    let Ok(template) = ChatTemplate::new(text, tokens) else { return };
    let messages = [
        Message::system("Be brief."),
        Message::user("What is 2 + 2?"),
        Message::assistant("4"),
        Message::user(TEXT),
    ];
    for add_generation_prompt in [false, true] {
        let options = RenderOptions { add_generation_prompt, ..RenderOptions::default() };
        let _ = template.render(&messages, &options);
    }
}
