//! What goes over the wire: requests as they are read, answers as they are written.

mod anthropic;
mod anthropic_shape;
mod chat;
mod completion;
mod embeddings;
mod ending;
mod error;
mod fields;
mod form;
mod json;
mod messages;
pub mod ollama;
mod past_calls;
mod response_shape;
mod responses;
mod sampling;
mod speech;
mod text;
mod thinking;
mod tokens;
mod tools;
mod usage;

pub use anthropic::{CountRequest, MessagesRequest};
pub use anthropic_shape::{MessagesShape, anthropic_error};
pub use chat::{ChatRequest, ChatShape};
pub use completion::{CompletionRequest, CompletionShape, Echo, PromptInput};
pub use embeddings::EmbeddingRequest;
pub use error::ApiError;
pub use fields::{Fields, Neutral};
pub use form::Form;
pub use json::json_values;
pub use messages::{Conversation, Rendered};
pub use response_shape::ResponseShape;
pub use responses::ResponseRequest;
pub use sampling::Asked;
pub use speech::{AudioFormat, SpeechRequest, in_16_bits};
pub use text::{DetokenizeRequest, TemplateRequest, TokenizeRequest};
pub use tokens::{Chosen, Teller, Told, finish_reason};
pub use tools::{Call, CallTeller, Part, ToolUse, gather};
pub use usage::{Usage, model_object};

use crane_sdk::generate::Output;
use serde_json::Value;

/// For each route, the fields that are taken where they ask for nothing.
pub const NOT_DONE: [(&str, &[Neutral]); 8] = [
    ("/v1/chat/completions", chat::NOT_DONE),
    ("/v1/completions", completion::NOT_DONE),
    ("/v1/responses", responses::NOT_DONE),
    ("/v1/messages", anthropic::NOT_DONE),
    ("/v1/messages/count_tokens", anthropic::NOT_DONE),
    ("/v1/audio/speech", speech::NOT_DONE),
    ("/api/chat", ollama::CHAT_NOT_DONE),
    ("/api/generate", ollama::GENERATE_NOT_DONE),
];

/// The names of the fields that the reader of a route asks for.
#[cfg(test)]
pub fn read_names(path: &str, fields: Fields) -> std::collections::BTreeSet<String> {
    use crane_sdk::generate::GenerationConfig;

    fn done<T>(read: Result<(T, Vec<String>), ApiError>) {
        read.map(|_| ()).unwrap();
    }
    fields::READ.take();
    let defaults = GenerationConfig::default();
    match path {
        "/v1/chat/completions" => done(ChatRequest::read(fields, &defaults, false)),
        "/v1/completions" => done(CompletionRequest::read(fields, &defaults, false)),
        "/v1/responses" => done(ResponseRequest::read(fields, &defaults, false)),
        "/v1/embeddings" => done(EmbeddingRequest::read(fields, false)),
        "/v1/messages" => done(MessagesRequest::read(fields, &defaults, false)),
        "/v1/messages/count_tokens" => done(CountRequest::read(fields, false)),
        "/v1/audio/speech" => done(SpeechRequest::read(fields, false)),
        "/tokenize" => done(TokenizeRequest::read(fields, false)),
        "/detokenize" => done(DetokenizeRequest::read(fields, false)),
        "/apply-template" => done(TemplateRequest::read(fields, false)),
        "/api/chat" => done(ollama::OllamaChat::read(fields, &defaults, false)),
        "/api/generate" => done(ollama::OllamaGenerate::read(fields, &defaults, false)),
        "/api/embed" => done(ollama::OllamaEmbed::read(fields, false)),
        "/api/embeddings" => done(ollama::OllamaEmbedding::read(fields, false)),
        "/api/show" => done(ollama::OllamaShow::read(fields, false)),
        other => panic!("{other} reads no body"),
    }
    fields::READ.take()
}

/// What answers have in common: which one it is, who answers, when.
#[derive(Debug, Clone)]
pub struct Head {
    /// `chatcmpl-…`.
    pub id: String,
    /// The model's name.
    pub model: String,
    /// Seconds since 1970.
    pub created: u64,
}

/// An event of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Its name, where the protocol names events.
    pub event: Option<&'static str>,
    /// What it says.
    pub data: Value,
}

impl From<Value> for Frame {
    fn from(data: Value) -> Self {
        Self { event: None, data }
    }
}

/// How an endpoint writes replies, whole or in chunks.
pub trait Shape: Send + Unpin + 'static {
    /// Whether a stream ends with `[DONE]`.
    const DONE: bool = true;
    /// Whether a stream is lines of JSON, not server-sent events.
    const LINES: bool = false;

    /// A reply has begun; so many tokens of its prompt were in a slot.
    fn started(&mut self, index: usize, cached: usize) -> Vec<Frame>;
    /// More of it is known.
    fn told(&mut self, index: usize, told: Told) -> Vec<Frame>;
    /// It has ended.
    fn ended(&mut self, index: usize, output: &Output) -> Vec<Frame>;
    /// All have ended.
    fn finished(&mut self, usage: Usage) -> Vec<Frame>;
    /// The stream ends with an error.
    fn failed(&mut self, error: &ApiError) -> Frame {
        error.json().into()
    }
    /// The answer in one piece.
    fn whole(&mut self, replies: Vec<(Told, Box<Output>)>, usage: Usage) -> Value;
}
