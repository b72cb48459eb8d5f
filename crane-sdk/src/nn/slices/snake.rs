//! The periodic activation x + sin²(αx) / α (Ziyin et al. 2020).

use crate::kernels::rows::snake;

/// What keeps the division apart from zero.
const EPSILON: f32 = 1e-9;

/// A frequency for each channel.
#[derive(Debug)]
pub(crate) struct Snake {
    alpha: Vec<f32>,
    scale: Vec<f32>,
}

impl Snake {
    pub(crate) fn new(alpha: Vec<f32>) -> Self {
        let scale = alpha.iter().map(|alpha| 1.0 / (alpha + EPSILON)).collect();
        Self { alpha, scale }
    }

    /// Changes `x` `[rows, width]`.
    pub(crate) fn forward(&self, x: &mut [f32]) {
        snake(x, &self.alpha, &self.scale);
    }
}
