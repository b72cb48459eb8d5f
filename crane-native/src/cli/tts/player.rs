//! Playing on this machine's sound output while samples are made.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cpal::traits::{DeviceTrait as _, HostTrait as _, StreamTrait as _};
use cpal::{ErrorKind, FromSample, SampleFormat, SizedSample, SupportedStreamConfig};
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

use crate::cli::exit::{Failure, Result};

/// Seconds of sound that may wait: a voice is made faster than it is heard.
const AHEAD: usize = 10;
/// Milliseconds of silence that the output must have taken before all sound before it has surely been heard.
const TAIL: usize = 300;
/// Frames that are resampled at a time.
const CHUNK: usize = 480;
/// How often a full or emptying queue is looked at.
const PAUSE: Duration = Duration::from_millis(10);

/// The default output, playing.
pub(in crate::cli) struct Player {
    /// It plays for as long as it is held.
    _stream: cpal::Stream,
    feed: Arc<Feed>,
    converter: Option<Converter>,
    sample_rate: usize,
}

/// Samples on their way to the output.
#[derive(Debug, Default)]
struct Feed {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    samples: VecDeque<f32>,
    /// Frames of silence since the last sample.
    silence: usize,
    failure: Option<String>,
}

impl Player {
    /// Opens the default output: at the voice's own rate if it can, else at its own.
    ///
    /// # Errors
    /// [`Failure::Other`] if there is no output or it refuses.
    pub(super) fn open(sample_rate: u32) -> Result<Self> {
        let device = cpal::default_host()
            .default_output_device()
            .ok_or_else(|| refused(&"there is none; write a file with -o, or PCM with --stream"))?;
        let config = choose(&device, sample_rate).map_err(|error| refused(&error))?;
        let feed = Arc::new(Feed::default());
        let stream = match config.sample_format() {
            SampleFormat::F32 => start::<f32>(&device, config, &feed),
            SampleFormat::I16 => start::<i16>(&device, config, &feed),
            SampleFormat::I32 => start::<i32>(&device, config, &feed),
            SampleFormat::U16 => start::<u16>(&device, config, &feed),
            SampleFormat::U8 => start::<u8>(&device, config, &feed),
            other => return Err(refused(&format_args!("its samples are {other}"))),
        };
        let stream = stream.map_err(|error| refused(&error))?;
        let converter = (config.sample_rate() != sample_rate)
            .then(|| Converter::new(sample_rate, config.sample_rate()))
            .transpose()?;
        Ok(Self { _stream: stream, feed, converter, sample_rate: config.sample_rate() as usize })
    }

    /// Hands samples over; waits while many are waiting, unless `stopped`.
    ///
    /// # Errors
    /// [`Failure::Other`] if the output has failed.
    pub(super) fn write(&mut self, samples: &[f32], stopped: &dyn Fn() -> bool) -> Result {
        let most = AHEAD * self.sample_rate;
        self.feed.wait(stopped, |waiting| waiting.samples.len() < most)?;
        match &mut self.converter {
            Some(converter) => self.feed.push(&converter.convert(samples)?),
            None => self.feed.push(samples),
        }
        Ok(())
    }

    /// Waits until all has been heard; what has not been when it is `stopped` is dropped.
    ///
    /// # Errors
    /// [`Failure::Other`] if the output has failed.
    pub(super) fn drain(&mut self, stopped: &dyn Fn() -> bool) -> Result {
        if let Some(converter) = &mut self.converter {
            self.feed.push(&converter.flush()?);
        }
        let tail = TAIL * self.sample_rate / 1000;
        self.feed.wait(stopped, |waiting| waiting.samples.is_empty() && waiting.silence >= tail)?;
        self.feed.waiting().samples.clear();
        Ok(())
    }
}

impl Feed {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, samples: &[f32]) {
        let mut waiting = self.waiting();
        waiting.samples.extend(samples);
        waiting.silence = 0;
    }

    fn wait(&self, stopped: &dyn Fn() -> bool, ready: impl Fn(&Waiting) -> bool) -> Result {
        loop {
            let waiting = self.waiting();
            if let Some(failure) = &waiting.failure {
                return Err(refused(failure));
            }
            if ready(&waiting) || stopped() {
                return Ok(());
            }
            drop(waiting);
            std::thread::sleep(PAUSE);
        }
    }

    /// Fills the output's buffer: each sample in all channels of its frame, and silence where none is waiting.
    fn fill<T: SizedSample + FromSample<f32>>(&self, out: &mut [T], channels: usize) {
        let mut waiting = self.waiting();
        for frame in out.chunks_mut(channels.max(1)) {
            let sample = waiting.samples.pop_front();
            waiting.silence = if sample.is_some() { 0 } else { waiting.silence.saturating_add(1) };
            frame.fill(T::from_sample(sample.unwrap_or_default()));
        }
    }
}

/// The output's configuration that changes the voice least: its own rate, few channels.
fn choose(
    device: &cpal::Device,
    sample_rate: u32,
) -> std::result::Result<SupportedStreamConfig, cpal::Error> {
    let known = [
        SampleFormat::F32,
        SampleFormat::I16,
        SampleFormat::I32,
        SampleFormat::U16,
        SampleFormat::U8,
    ];
    let rank = |config: &SupportedStreamConfig| {
        let format = known.iter().position(|format| *format == config.sample_format());
        format.map(|format| (config.channels(), format))
    };
    let fitting = device
        .supported_output_configs()?
        .filter_map(|range| range.try_with_sample_rate(sample_rate))
        .filter(|config| rank(config).is_some())
        .min_by_key(rank);
    match fitting {
        Some(config) => Ok(config),
        None => device.default_output_config(),
    }
}

fn start<T: SizedSample + FromSample<f32>>(
    device: &cpal::Device,
    config: SupportedStreamConfig,
    feed: &Arc<Feed>,
) -> std::result::Result<cpal::Stream, cpal::Error> {
    let (source, watch, channels) = (feed.clone(), feed.clone(), usize::from(config.channels()));
    let stream = device.build_output_stream(
        config.config(),
        move |out: &mut [T], _: &_| source.fill(out, channels),
        move |error| match error.kind() {
            // It goes on by itself: a moment was lost, or the sound comes out elsewhere.
            ErrorKind::Xrun | ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied => {}
            _ => watch.waiting().failure = Some(error.to_string()),
        },
        None,
    )?;
    stream.play()?;
    Ok(stream)
}

fn refused(reason: &dyn std::fmt::Display) -> Failure {
    Failure::Other(format!("the sound output of this machine: {reason}"))
}

/// The voice's samples at the output's rate.
struct Converter {
    fft: Fft<f32>,
    held: Vec<f32>,
}

impl Converter {
    fn new(from: u32, to: u32) -> Result<Self> {
        let fft = Fft::new(from as usize, to as usize, CHUNK, 1, FixedSync::Input)
            .map_err(|error| refused(&error))?;
        Ok(Self { fft, held: Vec::new() })
    }

    fn convert(&mut self, samples: &[f32]) -> Result<Vec<f32>> {
        self.held.extend(samples);
        let mut out = Vec::new();
        loop {
            let count = self.fft.input_frames_next();
            let Some(chunk) = self.held.get(..count) else { return Ok(out) };
            let chunk = InterleavedSlice::new(chunk, 1, count).map_err(|error| refused(&error))?;
            out.extend(
                self.fft.process(&chunk, None).map_err(|error| refused(&error))?.take_data(),
            );
            self.held.drain(..count);
        }
    }

    /// What is held back, pushed out by silence.
    fn flush(&mut self) -> Result<Vec<f32>> {
        let chunk = self.fft.input_frames_next();
        let delay = (self.fft.output_delay() as f64 / self.fft.resample_ratio()).ceil() as usize;
        let silence = (self.held.len() + delay).next_multiple_of(chunk.max(1)) - self.held.len();
        self.convert(&vec![0.0; silence])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_output_gets_every_sample_in_each_channel_and_then_silence() {
        let feed = Feed::default();
        feed.push(&[0.5, -0.5]);
        let mut out = [1i16; 6];
        feed.fill(&mut out, 2);
        assert_eq!(out, [16_384, 16_384, -16_384, -16_384, 0, 0]);
        assert_eq!(feed.waiting().silence, 1);
        feed.push(&[0.25]);
        assert_eq!(feed.waiting().silence, 0);
        let mut out = [1f32; 1];
        feed.fill(&mut out, 1);
        assert_eq!(out, [0.25]);
    }

    #[test]
    fn a_stop_ends_waiting_and_a_failure_is_told() {
        let feed = Feed::default();
        feed.wait(&|| true, |_| false).unwrap();
        feed.waiting().failure = Some("unplugged".to_owned());
        let failure = feed.wait(&|| false, |_| true).unwrap_err();
        assert!(failure.message().unwrap().contains("unplugged"));
    }

    #[test]
    fn a_tone_keeps_its_pitch_and_length_at_another_rate() {
        for (from, to) in [(24_000, 48_000), (24_000, 44_100), (16_000, 48_000)] {
            let tone = |rate: u32, i: usize| (i as f32 * 440.0 * 6.283_185_5 / rate as f32).sin();
            let samples: Vec<f32> = (0..from as usize).map(|i| tone(from, i)).collect();
            let mut converter = Converter::new(from, to).unwrap();
            let mut out = Vec::new();
            for piece in samples.chunks(1000) {
                out.extend(converter.convert(piece).unwrap());
            }
            out.extend(converter.flush().unwrap());
            let delay = converter.fft.output_delay();
            assert!(out.len() >= to as usize + delay, "{} samples at {to}", out.len());
            let worst = (to as usize / 10..to as usize * 9 / 10)
                .map(|i| (out[i + delay] - tone(to, i)).abs())
                .fold(0.0, f32::max);
            assert!(worst < 1e-3, "{from} to {to}: {worst}");
        }
    }
}
