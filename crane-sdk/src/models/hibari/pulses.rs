//! The voice's source: a train of pulses that has every harmonic of the pitch below 11 kHz, each as loud.

use super::{HOP, SAMPLE_RATE};
use crate::kernels::waves;

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
    // A frame's pitch is that of its middle: its first half lies between it and the frame before, the second between it and
    // the next.
    let share = |sample: usize| {
        let place = (sample as f64 + 0.5) / HOP as f64 - 0.5;
        (place < 0.0, place.rem_euclid(1.0) as f32)
    };
    let shares: Vec<(bool, f32)> = (0..HOP).map(share).collect();
    let mut turns = 0f64;
    let mut phases = Vec::with_capacity(pitch.len() * HOP);
    let mut counts = Vec::with_capacity(pitch.len() * HOP);
    for frame in 0..pitch.len().cast_signed() {
        let [before, now, after] = [frame - 1, frame, frame + 1].map(at);
        for (first, share) in &shares {
            let (left, right) = if *first { (before, now) } else { (now, after) };
            let hertz = left * (1.0 - share) + right * share;
            let held = hertz.max(VOICED);
            turns += f64::from(held) / f64::from(SAMPLE_RATE);
            if turns >= 1.0 {
                turns -= turns.floor();
            }
            phases.push((turns * std::f64::consts::TAU) as f32);
            // Without a voice there is no harmonic, and no pulse.
            let voiced = hertz > VOICED;
            counts.push(if voiced { (HIGHEST / held) as u32 as f32 + 0.5 } else { 0.0 });
        }
    }
    waves::pulses(&mut phases, &mut counts, NEAR_ZERO);
    phases
}
