//! FLAC: lossless, at about half of a wav's size.

use flacenc::bitsink::ByteSink;
use flacenc::component::BitRepr as _;
use flacenc::config::Encoder;
use flacenc::error::Verify as _;
use flacenc::source::MemSource;

/// The encoder failed; it says why.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode FLAC: {0}")]
pub(crate) struct EncodeError(String);

/// Mono samples of 16 bits as a whole file.
///
/// # Errors
/// What the encoder says if it fails.
pub(crate) fn encode(samples: &[i32], sample_rate: u32) -> Result<Vec<u8>, EncodeError> {
    let failed = EncodeError;
    let config =
        Encoder::default().into_verified().map_err(|(_, error)| failed(error.to_string()))?;
    let source = MemSource::from_samples(samples, 1, 16, sample_rate as usize);
    let mut stream = flacenc::encode_with_fixed_block_size(&config, source, config.block_size)
        .map_err(|error| failed(error.to_string()))?;
    // The last block may be shorter than the format's least of 16, and does not count.
    let size = config.block_size;
    stream
        .stream_info_mut()
        .set_block_sizes(size, size)
        .map_err(|error| failed(error.to_string()))?;
    let mut sink = ByteSink::new();
    stream.write(&mut sink).map_err(|error| failed(error.to_string()))?;
    Ok(sink.as_slice().to_vec())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_decoder_gives_the_samples_back() {
        for count in [1, 4095, 4096, 4101, 30_000] {
            let sample =
                |i: i32| (f64::from(i) * 0.05).sin() * 20_000.0 + f64::from(i * 7919 % 500);
            let mut samples: Vec<i32> = (0..count).map(|i| sample(i) as i32).collect();
            samples[0] = -32_767;
            let bytes = encode(&samples, 24_000).unwrap();
            let mut reader = claxon::FlacReader::new(bytes.as_slice()).unwrap();
            let info = reader.streaminfo();
            assert_eq!((info.sample_rate, info.channels, info.bits_per_sample), (24_000, 1, 16));
            let found: Vec<i32> = reader.samples().map(|sample| sample.unwrap()).collect();
            assert_eq!(found, samples);
            assert!(count < 30_000 || bytes.len() < samples.len() * 2);
        }
    }
}
