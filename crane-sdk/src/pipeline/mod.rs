//! What a user asks for, in the habits of transformers: load by name, generate, chat.
//!
//! Everything here takes a [`Source`](crate::source::Source); `crane-native` adds loading by a model's
//! name on the Hub.
//!
//! ```
//! use crane_sdk::pipeline::{Task, pipeline};
//! # let source = crane_sdk::source::MemorySource::new("tiny")
//! #     .with("config.json", include_bytes!("../../tests/fixtures/qwen2_tied/config.json").to_vec())
//! #     .with("model.safetensors", include_bytes!("../../tests/fixtures/qwen2_tied/model.safetensors").to_vec())
//! #     .with("tokenizer.json", include_bytes!("../../tests/fixtures/qwen2_tied/tokenizer.json").to_vec())
//! #     .with("tokenizer_config.json", include_bytes!("../../tests/fixtures/qwen2_tied/tokenizer_config.json").to_vec())
//! #     .with("generation_config.json", include_bytes!("../../tests/fixtures/qwen2_tied/generation_config.json").to_vec());
//!
//! let mut pipe = pipeline(Task::TextGeneration, &source)?;
//! pipe.config.max_new_tokens = Some(8);
//! println!("{}", pipe.run("The quick brown fox")?.text);
//! # Ok::<(), crane_sdk::Error>(())
//! ```

#[cfg(feature = "grammar")]
mod ask;
mod auto_model;
mod auto_tokenizer;
mod chat;
mod embedder;
mod hibari_speech;
mod orpheus_speech;
mod prompt;
mod reply;
mod sentence_config;
mod sentences;
mod spark_speech;
mod speech_footprint;
mod task;
mod text_generation;
mod text_pieces;
mod text_streamer;
mod text_to_speech;

pub use auto_model::{AutoModelBuilder, AutoModelForCausalLM};
pub use auto_tokenizer::AutoTokenizer;
pub use chat::Chat;
pub use embedder::Embedder;
pub use prompt::Prompt;
pub use reply::Reply;
pub use speech_footprint::SpeechFootprint;
pub use task::{
    FeatureExtractionTask, PipelineTask, Task, TextGenerationTask, TextToSpeechTask, pipeline,
};
pub use text_generation::TextGeneration;
pub use text_streamer::TextStreamer;
pub use text_to_speech::{Recording, Said, Speech, TextToSpeech, Voice};
