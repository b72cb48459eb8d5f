//! One function for each format of the library that comes from strangers: any bytes may give an error, none may
//! panic, hang or take memory that the bytes do not justify.
//!
//! Where a target reads one of several files, the input's first byte says which: `0` the first one, `1` the next.

use std::sync::OnceLock;

use crane_sdk::codec::{BiCodecConfig, Snac, SnacConfig};
use crane_sdk::generate::GenerationConfig;
use crane_sdk::grammar::{Compiler, Grammar};
use crane_sdk::models::{LoadOptions, load};
use crane_sdk::pipeline::{AutoModelForCausalLM, AutoTokenizer, Embedder, TextToSpeech};
use crane_sdk::source::{
    Checkpoint, Gguf, MemorySource, OnnxCheckpoint, SafetensorsCheckpoint, Source, TorchCheckpoint,
};
use crane_sdk::text::english::{Accent, English};
use crane_sdk::text::{ChatTemplate, Message, RenderOptions, SpecialTokens, Tokenizer};
use serde_json::Value;

#[path = "tiny_english.rs"]
pub mod tiny_english;

/// A target: its name, and what reads its bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of this file by its name.
pub const TARGETS: &[Target] = &[
    ("safetensors", safetensors),
    ("safetensors_index", safetensors_index),
    ("gguf", gguf),
    ("torch", torch),
    ("onnx", onnx),
    ("config", config),
    ("encoder_config", encoder_config),
    ("codec_config", codec_config),
    ("yaml", yaml),
    ("generation_config", generation_config),
    ("tokenizer_json", tokenizer_json),
    ("tokenizer_config", tokenizer_config),
    ("tokenizer_gguf", tokenizer_gguf),
    ("tokenizer_text", tokenizer_text),
    ("chat_template", chat_template),
    ("conversation", conversation),
    ("grammar", grammar),
    ("schema", schema),
    ("voice_json", voice_json),
    ("english_tables", english_tables),
    ("english_text", english_text),
];

/// A text with several scripts, a special token and bytes that byte-level tokenizers split.
const TEXT: &str = "Hello, wörld! 世界 🦀 <|im_start|> 12345\n\n  x";

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crane-sdk/tests/fixtures");

/// A file of the checkpoints in the repository.
fn fixture(file: &str) -> Vec<u8> {
    std::fs::read(format!("{FIXTURES}/{file}")).unwrap_or_default()
}

/// A file of a language model that is small enough to be loaded for each input.
fn tiny(file: &str) -> Vec<u8> {
    fixture(&format!("qwen2_tied/{file}"))
}

/// Which of so many files the first byte means, and what follows it.
fn choice(bytes: &[u8], count: usize) -> (usize, &[u8]) {
    match bytes.split_first() {
        Some((first, rest)) => (usize::from(first.wrapping_sub(b'0')) % count, rest),
        None => (0, bytes),
    }
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

/// `config.json` of an encoder and the files of sentence-transformers, beside the weights of a real small one.
pub fn encoder_config(bytes: &[u8]) {
    const FILES: [&str; 4] =
        ["config.json", "1_Pooling/config.json", "modules.json", "sentence_bert_config.json"];
    let (chosen, bytes) = choice(bytes, FILES.len());
    let mut model = MemorySource::new("fuzz")
        .with("model.safetensors", fixture("bert/model.safetensors"))
        .with("tokenizer.json", fixture("bert/tokenizer.json"));
    for (index, name) in FILES.into_iter().enumerate() {
        let whole = if index == chosen { bytes.to_vec() } else { fixture(&format!("bert/{name}")) };
        model = model.with(name, whole);
    }
    if let Ok(embedder) = Embedder::from_source(&model) {
        let _ = embedder.embed(&[TEXT]);
    }
}

/// `config.json` of a SNAC, alone and beside the weights of a real small one, which then decodes a frame.
pub fn codec_config(bytes: &[u8]) {
    use crane_sdk::codec::{Codec, Noise};

    let model =
        source("config.json", bytes).with("pytorch_model.bin", fixture("snac24/pytorch_model.bin"));
    let _ = SnacConfig::from_source(&model);
    if let Ok(codec) = Snac::from_source(&model) {
        let frame = vec![0; codec.frame_codes()];
        let _ = (codec.sample_rate(), codec.decode(&frame, Noise::Seed(0)));
    }
}

/// The YAML of a BiCodec.
pub fn yaml(bytes: &[u8]) {
    let _ = BiCodecConfig::from_source(&source("BiCodec/config.yaml", bytes));
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

/// `tokenizer_config.json` or `special_tokens_map.json`, beside a real tokenizer; then a conversation through the
/// template that it may hold.
pub fn tokenizer_config(bytes: &[u8]) {
    const FILES: [&str; 3] =
        ["tokenizer_config.json", "special_tokens_map.json", "chat_template.json"];
    let (chosen, bytes) = choice(bytes, FILES.len());
    let model = source(FILES[chosen], bytes).with("tokenizer.json", tiny("tokenizer.json"));
    if let Ok(tokenizer) = AutoTokenizer::from_source(&model) {
        there_and_back(tokenizer.tokenizer());
        let _ = tokenizer.encode_chat(&[Message::user(TEXT)], &RenderOptions::default());
    }
}

/// A stranger's text through real tokenizers: byte-level BPE and word pieces.
pub fn tokenizer_text(bytes: &[u8]) {
    static TOKENIZERS: OnceLock<Vec<Tokenizer>> = OnceLock::new();
    let tokenizers = TOKENIZERS.get_or_init(|| {
        let names = ["qwen2_tied", "llama32", "bert"];
        let files = names.iter().map(|name| fixture(&format!("{name}/tokenizer.json")));
        files.filter_map(|json| Tokenizer::from_json(&json, None).ok()).collect()
    });
    let text = String::from_utf8_lossy(bytes);
    for tokenizer in tokenizers {
        if let Ok(ids) = tokenizer.encode(&text, true) {
            let _ = tokenizer.decode(&ids, false);
        }
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

/// A chat template, rendered with tools and without, with the beginning of an answer and without.
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
    let tool = serde_json::json!({"type": "function", "function": {"name": "add", "parameters": {
        "type": "object", "properties": {"a": {"type": "number"}}}}});
    for add_generation_prompt in [false, true] {
        let tools = add_generation_prompt.then(|| vec![tool.clone()]);
        let options = RenderOptions { add_generation_prompt, tools, ..RenderOptions::default() };
        let _ = template.render(&messages, &options);
    }
}

/// Messages, tools, documents and further variables of a request, through the templates of real models.
pub fn conversation(bytes: &[u8]) {
    static TEMPLATES: OnceLock<Vec<ChatTemplate>> = OnceLock::new();
    let templates = TEMPLATES.get_or_init(|| {
        let file: Value =
            serde_json::from_slice(&fixture("text/templates.json")).unwrap_or_default();
        let texts = file["templates"].as_object().into_iter().flatten();
        let tokens = || SpecialTokens::new().with("bos_token", "<s>").with("eos_token", "</s>");
        texts.filter_map(|(_, text)| ChatTemplate::new(text.as_str()?, tokens()).ok()).collect()
    });
    let Ok(request) = serde_json::from_slice::<Value>(bytes) else { return };
    let list = |name: &str| request[name].as_array().cloned();
    let Ok(messages) = serde_json::from_value::<Vec<Message>>(request["messages"].clone()) else {
        return;
    };
    let options = RenderOptions {
        tools: list("tools"),
        documents: list("documents"),
        extra: request["extra"].as_object().cloned().unwrap_or_default(),
        add_generation_prompt: request["continue"].is_null(),
        continue_final_message: !request["continue"].is_null(),
        ..RenderOptions::default()
    };
    for template in templates {
        let _ = template.render(&messages, &options);
    }
}

/// A regular expression (first byte `0`), a grammar in Lark's notation (`1`) or a tagged [`Grammar`] (`2`), compiled,
/// and the first tokens of a reply that it holds to its form.
pub fn grammar(bytes: &[u8]) {
    let (kind, bytes) = choice(bytes, 3);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match kind {
        0 => constrained(&Grammar::Regex(text.to_owned())),
        1 => constrained(&Grammar::Lark(text.to_owned())),
        _ => drop(serde_json::from_str(text).map(|grammar| constrained(&grammar))),
    }
}

/// A JSON schema, compiled, and the first tokens of a reply that it holds to its form.
pub fn schema(bytes: &[u8]) {
    if let Ok(schema) = serde_json::from_slice(bytes) {
        constrained(&Grammar::JsonSchema(schema));
    }
}

fn constrained(grammar: &Grammar) {
    static WRITER: OnceLock<Option<(AutoModelForCausalLM, Compiler)>> = OnceLock::new();
    let writer = WRITER.get_or_init(|| {
        let model = ["config.json", "model.safetensors", "tokenizer.json"]
            .into_iter()
            .fold(MemorySource::new("tiny"), |model, name| model.with(name, tiny(name)));
        let tokenizer = Tokenizer::from_source(&model).ok()?;
        Some((AutoModelForCausalLM::from_source(&model).ok()?, Compiler::new(&tokenizer).ok()?))
    });
    let Some((model, compiler)) = writer else { return };
    if let Ok(constraint) = compiler.compile(grammar) {
        let config = GenerationConfig {
            constraint: Some(constraint),
            max_new_tokens: Some(4),
            ..GenerationConfig::default()
        };
        let _ = model.generate(&[1], &config);
    }
}

/// `voices.json` or `vocab.json` of a voice without weights.
pub fn voice_json(bytes: &[u8]) {
    let (chosen, bytes) = choice(bytes, 2);
    let files: [&[u8]; 2] = match chosen {
        0 => [bytes, b"{\"a\": 1}"],
        _ => [b"{\"v\": {\"file\": \"v.onnx\"}}", bytes],
    };
    let model = tiny_english::source()
        .with("voices.json", files[0].to_vec())
        .with("vocab.json", files[1].to_vec())
        .with("v.onnx", tiny_english::speller());
    let _ = TextToSpeech::from_source(&model);
}

/// One of the tables of the English front end, beside small sound ones; then a sentence through it.
pub fn english_tables(bytes: &[u8]) {
    let (chosen, bytes) = choice(bytes, tiny_english::TABLES.len());
    let source = tiny_english::source().with(tiny_english::TABLES[chosen], bytes.to_vec());
    if let Ok(english) = English::from_source(&source, Accent::American) {
        read_aloud(&english, "On 3/4/1999 Dr. Hello paid $3.50, well-known (e.g. 2nd) at 10:30.");
    }
}

/// A stranger's text through the English front end with small tables. Its beginning only: words joined by many hyphens take
/// time that grows with the cube of their number.
pub fn english_text(bytes: &[u8]) {
    let bytes = bytes.get(..256).unwrap_or(bytes);
    static ENGLISH: OnceLock<Option<English>> = OnceLock::new();
    let english = ENGLISH
        .get_or_init(|| English::from_source(&tiny_english::source(), Accent::American).ok());
    if let Some(english) = english {
        read_aloud(english, &String::from_utf8_lossy(bytes));
    }
}

fn read_aloud(english: &English, text: &str) {
    let _ = english.unreadable(text);
    for sentence in english.sentences(text) {
        let _ = english.clauses(&sentence, 100);
    }
}
