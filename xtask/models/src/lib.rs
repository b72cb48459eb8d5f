//! The part of the workshop that links the models: golden comparisons, and the model table.
//!
//! It is a package of its own so that `cargo xtask` starts without compiling candle; it compiles to
//! wasm too, where Node runs the same comparison.

pub mod golden;
pub mod table;
#[cfg(target_arch = "wasm32")]
mod wasm;
