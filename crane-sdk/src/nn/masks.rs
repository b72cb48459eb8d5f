//! Which tokens each query sees, as a GPU's attention adds it to the scores.

use std::ops::Range;

use candle_core::{Device, Tensor};

use crate::Result;

/// What neighbouring queries see: themselves and the tokens before them, as far as the window reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sight {
    /// The position of the first query.
    pub first: usize,
    /// How many queries there are.
    pub rows: usize,
    /// A token sees itself and the `window - 1` tokens before it.
    pub window: Option<usize>,
}

impl Sight {
    /// The positions that a query sees.
    fn of(&self, query: usize) -> Range<usize> {
        let end = self.first + query + 1;
        end.saturating_sub(self.window.unwrap_or(end))..end
    }

    /// The positions that any of the queries sees.
    pub fn seen(&self) -> Range<usize> {
        self.of(0).start..self.of(self.rows.saturating_sub(1)).end
    }

    /// `[rows, seen]`: 0 where a query sees a token, −∞ where it does not.
    fn mask(&self) -> Vec<f32> {
        let seen = self.seen();
        let mut mask = vec![f32::NEG_INFINITY; self.rows * seen.len()];
        for (query, row) in mask.chunks_mut(seen.len().max(1)).enumerate() {
            let own = self.of(query);
            row[own.start - seen.start..own.end - seen.start].fill(0.0);
        }
        mask
    }
}

/// The masks of a pass, moved to the device once for all layers.
#[derive(Debug, Default)]
pub(super) struct Masks(Vec<(Sight, Tensor)>);

impl Masks {
    /// The mask `[rows, seen]`; none for a single query, which sees all that any of its tile sees.
    pub fn of(&mut self, sight: Sight, device: &Device) -> Result<Option<Tensor>> {
        if sight.rows == 1 {
            return Ok(None);
        }
        if let Some((_, mask)) = self.0.iter().find(|(known, _)| *known == sight) {
            return Ok(Some(mask.clone()));
        }
        let mask = Tensor::from_vec(sight.mask(), (sight.rows, sight.seen().len()), device)?;
        self.0.push((sight, mask.clone()));
        Ok(Some(mask))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_moves_with_the_query() {
        let sight = Sight { first: 5, rows: 3, window: Some(2) };
        assert_eq!(sight.seen(), 4..8);
        let (no, yes) = (f32::NEG_INFINITY, 0.0);
        assert_eq!(sight.mask(), [yes, yes, no, no, no, yes, yes, no, no, no, yes, yes]);
        let all = Sight { window: None, ..sight };
        assert_eq!(all.seen(), 0..8);
        assert_eq!(all.mask().iter().filter(|mask| **mask == no).count(), 3);
    }

    #[test]
    fn layers_share_a_mask_and_one_query_needs_none() {
        let mut masks = Masks::default();
        let sight = Sight { first: 0, rows: 4, window: None };
        assert!(masks.of(Sight { rows: 1, ..sight }, &Device::Cpu).unwrap().is_none());
        for _ in 0..2 {
            let mask = masks.of(sight, &Device::Cpu).unwrap().unwrap();
            assert_eq!(mask.dims(), [4, 4]);
        }
        masks.of(Sight { window: Some(2), ..sight }, &Device::Cpu).unwrap();
        assert_eq!(masks.0.len(), 2);
    }
}
