//! Mel spectra of a recording, as Spark-TTS's speaker encoder hears it: magnitudes, not logarithms.

use realfft::RealFftPlanner;

use super::config::MelParams;
use crate::{Error, Result};

/// Hertz of a mel below 1000 Hz, the mel of 1000 Hz, and the logarithm of a mel's ratio above (Slaney's Auditory Toolbox, 1998).
const HERTZ: f64 = 200.0 / 3.0;
const KNEE: f64 = 1000.0 / HERTZ;

fn log_step() -> f64 {
    6.4f64.ln() / 27.0
}

fn mel_of(hertz: f64) -> f64 {
    if hertz < 1000.0 { hertz / HERTZ } else { KNEE + (hertz / 1000.0).ln() / log_step() }
}

fn hertz_of(mel: f64) -> f64 {
    if mel < KNEE { mel * HERTZ } else { 1000.0 * ((mel - KNEE) * log_step()).exp() }
}

/// `[frames, mels]` of samples at the model's rate: a frame every hop, the first around the first sample, ends mirrored.
pub(super) fn spectra(samples: &[f32], params: &MelParams) -> Result<Vec<f32>> {
    let (size, reach) = (params.n_fft, params.n_fft / 2);
    if samples.len() <= reach {
        let reason = format_args!("{} samples are too few to mirror {reach}", samples.len());
        return Err(Error::argument("recording", reason));
    }
    let start = samples.iter().skip(1).take(reach).rev();
    let end = samples.iter().rev().skip(1).take(reach);
    let padded: Vec<f32> = start.chain(samples).chain(end).copied().collect();
    let angle = |i: usize| std::f64::consts::TAU * i as f64 / params.win_length as f64;
    let window: Vec<f32> =
        (0..params.win_length).map(|i| (0.5 - 0.5 * angle(i).cos()) as f32).collect();
    let lead = (size - params.win_length) / 2;
    let filters = filters(params);
    let transform = RealFftPlanner::<f32>::new().plan_fft_forward(size);
    let (mut frame, mut bins) = (transform.make_input_vec(), transform.make_output_vec());
    let mut out = Vec::new();
    for at in (0..=samples.len()).step_by(params.hop_length) {
        frame.fill(0.0);
        let heard = padded.iter().skip(at + lead).zip(&window);
        for (to, (x, weight)) in frame.iter_mut().skip(lead).zip(heard) {
            *to = x * weight;
        }
        transform
            .process(&mut frame, &mut bins)
            .map_err(|error| Error::argument("recording", error))?;
        let sizes: Vec<f32> = bins.iter().map(|bin| bin.norm()).collect();
        let band = |filter: &Vec<f32>| filter.iter().zip(&sizes).map(|(w, x)| w * x).sum::<f32>();
        out.extend(filters.iter().map(band));
    }
    Ok(out)
}

/// Triangles of equal area, evenly spaced in mels: for each mel a weight for each frequency.
fn filters(params: &MelParams) -> Vec<Vec<f32>> {
    let (count, top) = (params.num_mels, f64::from(params.sample_rate) / 2.0);
    let (low, high) = (mel_of(params.mel_fmin), mel_of(params.mel_fmax.unwrap_or(top)));
    let point = |i: usize| hertz_of(low + (high - low) * i as f64 / (count + 1) as f64);
    let bins = params.n_fft / 2 + 1;
    let filter = |i: usize| {
        let (left, middle, right) = (point(i), point(i + 1), point(i + 2));
        let weight = |bin: usize| {
            let hertz = top * bin as f64 / (bins - 1) as f64;
            let height = ((hertz - left) / (middle - left)).min((right - hertz) / (right - middle));
            (height.max(0.0) * 2.0 / (right - left)) as f32
        };
        (0..bins).map(weight).collect()
    };
    (0..count).map(filter).collect()
}
