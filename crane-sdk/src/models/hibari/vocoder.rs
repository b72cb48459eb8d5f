//! Spectral maps to sound: pulses filtered, noise shaped, a free part added, and an inverse short-time Fourier transform.

use std::fmt;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::pulses::pulses;
use super::{BINS, HOP, MAPS};
use crate::{Error, Result};

/// Samples of a frame's window.
const WINDOW: usize = 1200;
/// Windows that overlap at each sample.
const OVERLAP: usize = WINDOW / HOP;
/// Samples before the first frame's middle, which are not part of the sound.
const LEAD: usize = WINDOW / 2;
/// Logarithms of magnitudes are held here.
const LOUDEST: f32 = 7.0;
/// The least sum of squared windows that is divided by.
const LEAST_WEIGHT: f32 = 1e-11;

/// The transforms and the Hann window.
pub(super) struct Vocoder {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    window: Vec<f32>,
}

impl fmt::Debug for Vocoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vocoder [{WINDOW}, hop {HOP}]")
    }
}

/// How far a sound is.
#[derive(Debug)]
pub(super) struct Progress {
    /// The source's samples, all of them.
    source: Vec<f32>,
    frames: usize,
    /// The next frame.
    frame: usize,
    /// Sums of windows that later frames add to, from the next frame's first sample on.
    sums: Vec<f32>,
}

impl Progress {
    #[cfg(test)]
    pub(super) fn source(&self) -> &[f32] {
        &self.source
    }
}

impl Vocoder {
    pub(super) fn new() -> Self {
        let mut planner = RealFftPlanner::new();
        let angle = |i: usize| std::f64::consts::TAU * i as f64 / WINDOW as f64;
        Self {
            forward: planner.plan_fft_forward(WINDOW),
            inverse: planner.plan_fft_inverse(WINDOW),
            window: (0..WINDOW).map(|i| (0.5 - 0.5 * angle(i).cos()) as f32).collect(),
        }
    }

    /// A sound of this pitch, a number a frame.
    pub(super) fn begin(&self, pitch: &[f32]) -> Progress {
        Progress { source: pulses(pitch), frames: pitch.len(), frame: 0, sums: vec![0.0; WINDOW] }
    }

    /// The spectrum of the source around the next frame.
    pub(super) fn source_spectrum(&self, progress: &Progress) -> Result<Vec<Complex<f32>>> {
        let length = progress.source.len();
        let first = progress.frame * HOP;
        let sample = |index: usize| {
            // The source is mirrored at both ends.
            let at = (first + index).abs_diff(LEAD);
            let at = if at < length { at } else { (2 * length).saturating_sub(at + 2) };
            progress.source.get(at).copied().unwrap_or_default()
        };
        let scale = 1.0 / HOP as f32;
        let mut samples: Vec<f32> = self
            .window
            .iter()
            .enumerate()
            .map(|(index, weight)| sample(index) * (weight * scale))
            .collect();
        let mut spectrum = self.forward.make_output_vec();
        self.forward.process(&mut samples, &mut spectrum).map_err(failed)?;
        Ok(spectrum)
    }

    /// Adds the samples that the next frames `[frames, 5 * 601]` complete to `out`. `noise` fills a frame's 601 pairs of
    /// normal numbers.
    pub(super) fn forward(
        &self,
        progress: &mut Progress,
        maps: &[f32],
        noise: &mut dyn FnMut(&mut [f32]),
        out: &mut Vec<f32>,
    ) -> Result<()> {
        let mut random = vec![0f32; 2 * BINS];
        let mut samples = self.inverse.make_output_vec();
        for maps in maps.chunks_exact(MAPS * BINS) {
            if progress.frame >= progress.frames {
                return Err(Error::argument("frames", "there are more than the pitch has"));
            }
            noise(&mut random);
            let mut spectrum = self.source_spectrum(progress)?;
            let map = |which: usize| maps.iter().skip(which * BINS);
            let parts = map(0)
                .zip(map(1))
                .zip(map(2))
                .zip(map(3))
                .zip(map(4))
                .zip(random.as_chunks::<2>().0);
            for (bin, (((((loud, turn), hiss), free), phase), [re, im])) in
                spectrum.iter_mut().zip(parts)
            {
                let size = |log: f32| log.min(LOUDEST).exp();
                let voiced = Complex::from_polar(size(*loud), std::f32::consts::PI * turn.tanh());
                *bin = voiced * *bin
                    + Complex::new(*re, *im) * size(*hiss)
                    + Complex::from_polar(size(*free), *phase);
            }
            // A real signal has no phase at the lowest and the highest frequency.
            if let [lowest, .., highest] = spectrum.as_mut_slice() {
                (lowest.im, highest.im) = (0.0, 0.0);
            }
            self.inverse.process(&mut spectrum, &mut samples).map_err(failed)?;
            for ((sum, sample), weight) in progress.sums.iter_mut().zip(&samples).zip(&self.window)
            {
                *sum += sample * (weight / WINDOW as f32);
            }
            self.emit(progress, out);
            progress.frame += 1;
            if progress.frame == progress.frames {
                for _ in 0..LEAD / HOP {
                    self.emit(progress, out);
                    progress.frame += 1;
                }
            }
        }
        Ok(())
    }

    /// Moves the first samples of the sums out: no later frame adds to them.
    fn emit(&self, progress: &mut Progress, out: &mut Vec<f32>) {
        let block = progress.frame;
        if block >= LEAD / HOP {
            for (index, sum) in progress.sums.iter().take(HOP).enumerate() {
                // Frames block − 3 .. block lie over this sample, as far as there are such frames.
                let covers = |back: &usize| {
                    block.checked_sub(*back).is_some_and(|frame| frame < progress.frames)
                };
                let weights = (0..OVERLAP)
                    .filter(covers)
                    .filter_map(|back| self.window.get(back * HOP + index));
                let weight: f32 = weights.map(|weight| weight * weight).sum();
                out.push(sum / weight.max(LEAST_WEIGHT));
            }
        }
        progress.sums.drain(..HOP);
        progress.sums.resize(WINDOW, 0.0);
    }
}

fn failed(error: realfft::FftError) -> Error {
    Error::argument("frame", error)
}
