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
        parallel_chunks(&mut attended, run, cost, |window, out| {
            let rows = all.get(window * run * 3..(window + 1) * run * 3);
            self.attend(rows.unwrap_or_default(), out);
        });
        add(x, &self.out.forward(&attended)?);
        Ok(())
    }

    /// One window: `all` `[window, 3 * width]`, `out` `[window, width]`.
    fn attend(&self, all: &[f32], out: &mut [f32]) {
        let size = 2 * self.rotary.half;
        let scale = 1.0 / (size as f32).sqrt();
        for head in (0..self.width).step_by(size) {
            let part = |which: usize| {
                let start = which * self.width + head;
                all.chunks_exact(3 * self.width)
                    .map(move |row| row.get(start..start + size).unwrap_or_default())
            };
            let turned = |which: usize| -> Vec<f32> {
                part(which).enumerate().flat_map(|(row, x)| self.turn(x, row)).collect()
            };
            let (query, key) = (turned(0), turned(1));
            for (query, out) in query.chunks_exact(size).zip(out.chunks_exact_mut(self.width)) {
                let score = |key: &[f32]| -> f32 {
                    scale * query.iter().zip(key).map(|(q, k)| q * k).sum::<f32>()
                };
                let mut scores: Vec<f32> = key.chunks_exact(size).map(score).collect();
                softmax(&mut scores);
                for (value, weight) in part(2).zip(&scores) {
                    for (out, value) in out.iter_mut().skip(head).zip(value) {
                        *out += weight * value;
                    }
                }
            }
        }
    }

    /// One head of one row, rotated: element i pairs with i + half.
    fn turn(&self, x: &[f32], row: usize) -> Vec<f32> {
        let half = self.rotary.half;
        let (low, high) = x.split_at(half);
        let angle =
            |table: &[f32], i: usize| table.get(row * half + i).copied().unwrap_or_default();
        let pairs = || low.iter().zip(high).enumerate();
        let (sin, cos) = (&self.rotary.sin, &self.rotary.cos);
        let first = pairs().map(|(i, (a, b))| a * angle(cos, i) - b * angle(sin, i));
        let second = pairs().map(|(i, (a, b))| b * angle(cos, i) + a * angle(sin, i));
        first.chain(second).collect()
    }
}
