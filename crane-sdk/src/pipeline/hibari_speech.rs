//! Reading aloud with hibari: sentences to phonemes to sound.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::text_to_speech::{Chunks, Pieces, SpeechModel, Voice};
use crate::generate::{CancelToken, SPEECH};
use crate::models::hibari::{Hibari, SAMPLE_RATE, Utterance, check_speed};
use crate::source::{OnnxCheckpoint, Source, json};
use crate::text::english::{Accent, English};
use crate::{Error, Result};

/// The most phonemes of a sentence that are said at a time; longer ones are cut after clauses.
const MOST_PHONEMES: usize = 400;
/// The most voices that are listed: many times what is published.
const MOST_VOICES: usize = 256;

/// hibari's voices.
#[derive(Debug)]
pub(super) struct HibariVoices {
    label: String,
    /// In the order of the file; `None` for those whose weights are not there.
    voices: Vec<(String, Option<Arc<Speaker>>)>,
    default: usize,
}

#[derive(Debug)]
struct Speaker {
    network: Arc<Hibari>,
    english: Arc<English>,
}

/// What `voices.json` says of a voice.
#[derive(Debug, Deserialize)]
struct Listed {
    file: String,
    #[serde(default)]
    british: bool,
    #[serde(default)]
    bundled: bool,
}

impl HibariVoices {
    /// Loads every voice of `voices.json` whose weights are in the source, there or below `voices/`, and the tables of
    /// their English.
    ///
    /// # Errors
    /// [`Error::NotFound`] if a file is missing or no voice's weights are there; those of [`OnnxCheckpoint::read`],
    /// [`Hibari::new`] and [`English::from_source`].
    pub(super) fn from_source(source: &dyn Source) -> Result<Self> {
        let listed: Map<String, Value> = json::read(source, "voices.json")?;
        if listed.len() > MOST_VOICES {
            let reason = format_args!("it lists {} voices, over {MOST_VOICES}", listed.len());
            return Err(Error::invalid_file("voices.json", reason));
        }
        let vocabulary: HashMap<char, usize> = json::read(source, "vocab.json")?;
        // Voices of one file share its network.
        let mut networks: HashMap<String, Arc<Hibari>> = HashMap::new();
        let (mut american, mut british) = (None, None);
        let (mut voices, mut default) = (Vec::new(), None);
        for (name, value) in listed {
            let Listed { file, british: is_british, bundled } = serde_json::from_value(value)
                .map_err(|error| Error::invalid_file("voices.json", error))?;
            let places = [file.clone(), format!("voices/{file}")];
            let mut speaker = None;
            for place in places {
                if speaker.is_none() && source.contains(&place)? {
                    let (accent, english) = match is_british {
                        true => (Accent::British, &mut british),
                        false => (Accent::American, &mut american),
                    };
                    let english = match english {
                        Some(english) => Arc::clone(english),
                        None => Arc::clone(
                            english.insert(Arc::new(English::from_source(source, accent)?)),
                        ),
                    };
                    let network = match networks.get(&place) {
                        Some(network) => Arc::clone(network),
                        None => {
                            let weights = OnnxCheckpoint::read(source.open(&place)?.as_ref())?;
                            let network = Arc::new(Hibari::new(&weights, vocabulary.clone())?);
                            networks.insert(place, Arc::clone(&network));
                            network
                        }
                    };
                    speaker = Some(Arc::new(Speaker { network, english }));
                }
            }
            if speaker.is_some() && (default.is_none() || bundled) {
                default = Some(voices.len());
            }
            voices.push((name, speaker));
        }
        let default = default.ok_or_else(|| Error::NotFound {
            what: "the weights of any voice that voices.json lists".to_owned(),
            place: source.label(),
            hint: "put a voice's .onnx file beside voices.json".to_owned(),
        })?;
        Ok(Self { label: source.label(), voices, default })
    }

    fn speaker(&self, name: Option<&str>) -> Result<&Arc<Speaker>> {
        let index = match name {
            None => Some(self.default),
            Some(name) => {
                self.voices.iter().position(|(known, _)| known.eq_ignore_ascii_case(name))
            }
        };
        let here = self.voices().join(", ");
        match index.and_then(|index| self.voices.get(index)) {
            Some((_, Some(speaker))) => Ok(speaker),
            Some((name, None)) => Err(Error::argument(
                "voice",
                format_args!("the weights of {name} are not in {}; here are: {here}", self.label),
            )),
            None => Err(Error::argument(
                "voice",
                format_args!("{:?} is unknown; here are: {here}", name.unwrap_or_default()),
            )),
        }
    }
}

impl SpeechModel for HibariVoices {
    fn sample_rate(&self) -> u32 {
        SAMPLE_RATE
    }

    fn voices(&self) -> Vec<&str> {
        let here = self.voices.iter().filter(|(_, speaker)| speaker.is_some());
        here.map(|(name, _)| name.as_str()).collect()
    }

    fn default_voice(&self) -> &str {
        self.voices.get(self.default).map_or("", |(name, _)| name)
    }

    fn pieces(&self, text: &str, voice: &Voice) -> Result<Vec<String>> {
        self.sentences(text, voice)
    }

    fn sentences(&self, text: &str, voice: &Voice) -> Result<Vec<String>> {
        Ok(self.speaker(voice.name.as_deref())?.english.sentences(text))
    }

    fn speak<'a>(
        self: Arc<Self>,
        pieces: Pieces<'a>,
        voice: &Voice,
        whole: bool,
        cancel: &CancelToken,
    ) -> Result<Chunks<'a>> {
        check_speed(voice.speed)?;
        voice.usual("hibari")?;
        let speaker = Arc::clone(self.speaker(voice.name.as_deref())?);
        let mut speech = HibariSpeech {
            sentences: pieces,
            speaker,
            pieces: VecDeque::new(),
            utterance: None,
            speed: voice.speed,
            seed: voice.seed,
            cancel: cancel.clone(),
        };
        if !whole {
            return Ok(Box::new(speech));
        }
        speech.utterance = speech.next_utterance()?;
        if speech.utterance.is_none() {
            let reason = "there is nothing in it that the voice can say: it reads English words, numbers and dates";
            return Err(Error::argument("text", reason));
        }
        Ok(Box::new(speech))
    }

    fn unreadable(&self, text: &str, voice: &Voice) -> Result<BTreeSet<char>> {
        Ok(self.speaker(voice.name.as_deref())?.english.unreadable(text))
    }
}

/// A text being read aloud.
struct HibariSpeech<'a> {
    speaker: Arc<Speaker>,
    sentences: Pieces<'a>,
    /// Phonemes of the sentence that is being said.
    pieces: VecDeque<String>,
    utterance: Option<Utterance>,
    speed: f32,
    seed: u64,
    cancel: CancelToken,
}

impl HibariSpeech<'_> {
    fn end(&mut self) {
        self.utterance = None;
        self.pieces.clear();
        self.sentences = Box::new(std::iter::empty());
    }

    fn next_utterance(&mut self) -> Result<Option<Utterance>> {
        loop {
            while let Some(phonemes) = self.pieces.pop_front() {
                self.cancel.check(SPEECH)?;
                // Marks alone have no sound.
                if !English::has_sound(&phonemes) {
                    continue;
                }
                let (speed, seed) = (self.speed, self.seed);
                let utterance = self.speaker.network.say(&phonemes, speed, seed, &self.cancel)?;
                self.seed = self.seed.wrapping_add(1);
                return Ok(Some(utterance));
            }
            let Some(sentence) = self.sentences.next() else { return Ok(None) };
            let clauses =
                self.speaker.english.clauses_until(&sentence, MOST_PHONEMES, &self.cancel);
            self.pieces = clauses?.into();
        }
    }
}

impl Iterator for HibariSpeech<'_> {
    type Item = Result<Vec<f32>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let samples = match (&mut self.utterance, self.cancel.check(SPEECH)) {
                (Some(_), Err(cancelled)) => Some(Err(cancelled)),
                (Some(utterance), Ok(())) => utterance.next(),
                (None, _) => None,
            };
            if let Some(samples) = samples {
                if samples.is_err() {
                    self.end();
                }
                return Some(samples);
            }
            match self.next_utterance() {
                Ok(Some(next)) => self.utterance = Some(next),
                Ok(None) => {
                    self.end();
                    return None;
                }
                Err(error) => {
                    self.end();
                    return Some(Err(error));
                }
            }
        }
    }
}
