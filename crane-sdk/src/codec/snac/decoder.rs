//! Steps to samples.

use super::{SnacConfig, attention};
use crate::Result;
use crate::codec::noise::Drawn;
use crate::codec::residual::{linear, snake};
use crate::codec::upsampling::{StageState, UpsamplingStage};
use crate::nn::slices::{Conv, Depthwise, Linear, LocalAttention, Snake, Window};
use crate::weights::Floats;

/// Taps of the first and the last convolution.
const TAPS: usize = 7;

/// The decoder's layers.
#[derive(Debug)]
pub(super) struct Decoder {
    first: Depthwise,
    widen: Linear,
    attention: Option<LocalAttention>,
    stages: Vec<UpsamplingStage>,
    snake: Snake,
    last: Conv,
}

/// What later samples need.
#[derive(Debug)]
pub(super) struct DecoderState {
    first: Window,
    /// Rows of a window of attention that is not full.
    waiting: Vec<f32>,
    stages: Vec<StageState>,
    last: Window,
}

impl Decoder {
    pub(super) fn load(weights: &Floats<'_>, config: &SnacConfig) -> Result<Self> {
        let (latent, width) = (config.latent(), config.decoder_dim);
        let layer = |index: usize| format!("decoder.model.{index}");
        let bias = |name: &str, width: usize| weights.tensor(&format!("{name}.bias"), &[width]);
        let first = layer(0);
        let attention = attention::load(weights, &layer(2), width, config)?;
        let next = 2 + usize::from(attention.is_some());
        let stage = |(index, rate): (usize, &usize)| {
            let widths = [width >> index, width >> (index + 1)];
            let padding = |_| rate.div_ceil(2);
            UpsamplingStage::load(
                weights,
                &layer(next + index),
                widths,
                *rate,
                padding,
                config.noise,
            )
        };
        let blocks = config.decoder_rates.len();
        let (end, width_end) = (layer(next + blocks + 1), width >> blocks);
        Ok(Self {
            first: Depthwise::new(
                &weights.weight(&first, &[latent, 1, TAPS])?,
                bias(&first, latent)?,
                1,
            ),
            widen: linear(weights, &layer(1), width, latent)?,
            attention,
            stages: config.decoder_rates.iter().enumerate().map(stage).collect::<Result<_>>()?,
            snake: snake(weights, &layer(next + blocks), width_end)?,
            last: Conv::new(
                &weights.weight(&end, &[1, width_end, TAPS])?,
                &bias(&end, 1)?,
                [width_end, TAPS],
                1,
            )?,
        })
    }

    /// A state before the first step; `noise` is for the stages, in their order.
    pub(super) fn start(&self, noise: Vec<Option<Drawn>>) -> DecoderState {
        let noise = noise.into_iter().chain(std::iter::repeat_with(|| None));
        DecoderState {
            first: self.first.window(),
            waiting: Vec::new(),
            stages: self
                .stages
                .iter()
                .zip(noise)
                .map(|(stage, noise)| stage.start(noise))
                .collect(),
            last: self.last.window(),
        }
    }

    /// The samples that further steps `[steps, latent]` make certain; `observe` sees the rows after each layer.
    pub(super) fn stream(
        &self,
        state: &mut DecoderState,
        z: Vec<f32>,
        last: bool,
        observe: &mut dyn FnMut(&str, &[f32]),
    ) -> Result<Vec<f32>> {
        let mut x = self.first.stream(&mut state.first, &z, last);
        observe("stage.0", &x);
        x = self.widen.forward(&x)?;
        observe("stage.1", &x);
        let mut layer = 2;
        if let Some(attention) = &self.attention {
            state.waiting.append(&mut x);
            let whole = state.waiting.len() / attention.window() * attention.window();
            x = state.waiting.drain(..whole).collect();
            attention.forward(&mut x)?;
            observe("stage.2", &x);
            layer += 1;
        }
        for (index, (stage, state)) in self.stages.iter().zip(&mut state.stages).enumerate() {
            x = stage.stream(state, x, last, |x| {
                if index == 0 {
                    observe("block0_convtranspose", x);
                }
            })?;
            observe(&format!("stage.{layer}"), &x);
            layer += 1;
        }
        self.snake.forward(&mut x);
        x = self.last.stream(&mut state.last, &x, last)?;
        observe(&format!("stage.{}", layer + 1), &x);
        x.iter_mut().for_each(|x| *x = x.tanh());
        observe(&format!("stage.{}", layer + 2), &x);
        Ok(x)
    }
}
