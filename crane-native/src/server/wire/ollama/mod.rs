//! Ollama's API: its requests as they are read, its answers as they are written.

mod chat;
mod embed;
mod generate;
mod keep_alive;
mod models;
mod options;
mod shape;
mod thinking;
mod time;

pub use chat::OllamaChat;
pub use embed::{Embeddings, OllamaEmbed, OllamaEmbedding, OneEmbedding, nanoseconds};
pub use generate::OllamaGenerate;
pub use models::{OllamaShow, is_listed, running, shown, tagged};
pub use options::{Common, Think};
pub use shape::{OllamaShape, Said, nothing_said, version};

pub(super) use chat::NOT_DONE as CHAT_NOT_DONE;
pub(super) use generate::NOT_DONE as GENERATE_NOT_DONE;
pub use options::{KNOWN_OPTIONS, OF_THE_SERVER, OPTIONS_NOT_DONE};

use serde_json::{Value, json};

use super::ApiError;

/// The release of Ollama whose API is spoken here: clients look at it to know which fields they may send.
pub const VERSION: &str = "0.13.0";

/// A refusal in the shape of Ollama's API.
pub fn ollama_error(error: &ApiError) -> Value {
    json!({ "error": error.json()["error"]["message"] })
}
