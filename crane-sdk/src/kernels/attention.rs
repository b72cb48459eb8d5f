//! Attention over the key/value cache.

use super::kernels;
use super::shared::Shared;
use super::threads::parallel_for;

/// The shape of one attention call.
#[derive(Debug, Clone, Copy)]
pub struct AttentionShape {
    /// Query heads; a multiple of `kv_heads`.
    pub heads: usize,
    /// Key/value heads; head j serves query heads j·g .. j·g + g with g = heads / kv_heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// New tokens, the last `queries` of the `tokens` in the cache.
    pub queries: usize,
    /// Tokens in the cache, the new ones included.
    pub tokens: usize,
    /// Tokens that each head's buffer has room for.
    pub allocated: usize,
    /// A query sees itself and the `window - 1` tokens before it.
    pub window: Option<usize>,
}

impl AttentionShape {
    /// The tokens that query number `query` sees.
    pub fn visible(&self, query: usize) -> std::ops::Range<usize> {
        let end = self.tokens - self.queries + query + 1;
        end.saturating_sub(self.window.unwrap_or(end))..end
    }
}

/// Causal attention with grouped queries: softmax(q·kᵀ / √head_dim) · v.
///
/// `q` is `[heads, queries, head_dim]`, `k` and `v` are `[kv_heads, allocated, head_dim]`; the
/// result is `[queries, heads · head_dim]`. Every (head, query) pair is computed
/// by itself, so that a token's result is the same to the last bit however many are run with it.
pub fn attend(q: &[f32], k: &[f32], v: &[f32], shape: &AttentionShape) -> Vec<f32> {
    let AttentionShape { heads, kv_heads, head_dim, queries, tokens, allocated, .. } = *shape;
    let group = heads / kv_heads.max(1);
    let scale = 1.0 / (head_dim as f32).sqrt();
    let kernels = kernels();
    let mut out = vec![0f32; queries * heads * head_dim];
    let shared = Shared::new(&mut out);
    parallel_for(heads * queries, 2 * tokens * head_dim, |pairs| {
        let mut scores = Vec::with_capacity(tokens);
        for pair in pairs {
            let (head, query) = (pair / queries, pair % queries);
            let base = head / group * allocated;
            let row = |buffer: &'_ [f32], token: usize| -> std::ops::Range<usize> {
                debug_assert!(buffer.len() >= (base + token + 1) * head_dim);
                (base + token) * head_dim..(base + token + 1) * head_dim
            };
            let q = &q[pair * head_dim..(pair + 1) * head_dim];
            let visible = shape.visible(query);
            scores.clear();
            scores.extend(visible.clone().map(|t| (kernels.dot)(q, &k[row(k, t)]) * scale));
            let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum = (kernels.exp_sum)(&mut scores, max);
            let to = (query * heads + head) * head_dim;
            // SAFETY: each (query, head) row is written by one thread.
            let out = unsafe { shared.slice(to..to + head_dim) };
            for (token, score) in visible.zip(&scores) {
                (kernels.axpy)(score / sum, &v[row(v, token)], out);
            }
        }
    });
    out
}
