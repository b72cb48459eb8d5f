//! Spectral maps to sound: pulses filtered, noise shaped, a free part added, and an inverse short-time Fourier transform.

use std::fmt;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::pulses::pulses;
use super::{BINS, HOP, MAPS};
use crate::kernels::waves::filters;
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

/// The transforms, and the Hann window as each side needs it.
pub(super) struct Vocoder {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    /// The window for the source, over the hop.
    analysis: Vec<f32>,
    window: Vec<f32>,
    /// The sum of squared windows over each sample of a hop, where as many frames overlap as can.
    weights: Vec<f32>,
}

impl fmt::Debug for Vocoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vocoder [{WINDOW}, hop {HOP}]")
    }
}

/// How far a sound is.
#[derive(Debug)]
pub(super) struct Progress {
    /// The source's samples, all of them, with half a window of them mirrored before and behind.
    source: Vec<f32>,
    frames: usize,
    /// The next frame.
    frame: usize,
    /// Sums of windows that later frames add to, from the next frame's first sample on.
    sums: Vec<f32>,
    room: Room,
}

/// What every frame is computed in.
#[derive(Debug)]
struct Room {
    samples: Vec<f32>,
    spectrum: Vec<Complex<f32>>,
    scratch: Vec<Complex<f32>>,
    noise: Vec<f32>,
}

impl Progress {
    #[cfg(test)]
    pub(super) fn source(&self) -> &[f32] {
        &self.source[LEAD..self.source.len() - LEAD]
    }
}

impl Vocoder {
    pub(super) fn new() -> Self {
        let mut planner = RealFftPlanner::new();
        let angle = |i: usize| std::f64::consts::TAU * i as f64 / WINDOW as f64;
        let window: Vec<f32> = (0..WINDOW).map(|i| (0.5 - 0.5 * angle(i).cos()) as f32).collect();
        let scale = 1.0 / HOP as f32;
        Self {
            forward: planner.plan_fft_forward(WINDOW),
            inverse: planner.plan_fft_inverse(WINDOW),
            analysis: window.iter().map(|weight| weight * scale).collect(),
            weights: weights(&window, |_| true),
            window,
        }
    }

    /// A sound of this pitch, a number a frame.
    pub(super) fn begin(&self, pitch: &[f32]) -> Progress {
        let source = pulses(pitch);
        let length = source.len();
        let mirrored = |index: usize| {
            let at = index.abs_diff(LEAD);
            let at = if at < length { at } else { (2 * length).saturating_sub(at + 2) };
            source.get(at).copied().unwrap_or_default()
        };
        let scratch = self.forward.get_scratch_len().max(self.inverse.get_scratch_len());
        Progress {
            source: (0..length + 2 * LEAD).map(mirrored).collect(),
            frames: pitch.len(),
            frame: 0,
            sums: vec![0.0; WINDOW],
            room: Room {
                samples: self.forward.make_input_vec(),
                spectrum: self.forward.make_output_vec(),
                scratch: vec![Complex::default(); scratch],
                noise: vec![0.0; 2 * BINS],
            },
        }
    }

    /// Adds the samples that the next frames `[frames, 5 * 601]` complete to `out`, and uses the maps up. `noise` fills a
    /// frame's 601 pairs of normal numbers.
    pub(super) fn forward(
        &self,
        progress: &mut Progress,
        maps: &mut [f32],
        noise: &mut dyn FnMut(&mut [f32]),
        out: &mut Vec<f32>,
    ) -> Result<()> {
        let frames = maps.len() / (MAPS * BINS);
        if progress.frame + frames > progress.frames {
            return Err(Error::argument("frames", "there are more than the pitch has"));
        }
        filters(maps, BINS, LOUDEST);
        for filter in maps.chunks_exact(MAPS * BINS) {
            self.shape(progress, filter, noise)?;
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

    /// The spectrum of the source around the next frame times a filter, with noise and the free part, back to samples, which
    /// are added to the sums.
    fn shape(
        &self,
        progress: &mut Progress,
        filter: &[f32],
        noise: &mut dyn FnMut(&mut [f32]),
    ) -> Result<()> {
        let Progress { source, frame, sums, room, .. } = progress;
        let Room { samples, spectrum, scratch, noise: random } = room;
        noise(random);
        let heard = source.get(*frame * HOP..).unwrap_or_default();
        for ((sample, x), weight) in samples.iter_mut().zip(heard).zip(&self.analysis) {
            *sample = x * weight;
        }
        self.forward.process_with_scratch(samples, spectrum, scratch).map_err(failed)?;
        let map = |which: usize| filter.iter().skip(which * BINS);
        let parts =
            map(0).zip(map(1)).zip(map(2)).zip(map(3)).zip(map(4)).zip(random.as_chunks::<2>().0);
        for (bin, (((((re, im), hiss), free_re), free_im), [x, y])) in
            spectrum.iter_mut().zip(parts)
        {
            let voiced = Complex::new(*re, *im) * *bin;
            *bin = voiced + Complex::new(x * hiss + free_re, y * hiss + free_im);
        }
        // A real signal has no phase at the lowest and the highest frequency.
        if let [lowest, .., highest] = spectrum.as_mut_slice() {
            (lowest.im, highest.im) = (0.0, 0.0);
        }
        self.inverse.process_with_scratch(spectrum, samples, scratch).map_err(failed)?;
        for ((sum, sample), weight) in sums.iter_mut().zip(samples.iter()).zip(&self.window) {
            *sum += sample * (weight / WINDOW as f32);
        }
        Ok(())
    }

    /// Moves the first samples of the sums out: no later frame adds to them.
    fn emit(&self, progress: &mut Progress, out: &mut Vec<f32>) {
        let block = progress.frame;
        if block >= LEAD / HOP {
            let sums = progress.sums.iter().take(HOP);
            if block + 1 >= OVERLAP && block < progress.frames {
                out.extend(sums.zip(&self.weights).map(|(sum, weight)| sum / weight));
            } else {
                // Frames block − 3 .. block lie over these samples, as far as there are such frames.
                let covers = |back: usize| {
                    block.checked_sub(back).is_some_and(|frame| frame < progress.frames)
                };
                let weights = weights(&self.window, covers);
                out.extend(sums.zip(weights).map(|(sum, weight)| sum / weight));
            }
        }
        progress.sums.copy_within(HOP.., 0);
        progress.sums.iter_mut().skip(WINDOW - HOP).for_each(|sum| *sum = 0.0);
    }
}

/// The sum of squared windows over each sample of a hop, of those frames, 0 to 3 before it, that there are.
fn weights(window: &[f32], covers: impl Fn(usize) -> bool) -> Vec<f32> {
    let weight = |index: usize| {
        let there = (0..OVERLAP).filter(|back| covers(*back));
        let over = there.filter_map(|back| window.get(back * HOP + index));
        over.map(|weight| weight * weight).sum::<f32>().max(LEAST_WEIGHT)
    };
    (0..HOP).map(weight).collect()
}

fn failed(error: realfft::FftError) -> Error {
    Error::argument("frame", error)
}
