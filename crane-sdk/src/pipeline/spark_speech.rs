//! Reading aloud with Spark-TTS: a language model chooses a speaker and writes codes, the codec makes sound of them as they come.

use std::sync::Arc;

use super::text_pieces::{Prompts, prompts};
use super::text_to_speech::{Chunks, Pieces, Recording, SpeechModel, Voice};
use super::{AutoModelForCausalLM, AutoTokenizer};
use crate::codec::{
    BiCodec, BiCodecConfig, BiCodecStream, BiCodecVoice, CodecStream, SpeakerEncoder,
};
use crate::generate::{CancelToken, FinishReason, GenerationConfig, SPEECH, Session, Step};
use crate::models::hibari::check_speed;
use crate::models::sparktts::{GENDERS, Level, Spoken, Vocabulary};
use crate::models::{LoadOptions, Room};
use crate::sample::SamplingParams;
use crate::source::{Source, Subfolder};
use crate::{Error, Result};

/// The most tokens of a piece of text and its speech together: 80 seconds.
pub(super) const MOST_TOKENS: usize = 4096;
/// Codes that the decoder is given at a time, half a second: it reads all its weights for each call.
const CODES: usize = 25;

/// Spark-TTS: the language model and the codec.
#[derive(Debug)]
pub(super) struct SparkVoices {
    model: AutoModelForCausalLM,
    tokenizer: AutoTokenizer,
    vocabulary: Vocabulary,
    codec: Arc<BiCodec>,
    encoder: SpeakerEncoder,
    sample_rate: u32,
    /// How many values a code of what is said has.
    semantic_codes: u32,
}

impl SparkVoices {
    pub(super) fn load(
        source: &dyn Source,
        options: &LoadOptions,
        room: &mut Room<'_>,
    ) -> Result<Self> {
        let config = BiCodecConfig::from_source(source)?;
        let codec = Arc::new(BiCodec::from_source(source)?);
        let language = Subfolder::new(source, "LLM");
        let tokenizer = AutoTokenizer::from_source(&language)?;
        let vocabulary =
            Vocabulary::find(&tokenizer, config.semantic_codes(), config.speaker_codes())?;
        let model = AutoModelForCausalLM::load_within(&language, options, room)?;
        let encoder = SpeakerEncoder::from_source(source)?;
        let (sample_rate, semantic_codes) = (config.sample_rate(), config.semantic_codes());
        Ok(Self { model, tokenizer, vocabulary, codec, encoder, sample_rate, semantic_codes })
    }
}

impl SparkVoices {
    /// What the model is to choose a voice by: a gender, a pitch and a speed.
    fn controls(&self, voice: &Voice) -> Result<(usize, [Level; 2])> {
        check_speed(voice.speed)?;
        let name = voice.name.as_deref().unwrap_or(self.default_voice());
        let gender = GENDERS.iter().position(|known| known.eq_ignore_ascii_case(name));
        let gender = gender.ok_or_else(|| {
            let here = GENDERS.join(", ");
            Error::argument("voice", format_args!("{name:?} is unknown; here are: {here}"))
        })?;
        Ok((gender, [voice.pitch, Level::of_speed(voice.speed)]))
    }

    /// The tokens of a recording's speaker.
    fn speaker(&self, recording: &Recording, voice: &Voice) -> Result<Vec<u32>> {
        if voice.name.is_some() || voice.speed != 1.0 || voice.pitch != Level::Moderate {
            let reason = "it takes the place of a voice's name, speed and pitch; leave those out";
            return Err(Error::argument("recording", reason));
        }
        if let Some(said) = &recording.said {
            let most = self.semantic_codes;
            if said.codes.is_empty() {
                return Err(Error::argument("said", "there are no codes of the recording in it"));
            }
            if let Some(code) = said.codes.iter().find(|code| **code >= most) {
                let reason = format_args!("code {code} is not below {most}");
                return Err(Error::argument("said", reason));
            }
        }
        self.encoder.encode(&recording.samples, recording.sample_rate)
    }
}

impl SpeechModel for SparkVoices {
    fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    fn voices(&self) -> Vec<&str> {
        GENDERS.to_vec()
    }

    fn default_voice(&self) -> &str {
        let [first, ..] = GENDERS;
        first
    }

    fn speak<'a>(
        self: Arc<Self>,
        pieces: Pieces<'a>,
        voice: &Voice,
        whole: bool,
        cancel: &CancelToken,
    ) -> Result<Chunks<'a>> {
        let voices = self.clone();
        let (prompts, speaker, known) = match &voice.recording {
            Some(recording) => {
                let speaker = self.speaker(recording, voice)?;
                let (tokens, recording) = (speaker.clone(), recording.clone());
                let prompts = prompts(pieces, whole, cancel, move |piece| {
                    let said = recording.said.as_ref();
                    let said = said.map(|said| (said.text.as_str(), said.codes.as_slice()));
                    voices.vocabulary.cloned(&voices.tokenizer, piece, &tokens, said)
                })?;
                let known = Arc::new(BiCodecVoice::new(self.codec.clone(), &speaker)?);
                (prompts, speaker, Some(known))
            }
            None => {
                let (gender, levels) = self.controls(voice)?;
                let prompts = prompts(pieces, whole, cancel, move |piece| {
                    voices.vocabulary.controlled(&voices.tokenizer, piece, gender, levels)
                })?;
                (prompts, Vec::new(), None)
            }
        };
        let context = self.model.context().min(MOST_TOKENS);
        let session = Session::without_text(self.model.model().clone(), context)?;
        Ok(Box::new(SparkSpeech {
            voices: self,
            session,
            prompts,
            head: Vec::new(),
            speaker,
            voice: known,
            sound: None,
            codes: Vec::new(),
            seed: voice.seed,
            cancel: cancel.clone(),
        }))
    }
}

/// A text being read aloud.
struct SparkSpeech<'a> {
    voices: Arc<SparkVoices>,
    session: Session,
    prompts: Prompts<'a>,
    /// What the model wrote before the first code: how it speaks and who. Later pieces of the text go on from it, so that
    /// the voice stays the same.
    head: Vec<u32>,
    speaker: Vec<u32>,
    voice: Option<Arc<BiCodecVoice>>,
    /// The piece that is being said.
    sound: Option<BiCodecStream>,
    codes: Vec<u32>,
    seed: u64,
    cancel: CancelToken,
}

impl SparkSpeech<'_> {
    /// The next samples; `None` at the end of the text.
    fn advance(&mut self) -> Result<Option<Vec<f32>>> {
        loop {
            self.cancel.check(SPEECH)?;
            if !self.session.is_running() && !self.begin()? {
                return Ok(None);
            }
            let samples = match self.session.step()? {
                Step::Prefill { .. } => continue,
                Step::Piece(token) => match token.id {
                    Some(id) => self.take(id)?,
                    None => continue,
                },
                Step::Done => Vec::new(),
            };
            let ended = if self.session.is_running() { Vec::new() } else { self.end()? };
            let samples = [samples, ended].concat();
            if !samples.is_empty() {
                return Ok(Some(samples));
            }
        }
    }

    /// Begins the next piece, if there is one.
    fn begin(&mut self) -> Result<bool> {
        let Some(prompt) = self.prompts.next() else { return Ok(false) };
        let mut prompt = prompt?;
        prompt.extend(&self.head);
        // What the model's authors sample with.
        let sampling = SamplingParams {
            temperature: 0.8,
            top_k: 50,
            top_p: 0.95,
            seed: Some(self.seed),
            ..SamplingParams::default()
        };
        let eos_ids = vec![self.voices.vocabulary.end_id()];
        let config = GenerationConfig { sampling, eos_ids, ..GenerationConfig::default() };
        self.session.begin(&prompt, &config, &self.cancel)?;
        self.sound = self.voice.clone().map(BiCodecVoice::begin);
        self.seed = self.seed.wrapping_add(1);
        Ok(true)
    }

    /// Takes a token; gives the samples that it makes certain.
    fn take(&mut self, id: u32) -> Result<Vec<f32>> {
        let meaning = self.voices.vocabulary.meaning(id);
        let complete = self.speaker.len() == self.voices.codec.speaker_tokens();
        match (meaning, &mut self.sound) {
            (Spoken::Semantic(code), Some(sound)) => {
                self.codes.push(code);
                if self.codes.len() >= CODES {
                    return sound.push(&std::mem::take(&mut self.codes), false);
                }
            }
            (Spoken::Semantic(code), None) if complete => {
                let voice = BiCodecVoice::new(self.voices.codec.clone(), &self.speaker)?;
                let voice = Arc::new(voice);
                self.sound = Some(voice.clone().begin());
                self.voice = Some(voice);
                self.codes.push(code);
            }
            (Spoken::Global(code), None) if !complete => {
                self.speaker.push(code);
                self.head.push(id);
            }
            (Spoken::Other, None) => self.head.push(id),
            // A code before there is a speaker, or a token of a speaker who is complete: it says nothing.
            _ => {}
        }
        Ok(Vec::new())
    }

    /// The rest of a piece.
    fn end(&mut self) -> Result<Vec<f32>> {
        let output = self.session.finish();
        // It may have ended because of that.
        self.cancel.check(SPEECH)?;
        let spoke_on = output.is_some_and(|output| output.finish_reason == FinishReason::Length);
        let codes = std::mem::take(&mut self.codes);
        match self.sound.take() {
            Some(mut sound) if !spoke_on => sound.push(&codes, true),
            sound => {
                let how = match sound {
                    Some(_) => "did not come to an end",
                    None => "made no sound",
                };
                let seed = self.seed.wrapping_sub(1);
                Err(Error::argument(
                    "seed",
                    format_args!("with {seed} the model {how}; try another"),
                ))
            }
        }
    }
}

impl Iterator for SparkSpeech<'_> {
    type Item = Result<Vec<f32>>;

    fn next(&mut self) -> Option<Self::Item> {
        let samples = self.advance();
        if samples.is_err() {
            self.prompts = Box::new(std::iter::empty());
            self.session.finish();
        }
        samples.transpose()
    }
}
