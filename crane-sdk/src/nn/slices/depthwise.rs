//! Convolutions that keep channels apart, along rows that may arrive piece by piece.

use super::Window;
use crate::kernels::rows::depthwise;

/// One filter a channel, its taps `dilation` rows apart.
#[derive(Debug)]
pub(crate) struct Depthwise {
    /// `[taps, width]`.
    weight: Vec<f32>,
    bias: Vec<f32>,
    dilation: usize,
}

impl Depthwise {
    /// `weight` `[bias.len(), 1, taps]`, an odd number of taps.
    pub(crate) fn new(weight: &[f32], bias: Vec<f32>, dilation: usize) -> Self {
        let taps = weight.len() / bias.len().max(1);
        let by_tap = (0..taps).flat_map(|tap| weight.iter().skip(tap).step_by(taps).copied());
        Self { weight: by_tap.collect(), bias, dilation }
    }

    fn taps(&self) -> usize {
        self.weight.len() / self.bias.len().max(1)
    }

    /// Where rows wait for their neighbours.
    pub(crate) fn window(&self) -> Window {
        Window::new(self.bias.len(), self.taps() / 2 * self.dilation)
    }

    /// The outputs that further rows make possible.
    pub(crate) fn stream(&self, window: &mut Window, x: &[f32], last: bool) -> Vec<f32> {
        let count = window.push(x, last);
        let out = self.apply(window.rows(), count);
        window.advance(count);
        out
    }

    /// The first `count` outputs, where the first row of `x` is the first output's first tap.
    pub(super) fn apply(&self, x: &[f32], count: usize) -> Vec<f32> {
        depthwise(x, &self.weight, &self.bias, self.dilation, count)
    }
}
