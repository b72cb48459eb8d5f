//! Crane on this machine: devices, hub downloads, memory-mapped weights and the command line.
//!
//! The library proper is [`crane_sdk`]; this crate gives it what only an operating system can:
//! files ([`folder`]), the Hub and its cache ([`hub`], [`store`]), what a model's name means
//! ([`resolve`]), devices and threads ([`device`], [`threads`]), and the command line ([`cli`]).

pub mod cli;
pub mod device;
pub mod error;
pub mod folder;
pub mod hub;
pub mod resolve;
pub mod store;
pub mod threads;

pub use error::{Error, Result};
