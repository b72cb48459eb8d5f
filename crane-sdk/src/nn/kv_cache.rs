//! The keys and values of one sequence: appended to by each forward pass, cut back on demand.

use candle_core::{DType, Device, Tensor};

use crate::{Error, Result};

/// Tokens by which a cache grows; memory follows use, not the context size.
const GROWTH: usize = 256;

/// The key/value cache of one sequence over all layers.
///
/// Keys are stored after RoPE, values raw, each layer `[kv_heads, tokens, head_dim]`.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<Layer>,
    kv_heads: usize,
    head_dim: usize,
    dtype: DType,
    device: Device,
    len: usize,
    capacity: usize,
}

/// One layer's buffers, `[kv_heads, allocated, head_dim]`; `None` until first use.
#[derive(Debug, Default)]
struct Layer {
    buffers: Option<(Tensor, Tensor)>,
    allocated: usize,
}

impl KvCache {
    /// An empty cache that may hold up to `capacity` tokens.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if `capacity` is 0.
    pub fn new(
        layers: usize,
        kv_heads: usize,
        head_dim: usize,
        capacity: usize,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        if capacity == 0 {
            return Err(Error::argument("context", "must hold at least one token"));
        }
        let layers = (0..layers).map(|_| Layer::default()).collect();
        Ok(Self { layers, kv_heads, head_dim, dtype, device: device.clone(), len: 0, capacity })
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no token is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Tokens that may be held.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes of the buffers that are allocated now.
    pub fn bytes(&self) -> usize {
        let rows: usize = self.layers.iter().map(|layer| layer.allocated).sum();
        2 * rows * self.kv_heads * self.head_dim * self.dtype.size_in_bytes()
    }

    /// Forgets all but the first `len` tokens; does nothing if fewer are held.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}
