//! How long each phoneme lasts, how high the voice is and how loud.

use super::text_encoder::TextEncoder;
use crate::generate::{CancelToken, SPEECH};
use crate::kernels::rows::gelu;
use crate::nn::slices::{Conv, ConvNeXt, Int8};
use crate::source::OnnxCheckpoint;
use crate::{Error, Result};

/// How far apart the taps of each block are.
const DILATIONS: [usize; 6] = [1, 2, 4, 8, 1, 2];
/// Pitch and energy of the two frames of a step.
const OUTPUTS: usize = 4;
/// Steps of 25 ms that an utterance may have: ten minutes.
const MAX_STEPS: usize = 24_000;

#[derive(Debug)]
pub(super) struct Prosody {
    text: TextEncoder,
    duration: [Conv; 2],
    input: Conv,
    blocks: Vec<ConvNeXt>,
    output: Conv,
}

/// What the decoder is told beside the text.
#[derive(Debug)]
pub(super) struct Melody {
    /// Steps of 25 ms, two frames, for each phoneme.
    pub durations: Vec<usize>,
    /// Hertz a frame; not above 40 is unvoiced.
    pub pitch: Vec<f32>,
    /// A frame.
    pub energy: Vec<f32>,
}

impl Prosody {
    pub(super) fn load(weights: &OnnxCheckpoint) -> Result<Self> {
        let text = TextEncoder::load(weights, "pn.text", Int8::Widened)?;
        let width = text.width();
        let block = |(index, dilation): (usize, &usize)| {
            ConvNeXt::load(weights, &format!("pn.pro.{index}"), width, *dilation, Int8::Widened)
        };
        Ok(Self {
            duration: [
                Conv::load(weights, "pn.dur.0", width, width)?,
                Conv::load(weights, "pn.dur.2", 1, width)?,
            ],
            input: Conv::load(weights, "pn.pro_in", width, width)?,
            blocks: DILATIONS.iter().enumerate().map(block).collect::<Result<_>>()?,
            output: Conv::load(weights, "pn.pro_out", OUTPUTS, width)?,
            text,
        })
    }

    pub(super) fn encode(&self, ids: &[usize], cancel: &CancelToken) -> Result<Vec<f32>> {
        self.text.forward(ids, cancel)
    }

    /// ln(1 + steps) of each phoneme at speed 1.
    pub(super) fn log_durations(&self, text: &[f32]) -> Result<Vec<f32>> {
        let mut hidden = self.duration[0].forward(text)?;
        gelu(&mut hidden);
        self.duration[1].forward(&hidden)
    }

    pub(super) fn forward(
        &self,
        ids: &[usize],
        speed: f32,
        cancel: &CancelToken,
    ) -> Result<Melody> {
        let text = self.encode(ids, cancel)?;
        // What is not finite counts as one step here and fails the check of the whole.
        let steps = |log: f32| ((log.exp() - 1.0) / speed).round_ties_even().max(1.0) as usize;
        let durations: Vec<usize> = self.log_durations(&text)?.into_iter().map(steps).collect();
        let total = durations.iter().fold(0usize, |total, steps| total.saturating_add(*steps));
        if total > MAX_STEPS {
            let reason = format_args!(
                "a sentence of it would last {} s; the voice's weights are damaged",
                total / 40
            );
            return Err(Error::argument("text", reason));
        }
        let mut x = self.input.forward(&stretch(&text, self.text.width(), &durations, 1))?;
        for block in &self.blocks {
            cancel.check(SPEECH)?;
            x = block.forward(&x)?;
        }
        let steps = self.output.forward(&x)?; // [steps, 4]
        let (mut pitch, mut energy) = (Vec::new(), Vec::new());
        for step in steps.as_chunks::<OUTPUTS>().0 {
            pitch.extend([step[0] * 100.0, step[1] * 100.0]);
            energy.extend([step[2] * 5.0, step[3] * 5.0]);
        }
        Ok(Melody { durations, pitch, energy })
    }
}

/// Each row as often as its duration says, times `repeat`.
pub(super) fn stretch(x: &[f32], width: usize, durations: &[usize], repeat: usize) -> Vec<f32> {
    let rows = x.chunks_exact(width).zip(durations);
    rows.flat_map(|(row, steps)| std::iter::repeat_n(row, steps * repeat))
        .flatten()
        .copied()
        .collect()
}
