//! What goes over the wire: requests as they are read, answers as they are written.

mod chat;
mod completion;
mod error;
mod fields;
mod messages;
mod sampling;
mod text;
mod tokens;
mod usage;

pub use chat::{ChatRequest, ChatShape};
pub use completion::{CompletionRequest, CompletionShape, PromptInput};
pub use error::ApiError;
pub use fields::Fields;
pub use messages::Conversation;
pub use sampling::Asked;
pub use text::{DetokenizeRequest, TemplateRequest, TokenizeRequest};
pub use tokens::{Chosen, Teller, Told, finish_reason};
pub use usage::{Usage, model_object};

use crane_sdk::generate::Output;
use serde_json::Value;

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

/// How an endpoint writes replies, whole or in chunks.
pub trait Shape: Send + Unpin + 'static {
    /// A reply has begun.
    fn started(&mut self, index: usize) -> Option<Value>;
    /// More of it is known.
    fn told(&mut self, index: usize, told: Told) -> Option<Value>;
    /// It has ended.
    fn ended(&mut self, index: usize, output: &Output) -> Value;
    /// All have ended: the last chunk, if one is wanted.
    fn usage(&mut self, usage: Usage) -> Option<Value>;
    /// The answer in one piece.
    fn whole(&mut self, replies: Vec<(Told, Box<Output>)>, usage: Usage) -> Value;
}
