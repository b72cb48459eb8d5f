//! Text to ids and back: tokenizer, streaming decoder, chat messages and chat templates.

mod added;
mod around;
mod bpe;
mod budget;
mod charsmap;
mod cutter;
mod decoder;
pub mod english;
mod from_gguf;
mod from_json;
mod guard;
mod message;
mod model;
mod normalizer;
mod overlap;
mod pattern;
mod pre_tokenizer;
mod special_tokens;
mod split;
mod stream;
mod template;
mod token_id;
mod tokenizer;
pub mod tools;
mod word_pieces;

pub use budget::Interrupt;
pub use message::{Content, Message};
pub(crate) use overlap::overlap;
pub use special_tokens::SpecialTokens;
pub use stream::StreamDecoder;
pub use template::{ChatTemplate, RenderOptions, RenderedChat};
pub(crate) use token_id::TokenId;
pub use tokenizer::Tokenizer;
