//! Language, vision and speech models from their original checkpoints, in a native process and in
//! a browser tab, from one library.
//!
//! The folders are the pipeline, in the order in which data passes through them: bytes come from a
//! [`source`], become checked tensors in [`weights`], text becomes ids in [`text`], the network is
//! built from [`nn`] blocks described by [`models`], [`sample`] says what comes next, [`generate`]
//! is the loop, [`codec`] turns codes into sound and [`pipeline`] is what a user asks for.

pub mod codec;
pub mod error;
mod finite;
pub mod generate;
#[cfg(feature = "golden")]
pub mod golden;
pub mod grammar;
pub mod kernels;
pub mod models;
pub mod nn;
pub mod pipeline;
pub mod sample;
pub mod source;
pub mod text;
pub mod weights;

pub use error::{Error, ErrorKind, Result};
