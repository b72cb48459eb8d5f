//! The keys and values of one sequence: appended to by each forward pass, cut back on demand.

use candle_core::{DType, Device, Tensor};

use crate::{Error, Result};

/// Tokens by which a cache grows at least; memory follows use, not the context size.
const GROWTH: usize = 256;

/// The key/value cache of one sequence over all layers.
///
/// Keys are stored after RoPE, values raw, each layer `[kv_heads, tokens, head_dim]` in f32.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<Option<LayerCache>>,
    kv_heads: usize,
    head_dim: usize,
    device: Device,
    len: usize,
    allocated: usize,
    capacity: usize,
}

/// One layer's buffers, `[kv_heads, allocated, head_dim]`.
#[derive(Debug, Clone)]
pub struct LayerCache {
    /// Keys after RoPE.
    pub keys: Tensor,
    /// Values.
    pub values: Tensor,
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
        device: &Device,
    ) -> Result<Self> {
        if capacity == 0 {
            return Err(Error::argument("context", "must hold at least one token"));
        }
        let layers = vec![None; layers];
        let device = device.clone();
        Ok(Self { layers, kv_heads, head_dim, device, len: 0, allocated: 0, capacity })
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
        let layers = self.layers.iter().flatten().count();
        2 * layers * self.allocated * self.kv_heads * self.head_dim * DType::F32.size_in_bytes()
    }

    /// Forgets all but the first `len` tokens; does nothing if fewer are held.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// The keys and values held for a layer, `[kv_heads, len, head_dim]` each; `None` before use.
    ///
    /// # Errors
    /// [`Error::Tensor`] if candle cannot make the view.
    pub fn layer(&self, layer: usize) -> Result<Option<LayerCache>> {
        let Some(Some(LayerCache { keys, values })) = self.layers.get(layer) else {
            return Ok(None);
        };
        let (keys, values) = (keys.narrow(1, 0, self.len)?, values.narrow(1, 0, self.len)?);
        Ok(Some(LayerCache { keys, values }))
    }

    /// Checks that `tokens` more fit and makes room for them in every layer.
    ///
    /// # Errors
    /// [`Error::ContextOverflow`] if they do not fit, [`Error::Tensor`] if memory cannot be had.
    pub fn reserve(&mut self, tokens: usize) -> Result<()> {
        let needed = self.len.saturating_add(tokens);
        if needed > self.capacity {
            return Err(Error::ContextOverflow { prompt: needed, context: self.capacity });
        }
        if needed <= self.allocated {
            return Ok(());
        }
        // Half as much again, so that growing costs a constant share of the work.
        let grown = (self.allocated + self.allocated / 2).max(needed);
        let allocated = grown.next_multiple_of(GROWTH).min(self.capacity);
        let shape = (self.kv_heads, allocated, self.head_dim);
        for layer in &mut self.layers {
            let keys = Tensor::zeros(shape, DType::F32, &self.device)?;
            let values = Tensor::zeros(shape, DType::F32, &self.device)?;
            if let (Some(old), true) = (&layer, self.len > 0) {
                keys.slice_set(&old.keys.narrow(1, 0, self.len)?.contiguous()?, 1, 0)?;
                values.slice_set(&old.values.narrow(1, 0, self.len)?.contiguous()?, 1, 0)?;
            }
            *layer = Some(LayerCache { keys, values });
        }
        self.allocated = allocated;
        Ok(())
    }

    /// Writes new keys and values, `[kv_heads, tokens, head_dim]`, behind those held, and returns the
    /// layer's whole buffers. They count only after [`KvCache::advance`], so that a forward pass
    /// that fails leaves the cache as it was.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a layer without room, [`Error::Tensor`] for another shape.
    pub fn append(&mut self, layer: usize, keys: &Tensor, values: &Tensor) -> Result<&LayerCache> {
        let at = self.len;
        let Some(Some(buffers)) = self.layers.get(layer) else {
            return Err(Error::argument("layer", format_args!("{layer} has no reserved cache")));
        };
        buffers.keys.slice_set(keys, 1, at)?;
        buffers.values.slice_set(values, 1, at)?;
        Ok(buffers)
    }

    /// Counts `tokens` that every layer has appended.
    pub fn advance(&mut self, tokens: usize) {
        self.len += tokens;
    }
}
