//! The original's sound, streams against wholes, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::source::MemorySource;

const CONFIG: &str = include_str!("../../../tests/fixtures/sparktts/BiCodec/config.yaml");

fn source(config: &str) -> MemorySource {
    let listener = |name: &str| format!("wav2vec2-large-xlsr-53/{name}");
    let network =
        include_bytes!("../../../tests/fixtures/sparktts/wav2vec2-large-xlsr-53/pytorch_model.bin");
    let listening =
        include_bytes!("../../../tests/fixtures/sparktts/wav2vec2-large-xlsr-53/config.json");
    let weights = include_bytes!("../../../tests/fixtures/sparktts/BiCodec/model.safetensors");
    MemorySource::new("spark")
        .with("BiCodec/config.yaml", config.as_bytes().to_vec())
        .with("BiCodec/model.safetensors", weights.to_vec())
        .with(listener("pytorch_model.bin"), network.to_vec())
        .with(listener("config.json"), listening.to_vec())
}

struct Recorded(safetensors::SafeTensors<'static>);

impl Recorded {
    fn read() -> Self {
        let bytes = include_bytes!("../../../tests/fixtures/sparktts/recorded.safetensors");
        Self(safetensors::SafeTensors::deserialize(bytes).unwrap())
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let data = self.0.tensor(name).unwrap().data();
        data.as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)).collect()
    }

    fn codes(&self, name: &str) -> Vec<u32> {
        let data = self.0.tensor(name).unwrap().data();
        data.as_chunks::<8>().0.iter().map(|word| i64::from_le_bytes(*word) as u32).collect()
    }
}

fn voice(speaker: &[u32]) -> BiCodecVoice {
    let codec = Arc::new(BiCodec::from_source(&source(CONFIG)).unwrap());
    assert_eq!(codec.speaker_tokens(), 8);
    BiCodecVoice::new(codec, speaker).unwrap()
}

fn near(found: &[f32], expected: &[f32], atol: f32, rtol: f32) {
    assert_eq!(found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let off = (found - expected).abs();
        assert!(off <= atol + rtol * expected.abs(), "{index}: {found} {expected}");
    }
}

#[test]
fn codes_are_the_originals_sound() {
    let recorded = Recorded::read();
    let spoken = voice(&recorded.codes("tok.global"));
    let wav = spoken.decode(&recorded.codes("tok.semantic"), Noise::Off).unwrap();
    near(&spoken.speaker, &recorded.floats("detok.d_vector"), 3e-4, 1e-3);
    near(&wav, &recorded.floats("detok.wav"), 1.43e-4, 1e-4);
    let random = voice(&recorded.codes("detok_random.global"));
    let wav = random.decode(&recorded.codes("detok_random.semantic"), Noise::Off).unwrap();
    near(&wav, &recorded.floats("detok_random.wav"), 3e-4, 1e-3);
}

#[test]
fn pieces_are_the_whole() {
    let recorded = Recorded::read();
    let voice = Arc::new(voice(&recorded.codes("tok.global")));
    let codes = recorded.codes("tok.semantic").repeat(2);
    let whole = voice.decode(&codes, Noise::Off).unwrap();
    assert_eq!(whole.len(), codes.len() * voice.frame_samples());
    for size in [1, 25, 500] {
        let mut stream = voice.clone().begin();
        let mut pieces = Vec::new();
        for piece in codes.chunks(size) {
            pieces.extend(stream.push(piece, false).unwrap());
        }
        // 3 codes for each of 2 + 2 + 3 blocks, 3 embeddings and the first convolution, and less than 9 in the stages.
        let held = (whole.len() - pieces.len()) / voice.frame_samples();
        assert!((33..42).contains(&held), "{size}: {held} codes");
        pieces.extend(stream.push(&[], true).unwrap());
        assert_eq!(pieces, whole, "{size} codes at a time");
        assert!(stream.push(&[0], true).is_err());
    }
}

/// A 16-bit wav's samples.
fn wav(bytes: &[u8]) -> Vec<f32> {
    let at = bytes.windows(4).position(|name| name == b"data").unwrap() + 8;
    bytes[at..]
        .as_chunks::<2>()
        .0
        .iter()
        .map(|b| f32::from(i16::from_le_bytes(*b)) / 32768.0)
        .collect()
}

#[test]
fn a_recording_is_the_originals_speaker() {
    let samples = wav(include_bytes!("../../../tests/fixtures/sparktts/prompt_16k.wav"));
    let encoder = SpeakerEncoder::from_source(&source(CONFIG)).unwrap();
    let tokens = Recorded::read().codes("tok.global");
    assert_eq!(encoder.encode(&samples, 16_000).unwrap(), tokens);
    let mut normal = samples.clone();
    recording::normalize(&mut normal);
    near(&normal[..3200], &Recorded::read().floats("audio.ref_clip_head"), 1e-6, 1e-4);
    // Another rate and two channels: soxr's best and a good windowed sinc differ by less than 1e-3.
    let stereo = wav(include_bytes!("../../../tests/fixtures/sparktts/prompt_24k_stereo.wav"));
    let first: Vec<f32> = stereo.iter().copied().step_by(2).collect();
    let mut found = recording::resample(&first, 24_000, 16_000);
    recording::normalize(&mut found);
    near(&found, &Recorded::read().floats("audio24.wav"), 2e-3, 0.0);
}

#[test]
fn what_is_said_is_the_originals_codes() {
    let recorded = Recorded::read();
    let samples = wav(include_bytes!("../../../tests/fixtures/sparktts/prompt_16k.wav"));
    let encoder = SemanticEncoder::from_source(&source(CONFIG)).unwrap();
    let heard = recording::whole(&samples, 16_000, 16_000).unwrap();
    let mut seen = Vec::new();
    let mut observe = |name: &str, x: &[f32]| {
        // Channels were recorded before frames here.
        let expected = match name {
            "conv_features" => columns(&recorded.floats("w2v.conv_features"), 16),
            "hidden.0" | "hidden.1" | "hidden.16" => recorded.floats(&format!("w2v.{name}")),
            _ => return,
        };
        near(x, &expected, if name == "conv_features" { 1e-4 } else { 2e-4 }, 1e-3);
        seen.push(name.to_owned());
    };
    let feat = encoder.listener.observed(&heard, &mut observe).unwrap();
    assert_eq!(seen, ["conv_features", "hidden.0", "hidden.1", "hidden.16"]);
    near(&feat, &recorded.floats("w2v.feat"), 2e-4, 1e-3);
    let z = encoder.latent(&feat).unwrap();
    near(&z, &columns(&recorded.floats("tok.enc.z"), 40), 2.62e-5, 1e-4);
    assert_eq!(encoder.encode(&samples, 16_000).unwrap(), recorded.codes("tok.semantic"));
}

/// `[rows, columns]` the other way round.
fn columns(x: &[f32], rows: usize) -> Vec<f32> {
    let width = x.len() / rows;
    (0..width).flat_map(|column| x.iter().skip(column).step_by(width).copied()).collect()
}

#[test]
fn recordings_whose_words_cannot_be_heard_are_refused() {
    let encoder = SemanticEncoder::from_source(&source(CONFIG)).unwrap();
    for (samples, rate, message) in [
        (vec![0.1; 7_000], 16_000, "at least 0.5 s"),
        (vec![0.1; 31 * 16_000], 16_000, "at most 30 s"),
        (vec![0.0; 16_000], 16_000, "silent"),
        (vec![f32::INFINITY; 16_000], 16_000, "not finite"),
        (vec![0.1; 100], 0, "4000 to 384000"),
    ] {
        let error = encoder.encode(&samples, rate).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    let listening = "wav2vec2-large-xlsr-53/config.json";
    let config =
        include_str!("../../../tests/fixtures/sparktts/wav2vec2-large-xlsr-53/config.json");
    for (from, to, message) in [
        ("\"num_hidden_layers\": 18", "\"num_hidden_layers\": 15", "fewer layers"),
        ("\"num_attention_heads\": 4", "\"num_attention_heads\": 5", "do not divide"),
        ("\"hidden_size\": 32", "\"hidden_size\": 64", "the model needs"),
        ("\"feat_extract_norm\": \"layer\"", "\"feat_extract_norm\": \"group\"", "normalised"),
        ("\"conv_dim\"", "\"dim\"", "conv_dim"),
    ] {
        assert!(config.contains(from), "{from}");
        let changed = config.replacen(from, to, 1).into_bytes();
        let error = SemanticEncoder::from_source(&source(CONFIG).with(listening, changed));
        let error = error.unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    let without = CONFIG.replacen("  encoder:", "  encoding:", 1);
    let error = SemanticEncoder::from_source(&source(&without)).unwrap_err().to_string();
    assert!(error.contains("encoder"), "{error}");
}

#[test]
fn recordings_that_say_nothing_of_a_voice_are_refused() {
    let encoder = SpeakerEncoder::from_source(&source(CONFIG)).unwrap();
    for (samples, rate, message) in [
        (vec![0.1; 7_000], 16_000, "at least 0.5 s"),
        (vec![], 16_000, "at least 0.5 s"),
        (vec![0.0; 16_000], 16_000, "silent"),
        (vec![f32::NAN; 16_000], 16_000, "not finite"),
        (vec![0.1; 16_000], 100, "4000 to 384000"),
    ] {
        let error = encoder.encode(&samples, rate).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn unknown_codes_speakers_and_variants_are_refused() {
    let codec = Arc::new(BiCodec::from_source(&source(CONFIG)).unwrap());
    for (speaker, message) in [(vec![0; 7], "a speaker has 8"), (vec![1024; 8], "not below 1024")] {
        let error = BiCodecVoice::new(codec.clone(), &speaker).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    let voice = BiCodecVoice::new(codec, &[0; 8]).unwrap();
    let error = voice.decode(&[256], Noise::Off).unwrap_err().to_string();
    assert!(error.contains("not below 256"), "{error}");
    for (from, to, message) in [
        ("channels: 48", "channels: 50", "halved"),
        ("channels: 48", "channels: 96", "needs"),
        ("- 16\n    - 11", "- 11", "a kernel size for each"),
        ("use_tanh_at_final: false", "use_tanh_at_final: true", "tanh after the prenet"),
        ("codebook_size: 256", "codebook_size: [", "damaged"),
        ("audio_tokenizer", "tokenizer", "audio_tokenizer"),
    ] {
        assert!(CONFIG.contains(from), "{from}");
        let error = BiCodec::from_source(&source(&CONFIG.replacen(from, to, 1))).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}
