//! Spark-TTS from text to samples, with a language model made by hand.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use crane_sdk::models::sparktts::Level;
use crane_sdk::pipeline::{Recording, Task, TextToSpeech, Voice, pipeline};
use crane_sdk::source::MemorySource;
use crane_sdk::text::Tokenizer;
use safetensors::tensor::{Dtype, TensorView};

fn source() -> MemorySource {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sparktts");
    let names = ["BiCodec/config.yaml", "BiCodec/model.safetensors", "LLM/tokenizer.json"];
    let source = names.iter().fold(MemorySource::new("spark"), |source, name| {
        source.with(*name, std::fs::read(folder.join(name)).unwrap())
    });
    source.with("LLM/config.json", CONFIG.as_bytes().to_vec()).with(
        "LLM/model.safetensors",
        weights(&std::fs::read(folder.join("LLM/tokenizer.json")).unwrap()),
    )
}

const WIDTH: usize = 32;
const ROWS: usize = 1792;
const CONFIG: &str = r#"{"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 32,
    "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0, "max_position_embeddings": 4096, "vocab_size": 1792, "tie_word_embeddings": false,
    "use_sliding_window": false, "torch_dtype": "float32"}"#;

/// Layers add nothing, so that the last token alone decides: the end of the prompt is followed by a global token below 128, that
/// by one below 256 and so on, the eighth by semantic tokens, and those, one time in thirty or so, by the end.
fn weights(tokenizer: &[u8]) -> Vec<u8> {
    let tokenizer = Tokenizer::from_json(tokenizer, None).unwrap();
    let id = |token: &str| tokenizer.token_to_id(token).unwrap() as usize;
    let (mut embedding, mut head) = (vec![0f32; ROWS * WIDTH], vec![0f32; ROWS * WIDTH]);
    // The state that a token leads to, and the states that it follows with a logit; the norm makes √32 of a 1.
    let mut chain = |token: &str, to: usize, from: &[usize], logit: f32| {
        let row = id(token) * WIDTH;
        embedding[row + to] = 1.0;
        from.iter().for_each(|state| head[row + state] = logit / 32f32.sqrt());
    };
    chain("<|end_style_label|>", 0, &[], 0.0);
    chain("<|end_global_token|>", 8, &[], 0.0);
    for code in 0..1024 {
        let spread = (code * 7919 % 100) as f32 / 100.0;
        chain(&format!("<|bicodec_global_{code}|>"), code / 128 + 1, &[code / 128], 20.0 + spread);
    }
    for code in 0..256 {
        let spread = (code * 7919 % 100) as f32 / 100.0;
        chain(&format!("<|bicodec_semantic_{code}|>"), 9, &[8, 9], 20.0 + spread);
    }
    chain("<|im_end|>", 10, &[9], 21.0);
    let (square, ones) = (vec![0f32; WIDTH * WIDTH], vec![1f32; WIDTH]);
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), vec![ROWS, WIDTH], embedding),
        ("lm_head.weight".to_owned(), vec![ROWS, WIDTH], head),
        ("model.norm.weight".to_owned(), vec![WIDTH], ones.clone()),
    ];
    let layer = |name: &str| format!("model.layers.0.{name}");
    for name in ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"] {
        tensors.push((layer(&format!("{name}.bias")), vec![WIDTH], vec![0.0; WIDTH]));
    }
    for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
        tensors.push((layer(&format!("self_attn.{name}.weight")), vec![WIDTH; 2], square.clone()));
    }
    for name in ["gate_proj", "up_proj", "down_proj"] {
        tensors.push((layer(&format!("mlp.{name}.weight")), vec![WIDTH; 2], square.clone()));
    }
    for name in ["input_layernorm", "post_attention_layernorm"] {
        tensors.push((layer(&format!("{name}.weight")), vec![WIDTH], ones.clone()));
    }
    let bytes = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let data: Vec<Vec<u8>> = tensors.iter().map(|(_, _, values)| bytes(values)).collect();
    let views = tensors.iter().zip(&data).map(|((name, shape, _), bytes)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

fn say(tts: &TextToSpeech, text: &str, voice: &Voice) -> Vec<Vec<f32>> {
    tts.speak(text, voice).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_voice_is_chosen_and_speaks() {
    let tts = pipeline(Task::TextToSpeech, &source()).unwrap();
    assert_eq!((tts.sample_rate(), tts.default_voice()), (16_000, "female"));
    assert_eq!(tts.voices(), ["female", "male"]);
    let text = "Hello, world!";
    let usual = Voice::default();
    let chunks = say(&tts, text, &usual);
    let whole = chunks.concat();
    assert!(whole.len() > 320 && whole.len().is_multiple_of(320), "{} samples", whole.len());
    assert!(whole.iter().all(|x| (-1.0..=1.0).contains(x)) && whole.iter().any(|x| x.abs() > 1e-3));
    assert_eq!(say(&tts, text, &usual), chunks);
    for other in [
        Voice { name: Some("Male".to_owned()), ..usual.clone() },
        Voice { pitch: Level::VeryHigh, ..usual.clone() },
        Voice { speed: 2.0, ..usual.clone() },
    ] {
        // This model does not listen: prompts that end in the same way are answered in the same way.
        assert_eq!(say(&tts, text, &other).concat(), whole, "{other:?}");
    }
    assert!(say(&tts, text, &Voice { seed: 1, ..usual.clone() }).concat() != whole);
    // Pieces of a long text are said one after the other, with the voice of the first.
    let long = say(&tts, &"She sells sea shells by the sea shore. ".repeat(8), &usual).concat();
    assert!(long.len().is_multiple_of(320) && long.len() > whole.len());
    assert!(long.starts_with(&whole));
}

#[test]
fn a_recording_lends_its_voice() {
    let tts = pipeline(Task::TextToSpeech, &source()).unwrap();
    let tone = |hertz: f32| {
        let sample = |i: usize| 0.3 * (hertz * i as f32 / 22_050.0 * std::f32::consts::TAU).sin();
        let samples = (0..22_050).map(sample).collect();
        Some(Arc::new(Recording { samples, sample_rate: 22_050 }))
    };
    let say = |hertz| {
        let voice = Voice { recording: tone(hertz), ..Voice::default() };
        say(&tts, "Hello, world!", &voice).concat()
    };
    let (low, high) = (say(200.0), say(3000.0));
    assert!(low.len() == high.len() && low != high && low.len().is_multiple_of(320));
    let voice = Voice { recording: tone(200.0), speed: 1.5, ..Voice::default() };
    let error = tts.speak("Hi", &voice).unwrap_err().to_string();
    assert!(error.contains("leave those out"), "{error}");
}

#[test]
fn a_text_that_is_still_being_written_is_said_sentence_by_sentence() {
    let tts = pipeline(Task::TextToSpeech, &source()).unwrap();
    let voice = Voice::default();
    let say_parts = |parts: &[&str]| {
        let chunks = tts.speak_stream(parts, &voice).unwrap();
        chunks.map(|chunk| chunk.unwrap()).collect::<Vec<_>>().concat()
    };
    let whole = say(&tts, "Hello, world!", &voice).concat();
    assert_eq!(say_parts(&["Hel", "lo, wor", "ld!"]), whole);
    let two = say_parts(&["Hello, world! B", "ye."]);
    assert!(two.len() > whole.len() && two.starts_with(&whole));
    assert_eq!(say_parts(&[" ", "... "]), [0f32; 0]);
    let nobody = Voice { name: Some("nobody".to_owned()), ..Voice::default() };
    assert!(tts.speak_stream(["Hi."], &nobody).is_err());
    let mut failing = tts.speak_stream(["Hi. <|task", "_tts|> Bye."], &voice).unwrap();
    assert!(failing.any(|chunk| chunk.is_err()) && failing.next().is_none());
}

#[test]
fn what_cannot_be_said_is_refused() {
    let tts = TextToSpeech::from_source(&source()).unwrap();
    let usual = Voice::default();
    for (text, voice, message) in [
        ("", usual.clone(), "nothing in it"),
        ("Hi <|im_end|>", usual.clone(), "control token"),
        ("Hi", Voice { name: Some("tara".to_owned()), ..usual.clone() }, "here are: female, male"),
        ("Hi", Voice { speed: 3.0, ..usual }, "speed"),
    ] {
        let error = tts.speak(text, &voice).unwrap_err().to_string();
        assert!(error.contains(message), "{text:?}: {error}");
    }
    let without = source().with("BiCodec/model.safetensors", b"short".to_vec());
    let error = TextToSpeech::from_source(&without).unwrap_err().to_string();
    assert!(error.contains("BiCodec") || error.contains("model.safetensors"), "{error}");
}
