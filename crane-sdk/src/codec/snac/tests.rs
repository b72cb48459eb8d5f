//! Streams against wholes, seeds, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::source::MemorySource;

fn source() -> MemorySource {
    MemorySource::new("snac")
        .with("config.json", include_bytes!("../../../tests/fixtures/snac24/config.json").to_vec())
        .with(
            "pytorch_model.bin",
            include_bytes!("../../../tests/fixtures/snac24/pytorch_model.bin").to_vec(),
        )
}

fn frames(count: u32) -> Vec<u32> {
    (0..7 * count).map(|i| i.wrapping_mul(2_654_435_761) >> 20).collect()
}

#[test]
fn pieces_are_the_whole() {
    let codec = Snac::from_source(&source()).unwrap();
    let frames = frames(11);
    for noise in [Noise::Off, Noise::Seed(5)] {
        let whole = codec.decode(&frames, noise).unwrap();
        assert_eq!(whole.len(), 11 * 2048);
        for size in [1, 3, 11] {
            let mut stream = codec.stream(noise);
            let mut pieces = Vec::new();
            for piece in frames.chunks(7 * size) {
                pieces.extend(stream.push(piece, false).unwrap());
            }
            // What is still held is less than four frames.
            assert!(whole.len() - pieces.len() < 4 * 2048, "{size}: {}", pieces.len());
            pieces.extend(stream.push(&[], true).unwrap());
            assert_eq!(pieces, whole, "{size} frames at a time");
        }
    }
}

#[test]
fn a_seed_is_its_noise() {
    let codec = Snac::from_source(&source()).unwrap();
    let decode = |noise| codec.decode(&frames(4), noise).unwrap();
    let (off, first) = (decode(Noise::Off), decode(Noise::Seed(1)));
    assert_eq!(first, decode(Noise::Seed(1)));
    assert!(first != off && first != decode(Noise::Seed(2)));
    assert!(first.iter().all(|x| (-1.0..=1.0).contains(x)));
}

#[test]
fn parts_of_frames_and_unknown_codes_are_refused() {
    let codec = Snac::from_source(&source()).unwrap();
    let mut stream = codec.stream(Noise::Off);
    for (codes, message) in [(vec![0; 8], "whole frames of 7"), (vec![4096; 7], "not below 4096")] {
        let error = stream.push(&codes, false).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    // A refusal changes nothing.
    let mut samples = stream.push(&frames(5), false).unwrap();
    samples.extend(stream.push(&[], true).unwrap());
    assert_eq!(samples, codec.decode(&frames(5), Noise::Off).unwrap());
    assert!(stream.push(&frames(1), true).is_err());
    assert_eq!(codec.decode(&[], Noise::Off).unwrap(), [0f32; 0]);
}

#[test]
fn configs_that_cannot_be_are_refused() {
    let config = include_str!("../../../tests/fixtures/snac24/config.json");
    for (from, to, message) in [
        ("4096", "0", "a size is 0"),
        ("\"sampling_rate\": 24000", "\"sampling_rate\": 0", "sampling_rate"),
        ("\"sampling_rate\": 24000", "\"sampling_rate\": 4000000000", "sampling_rate"),
        ("\"attn_window_size\": null", "\"attn_window_size\": 65535", "a frame has more"),
        ("\"noise\": true", "\"latent_dim\": 0, \"noise\": true", "a size is 0"),
        ("[\n    4,\n    2,\n    1\n  ]", "[]", "1 to 8"),
        ("\"depthwise\": true", "\"depthwise\": false", "not supported"),
        ("\"decoder_dim\": 64", "\"decoder_dim\": 8", "halved"),
        ("\"encoder_rates\": [\n    2", "\"encoder_rates\": [\n    3", "does not shorten"),
        ("\"decoder_dim\": 64", "\"decoder_dim\": 128", "the model needs"),
    ] {
        assert!(config.contains(from), "{from}");
        let source = source().with("config.json", config.replacen(from, to, 1).into_bytes());
        let error = Snac::from_source(&source).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn an_encoder_takes_any_length() {
    let encoder = SnacEncoder::from_source(&source()).unwrap();
    for (samples, frames) in [(1, 1), (2048, 1), (2049, 2)] {
        assert_eq!(encoder.encode(&vec![0.1; samples]).unwrap().len(), 7 * frames);
    }
    assert!(encoder.encode(&[]).is_err() && encoder.encode(&[f32::NAN]).is_err());
}
