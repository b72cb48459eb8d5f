//! Text in, sound out.

use std::collections::BTreeSet;
use std::fmt::{self, Debug};
use std::sync::Arc;

use super::AutoTokenizer;
use super::hibari_speech::HibariVoices;
use super::orpheus_speech::OrpheusVoices;
use super::sentences::Sentences;
use super::spark_speech::SparkVoices;
use super::text_pieces;
use crate::finite::all_finite;
use crate::generate::{CancelToken, SPEECH};
use crate::models::orpheus::Vocabulary;
use crate::models::sparktts::Level;
use crate::models::{LoadOptions, Room};
use crate::source::{Source, model_gguf};
use crate::{Error, Result};

/// Who speaks, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Voice {
    /// One of [`TextToSpeech::voices`]; the model's own choice if there is none.
    pub name: Option<String>,
    /// From 0.5 (slow) to 2 (fast), for models that can be told: hibari exactly, Spark-TTS in five steps.
    pub speed: f32,
    /// How high, for models that can be told: Spark-TTS.
    pub pitch: Level,
    /// Whose voice to take, for models that can: Spark-TTS. It takes the place of name, speed and pitch.
    pub recording: Option<Arc<Recording>>,
    /// Chooses the noise in breath and fricatives, and the tokens of a language model: the same seed gives the same samples.
    /// The n-th piece of a text that is said at a time takes the seed plus n.
    pub seed: u64,
}

impl Default for Voice {
    fn default() -> Self {
        Self { name: None, speed: 1.0, pitch: Level::Moderate, recording: None, seed: 0 }
    }
}

/// Half a second or more of somebody's speech; the first six count.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// Mono, −1 to 1.
    pub samples: Vec<f32>,
    /// Samples a second.
    pub sample_rate: u32,
    /// What is said in all of it, where that is known: Spark-TTS then also takes the manner of speaking.
    pub said: Option<Said>,
}

/// What is said in a recording of at most half a minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// In words.
    pub text: String,
    /// In codes: what [`SemanticEncoder`](crate::codec::SemanticEncoder) hears.
    pub codes: Vec<u32>,
}

impl Voice {
    /// Refuses a pitch or a recording where the model cannot be told.
    pub(super) fn usual(&self, model: &str) -> Result<()> {
        if self.recording.is_some() {
            let reason =
                format_args!("{model} cannot take the voice of a recording; Spark-TTS can");
            return Err(Error::argument("recording", reason));
        }
        if self.pitch == Level::Moderate {
            return Ok(());
        }
        let reason = format_args!("{model} cannot be told how high to speak; leave it moderate");
        Err(Error::argument("pitch", reason))
    }
}

/// Pieces of sound.
pub(super) type Chunks<'a> = Box<dyn Iterator<Item = Result<Vec<f32>>> + Send + 'a>;
/// Pieces of text, each of whole sentences.
pub(super) type Pieces<'a> = Box<dyn Iterator<Item = String> + Send + 'a>;

/// What every speech model does; [`TextToSpeech`] says it in full.
pub(super) trait SpeechModel: Debug + Send + Sync {
    fn sample_rate(&self) -> u32;
    fn voices(&self) -> Vec<&str>;
    fn default_voice(&self) -> &str;
    /// A text in the pieces in which it is best said: a few sentences, as language models are used to.
    fn pieces(&self, text: &str, _: &Voice) -> Result<Vec<String>> {
        Ok(text_pieces::pieces(text))
    }
    /// A text in sentences.
    fn sentences(&self, text: &str, _: &Voice) -> Result<Vec<String>> {
        Ok(text_pieces::sentences(text))
    }
    /// `whole` says that all of the text is there: then what is wrong with it is said at once.
    fn speak<'a>(
        self: Arc<Self>,
        pieces: Pieces<'a>,
        voice: &Voice,
        whole: bool,
        cancel: &CancelToken,
    ) -> Result<Chunks<'a>>;
    /// Characters that are left out. What a language model makes of characters is its own affair: none.
    fn unreadable(&self, _: &str, _: &Voice) -> Result<BTreeSet<char>> {
        Ok(BTreeSet::new())
    }
}

/// A speech model with its voices and its way to read text: hibari, Orpheus or Spark-TTS.
///
/// ```no_run
/// # fn example(source: &dyn crane_sdk::source::Source) -> crane_sdk::Result<()> {
/// use crane_sdk::pipeline::{Task, Voice, pipeline};
///
/// let tts = pipeline(Task::TextToSpeech, source)?;
/// for chunk in tts.speak("Hello there. How are you?", &Voice::default())? {
///     let samples: Vec<f32> = chunk?; // mono, at tts.sample_rate()
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TextToSpeech {
    model: Arc<dyn SpeechModel>,
}

impl TextToSpeech {
    /// Loads the speech model of a source: hibari, known by its `voices.json`, with every voice whose weights are there or below
    /// `voices/`; Orpheus, a language model whose vocabulary has `<custom_token_0>` and so on, with SNAC's `config.json` and
    /// weights in a folder below it; or Spark-TTS, known by `BiCodec/config.yaml`, its language model in the folder `LLM`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a source that is none of them, [`Error::NotFound`] if a file is missing or no
    /// voice's weights are there; those of [`OnnxCheckpoint::read`](crate::source::OnnxCheckpoint::read),
    /// [`English::from_source`](crate::text::english::English::from_source), [`load`](crate::models::load) and
    /// [`Snac::from_source`](crate::codec::Snac::from_source).
    pub fn from_source(source: &dyn Source) -> Result<Self> {
        Self::load_within(source, &LoadOptions::default(), &mut |_| Ok(()))
    }

    /// As [`TextToSpeech::from_source`], with options for the language model of those that have one; `room` is asked before its
    /// weights are read, as by [`load_within`](crate::models::load_within).
    ///
    /// # Errors
    /// As [`TextToSpeech::from_source`], and what `room` returns.
    pub fn load_within(
        source: &dyn Source,
        options: &LoadOptions,
        room: &mut Room<'_>,
    ) -> Result<Self> {
        if source.contains("voices.json")? {
            return Ok(Self { model: Arc::new(HibariVoices::from_source(source)?) });
        }
        if source.contains("BiCodec/config.yaml")? {
            return Ok(Self { model: Arc::new(SparkVoices::load(source, options, room)?) });
        }
        if source.contains("tokenizer.json")? || model_gguf(source)?.is_some() {
            let tokenizer = AutoTokenizer::from_source(source)?;
            if let Some(vocabulary) = Vocabulary::find(&tokenizer) {
                let voices = OrpheusVoices::load(source, &tokenizer, vocabulary, options, room)?;
                return Ok(Self { model: Arc::new(voices) });
            }
        }
        Err(Error::Unsupported {
            what: format!("speech from {}", source.label()),
            hint: "it has neither hibari's voices.json nor Orpheus's vocabulary nor Spark-TTS's BiCodec/config.yaml; those \
                   are the models that speak"
                .to_owned(),
        })
    }

    /// Samples a second.
    pub fn sample_rate(&self) -> u32 {
        self.model.sample_rate()
    }

    /// The names of the voices whose weights are here.
    pub fn voices(&self) -> Vec<&str> {
        self.model.voices()
    }

    /// The voice that speaks if none is named.
    pub fn default_voice(&self) -> &str {
        self.model.default_voice()
    }

    /// Begins to read a text aloud. Samples come in pieces while they are made, sentence by sentence and within each;
    /// nothing is computed before the first one is asked for but the first sentence's melody.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a voice that is not here, a speed that it cannot take, or a text without anything that
    /// the voice can say.
    pub fn speak(&self, text: &str, voice: &Voice) -> Result<Speech<'static>> {
        self.speak_until(text, voice, &CancelToken::new())
    }

    /// As [`TextToSpeech::speak`], until it is cancelled: that is looked at between the words of a text that is read, between two
    /// steps of a language model, and between two pieces of sound. The next item is then an error, and the last one.
    ///
    /// # Errors
    /// As [`TextToSpeech::speak`]; [`Error::Unsupported`] if it was cancelled.
    pub fn speak_until(
        &self,
        text: &str,
        voice: &Voice,
        cancel: &CancelToken,
    ) -> Result<Speech<'static>> {
        cancel.check(SPEECH)?;
        let pieces = self.model.pieces(text, voice)?;
        let pieces = Box::new(pieces.into_iter());
        let chunks = self.model.clone().speak(pieces, voice, true, cancel)?;
        Ok(Speech { chunks })
    }

    /// Begins to read aloud a text that is still being written, such as a chat's reply: each sentence is said once the next one
    /// begins or the text ends. hibari's samples are those of [`TextToSpeech::speak`] with the whole text; the others say every
    /// sentence by itself.
    ///
    /// ```no_run
    /// # fn example(chat: &mut crane_sdk::pipeline::Chat, tts: &crane_sdk::pipeline::TextToSpeech) -> crane_sdk::Result<()> {
    /// use crane_sdk::pipeline::Voice;
    ///
    /// let words = chat.send("Tell me a story.")?.map_while(|piece| piece.ok()).map(|piece| piece.text);
    /// for chunk in tts.speak_stream(words, &Voice::default())? {
    ///     let samples: Vec<f32> = chunk?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a voice that is not here or a speed that it cannot take; what is wrong with the text comes
    /// out of the iterator. A text without anything to say makes no sound.
    pub fn speak_stream<'a, T>(&self, text: T, voice: &Voice) -> Result<Speech<'a>>
    where
        T: IntoIterator<Item: AsRef<str>, IntoIter: Send + 'a>,
    {
        let (model, speaker) = (self.model.clone(), voice.clone());
        model.sentences("", voice)?;
        let cut = move |text: &str| model.sentences(text, &speaker).unwrap_or_default();
        let sentences = Sentences::new(text.into_iter(), cut);
        let cancel = CancelToken::new();
        let chunks = self.model.clone().speak(Box::new(sentences), voice, false, &cancel)?;
        Ok(Speech { chunks })
    }

    /// Letters, digits and signs of a text that a voice has no sounds for, such as those of Chinese: they are left out.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a voice that is not here.
    pub fn unreadable(&self, text: &str, voice: &Voice) -> Result<BTreeSet<char>> {
        self.model.unreadable(text, voice)
    }
}

/// A text being read aloud: samples in pieces, mono, −1 to 1, at [`TextToSpeech::sample_rate`].
pub struct Speech<'a> {
    chunks: Chunks<'a>,
}

impl Iterator for Speech<'_> {
    type Item = Result<Vec<f32>>;

    fn next(&mut self) -> Option<Self::Item> {
        let chunk = self.chunks.next()?;
        if chunk.as_ref().is_ok_and(|samples| !all_finite(samples)) {
            self.chunks = Box::new(std::iter::empty());
            return Some(Err(Error::NotFinite { place: "the voice".to_owned() }));
        }
        Some(chunk)
    }
}

impl Debug for Speech<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Speech").finish_non_exhaustive()
    }
}
