//! A loaded voice: text in, samples out, a piece at a time.

use crane_sdk::models::LoadOptions;
use crane_sdk::pipeline::{Speech, SpeechFootprint, TextToSpeech, Voice};
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

use crate::failure::{Outcome, failure};
use crate::files::FileSet;
use crate::options;

/// A speech model, ready to read aloud.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Speaker {
    voices: TextToSpeech,
}

/// A text that is being read aloud. What it remembers is its own: readings of one voice know nothing of each other.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Reading {
    speech: Option<Speech<'static>>,
    left_out: String,
}

/// How a speech model is loaded.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Loading {
    /// The type that the language model's dense matrices are quantised to, tensor by tensor; as stored by default.
    quantize: Option<String>,
}

/// Bytes that a speech model will take, as JavaScript sees them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Plan {
    language_model: u64,
    codec: u64,
    cache: u64,
}

/// Who speaks, and how; what is left out has the model's own value.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    voice: Option<String>,
    speed: Option<f32>,
    seed: Option<u64>,
}

/// What was loaded, as JavaScript sees it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Info<'a> {
    sample_rate: u32,
    voices: Vec<&'a str>,
    default_voice: &'a str,
}

#[wasm_bindgen]
impl Speaker {
    /// The bytes that a speech model will take: `{ languageModel, codec, cache }`. The heads of its files alone are read.
    /// `options`: `{ quantize?: string }`.
    ///
    /// # Errors
    /// Every failure of the library, as an `Error` with a `code`.
    pub fn plan(files: &FileSet, options: JsValue) -> Outcome<JsValue> {
        let options = loading(options)?;
        let footprint = SpeechFootprint::of(files, &options).map_err(failure)?;
        let SpeechFootprint { language_model, codec, cache } = footprint;
        options::write(&Plan { language_model, codec, cache })
    }

    /// Loads a speech model from its files, which are let go of at the end, whether it succeeds or not.
    /// `options`: `{ quantize?: string }`.
    ///
    /// # Errors
    /// Every failure of the library, as an `Error` with a `code`.
    pub fn load(files: FileSet, options: JsValue) -> Outcome<Speaker> {
        let options = loading(options)?;
        let voices =
            TextToSpeech::load_within(&files, &options, &mut |_| Ok(())).map_err(failure)?;
        Ok(Speaker { voices })
    }

    /// `{ sampleRate, voices, defaultVoice }`.
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn info(&self) -> Outcome<JsValue> {
        options::write(&Info {
            sample_rate: self.voices.sample_rate(),
            voices: self.voices.voices(),
            default_voice: self.voices.default_voice(),
        })
    }

    /// Begins to read a text aloud. `options`: `{ voice?, speed?, seed? }`.
    ///
    /// # Errors
    /// `invalid_argument` for a voice that is not here, a speed out of range, or a text without anything to say.
    pub fn begin(&self, text: &str, options: JsValue) -> Outcome<Reading> {
        let Options { voice, speed, seed } = options::read("speak", options)?;
        let usual = Voice::default();
        let voice = Voice {
            name: voice,
            speed: speed.unwrap_or(usual.speed),
            seed: seed.unwrap_or(usual.seed),
            ..usual
        };
        let speech = self.voices.speak(text, &voice).map_err(failure)?;
        let left_out = self.voices.unreadable(text, &voice).map_err(failure)?;
        Ok(Reading { speech: Some(speech), left_out: left_out.into_iter().collect() })
    }
}

#[wasm_bindgen]
impl Reading {
    /// The characters that the voice has no sounds for and leaves out.
    #[wasm_bindgen(js_name = leftOut)]
    pub fn left_out(&self) -> String {
        self.left_out.clone()
    }

    /// The next samples, mono, about −0.5 to 0.5; nothing once the text has been read.
    ///
    /// # Errors
    /// Every failure of the library; the reading has then ended.
    pub fn piece(&mut self) -> Outcome<Option<Vec<f32>>> {
        let samples = self.speech.as_mut().and_then(Iterator::next);
        if !matches!(samples, Some(Ok(_))) {
            self.speech = None;
        }
        samples.transpose().map_err(failure)
    }
}

fn loading(options: JsValue) -> Outcome<LoadOptions> {
    let Loading { quantize } = options::read("loadSpeech", options)?;
    let quantize = quantize.map(|name| name.parse()).transpose().map_err(failure)?;
    Ok(LoadOptions { quantize, ..LoadOptions::default() })
}
