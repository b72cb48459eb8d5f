//! Recordings of voices, named on the command line.

use std::fmt::Display;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use crane_sdk::pipeline::Recording;

use crate::cli::exit::{Failure, Result};
use crate::wav;

/// Reads a wav file.
///
/// # Errors
/// [`Failure::Usage`] if it is not there, is no wav file or is damaged.
pub(super) fn read(path: &Path) -> Result<Recording> {
    let refused =
        |reason: &dyn Display| Failure::Usage(format!("--clone {}: {reason}", path.display()));
    let file = File::open(path).map_err(|error| refused(&error))?;
    let metadata = file.metadata().map_err(|error| refused(&error))?;
    if !metadata.is_file() {
        return Err(refused(&"it is no regular file"));
    }
    if metadata.len() > wav::MOST_BYTES {
        return Err(refused(&"it has more than 256 MiB; cut out a few seconds of speech"));
    }
    wav::read(BufReader::new(file)).map_err(|reason| refused(&reason))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use hound::{SampleFormat, WavSpec, WavWriter};
    use tempfile::TempDir;

    use super::*;

    /// Writes a tone in the first channel of a wav, and another in the others.
    fn written(folder: &TempDir, spec: WavSpec) -> Vec<f32> {
        let path = folder.path().join("a.wav");
        let mut writer = WavWriter::create(&path, spec).unwrap();
        for i in 0..100 {
            for channel in 0..spec.channels {
                let x = (f64::from(i) * 0.2).sin() * if channel == 0 { 0.5 } else { -0.1 };
                match spec.sample_format {
                    SampleFormat::Float => writer.write_sample(x as f32).unwrap(),
                    SampleFormat::Int => {
                        let full = f64::from(spec.bits_per_sample - 1).exp2();
                        writer.write_sample((x * full).round() as i32).unwrap();
                    }
                }
            }
        }
        writer.finalize().unwrap();
        let recording = read(&path).unwrap();
        assert_eq!(recording.sample_rate, spec.sample_rate);
        recording.samples
    }

    #[test]
    fn every_usual_kind_gives_its_first_channel() {
        let folder = TempDir::new().unwrap();
        for (bits_per_sample, sample_format) in [
            (8, SampleFormat::Int),
            (16, SampleFormat::Int),
            (24, SampleFormat::Int),
            (32, SampleFormat::Int),
            (32, SampleFormat::Float),
        ] {
            for (channels, sample_rate) in [(1, 8_000), (2, 44_100), (2, 96_000), (6, 48_000)] {
                let spec = WavSpec { channels, sample_rate, bits_per_sample, sample_format };
                let found = written(&folder, spec);
                assert_eq!(found.len(), 100);
                let bound = if bits_per_sample == 8 { 0.005 } else { 2e-5 };
                for (i, x) in found.iter().enumerate() {
                    let expected = (i as f64 * 0.2).sin() * 0.5;
                    assert!((f64::from(*x) - expected).abs() < bound, "{spec:?} {i}: {x}");
                }
            }
        }
    }

    #[test]
    fn other_and_damaged_files_are_refused() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a.wav");
        let spec = WavSpec {
            channels: 1,
            sample_rate: 16_000,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        written(&folder, spec);
        let whole = std::fs::read(&path).unwrap();
        for bytes in
            [&[][..], b"OggS and so on, for more than a header's length of bytes", &whole[..150]]
        {
            std::fs::write(&path, bytes).unwrap();
            let Err(Failure::Usage(message)) = read(&path) else { unreachable!("{bytes:?}") };
            assert!(message.contains("a.wav: "), "{message}");
        }
    }
}
