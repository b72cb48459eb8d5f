//! A matrix whose rows are shared out among instances.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use candle_core::quantized::GgmlDType;

use super::super::{PackedMatrix, TYPES};
use super::{FORGET, Helpers, PUT, ROOM, ROWS, to_floats};

/// A quantised matrix `[rows, width]`, of which helpers may hold a part.
pub struct ShardedMatrix {
    pub(super) own: PackedMatrix,
    pub(super) away: Option<Away>,
}

/// The rows that are not in this instance.
pub(super) struct Away {
    pub(super) helpers: Arc<dyn Helpers>,
    pub(super) id: u32,
    /// The rows of each helper; together with the own ones they are all.
    pub(super) parts: Vec<Range<usize>>,
}

impl Drop for Away {
    fn drop(&mut self) {
        for helper in 0..self.parts.len() {
            self.helpers.post(helper, &[FORGET, self.id]);
        }
    }
}

impl fmt::Debug for ShardedMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {}] of {:?}", self.rows(), self.width(), self.own)
    }
}

impl ShardedMatrix {
    /// Room for `[rows, width]` blocks of `dtype`, all 0, to be filled by [`ShardedMatrix::put`].
    ///
    /// `None` for a type that is not multiplied here, and unless rows are whole blocks.
    pub fn room(
        dtype: GgmlDType,
        rows: usize,
        width: usize,
        helpers: Option<&Arc<dyn Helpers>>,
    ) -> Option<Self> {
        let whole = |rows| PackedMatrix::room(dtype, rows, width);
        let kind = TYPES.iter().position(|known| *known == dtype)? as u32;
        let Some((helpers, share)) = helpers.and_then(|helpers| share(helpers, rows, width)) else {
            return Some(Self { own: whole(rows)?, away: None });
        };
        let count = helpers.count();
        let kept = rows - share * count;
        let own = whole(kept)?;
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let message = [ROOM, id, kind, share as u32, width as u32];
        (0..count).for_each(|helper| helpers.post(helper, &message));
        let part = |helper: usize| kept + helper * share..kept + (helper + 1) * share;
        let away = Away { helpers: helpers.clone(), id, parts: (0..count).map(part).collect() };
        Some(Self { own, away: Some(away) })
    }

    /// Packs rows from `row` on. Returns whether `weights` are whole rows that lie in the matrix.
    pub fn put(&mut self, row: usize, weights: &[u8]) -> bool {
        let row_bytes = self.own.row_bytes();
        let count = weights.len() / row_bytes;
        if weights.len() != count * row_bytes || row.saturating_add(count) > self.rows() {
            return false;
        }
        let rows = row..row + count;
        let bytes = |part: &Range<usize>| {
            let (start, end) = (rows.start.max(part.start), rows.end.min(part.end));
            let bytes = (start < end)
                .then(|| &weights[(start - row) * row_bytes..(end - row) * row_bytes])?;
            Some((start - part.start, bytes))
        };
        let mut sent = Vec::new();
        if let Some(away) = &self.away {
            for (helper, part) in away.parts.iter().enumerate() {
                if let Some((row, bytes)) = bytes(part) {
                    let mut message = vec![PUT, away.id, row as u32, bytes.len() as u32];
                    let (whole, rest) = bytes.as_chunks();
                    message.extend(whole.iter().map(|bytes| u32::from_le_bytes(*bytes)));
                    let mut last = [0; 4];
                    last[..rest.len()].copy_from_slice(rest);
                    message.push(u32::from_le_bytes(last));
                    away.helpers.post(helper, &message);
                    sent.push(helper);
                }
            }
        }
        let own = 0..self.own.rows();
        let mut done = bytes(&own).is_none_or(|(row, bytes)| self.own.put(row, bytes));
        if let Some(away) = &self.away {
            for helper in sent {
                done &= away.helpers.answer(helper).is_some();
            }
        }
        done
    }

    /// Rows, the outputs of a product.
    pub fn rows(&self) -> usize {
        let parts = self.away.iter().flat_map(|away| &away.parts);
        self.own.rows() + parts.map(ExactSizeIterator::len).sum::<usize>()
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.own.width()
    }

    /// Bytes that the panels take, wherever they are.
    pub fn bytes(&self) -> usize {
        let away = self.away.iter().flat_map(|away| &away.parts);
        away.fold(self.own.bytes(), |sum, part| sum + part.len() * self.own.row_bytes())
    }

    /// These rows as floats, one after another; `None` if there is no such row.
    pub fn floats(&self, rows: &[u32]) -> Option<Vec<f32>> {
        let width = self.width();
        if rows.iter().any(|row| *row as usize >= self.rows()) {
            return None;
        }
        let mut out = vec![0f32; rows.len() * width];
        for (row, out) in rows.iter().zip(out.chunks_mut(width)) {
            if (*row as usize) < self.own.rows() {
                out.copy_from_slice(&self.own.row(*row as usize)?);
            }
        }
        let Some(away) = &self.away else { return Some(out) };
        for (helper, part) in away.parts.iter().enumerate() {
            let places: Vec<usize> =
                (0..rows.len()).filter(|i| part.contains(&(rows[*i] as usize))).collect();
            if places.is_empty() {
                continue;
            }
            let mut message = vec![ROWS, away.id];
            message.extend(places.iter().map(|place| rows[*place] - part.start as u32));
            away.helpers.post(helper, &message);
            let answer = away.helpers.answer(helper)?;
            let answer = to_floats(&answer);
            for (place, row) in places.into_iter().zip(answer.chunks(width)) {
                out.get_mut(place * width..(place + 1) * width)?.copy_from_slice(row);
            }
        }
        Some(out)
    }
}

/// Rows of a matrix that each helper holds: as many as leave all done at the same time. `None` if it does not pay.
fn share(
    helpers: &Arc<dyn Helpers>,
    rows: usize,
    width: usize,
) -> Option<(&Arc<dyn Helpers>, usize)> {
    let shared = rows.checked_mul(width)?.checked_sub(2 * helpers.latency())?;
    let share =
        ((shared + helpers.latency()) / (helpers.count() + 1)).checked_div(width)? / PANEL * PANEL;
    (share > 0).then_some((helpers, share))
}

/// A helper's rows are a multiple of it, so that panels are full.
const PANEL: usize = 16;
