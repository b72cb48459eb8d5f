//! A stage of a codec's decoder: more rows of fewer channels.

use super::MOST_TAPS;
use super::noise::Drawn;
use super::residual::{ResidualUnit, UnitState, snake};
use crate::Result;
use crate::nn::slices::{Held, Linear, Snake, Upsample};
use crate::weights::Floats;

/// How far apart the taps of a stage's three units are.
pub(crate) const DILATIONS: [usize; 3] = [1, 3, 9];

/// Snake, a transposed convolution, noise in proportion to the signal if the model has it, three residual units.
#[derive(Debug)]
pub(crate) struct UpsamplingStage {
    snake: Snake,
    upsample: Upsample,
    noise: Option<Linear>,
    units: Vec<ResidualUnit>,
    outputs: usize,
}

/// What later rows of a stage need.
#[derive(Debug)]
pub(crate) struct StageState {
    held: Held,
    noise: Option<Drawn>,
    units: Vec<UnitState>,
}

impl UpsamplingStage {
    /// The stage `name` that makes `stride` rows of `outputs` channels of each row of `inputs`; `padding` as PyTorch's.
    pub(crate) fn load(
        weights: &Floats<'_>,
        name: &str,
        [inputs, outputs]: [usize; 2],
        stride: usize,
        padding: impl Fn(usize) -> usize,
        noisy: bool,
    ) -> Result<Self> {
        let up = format!("{name}.block.1");
        let [_, _, width] = weights.weight_shape(&up)?;
        let cut = padding(width);
        if width < stride + cut || width > 64 * stride || width > MOST_TAPS {
            return Err(
                weights.misfit(&up, format_args!("{width} taps do not fit a stride of {stride}"))
            );
        }
        let weight = weights.weight(&up, &[inputs, outputs, width])?;
        let bias = weights.tensor(&format!("{up}.bias"), &[outputs])?;
        let noise = match noisy {
            true => {
                let weight =
                    weights.weight(&format!("{name}.block.2.linear"), &[outputs, outputs, 1])?;
                Some(Linear::new(&weight, &vec![0.0; outputs])?)
            }
            false => None,
        };
        let first = 2 + usize::from(noisy);
        let unit = |(index, dilation): (usize, usize)| {
            ResidualUnit::load(
                weights,
                &format!("{name}.block.{}", first + index),
                outputs,
                dilation,
            )
        };
        Ok(Self {
            snake: snake(weights, &format!("{name}.block.0"), inputs)?,
            upsample: Upsample::new(&weight, &bias, [inputs, width], stride, cut)?,
            noise,
            units: DILATIONS.into_iter().enumerate().map(unit).collect::<Result<_>>()?,
            outputs,
        })
    }

    pub(crate) fn start(&self, noise: Option<Drawn>) -> StageState {
        StageState {
            held: self.upsample.start(),
            noise,
            units: self.units.iter().map(ResidualUnit::start).collect(),
        }
    }

    /// The outputs that further rows make possible; `observe` sees those of the transposed convolution.
    pub(crate) fn stream(
        &self,
        state: &mut StageState,
        mut x: Vec<f32>,
        last: bool,
        observe: impl FnOnce(&[f32]),
    ) -> Result<Vec<f32>> {
        self.snake.forward(&mut x);
        let mut x = self.upsample.stream(&mut state.held, &x, last)?;
        observe(&x);
        if let (Some(linear), Some(noise)) = (&self.noise, &mut state.noise) {
            let loudness = linear.forward(&x)?;
            let rows = x.chunks_exact_mut(self.outputs).zip(loudness.chunks_exact(self.outputs));
            for (row, loudness) in rows {
                let noise = noise.draw();
                row.iter_mut().zip(loudness).for_each(|(x, loudness)| *x += noise * loudness);
            }
        }
        for (unit, state) in self.units.iter().zip(&mut state.units) {
            x = unit.stream(state, x, last)?;
        }
        Ok(x)
    }
}
