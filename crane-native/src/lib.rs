//! Crane on this machine: devices, hub downloads, files on disk and the command line.
//!
//! The library proper is [`crane_sdk`]; this crate gives it what only an operating system can:
//! files ([`folder`], [`wheel`], [`wav`]), the Hub and its cache ([`hub`], [`store`]), what a model's name means
//! ([`resolve`], [`pretrained`]), devices, threads and memory ([`device`], [`threads`], [`memory`]), the command line ([`cli`]) and, as feature `server`,
//! the HTTP server.

pub mod cli;
pub mod device;
pub mod error;
mod file_url;
mod flac;
pub mod folder;
pub mod hub;
pub mod memory;
mod mp3;
mod plain_text;
pub mod pretrained;
mod program;
mod regular;
pub mod resolve;
#[cfg(feature = "server")]
pub mod server;
pub mod store;
mod terminal;
pub mod threads;
pub mod wav;
pub mod wheel;

pub use error::{Error, Result};

/// What most programs need: `use crane_native::prelude::*;`.
pub mod prelude {
    pub use crane_sdk::generate::GenerationConfig;
    pub use crane_sdk::pipeline::{
        AutoModelForCausalLM, AutoTokenizer, Chat, Embedder, Task, TextGeneration, TextStreamer,
        TextToSpeech, Voice,
    };
    pub use crane_sdk::text::Message;

    pub use crate::pretrained::{FromPretrained, FromPretrainedWith, pipeline};
}

/// The README's Rust is compiled with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
