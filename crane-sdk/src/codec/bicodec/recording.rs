//! A recording made ready for the speaker encoder: resampled, of a usual loudness, of a fixed length.

use crate::{Error, Result};

/// The shortest recording that is taken, in seconds: less says nothing of a voice.
const SHORTEST: f64 = 0.5;
/// Zero crossings of the resampling filter on either side, and the shape of its Kaiser window.
const CROSSINGS: f64 = 48.0;
const BETA: f64 = 10.0;
/// Entries of the filter's table between zero crossings: linear between them, it is right to 5e-6.
const STEPS: usize = 512;
/// What of a longer recording says how loud it is, in seconds.
const LONGEST: usize = 60;
/// The longest recording whose words are taken, in seconds: they and a reply have to fit into the model's context.
const MOST_SAID: f64 = 30.0;
/// How near the filter's edge comes to the lower of the two Nyquist frequencies.
const EDGE: f64 = 0.95;

/// Samples of any rate at another, by a windowed sinc read from a table (Smith and Gossett 1984).
pub(super) fn resample(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
    if from == to {
        return samples.to_vec();
    }
    // Of the right half of the filter, and one more that interpolation may look at.
    let entries = CROSSINGS as usize * STEPS;
    let value = |i: usize| {
        let distance = i as f64 / STEPS as f64;
        (sinc(distance) * kaiser((distance / CROSSINGS).min(1.0))) as f32
    };
    let table: Vec<f32> = (0..entries + 2).map(value).collect();
    let (ratio, count) = (f64::from(from) / f64::from(to), samples.len() as u64 * u64::from(to));
    let cutoff = EDGE * (1.0 / ratio).min(1.0);
    let reach = CROSSINGS / cutoff;
    let sample = |index: u64| {
        let middle = index as f64 * ratio;
        let first = (middle - reach).ceil().max(0.0) as usize;
        let last = ((middle + reach).floor() as usize).min(samples.len().saturating_sub(1));
        let heard = samples.get(first..=last).unwrap_or_default().iter().zip(first..);
        let sum: f64 = heard
            .map(|(x, at)| {
                let place = (at as f64 - middle).abs() * cutoff * STEPS as f64;
                let (index, part) = (place as usize, (place - place.floor()) as f32);
                let [low, high] = match table.get(index..index + 2) {
                    Some(&[low, high]) => [low, high],
                    _ => [0.0; 2],
                };
                f64::from(x * (low + part * (high - low)))
            })
            .sum();
        (sum * cutoff) as f32
    };
    (0..count.div_ceil(u64::from(from))).map(sample).collect()
}

fn sinc(x: f64) -> f64 {
    let angle = std::f64::consts::PI * x;
    if angle.abs() < 1e-9 { 1.0 } else { angle.sin() / angle }
}

/// Kaiser's window at −1 to 1.
fn kaiser(x: f64) -> f64 {
    bessel(BETA * (1.0 - x * x).max(0.0).sqrt()) / bessel(BETA)
}

/// The modified Bessel function of order 0, by its series.
fn bessel(x: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for n in 1..40 {
        term *= (x / (2.0 * f64::from(n))).powi(2);
        sum += term;
    }
    sum
}

/// Brings the louder part of a recording to 0.2, as the model's authors do.
pub(super) fn normalize(samples: &mut [f32]) {
    let mut sizes: Vec<f64> = samples.iter().map(|x| f64::from(x.abs())).collect();
    sizes.sort_by(f64::total_cmp);
    let most = sizes.last().copied().unwrap_or_default();
    let scale = |samples: &mut [f32], by: f64| {
        samples.iter_mut().for_each(|x| *x = (f64::from(*x) * by) as f32);
    };
    if most < 0.1 {
        scale(samples, 0.1 / most.max(1e-3));
    }
    // The sizes are those before: so it was trained.
    let heard: Vec<f64> = sizes.into_iter().filter(|size| *size > 0.01).collect();
    if heard.len() <= 10 {
        return;
    }
    let part = |share: f64| (share * heard.len() as f64) as usize;
    let loud = heard.get(part(0.9)..part(0.99)).unwrap_or_default();
    let volume = loud.iter().sum::<f64>() / loud.len() as f64;
    scale(samples, (0.2 / volume).clamp(0.1, 10.0));
    let most = samples.iter().fold(0f32, |most, x| most.max(x.abs()));
    if most > 1.0 {
        scale(samples, 1.0 / f64::from(most));
    }
}

/// The first `length` samples at the rate `to`, repeated as often as it takes.
pub(super) fn clip(samples: &[f32], from: u32, to: u32, length: usize) -> Result<Vec<f32>> {
    check_rate(from)?;
    let heard = samples.get(..LONGEST * from as usize).unwrap_or(samples);
    let mut samples = ready(heard, from, to)?;
    samples.truncate(length);
    if is_silent(&samples) {
        let seconds = samples.len() as f64 / f64::from(to);
        return Err(refused(format!("its first {seconds:.1} s are silent")));
    }
    Ok(samples.into_iter().cycle().take(length).collect())
}

/// All samples at the rate `to`.
pub(super) fn whole(samples: &[f32], from: u32, to: u32) -> Result<Vec<f32>> {
    check_rate(from)?;
    let seconds = samples.len() as f64 / f64::from(from);
    if seconds > MOST_SAID {
        return Err(refused(format!(
            "it lasts {seconds:.1} s; with a transcript at most {MOST_SAID} s are taken"
        )));
    }
    let samples = ready(samples, from, to)?;
    if is_silent(&samples) {
        return Err(refused("it is silent".to_owned()));
    }
    Ok(samples)
}

/// Resampled, and of a usual loudness.
fn ready(samples: &[f32], from: u32, to: u32) -> Result<Vec<f32>> {
    let seconds = samples.len() as f64 / f64::from(from);
    if seconds < SHORTEST {
        return Err(refused(format!(
            "it lasts {seconds:.2} s; at least {SHORTEST} s of speech are needed"
        )));
    }
    if samples.iter().any(|x| !x.is_finite()) {
        return Err(refused("some of its samples are not finite".to_owned()));
    }
    let mut samples = resample(samples, from, to);
    normalize(&mut samples);
    Ok(samples)
}

fn check_rate(rate: u32) -> Result<()> {
    if (4_000..=384_000).contains(&rate) {
        return Ok(());
    }
    Err(refused(format!("{rate} samples a second; 4000 to 384000 are taken")))
}

fn is_silent(samples: &[f32]) -> bool {
    samples.iter().all(|x| x.abs() < 1e-4)
}

fn refused(reason: String) -> Error {
    Error::argument("recording", reason)
}
