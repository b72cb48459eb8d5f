//! Self-attention within windows that do not overlap, with rotary positions inside each.

use super::{LayerNorm, Linear, add, softmax};
use crate::Result;
use crate::kernels::rows::RotaryTable;
use crate::kernels::threads::parallel_chunks;

/// x + attention(norm(x)), window by window.
#[derive(Debug)]
pub(crate) struct LocalAttention {
    norm: LayerNorm,
    query_key_value: Linear,
    out: Linear,
    rotary: RotaryTable,
    width: usize,
    window: usize,
}

impl LocalAttention {
    /// Heads have twice as many channels as there are frequencies and divide `width`; `query_key_value` makes `3 * width`.
    pub(crate) fn new(
        norm: LayerNorm,
        query_key_value: Linear,
        out: Linear,
        frequencies: &[f32],
        [width, window]: [usize; 2],
    ) -> Self {
        let positions: Vec<usize> = (0..window).collect();
        let rotary = RotaryTable::new(&positions, frequencies);
        Self { norm, query_key_value, out, rotary, width, window }
    }

    /// Floats of a window: only whole ones are taken.
    pub(crate) fn window(&self) -> usize {
        self.window * self.width
    }

    /// Changes `x` `[windows * window, width]`.
    pub(crate) fn forward(&self, x: &mut [f32]) -> Result<()> {
        let all = self.query_key_value.forward(&self.norm.forward(x))?; // [rows, 3 * width]
        let mut attended = vec![0f32; x.len()];
        let (run, cost) = (self.window(), self.window * self.window() * 2);
        // A head's queries and keys, and a query's scores: loops take no memory of their own.
        let room = (2 * self.head_dim() + 1) * self.window;
        parallel_chunks(&mut attended, run, cost, room, |window, out, room| {
            let rows = all.get(window * run * 3..(window + 1) * run * 3);
            self.attend(rows.unwrap_or_default(), out, room);
        });
        add(x, &self.out.forward(&attended)?);
        Ok(())
    }

    fn head_dim(&self) -> usize {
        2 * self.rotary.half
    }

    /// One window: `all` `[window, 3 * width]`, `out` `[window, width]`.
    fn attend(&self, all: &[f32], out: &mut [f32], room: &mut [f32]) {
        let size = self.head_dim();
        let scale = 1.0 / (size as f32).sqrt();
        let (queries, rest) = room.split_at_mut(self.window * size);
        let (keys, scores) = rest.split_at_mut(self.window * size);
        for head in (0..self.width).step_by(size) {
            let part = |which: usize| {
                let start = which * self.width + head;
                all.chunks_exact(3 * self.width)
                    .map(move |row| row.get(start..start + size).unwrap_or_default())
            };
            for (which, turned) in [&mut *queries, &mut *keys].into_iter().enumerate() {
                for (row, (x, out)) in part(which).zip(turned.chunks_exact_mut(size)).enumerate() {
                    self.turn(x, row, out);
                }
            }
            for (query, out) in queries.chunks_exact(size).zip(out.chunks_exact_mut(self.width)) {
                for (score, key) in scores.iter_mut().zip(keys.chunks_exact(size)) {
                    *score = scale * query.iter().zip(key).map(|(q, k)| q * k).sum::<f32>();
                }
                softmax(scores);
                for (value, weight) in part(2).zip(&*scores) {
                    for (out, value) in out.iter_mut().skip(head).zip(value) {
                        *out += weight * value;
                    }
                }
            }
        }
    }

    /// One head of one row, rotated: element i pairs with i + half.
    fn turn(&self, x: &[f32], row: usize, out: &mut [f32]) {
        let half = self.rotary.half;
        let (low, high) = x.split_at(half);
        let angle =
            |table: &[f32], i: usize| table.get(row * half + i).copied().unwrap_or_default();
        let (first, second) = out.split_at_mut(half);
        let (sin, cos) = (&self.rotary.sin, &self.rotary.cos);
        let pairs = low.iter().zip(high).zip(first.iter_mut().zip(second));
        for (i, ((a, b), (first, second))) in pairs.enumerate() {
            *first = a * angle(cos, i) - b * angle(sin, i);
            *second = b * angle(cos, i) + a * angle(sin, i);
        }
    }
}
