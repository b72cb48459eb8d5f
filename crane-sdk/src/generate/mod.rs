//! The loop: tokens through a model, the next one chosen, text out, until something ends it.
//!
//! One state machine, [`Sequence`], says which tokens are to be fed and takes logits back. Everything
//! else is a face of it: a [`Session`] drives one sequence through a model; [`step_together`] drives
//! several through one forward pass; a [`Generation`] is an iterator of [`Piece`]s, a callback
//! ([`Generation::run`]) or a stream ([`Generation::into_stream`]).
//!
//! ```
//! use std::sync::Arc;
//!
//! use crane_sdk::generate::{CancelToken, GenerationConfig, Session};
//! use crane_sdk::models::{LoadOptions, load};
//! use crane_sdk::text::Tokenizer;
//! # let source = crane_sdk::source::MemorySource::new("tiny")
//! #     .with("config.json", include_bytes!("../../tests/fixtures/qwen2_tied/config.json").to_vec())
//! #     .with("model.safetensors", include_bytes!("../../tests/fixtures/qwen2_tied/model.safetensors").to_vec())
//! #     .with("tokenizer.json", include_bytes!("../../tests/fixtures/qwen2_tied/tokenizer.json").to_vec());
//!
//! let tokenizer = Arc::new(Tokenizer::from_source(&source)?);
//! let mut config = GenerationConfig::from_source(&source, &tokenizer)?;
//! config.max_new_tokens = Some(8);
//! let model = load(&source, &LoadOptions::default())?.model;
//! let mut session = Session::new(model, tokenizer.clone(), 512)?;
//!
//! let prompt = tokenizer.encode("The quick brown fox", true)?;
//! let mut generation = session.generate(&prompt, &config, &CancelToken::new())?;
//! for piece in &mut generation {
//!     print!("{}", piece?.text);
//! }
//! let output = generation.finish();
//! assert!(output.ids.len() <= 8);
//! # Ok::<(), crane_sdk::Error>(())
//! ```

mod batch;
mod cancel;
mod config;
mod defaults;
mod embedding;
mod generation;
mod gguf_defaults;
mod not_finite;
mod output;
mod perplexity;
mod prefix;
mod run;
mod scores;
mod sequence;
mod session;
mod stats;
mod stop;
mod stream;
mod window;

pub use batch::step_together;
pub use cancel::CancelToken;
pub(crate) use cancel::SPEECH;
pub use config::GenerationConfig;
pub(crate) use embedding::pooled;
pub use embedding::{Pooling, embed};
pub use generation::Generation;
pub use output::{FinishReason, Output, Piece, PieceLogprobs, Step};
pub use perplexity::{Perplexity, perplexity};
pub use prefix::{PrefixCache, PrefixSalt};
pub use scores::token_logprobs;
pub use sequence::{Prepared, Sequence};
pub use session::Session;
pub use stats::Stats;
pub use stop::StopMatcher;
pub use stream::GenerationStream;
pub use window::ContextPolicy;
