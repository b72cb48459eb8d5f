use super::*;
use crate::generate::SPEECH;
use crate::source::{MemorySource, Source as _};
use serde_json::Value;

/// A file of the folder with real models; skips (or, in CI, fails) where it is missing.
fn weights_file(name: &str) -> Option<Vec<u8>> {
    let folder =
        std::env::var_os("CRANE_TEST_MODELS").map(std::path::PathBuf::from).or_else(|| {
            Some(
                std::path::PathBuf::from(std::env::var_os("HOME")?)
                    .join(".cache/crane-test-models"),
            )
        });
    let path = folder.unwrap_or_default().join("hibari").join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            let required = std::env::var("CRANE_REQUIRE_MODELS").is_ok_and(|value| value == "1");
            assert!(!required, "{}: {error}; run `cargo xtask setup`", path.display());
            println!("skipped: {} is missing; run `cargo xtask setup`", path.display());
            None
        }
    }
}

fn voice() -> Option<Arc<Hibari>> {
    let source = MemorySource::new("hibari").with("hibari.onnx", weights_file("hibari.onnx")?);
    let weights = OnnxCheckpoint::read(source.open("hibari.onnx").unwrap().as_ref()).unwrap();
    let vocabulary = serde_json::from_slice(&weights_file("vocab.json")?).unwrap();
    Some(Arc::new(Hibari::new(&weights, vocabulary).unwrap()))
}

fn say(voice: &Arc<Hibari>, phonemes: &str, speed: f32, seed: u64) -> Result<Utterance> {
    voice.say(phonemes, speed, seed, &CancelToken::new())
}

/// What the network in f32 and the original's vocoder gave for "Seven bright stars.".
struct Golden(safetensors::SafeTensors<'static>);

impl Golden {
    fn read() -> Self {
        let bytes = include_bytes!("../../../tests/fixtures/hibari/golden.safetensors");
        Self(safetensors::SafeTensors::deserialize(bytes).unwrap())
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let tensor = self.0.tensor(name).unwrap();
        match tensor.dtype() {
            safetensors::Dtype::F32 => tensor
                .data()
                .as_chunks::<4>()
                .0
                .iter()
                .map(|word| f32::from_le_bytes(*word))
                .collect(),
            _ => {
                let halves = tensor.data().as_chunks::<2>().0.iter();
                halves.map(|half| half::f16::from_le_bytes(*half).to_f32()).collect()
            }
        }
    }
}

const PHONEMES: &str = "sˈɛvən bɹˈIt stˈɑɹz.";

#[track_caller]
fn assert_near(name: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("{name}: {off:e}");
    assert!(off <= tolerance, "{name} is off by {off}");
}

/// Decibels of `expected` over what `found` differs by.
fn signal_to_noise(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let power = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>();
    let signal = power(&mut expected.iter().map(|x| f64::from(*x)));
    let noise = power(&mut found.iter().zip(expected).map(|(a, b)| f64::from(a - b)));
    10.0 * (signal / noise.max(1e-30)).log10()
}

#[test]
fn the_network_gives_the_recorded_tensors() {
    let Some(voice) = voice() else { return };
    let golden = Golden::read();
    let ids = voice.ids(PHONEMES);
    let json: Value =
        serde_json::from_slice(include_bytes!("../../../tests/fixtures/hibari/settings.json"))
            .unwrap();
    let expected: Vec<usize> = serde_json::from_value(json["ids"].clone()).unwrap();
    assert_eq!(ids, expected);
    assert_near(
        "text_m",
        &voice.text.forward(&ids, &CancelToken::new()).unwrap(),
        &golden.floats("text_m"),
        1e-3,
    );
    let text = voice.prosody.encode(&ids, &CancelToken::new()).unwrap();
    assert_near("text_pn", &text, &golden.floats("text_pn"), 1e-3);
    assert_near(
        "log_dur",
        &voice.prosody.log_durations(&text).unwrap(),
        &golden.floats("log_dur"),
        1e-3,
    );
    let melody = voice.prosody.forward(&ids, 1.0, &CancelToken::new()).unwrap();
    let durations: Vec<usize> =
        golden.floats("durations").into_iter().map(|steps| steps as usize).collect();
    assert_eq!(melody.durations, durations);
    assert_near("f0", &melody.pitch, &golden.floats("out_f0"), 2e-2);
    assert_near("energy", &melody.energy, &golden.floats("energy"), 2e-3);
    let utterance = say(&voice, PHONEMES, 1.0, 0).unwrap();
    assert_eq!(utterance.samples(), 43_800);
    let frames = utterance.frames();
    let maps = voice.decoder.forward(&mut voice.decoder.begin(), frames, true).unwrap();
    // Every 16th frame was recorded.
    let rows = maps.chunks_exact(MAPS * BINS).step_by(16);
    let rows: Vec<f32> = rows.flatten().copied().collect();
    assert_near("maps", &rows, &golden.floats("maps"), 2e-3);
}

#[test]
fn the_source_is_the_recorded_one() {
    let golden = Golden::read();
    let vocoder = Vocoder::new();
    let progress = vocoder.begin(&golden.floats("out_f0"));
    assert!(signal_to_noise(progress.source(), &golden.floats("source")) >= 60.0);
}

/// The recorded noise is too large to be kept: it is made again, as the silent part of the comparison.
#[test]
fn maps_without_noise_give_the_recorded_sound() {
    let Some(voice) = voice() else { return };
    let golden = Golden::read();
    let utterance = say(&voice, PHONEMES, 1.0, 0).unwrap();
    let mut maps =
        voice.decoder.forward(&mut voice.decoder.begin(), utterance.frames(), true).unwrap();
    let mut out = Vec::new();
    let mut progress = voice.vocoder.begin(&golden.floats("out_f0"));
    voice
        .vocoder
        .forward(&mut progress, &mut maps, &mut |pairs| pairs.fill(0.0), &mut out)
        .unwrap();
    let ratio = signal_to_noise(&out, &golden.floats("wav_without_noise"));
    println!("{ratio} dB");
    assert!(ratio >= 60.0, "{ratio} dB");
}

#[test]
fn pieces_are_the_whole_to_the_last_bit() {
    let Some(voice) = voice() else { return };
    for (phonemes, speed) in
        [(PHONEMES, 1.0), ("hˈI.", 2.0), ("həlˈO ðˈɛɹ, wˈɜɹld: hˌW ˌɑɹ ju tədˈA?", 0.5)]
    {
        let whole = say(&voice, phonemes, speed, 7).unwrap();
        let length = whole.samples();
        let whole = whole.whole().unwrap();
        assert_eq!(whole.len(), length);
        let pieces: Vec<Vec<f32>> =
            say(&voice, phonemes, speed, 7).unwrap().map(|piece| piece.unwrap()).collect();
        assert_eq!(pieces.concat(), whole);
        assert!(phonemes.len() < 8 || pieces.len() > 2);
        assert_ne!(say(&voice, phonemes, speed, 8).unwrap().whole().unwrap(), whole);
    }
}

#[test]
fn what_cannot_be_said_is_refused() {
    let Some(voice) = voice() else { return };
    assert!(say(&voice, "", 1.0, 0).is_err());
    assert!(say(&voice, "中文", 1.0, 0).is_err());
    assert!(say(&voice, "a", 0.4, 0).is_err());
    assert!(say(&voice, "a", f32::NAN, 0).is_err());
    assert!(say(&voice, &"a".repeat(3000), 1.0, 0).is_err());
}

#[test]
fn what_was_given_up_is_not_begun() {
    let Some(voice) = voice() else { return };
    let cancel = CancelToken::new();
    cancel.cancel();
    let said = voice.say(PHONEMES, 1.0, 0, &cancel);
    assert!(matches!(said, Err(Error::Unsupported { what, .. }) if what == SPEECH));
}
