//! How much memory a speech model will take, known from the heads of its files alone.

use super::{orpheus_speech, spark_speech};
use crate::Result;
use crate::codec::{BiCodec, snac_bytes};
use crate::models::{LoadOptions, measure};
use crate::source::{Source, Subfolder};

/// The memory that a speech model takes: its files' heads are read, and no weight.
///
/// ```
/// use crane_sdk::models::LoadOptions;
/// use crane_sdk::pipeline::SpeechFootprint;
/// # let llm = |name: &str| std::fs::read(format!("tests/fixtures/qwen2_tied/{name}")).unwrap_or_default();
/// # let codec = |name: &str| std::fs::read(format!("tests/fixtures/sparktts/BiCodec/{name}")).unwrap_or_default();
/// # let source = crane_sdk::source::MemorySource::new("spark")
/// #     .with("BiCodec/config.yaml", codec("config.yaml"))
/// #     .with("BiCodec/model.safetensors", codec("model.safetensors"))
/// #     .with("LLM/config.json", llm("config.json"))
/// #     .with("LLM/model.safetensors", llm("model.safetensors"));
///
/// let footprint = SpeechFootprint::of(&source, &LoadOptions::default())?;
/// assert!(footprint.language_model > 0 && footprint.codec > 0);
/// assert_eq!(footprint.total(), footprint.language_model + footprint.codec + footprint.cache);
/// # Ok::<(), crane_sdk::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpeechFootprint {
    /// Bytes of the language model's weights as they will be held; 0 for hibari, which has none.
    pub language_model: u64,
    /// Bytes of what makes the sound: a codec's decoder, or at most those of hibari.
    pub codec: u64,
    /// Bytes of keys and values for the longest piece of text with its speech.
    pub cache: u64,
}

impl SpeechFootprint {
    /// What a source that [`TextToSpeech::load_within`](super::TextToSpeech::load_within) takes will need with these options.
    ///
    /// # Errors
    /// Those of opening its files; a source that does not speak is refused when it is loaded.
    pub fn of(source: &dyn Source, options: &LoadOptions) -> Result<Self> {
        if source.contains("voices.json")? {
            return hibari(source);
        }
        let spark = source.contains("BiCodec/config.yaml")?;
        let folder = Subfolder::new(source, "LLM");
        let language: &dyn Source = if spark { &folder } else { source };
        let (weights, token) = measure(language, options)?;
        let (codec, tokens) = match spark {
            true => (BiCodec::bytes(source)?, spark_speech::MOST_TOKENS),
            false => {
                let folder = orpheus_speech::codec_folder(source)?;
                (snac_bytes(&Subfolder::new(source, &folder))?, orpheus_speech::MOST_TOKENS)
            }
        };
        let cache = token.saturating_mul(tokens as u64);
        Ok(Self { language_model: weights.weights, codec, cache })
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.language_model.saturating_add(self.codec).saturating_add(self.cache)
    }
}

/// Its matrices are bytes in the file and may become floats.
fn hibari(source: &dyn Source) -> Result<SpeechFootprint> {
    let mut codec = 0u64;
    for name in source.files()?.iter().filter(|name| name.ends_with(".onnx")) {
        codec = codec.saturating_add(4 * source.open(name)?.len());
    }
    Ok(SpeechFootprint { codec, ..SpeechFootprint::default() })
}
