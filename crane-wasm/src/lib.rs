//! Crane in a browser tab: `#[wasm_bindgen]` translation of `crane-sdk`, and nothing else.
//!
//! The exported classes are small and synchronous; the npm package runs them in a worker and gives
//! them the face that a page uses.

mod checksum;
mod embedder;
mod failure;
mod files;
mod generation;
mod model;
mod options;
mod panic;
mod shards;
mod speech;
mod task;
#[cfg(target_arch = "wasm32")]
mod threads;

pub use checksum::Checksum;
pub use embedder::Embedder;
pub use files::FileSet;
pub use model::Model;
pub use panic::report_panics;
pub use shards::keep_shard;
pub use speech::{Reading, Speaker};
pub use task::{run_task, task_result};
#[cfg(target_arch = "wasm32")]
pub use threads::{abandon_loop, serve_loops, share_loops};
