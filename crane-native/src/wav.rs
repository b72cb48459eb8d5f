//! Wav files of any usual kind, of which the first channel counts.

use std::io::{Read, Take};

use crane_sdk::pipeline::Recording;
use hound::{SampleFormat, WavReader};

/// More bytes than any few seconds of speech have.
pub const MOST_BYTES: u64 = 256 << 20;

/// The most samples that are taken before the file has shown that it holds them.
const AT_FIRST: usize = 1 << 16;

/// Reads a wav file: 8 to 32 bits or floats, of any number of channels. What follows [`MOST_BYTES`] is not read.
///
/// ```
/// let wav = b"RIFF\x28\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\x04\0\0\0\0\x40\0\xc0";
/// let recording = crane_native::wav::read(&wav[..]).unwrap();
/// assert_eq!((recording.sample_rate, recording.samples), (8000, vec![0.5, -0.5]));
/// ```
///
/// # Errors
/// In words, if it is no wav file, is damaged, or says of itself what no recording can be.
pub fn read(file: impl Read) -> Result<Recording, String> {
    let file: Take<_> = file.take(MOST_BYTES);
    let mut reader = WavReader::new(file).map_err(|error| error.to_string())?;
    let spec = reader.spec();
    if spec.sample_rate == 0 || spec.channels == 0 {
        return Err(format!(
            "its header says {} channels and {} samples a second",
            spec.channels, spec.sample_rate
        ));
    }
    let channels = usize::from(spec.channels);
    match spec.sample_format {
        SampleFormat::Float => first_channel(reader.samples::<f32>(), channels, |sample| sample),
        SampleFormat::Int => {
            let full = f64::from(spec.bits_per_sample.saturating_sub(1)).exp2();
            let scaled = |sample: i32| (f64::from(sample) / full) as f32;
            first_channel(reader.samples::<i32>(), channels, scaled)
        }
    }
    .map(|samples| Recording { samples, sample_rate: spec.sample_rate, said: None })
}

/// Every so many samples, as floats. The header's own count reserves no memory: it may lie.
fn first_channel<S>(
    samples: impl Iterator<Item = hound::Result<S>>,
    channels: usize,
    scaled: impl Fn(S) -> f32,
) -> Result<Vec<f32>, String> {
    let mut first = Vec::with_capacity(samples.size_hint().0.min(AT_FIRST));
    for sample in samples.step_by(channels) {
        let sample = scaled(sample.map_err(|error| error.to_string())?);
        if !sample.is_finite() {
            return Err(format!("sample {} is not a finite number", first.len()));
        }
        first.push(sample);
    }
    Ok(first)
}
