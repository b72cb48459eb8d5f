//! Keys and values of one layer of one sequence, in blocks that the kernels read in order.
//!
//! A block holds 64 tokens of every key/value head. A head's part is: keys, number d of all tokens side by
//! side, `[head_dim, 64]`, so that 64 scores are computed without a sum across lanes; scales of the keys
//! `[head_dim / 32, 64]`; values `[64, head_dim]`, padded to whole vectors; their scales
//! `[head_dim / 32, 64]`. A cache grows by whole blocks and never moves what it holds. Caches share the blocks of a
//! beginning that they have in common; who writes to a block that others hold writes to a copy.

use std::sync::Arc;

use super::super::rows::{RotaryTable, rotate};
use super::super::threads::parallel_with;
use super::stored::{Element, KvType, SCALED, with_element};

/// Tokens of a block.
pub const BLOCK: usize = 64;

/// A cache line, so that blocks begin at one.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u8; 64]);

/// The keys and values of [`BLOCK`] tokens in one layer.
#[derive(Clone)]
pub(crate) struct Block(Box<[Line]>);

impl Block {
    fn empty(lines: usize) -> Arc<Self> {
        Arc::new(Self(vec![Line([0; 64]); lines].into_boxed_slice()))
    }
}

/// Where the parts of a head lie in a block, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub key_scales: usize,
    pub values: usize,
    pub value_scales: usize,
    /// Bytes of one head.
    pub head: usize,
    /// Numbers of a value, padded.
    pub padded: usize,
}

impl Layout {
    pub(super) fn new(kind: KvType, head_dim: usize) -> Self {
        let (bytes, padded, scales) = match kind {
            KvType::F32 => (4, head_dim.next_multiple_of(16), 0),
            KvType::F16 => (2, head_dim.next_multiple_of(16), 0),
            KvType::Q8_0 => {
                let padded = head_dim.next_multiple_of(SCALED);
                (1, padded, padded / SCALED * BLOCK * size_of::<f32>())
            }
        };
        let key_scales = head_dim * BLOCK * bytes;
        let values = key_scales + scales;
        let value_scales = values + padded * BLOCK * bytes;
        Self { key_scales, values, value_scales, head: value_scales + scales, padded }
    }
}

/// Where one head begins in each block of a cache.
pub(super) struct HeadStarts<'a> {
    pub starts: Vec<*const u8>,
    blocks: std::marker::PhantomData<&'a KvBlocks>,
}

// SAFETY: what the pointers lead to is only read while the cache is borrowed.
unsafe impl Sync for HeadStarts<'_> {}

/// The keys and values of one layer of one sequence.
pub struct KvBlocks {
    kind: KvType,
    kv_heads: usize,
    head_dim: usize,
    layout: Layout,
    blocks: Vec<Arc<Block>>,
}

impl std::fmt::Debug for KvBlocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, kv_heads, head_dim, .. } = self;
        write!(f, "{kind} [{kv_heads}, {}, {head_dim}]", self.room())
    }
}

impl KvBlocks {
    /// An empty cache of `kv_heads` heads of width `head_dim`.
    pub fn new(kind: KvType, kv_heads: usize, head_dim: usize) -> Self {
        let layout = Layout::new(kind, head_dim);
        Self { kind, kv_heads, head_dim, layout, blocks: Vec::new() }
    }

    /// Tokens that there is room for.
    pub fn room(&self) -> usize {
        self.blocks.len() * BLOCK
    }

    /// Bytes that the blocks take.
    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(|block| size_of_val::<[Line]>(&block.0)).sum()
    }

    /// Makes room for `tokens` in all.
    pub fn reserve(&mut self, tokens: usize) {
        while self.room() < tokens {
            self.blocks.push(Block::empty(self.lines()));
        }
    }

    /// Cache lines of a block.
    fn lines(&self) -> usize {
        (self.kv_heads * self.layout.head).div_ceil(size_of::<Line>())
    }

    /// The blocks, each to be held by others as well.
    pub(crate) fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    /// Holds others' blocks, of the same shape, in the place of its own; none gives all memory back.
    pub(crate) fn hold(&mut self, blocks: Vec<Arc<Block>>) {
        self.blocks = blocks;
    }

    /// Makes blocks writable, from `first` on; the first one keeps its tokens before `slot`. Those that others hold
    /// become the cache's own.
    fn own(&mut self, first: usize, count: usize, slot: usize) -> Vec<Start> {
        let lines = self.lines();
        let blocks = self.blocks.iter_mut().skip(first).take(count).enumerate();
        blocks
            .map(|(index, block)| {
                // What is written over as a whole need not be copied first.
                if (index > 0 || slot == 0) && Arc::get_mut(block).is_none() {
                    *block = Block::empty(lines);
                }
                Start(Arc::make_mut(block).0.as_mut_ptr().cast())
            })
            .collect()
    }

    /// What decides how a block is laid out.
    pub(crate) fn shape(&self) -> (KvType, usize, usize) {
        (self.kind, self.kv_heads, self.head_dim)
    }

    pub(super) fn has_heads(&self, kv_heads: usize, head_dim: usize) -> bool {
        self.kv_heads == kv_heads && self.head_dim == head_dim
    }

    pub(super) fn kind(&self) -> KvType {
        self.kind
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Where head `head` of each block begins.
    pub(super) fn heads(&self, head: usize) -> HeadStarts<'_> {
        let at = head * self.layout.head;
        // The offset lies within the block: `reserve` gave it room for every head.
        let starts = self.blocks.iter().map(|block| block.0.as_ptr().cast::<u8>().wrapping_add(at));
        HeadStarts { starts: starts.collect(), blocks: std::marker::PhantomData }
    }

    /// Writes keys and values, `[tokens, kv_heads · head_dim]` each, for the tokens from `at` on. Keys are
    /// rotated by the angles of rows `first ..` of `table`, if there is one. Returns whether there was room.
    pub fn write(
        &mut self,
        at: usize,
        keys: &[f32],
        values: &[f32],
        table: Option<(&RotaryTable, usize)>,
    ) -> bool {
        let width = self.kv_heads * self.head_dim;
        let tokens = keys.len() / width.max(1);
        if keys.len() != tokens * width || values.len() != keys.len() || at + tokens > self.room() {
            return false;
        }
        if tokens == 0 {
            return true;
        }
        let (head_dim, layout, kind) = (self.head_dim, self.layout, self.kind);
        let first_block = at / BLOCK;
        let blocks = (at + tokens - 1) / BLOCK - first_block + 1;
        let starts = self.own(first_block, blocks, at % BLOCK);
        let cost = 8 * head_dim * BLOCK.min(tokens);
        parallel_with(blocks * self.kv_heads, cost, head_dim, |parts, rotated| {
            for part in parts {
                let (block, head) = (part / self.kv_heads, part % self.kv_heads);
                let begins = (first_block + block) * BLOCK;
                for position in begins.max(at)..(begins + BLOCK).min(at + tokens) {
                    let token = position - at;
                    let row = token * width + head * head_dim;
                    let value = &values[row..row + head_dim];
                    let mut key = &keys[row..row + head_dim];
                    if let Some((table, first)) = table {
                        rotate(key, table, first + token, rotated);
                        key = rotated;
                    }
                    // SAFETY: the head's part lies within its block, and each part is written by one thread.
                    unsafe {
                        let start = starts[block].0.add(head * layout.head);
                        with_element!(kind, E => put::<E>(start, &layout, position - begins, key, value));
                    }
                }
            }
        });
        true
    }

    /// Keys and values of the first `tokens` tokens, `[kv_heads, tokens, head_dim]` each; fewer if fewer are held.
    pub fn read(&self, tokens: usize) -> (Vec<f32>, Vec<f32>) {
        let tokens = tokens.min(self.room());
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for head in 0..self.kv_heads {
            let starts = self.heads(head).starts;
            for token in 0..tokens {
                let (start, slot) = (starts[token / BLOCK], token % BLOCK);
                for d in 0..self.head_dim {
                    // SAFETY: the token and the number lie within the block.
                    let (key, value) = unsafe {
                        with_element!(self.kind, E => get::<E>(start, &self.layout, slot, d))
                    };
                    keys.push(key);
                    values.push(value);
                }
            }
        }
        (keys, values)
    }
}

/// Where a block begins, for the threads that write its heads.
struct Start(*mut u8);
// SAFETY: threads write different parts (see `write`).
unsafe impl Sync for Start {}

/// Writes one token of a head.
///
/// # Safety
/// `start` must be good for a head of the layout, `slot` be below [`BLOCK`].
#[inline(always)]
unsafe fn put<E: Element>(
    start: *mut u8,
    layout: &Layout,
    slot: usize,
    key: &[f32],
    value: &[f32],
) {
    // SAFETY: every offset lies within the layout.
    unsafe {
        let keys = start.cast::<E::Stored>().add(slot);
        let values = start.add(layout.values).cast::<E::Stored>().add(slot * layout.padded);
        for (group, (key, value)) in key.chunks(SCALED).zip(value.chunks(SCALED)).enumerate() {
            let mut inverses = [1.0; 2];
            if E::SCALES {
                let places = [layout.key_scales, layout.value_scales];
                for ((numbers, place), inverse) in
                    [key, value].into_iter().zip(places).zip(&mut inverses)
                {
                    let largest = numbers.iter().fold(0f32, |most, x| most.max(x.abs()));
                    *inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
                    start.add(place).cast::<f32>().add(group * BLOCK + slot).write(largest / 127.0);
                }
            }
            for (i, (&key, &value)) in key.iter().zip(value).enumerate() {
                let d = group * SCALED + i;
                keys.add(d * BLOCK).write(E::store(key, inverses[0]));
                values.add(d).write(E::store(value, inverses[1]));
            }
        }
    }
}

/// Number `d` of a token's key and of its value.
///
/// # Safety
/// As [`put`], and `d` must be below the head's width.
unsafe fn get<E: Element>(start: *const u8, layout: &Layout, slot: usize, d: usize) -> (f32, f32) {
    // SAFETY: every offset lies within the layout.
    unsafe {
        let key = E::widen(start.cast::<E::Stored>().add(d * BLOCK + slot).read());
        let values = start.add(layout.values).cast::<E::Stored>();
        let value = E::widen(values.add(slot * layout.padded + d).read());
        if !E::SCALES {
            return (key, value);
        }
        let scale = |at: usize| start.add(at).cast::<f32>().add(d / SCALED * BLOCK + slot).read();
        (key * scale(layout.key_scales), value * scale(layout.value_scales))
    }
}
