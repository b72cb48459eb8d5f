//! What the original's decoder and prompts gave, less its errors.

use serde_json::Value;

use super::*;
use crate::codec::{Codec, Noise, Snac};
use crate::source::MemorySource;

fn fixture() -> (Tokenizer, Value) {
    let tokenizer = include_bytes!("../../../tests/fixtures/orpheus/tokenizer.json");
    let config = include_bytes!("../../../tests/fixtures/orpheus/tokenizer_config.json");
    let golden = include_str!("../../../tests/fixtures/orpheus/recorded.json");
    let tokenizer = Tokenizer::from_json(tokenizer, Some(config)).unwrap();
    (tokenizer, serde_json::from_str(golden).unwrap())
}

fn codec() -> Snac {
    let folder = MemorySource::new("snac")
        .with("config.json", include_bytes!("../../../tests/fixtures/snac24/config.json").to_vec())
        .with(
            "pytorch_model.bin",
            include_bytes!("../../../tests/fixtures/snac24/pytorch_model.bin").to_vec(),
        );
    Snac::from_source(&folder).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

/// `<custom_token_N>` as an id of this vocabulary.
fn token(vocabulary: &Vocabulary, text: &str) -> u32 {
    let number = text.strip_prefix("<custom_token_").unwrap().strip_suffix('>').unwrap();
    vocabulary.first + number.parse::<u32>().unwrap()
}

fn recorded(name: &str) -> Vec<f64> {
    let bytes = include_bytes!("../../../tests/fixtures/orpheus/recorded.safetensors");
    let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
    let tensor = file.tensor(name).unwrap();
    let data = tensor.data();
    match tensor.dtype() {
        safetensors::Dtype::F32 => {
            data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect()
        }
        safetensors::Dtype::I16 => {
            data.as_chunks::<2>().0.iter().map(|b| i16::from_le_bytes(*b).into()).collect()
        }
        _ => data.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect(),
    }
}

#[test]
fn prompts_are_the_originals() {
    let (tokenizer, golden) = fixture();
    let vocabulary = Vocabulary::find(&tokenizer).unwrap();
    let examples = golden["values"]["prompt_examples"].as_array().unwrap();
    for example in examples {
        let (voice, text) = (example["voice"].as_str(), example["text"].as_str().unwrap());
        let found = vocabulary.prompt(&tokenizer, voice, text).unwrap();
        assert_eq!(found, ids(&example["ids_tiny_tokenizer"]), "{text}");
    }
    assert_eq!(examples.len(), 3);
    for text in ["Hi <|eot_id|> there", "<custom_token_2>", "<|begin_of_text|>"] {
        let error = vocabulary.prompt(&tokenizer, None, text).unwrap_err().to_string();
        assert!(error.contains("control token"), "{error}");
    }
}

#[test]
fn tokens_are_codes() {
    let (tokenizer, golden) = fixture();
    let vocabulary = Vocabulary::find(&tokenizer).unwrap();
    for example in golden["values"]["token_to_code_examples"].as_array().unwrap() {
        let id = token(&vocabulary, example["token"].as_str().unwrap());
        let place = example["index"].as_u64().unwrap() as usize % FRAME;
        let code = example["code"].as_u64().unwrap() as u32;
        assert_eq!(vocabulary.code(id), Some((place, code)), "{example}");
    }
    let code = |number| vocabulary.code(vocabulary.first + number);
    assert_eq!((code(9), code(10), code(4105)), (None, Some((0, 0)), Some((0, 4095))));
    assert_eq!((code(4106), code(28681), code(28682)), (Some((1, 0)), Some((6, 4095)), None));
    assert_eq!(vocabulary.code(vocabulary.end()), None);
    assert_eq!(vocabulary.code(3), None);
}

#[test]
fn a_stream_of_tokens_is_the_originals_sound() {
    let (tokenizer, golden) = fixture();
    let vocabulary = Vocabulary::find(&tokenizer).unwrap();
    let mut frames = Frames::new(vocabulary);
    let tokens = golden["values"]["stream.tokens"].as_array().unwrap();
    let tokens = tokens.iter().map(|text| token(&vocabulary, text.as_str().unwrap()));
    let found: Vec<[u32; FRAME]> = tokens.filter_map(|id| frames.push(id)).collect();
    let expected = recorded("stream.codes7");
    for (frame, codes) in found.iter().zip(expected.chunks(FRAME)) {
        assert_eq!(frame.map(f64::from), [0, 1, 4, 2, 3, 5, 6].map(|place: usize| codes[place]));
    }
    assert_eq!((found.len(), frames.strays()), (7, 4));

    let codec = codec();
    let found = found.concat();
    let audio = codec.decode(&found, Noise::Off).unwrap();
    for (found, expected) in audio.iter().zip(recorded("offline.audio")) {
        let off = (f64::from(*found) - expected).abs();
        assert!(off <= 2e-4 + 1e-3 * expected.abs(), "{found} {expected}");
    }
    // The original's stream decodes four frames at a time and keeps the second of them.
    let chunks = recorded("stream.pcm16");
    for (index, expected) in chunks.chunks(2048).enumerate() {
        let window = codec.decode(&found[7 * index..7 * (index + 4)], Noise::Off).unwrap();
        for (found, expected) in window[2048..4096].iter().zip(expected) {
            assert!((f64::from((found * 32767.0).trunc()) - expected).abs() <= 8.0);
        }
    }
    assert_eq!((audio.len(), chunks.len()), (7 * 2048, 4 * 2048));
}

#[test]
fn a_stray_token_does_not_shift_the_frames_after_it() {
    let (tokenizer, _) = fixture();
    let vocabulary = Vocabulary::find(&tokenizer).unwrap();
    let code = |place: u32, code: u32| vocabulary.first + FIRST_CODE + place * CODES + code;
    // Code 0 counts; a control token and a code of another place do not.
    let tokens = [code(0, 0), 7, code(2, 9), code(1, 0), code(2, 0), code(3, 5), code(4, 0)];
    let mut frames = Frames::new(vocabulary);
    assert!(tokens.iter().all(|id| frames.push(*id).is_none()));
    assert_eq!(frames.push(code(5, 1)), None);
    assert_eq!(frames.push(code(6, 4095)), Some([0, 0, 0, 0, 5, 1, 4095]));
    assert_eq!(frames.strays(), 2);
}
