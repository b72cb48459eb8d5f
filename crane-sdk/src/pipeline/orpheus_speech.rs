//! Reading aloud with Orpheus: a language model writes codes, the codec makes sound of them as they come.

use std::sync::Arc;

use super::text_pieces::{Prompts, prompts};
use super::text_to_speech::{Chunks, Pieces, SpeechModel, Voice};
use super::{AutoModelForCausalLM, AutoTokenizer};
use crate::codec::{Codec, CodecStream, Noise, Snac, SnacStream, is_snac};
use crate::generate::{CancelToken, FinishReason, GenerationConfig, SPEECH, Session, Step};
use crate::models::orpheus::{CODES, FRAME, Frames, VOICES, Vocabulary};
use crate::models::{LoadOptions, Room};
use crate::sample::SamplingParams;
use crate::source::{Source, Subfolder};
use crate::{Error, Result};

/// The most tokens of a piece of text and its speech together: 48 seconds, where the longest piece takes some 20.
pub(super) const MOST_TOKENS: usize = 4096;

/// Orpheus: the language model and the codec.
#[derive(Debug)]
pub(super) struct OrpheusVoices {
    model: AutoModelForCausalLM,
    tokenizer: AutoTokenizer,
    vocabulary: Vocabulary,
    codec: Arc<Snac>,
}

impl OrpheusVoices {
    pub(super) fn load(
        source: &dyn Source,
        tokenizer: &AutoTokenizer,
        vocabulary: Vocabulary,
        options: &LoadOptions,
        room: &mut Room<'_>,
    ) -> Result<Self> {
        // The codec first: what is wrong with it is said before gigabytes are read.
        let codec = codec(source)?;
        let model = AutoModelForCausalLM::load_within(source, options, room)?;
        let known = model.info().vocab_size;
        if known < vocabulary.end() as usize {
            return Err(Error::Unsupported {
                what: format!("speech from {}", source.label()),
                hint: format!(
                    "its vocabulary names the tokens of Orpheus up to {}, but the model knows {known}",
                    vocabulary.end()
                ),
            });
        }
        Ok(Self { model, tokenizer: tokenizer.clone(), vocabulary, codec: Arc::new(codec) })
    }
}

/// The folder below the model that has a codec.
pub(super) fn codec_folder(source: &dyn Source) -> Result<String> {
    for file in source.files()? {
        let Some(folder) = file.strip_suffix("config.json").filter(|folder| !folder.is_empty())
        else {
            continue;
        };
        if is_snac(&Subfolder::new(source, folder)) {
            return Ok(folder.to_owned());
        }
    }
    Err(Error::NotFound {
        what: "the codec SNAC".to_owned(),
        place: source.label(),
        hint: "put config.json and pytorch_model.bin of hubertsiuzdak/snac_24khz into a folder snac_24khz in the model's"
            .to_owned(),
    })
}

fn codec(source: &dyn Source) -> Result<Snac> {
    let folder = codec_folder(source)?;
    let codec = Snac::from_source(&Subfolder::new(source, &folder))?;
    if (codec.frame_codes(), codec.codebook_size()) == (FRAME, CODES as usize) {
        return Ok(codec);
    }
    Err(Error::Unsupported {
        what: format!("{folder}config.json with {} codes a frame", codec.frame_codes()),
        hint: "Orpheus speaks through hubertsiuzdak/snac_24khz".to_owned(),
    })
}

impl SpeechModel for OrpheusVoices {
    fn sample_rate(&self) -> u32 {
        self.codec.sample_rate()
    }

    fn voices(&self) -> Vec<&str> {
        VOICES.to_vec()
    }

    fn default_voice(&self) -> &str {
        let [first, ..] = VOICES;
        first
    }

    fn speak<'a>(
        self: Arc<Self>,
        pieces: Pieces<'a>,
        voice: &Voice,
        whole: bool,
        cancel: &CancelToken,
    ) -> Result<Chunks<'a>> {
        if voice.speed != 1.0 {
            let reason = "Orpheus cannot be told how fast to speak; leave it at 1";
            return Err(Error::argument("speed", reason));
        }
        voice.usual("Orpheus")?;
        let name = voice.name.as_deref().unwrap_or(self.default_voice());
        let name =
            VOICES.iter().find(|known| known.eq_ignore_ascii_case(name)).ok_or_else(|| {
                let here = VOICES.join(", ");
                Error::argument("voice", format_args!("{name:?} is unknown; here are: {here}"))
            })?;
        let voices = self.clone();
        let prompts = prompts(pieces, whole, cancel, move |piece| {
            voices.vocabulary.prompt(&voices.tokenizer, Some(name), piece)
        })?;
        let context = self.model.context().min(MOST_TOKENS);
        let session = Session::without_text(self.model.model().clone(), context)?;
        Ok(Box::new(OrpheusSpeech {
            voices: self,
            session,
            prompts,
            piece: None,
            seed: voice.seed,
            cancel: cancel.clone(),
        }))
    }
}

/// A text being read aloud.
struct OrpheusSpeech<'a> {
    voices: Arc<OrpheusVoices>,
    session: Session,
    prompts: Prompts<'a>,
    piece: Option<Piece>,
    seed: u64,
    cancel: CancelToken,
}

/// A piece of text being said.
#[derive(Debug)]
struct Piece {
    frames: Frames,
    sound: SnacStream,
    /// Whether a frame has come.
    spoken: bool,
}

impl OrpheusSpeech<'_> {
    /// The next samples; `None` at the end of the text.
    fn advance(&mut self) -> Result<Option<Vec<f32>>> {
        loop {
            self.cancel.check(SPEECH)?;
            let Some(piece) = &mut self.piece else {
                let Some(prompt) = self.prompts.next() else { return Ok(None) };
                self.begin(&prompt?)?;
                continue;
            };
            let samples = match self.session.step()? {
                Step::Prefill { .. } => continue,
                Step::Piece(token) => {
                    let frame = token.id.and_then(|id| piece.frames.push(id));
                    let Some(frame) = frame else { continue };
                    piece.spoken = true;
                    piece.sound.push(&frame, false)?
                }
                Step::Done => self.end()?,
            };
            if !samples.is_empty() {
                return Ok(Some(samples));
            }
        }
    }

    fn begin(&mut self, prompt: &[u32]) -> Result<()> {
        let OrpheusVoices { vocabulary, codec, .. } = self.voices.as_ref();
        // What the model's authors sample with.
        let sampling = SamplingParams {
            temperature: 0.6,
            top_p: 0.8,
            repetition_penalty: 1.3,
            seed: Some(self.seed),
            ..SamplingParams::default()
        };
        let eos_ids = vocabulary.end_ids().to_vec();
        let config = GenerationConfig { sampling, eos_ids, ..GenerationConfig::default() };
        self.session.begin(prompt, &config, &self.cancel)?;
        self.piece = Some(Piece {
            frames: Frames::new(*vocabulary),
            sound: codec.clone().begin(Noise::Seed(self.seed)),
            spoken: false,
        });
        self.seed = self.seed.wrapping_add(1);
        Ok(())
    }

    /// The rest of a piece.
    fn end(&mut self) -> Result<Vec<f32>> {
        let output = self.session.finish();
        // It may have ended because of that.
        self.cancel.check(SPEECH)?;
        let Some(mut piece) = self.piece.take() else { return Ok(Vec::new()) };
        let spoke_on = output.is_some_and(|output| output.finish_reason == FinishReason::Length);
        if spoke_on || !piece.spoken {
            let how = if spoke_on { "did not come to an end" } else { "made no sound" };
            return Err(Error::argument(
                "seed",
                format_args!("with {} the model {how}; try another", self.seed.wrapping_sub(1)),
            ));
        }
        piece.sound.push(&[], true)
    }
}

impl Iterator for OrpheusSpeech<'_> {
    type Item = Result<Vec<f32>>;

    fn next(&mut self) -> Option<Self::Item> {
        let samples = self.advance();
        if samples.is_err() {
            self.prompts = Box::new(std::iter::empty());
            self.piece = None;
        }
        samples.transpose()
    }
}
