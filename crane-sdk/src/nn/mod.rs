//! What a network is made of: blocks that hold weights and know how to run.

mod kv_cache;

pub use kv_cache::KvCache;
