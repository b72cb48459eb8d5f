//! The residual unit of convolutional codecs (Zeghidour et al. 2021, Kumar et al. 2023): a dilated convolution between snakes.

use super::MOST_TAPS;
use crate::Result;
use crate::nn::slices::{Conv, Depthwise, Linear, Snake, Window, add};
use crate::weights::Floats;

/// x + W · snake(convolution of snake(x)).
#[derive(Debug)]
pub(crate) struct ResidualUnit {
    first: Snake,
    mix: Mix,
    second: Snake,
    out: Linear,
}

#[derive(Debug)]
enum Mix {
    Depthwise(Depthwise),
    Dense(Conv),
}

/// What later rows of a unit need.
#[derive(Debug)]
pub(crate) struct UnitState {
    window: Window,
    /// Input rows whose outputs are not made yet.
    waiting: Vec<f32>,
}

impl ResidualUnit {
    /// The unit `name` of `width` channels, its convolution's taps `dilation` rows apart; it mixes channels if its weight says so.
    pub(crate) fn load(
        weights: &Floats<'_>,
        name: &str,
        width: usize,
        dilation: usize,
    ) -> Result<Self> {
        let part = |index: usize| format!("{name}.block.{index}");
        let mix = part(1);
        let [_, inputs, taps] = weights.weight_shape(&mix)?;
        if taps % 2 == 0 || taps > MOST_TAPS || (inputs != 1 && inputs != width) {
            return Err(weights.misfit(
                &mix,
                format_args!("{taps} taps of {inputs} channels do not fit {width}"),
            ));
        }
        let weight = weights.weight(&mix, &[width, inputs, taps])?;
        let bias = weights.tensor(&format!("{mix}.bias"), &[width])?;
        let mix = match inputs {
            1 => Mix::Depthwise(Depthwise::new(&weight, bias, dilation)),
            _ => Mix::Dense(Conv::new(&weight, &bias, [inputs, taps], dilation)?),
        };
        Ok(Self {
            first: snake(weights, &part(0), width)?,
            mix,
            second: snake(weights, &part(2), width)?,
            out: linear(weights, &part(3), width, width)?,
        })
    }

    pub(crate) fn start(&self) -> UnitState {
        let window = match &self.mix {
            Mix::Depthwise(mix) => mix.window(),
            Mix::Dense(mix) => mix.window(),
        };
        UnitState { window, waiting: Vec::new() }
    }

    /// The outputs that further rows make possible.
    pub(crate) fn stream(
        &self,
        state: &mut UnitState,
        mut x: Vec<f32>,
        last: bool,
    ) -> Result<Vec<f32>> {
        state.waiting.extend_from_slice(&x);
        self.first.forward(&mut x);
        let mut mixed = match &self.mix {
            Mix::Depthwise(mix) => mix.stream(&mut state.window, &x, last),
            Mix::Dense(mix) => mix.stream(&mut state.window, &x, last)?,
        };
        self.second.forward(&mut mixed);
        let mut out = self.out.forward(&mixed)?;
        add(&mut out, &state.waiting);
        state.waiting.drain(..out.len());
        Ok(out)
    }

    /// All rows.
    pub(crate) fn forward(&self, x: Vec<f32>) -> Result<Vec<f32>> {
        self.stream(&mut self.start(), x, true)
    }
}

/// The activation `name` of `width` channels.
pub(crate) fn snake(weights: &Floats<'_>, name: &str, width: usize) -> Result<Snake> {
    Ok(Snake::new(weights.tensor(&format!("{name}.alpha"), &[1, width, 1])?))
}

/// The convolution `name` of one tap.
pub(crate) fn linear(
    weights: &Floats<'_>,
    name: &str,
    outputs: usize,
    inputs: usize,
) -> Result<Linear> {
    let weight = weights.weight(name, &[outputs, inputs, 1])?;
    Linear::new(&weight, &weights.tensor(&format!("{name}.bias"), &[outputs])?)
}
