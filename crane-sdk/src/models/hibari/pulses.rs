//! The voice's source: a train of pulses that has every harmonic of the pitch below 11 kHz, each as loud.

use super::{HOP, SAMPLE_RATE};

/// Hertz from which on a frame is voiced.
const VOICED: f32 = 40.0;
/// Hertz below which harmonics lie.
const HIGHEST: f32 = 11_000.0;
/// Where the closed form has 0 above and below, its limit is taken.
const NEAR_ZERO: f32 = 2e-3;

/// Samples of the source, [`HOP`] for each frame's pitch in hertz.
///
/// The sum of cos(h·t) for h = 1..H is sin((H + ½)·t) / (2·sin(t/2)) − ½ (Dirichlet's kernel). Pitch is interpolated and H
/// counted in f32, the phase t summed in f64, as in the original: another precision counts another harmonic now and then.
pub(super) fn pulses(pitch: &[f32]) -> Vec<f32> {
    let at = |frame: isize| {
        let last = pitch.len().saturating_sub(1);
        pitch.get(usize::try_from(frame).unwrap_or(0).min(last)).copied().unwrap_or_default()
    };
    let mut turns = 0f64;
    let mut out = Vec::with_capacity(pitch.len() * HOP);
    for frame in 0..pitch.len().cast_signed() {
        for sample in 0..HOP {
            // A frame's pitch is that of its middle.
            let place = (sample as f64 + 0.5) / HOP as f64 - 0.5;
            let share = place.rem_euclid(1.0) as f32;
            let (left, right) = if place < 0.0 { (frame - 1, frame) } else { (frame, frame + 1) };
            let hertz = at(left) * (1.0 - share) + at(right) * share;
            let held = hertz.max(VOICED);
            turns += f64::from(held) / f64::from(SAMPLE_RATE);
            turns -= turns.floor();
            if hertz.is_nan() || hertz <= VOICED {
                out.push(0.0);
                continue;
            }
            let phase = (turns * std::f64::consts::TAU) as f32;
            let harmonics = (HIGHEST / held).floor() + 0.5;
            let below = 2.0 * (phase * 0.5).sin();
            let sum = if below.abs() <= NEAR_ZERO {
                harmonics
            } else {
                (harmonics * phase).sin() / below
            };
            out.push(sum - 0.5);
        }
    }
    out
}
