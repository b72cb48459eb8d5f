//! Rows that wait for their neighbours, so that a convolution can run piece by piece.

/// The rows that a centred convolution still needs: each output waits for `reach` rows after it, and begins and end are
/// padded with zeros. Rows pushed in any pieces give the same outputs.
#[derive(Debug)]
pub(crate) struct Window {
    rows: Vec<f32>,
    width: usize,
    reach: usize,
}

impl Window {
    /// Room for convolutions whose outputs need `reach` rows before and after.
    pub(crate) fn new(width: usize, reach: usize) -> Self {
        Self { rows: vec![0.0; width * reach], width, reach }
    }

    /// Adds rows; `last` says that none follow. Returns how many outputs can be computed.
    pub(super) fn push(&mut self, rows: &[f32], last: bool) -> usize {
        self.rows.extend_from_slice(rows);
        if last {
            self.rows.resize(self.rows.len() + self.width * self.reach, 0.0);
        }
        (self.rows.len() / self.width).saturating_sub(2 * self.reach)
    }

    /// The rows that are held, the first output's first row first.
    pub(super) fn rows(&self) -> &[f32] {
        &self.rows
    }

    /// How many rows an output needs on either side.
    pub(super) fn reach(&self) -> usize {
        self.reach
    }

    /// Forgets the rows that only the first `count` outputs needed.
    pub(super) fn advance(&mut self, count: usize) {
        self.rows.drain(..count * self.width);
    }
}
