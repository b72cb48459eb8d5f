//! The keys and values of one sequence: appended to by each forward pass, cut back on demand.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::views::{is_host, with_slice};
use crate::kernels::attention::{BLOCK, Block, KvBlocks, KvType};
use crate::{Error, Result};

/// Tokens by which a cache on a GPU grows at least; memory follows use, not the context size.
const GROWTH: usize = 256;

/// The key/value cache of one sequence over all layers.
///
/// Keys are stored after RoPE, values raw. On the CPU they lie in blocks for Crane's kernels, of any
/// [`KvType`]; on a GPU each layer is `[kv_heads, tokens, head_dim]` in f32.
#[derive(Debug)]
pub struct KvCache {
    layers: Layers,
    kv_heads: usize,
    head_dim: usize,
    len: usize,
    capacity: usize,
}

#[derive(Debug)]
enum Layers {
    Host(Vec<KvBlocks>),
    Device { layers: Vec<Option<LayerCache>>, device: Device, allocated: usize },
}

/// One layer's keys and values, f32 `[kv_heads, tokens, head_dim]`.
#[derive(Debug, Clone)]
pub struct LayerCache {
    /// Keys after RoPE.
    pub keys: Tensor,
    /// Values.
    pub values: Tensor,
}

/// The keys and values of up to [`BLOCK`] neighbouring tokens in all layers, held by any number of caches.
#[derive(Clone)]
pub struct KvPage {
    shape: (KvType, usize, usize),
    blocks: Vec<Arc<Block>>,
}

impl std::fmt::Debug for KvPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, kv_heads, head_dim) = self.shape;
        write!(f, "{kind} [{}, {kv_heads}, {BLOCK}, {head_dim}]", self.blocks.len())
    }
}

impl KvPage {
    /// Whether another cache or page holds the same memory.
    pub fn is_shared(&self) -> bool {
        self.blocks.first().is_some_and(|block| Arc::strong_count(block) > 1)
    }
}

impl KvCache {
    /// An empty cache that may hold up to `capacity` tokens, as numbers of type `kind`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if `capacity` is 0, or for a type that the device cannot hold.
    pub fn new(
        layers: usize,
        kv_heads: usize,
        head_dim: usize,
        capacity: usize,
        kind: KvType,
        device: &Device,
    ) -> Result<Self> {
        if capacity == 0 {
            return Err(Error::argument("context", "must hold at least one token"));
        }
        let layers = if is_host(device) {
            Layers::Host((0..layers).map(|_| KvBlocks::new(kind, kv_heads, head_dim)).collect())
        } else if kind == KvType::F32 {
            Layers::Device { layers: vec![None; layers], device: device.clone(), allocated: 0 }
        } else {
            let reason = format_args!("{kind} is for the CPU; a GPU's cache holds f32");
            return Err(Error::argument("kv_type", reason));
        };
        Ok(Self { layers, kv_heads, head_dim, len: 0, capacity })
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
        match &self.layers {
            Layers::Host(layers) => layers.iter().map(KvBlocks::bytes).sum(),
            Layers::Device { layers, allocated, .. } => {
                let layers = layers.iter().flatten().count();
                2 * layers * allocated * self.kv_heads * self.head_dim * size_of::<f32>()
            }
        }
    }

    /// Forgets all but the first `len` tokens; does nothing if fewer are held.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// The tokens from `index` · [`BLOCK`] on as a page that others can hold too; `None` where none of them is
    /// cached, and on a GPU.
    pub fn page(&self, index: usize) -> Option<KvPage> {
        let Layers::Host(layers) = &self.layers else { return None };
        if index * BLOCK >= self.len {
            return None;
        }
        let shape = layers.first()?.shape();
        let blocks = layers.iter().map(|layer| layer.blocks().get(index).cloned());
        Some(KvPage { shape, blocks: blocks.collect::<Option<_>>()? })
    }

    /// Holds `tokens` tokens of others' pages, in order, in the place of its own. Nothing is copied before one of
    /// them is written to. Returns whether it does: not if the pages hold fewer tokens, are another model's, or do
    /// not fit, and not on a GPU; the cache is then as it was.
    pub fn hold_pages(&mut self, pages: &[KvPage], tokens: usize) -> bool {
        let Layers::Host(layers) = &mut self.layers else { return false };
        let Some(shape) = layers.first().map(KvBlocks::shape) else { return false };
        let alike = |page: &KvPage| page.shape == shape && page.blocks.len() == layers.len();
        let needed = tokens.div_ceil(BLOCK);
        if tokens > self.capacity || pages.len() < needed || !pages.iter().all(alike) {
            return false;
        }
        let pages = pages.get(..needed).unwrap_or_default();
        for (index, layer) in layers.iter_mut().enumerate() {
            layer.hold(pages.iter().filter_map(|page| page.blocks.get(index).cloned()).collect());
        }
        self.len = tokens;
        true
    }

    /// How many pages are held by nobody else.
    pub fn own_pages(&self) -> usize {
        match &self.layers {
            Layers::Host(layers) => {
                let blocks = layers.first().map_or([].as_slice(), KvBlocks::blocks);
                blocks.iter().filter(|block| Arc::strong_count(block) == 1).count()
            }
            Layers::Device { allocated, .. } => allocated.div_ceil(BLOCK),
        }
    }

    /// Forgets all tokens and gives the memory back.
    pub fn release(&mut self) {
        self.len = 0;
        match &mut self.layers {
            Layers::Host(layers) => layers.iter_mut().for_each(|layer| layer.hold(Vec::new())),
            Layers::Device { layers, allocated, .. } => {
                layers.fill(None);
                *allocated = 0;
            }
        }
    }

    /// The keys and values held for a layer, f32 `[kv_heads, len, head_dim]` each; `None` before use.
    ///
    /// # Errors
    /// [`Error::Tensor`] if candle cannot make the view.
    pub fn layer(&self, layer: usize) -> Result<Option<LayerCache>> {
        let (keys, values) = match &self.layers {
            Layers::Host(layers) => {
                let Some(blocks) = layers.get(layer).filter(|blocks| blocks.room() > 0) else {
                    return Ok(None);
                };
                let (keys, values) = blocks.read(self.len);
                let shape = (self.kv_heads, self.len, self.head_dim);
                let tensor = |x: Vec<f32>| Tensor::from_vec(x, shape, &Device::Cpu);
                (tensor(keys)?, tensor(values)?)
            }
            Layers::Device { layers, .. } => {
                let Some(Some(LayerCache { keys, values })) = layers.get(layer) else {
                    return Ok(None);
                };
                (keys.narrow(1, 0, self.len)?, values.narrow(1, 0, self.len)?)
            }
        };
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
        match &mut self.layers {
            Layers::Host(layers) => layers.iter_mut().for_each(|blocks| blocks.reserve(needed)),
            Layers::Device { layers, device, allocated } => {
                if needed <= *allocated {
                    return Ok(());
                }
                // Half as much again, so that growing costs a constant share of the work.
                let grown = (*allocated + *allocated / 2).max(needed);
                let room = grown.next_multiple_of(GROWTH).min(self.capacity);
                for layer in layers {
                    let shape = (self.kv_heads, room, self.head_dim);
                    let keys = Tensor::zeros(shape, DType::F32, device)?;
                    let values = Tensor::zeros(shape, DType::F32, device)?;
                    if let (Some(old), true) = (&layer, self.len > 0) {
                        keys.slice_set(&old.keys.narrow(1, 0, self.len)?.contiguous()?, 1, 0)?;
                        values.slice_set(
                            &old.values.narrow(1, 0, self.len)?.contiguous()?,
                            1,
                            0,
                        )?;
                    }
                    *layer = Some(LayerCache { keys, values });
                }
                *allocated = room;
            }
        }
        Ok(())
    }

    /// Writes new keys and values, f32 `[kv_heads, tokens, head_dim]`, behind those held. They count only
    /// after [`KvCache::advance`], so that a forward pass that fails leaves the cache as it was.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a layer without room, [`Error::Tensor`] for another shape.
    pub fn append(&mut self, layer: usize, keys: &Tensor, values: &Tensor) -> Result<()> {
        let at = self.len;
        match &mut self.layers {
            Layers::Device { layers, .. } => {
                let Some(Some(buffers)) = layers.get(layer) else { return Err(no_room(layer)) };
                buffers.keys.slice_set(keys, 1, at)?;
                buffers.values.slice_set(values, 1, at)?;
                Ok(())
            }
            Layers::Host(layers) => {
                let blocks = layers.get_mut(layer).ok_or_else(|| no_room(layer))?;
                let rows = |x: &Tensor| x.transpose(0, 1)?.contiguous();
                let (keys, values) = (rows(keys)?, rows(values)?);
                let written = with_slice::<f32, _>(&keys, |keys| {
                    with_slice::<f32, _>(&values, |values| blocks.write(at, keys, values, None))
                })??;
                if written { Ok(()) } else { Err(no_room(layer)) }
            }
        }
    }

    /// A layer's blocks, on the CPU.
    pub(super) fn blocks(&self, layer: usize) -> Option<&KvBlocks> {
        match &self.layers {
            Layers::Host(layers) => layers.get(layer),
            Layers::Device { .. } => None,
        }
    }

    /// A layer's blocks, to be written to.
    pub(super) fn blocks_mut(&mut self, layer: usize) -> Option<&mut KvBlocks> {
        match &mut self.layers {
            Layers::Host(layers) => layers.get_mut(layer),
            Layers::Device { .. } => None,
        }
    }

    /// A layer's whole buffers, on a GPU.
    pub(super) fn buffers(&self, layer: usize) -> Option<&LayerCache> {
        match &self.layers {
            Layers::Host(_) => None,
            Layers::Device { layers, .. } => layers.get(layer)?.as_ref(),
        }
    }

    /// Counts `tokens` that every layer has appended.
    pub fn advance(&mut self, tokens: usize) {
        self.len += tokens;
    }
}

/// The error for a layer that has no room for what is to be written.
pub(super) fn no_room(layer: usize) -> Error {
    Error::argument("layer", format_args!("{layer} has no reserved cache"))
}
