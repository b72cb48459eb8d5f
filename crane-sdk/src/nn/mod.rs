//! What a network is made of: blocks that hold weights and know how to run.

pub mod attention;
pub mod decoder;
pub mod embedding;
mod kv_cache;
pub mod linear;
mod masks;
pub mod mlp;
pub mod norm;
pub mod rope;
pub(crate) mod slices;
pub mod spec;
pub(crate) mod views;

pub use attention::Attention;
pub use decoder::Decoder;
pub use embedding::Embedding;
pub use kv_cache::{KvCache, KvPage, LayerCache};
pub use linear::{Linear, Matrix};
pub use mlp::Mlp;
pub use norm::RmsNorm;
pub use rope::Rope;
pub use spec::{DecoderSpec, RopeScaling};
