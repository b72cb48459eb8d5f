//! Text to ids and back: tokenizer, streaming decoder, chat messages and chat templates.

mod bpe;
mod decoder;
pub mod english;
mod from_gguf;
mod from_json;
mod message;
mod overlap;
mod pre_tokenizer;
mod special_tokens;
mod stream;
mod template;
mod tokenizer;
pub mod tools;
mod word_pieces;

pub use message::{Content, Message};
pub(crate) use overlap::overlap;
pub use special_tokens::SpecialTokens;
pub use stream::StreamDecoder;
pub use template::{ChatTemplate, RenderOptions};
pub use tokenizer::Tokenizer;
