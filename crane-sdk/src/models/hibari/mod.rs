//! hibari: a voice of six million parameters that speaks phonemes at 24 kHz, every frame at once.
//!
//! Two text encoders read the phonemes. One says how long each lasts, how high the voice is and how loud; the other, stretched to
//! those lengths, is turned by a stack of ConvNeXt blocks into five maps a frame of 12.5 ms, from which the vocoder makes a
//! spectrum. There is no recurrence and no sampling; a seed chooses the noise in breath and fricatives.
//! The layout is that of the ONNX file in the PyPI package `hibari-tts` (Apache-2.0), whose int8 matrices run as floats here.

mod decoder;
mod prosody;
mod pulses;
mod text_encoder;
mod utterance;
mod vocoder;

use std::collections::HashMap;
use std::sync::Arc;

use crate::generate::CancelToken;
use crate::nn::slices::Int8;
use crate::source::OnnxCheckpoint;
use crate::{Error, Result};
use decoder::Decoder;
use prosody::Prosody;
use text_encoder::TextEncoder;
pub use utterance::Utterance;
use vocoder::Vocoder;

/// Samples a second.
pub const SAMPLE_RATE: u32 = 24_000;
/// Samples a frame.
const HOP: usize = 300;
/// Frequencies of a frame's spectrum.
const BINS: usize = 601;
/// Spectral maps a frame: harmonic magnitude and phase, noise magnitude, free magnitude and phase.
const MAPS: usize = 5;
/// The most phonemes at a time: far above what a sentence has, since attention grows with their square.
const MAX_PHONEMES: usize = 2000;

/// One voice.
///
/// ```no_run
/// # fn example(source: &dyn crane_sdk::source::Source) -> crane_sdk::Result<()> {
/// use crane_sdk::generate::CancelToken;
/// use crane_sdk::models::hibari::Hibari;
/// use crane_sdk::source::OnnxCheckpoint;
///
/// let weights = OnnxCheckpoint::read(source.open("hibari.onnx")?.as_ref())?;
/// let vocabulary = serde_json::from_slice(&source.open("vocab.json")?.read_all()?).unwrap();
/// let voice = std::sync::Arc::new(Hibari::new(&weights, vocabulary)?);
/// for samples in voice.say("həlˈO ðˈɛɹ.", 1.0, 0, &CancelToken::new())? {
///     println!("{} samples", samples?.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Hibari {
    vocabulary: HashMap<char, usize>,
    text: TextEncoder,
    prosody: Prosody,
    decoder: Decoder,
    vocoder: Vocoder,
}

impl Hibari {
    /// A voice of its weights and the ids of phonemes (`vocab.json`).
    ///
    /// # Errors
    /// [`Error::Weights`] for tensors that are missing or of another shape, [`Error::InvalidArgument`] for a phoneme whose id
    /// the network does not have.
    pub fn new(weights: &OnnxCheckpoint, vocabulary: HashMap<char, usize>) -> Result<Self> {
        let [rows, _] = weights.shape("m.text.emb.weight")?;
        if let Some((phoneme, id)) = vocabulary.iter().find(|(_, id)| **id >= rows) {
            let reason = format_args!("{phoneme:?} has the id {id}, and the voice has {rows}");
            return Err(Error::argument("vocab.json", reason));
        }
        let text = TextEncoder::load(weights, "m.text", Int8::Multiplied)?;
        let decoder = Decoder::load(weights, text.width())?;
        Ok(Self {
            vocabulary,
            text,
            prosody: Prosody::load(weights)?,
            decoder,
            vocoder: Vocoder::new(),
        })
    }

    /// The ids of a phoneme string between two silences; phonemes that the voice does not know are left out.
    pub fn ids(&self, phonemes: &str) -> Vec<usize> {
        let known = phonemes.chars().filter_map(|phoneme| self.vocabulary.get(&phoneme).copied());
        std::iter::once(0).chain(known).chain([0]).collect()
    }

    /// Begins to say phonemes: finds their melody, unless that is cancelled, which is looked at before each layer. `speed`
    /// is from 0.5 (slow) to 2; `seed` chooses the noise.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if there is no phoneme or too many, or for another speed; [`Error::Unsupported`] if it was
    /// cancelled.
    pub fn say(
        self: &Arc<Self>,
        phonemes: &str,
        speed: f32,
        seed: u64,
        cancel: &CancelToken,
    ) -> Result<Utterance> {
        let ids = self.ids(phonemes);
        check_speed(speed)?;
        if ids.len() < 3 {
            return Err(Error::argument("text", "there is nothing in it that the voice can say"));
        }
        if ids.len() > MAX_PHONEMES {
            let reason = format_args!(
                "a sentence of it has {} sounds, and at most {MAX_PHONEMES} are said in one go; end it earlier, with a \
                 full stop",
                ids.len()
            );
            return Err(Error::argument("text", reason));
        }
        Utterance::new(Arc::clone(self), &ids, speed, seed, cancel)
    }
}

/// Refuses a speed that the network was not made for.
///
/// # Errors
/// [`Error::InvalidArgument`].
pub fn check_speed(speed: f32) -> Result<()> {
    if (0.5..=2.0).contains(&speed) {
        return Ok(());
    }
    Err(Error::argument("speed", format_args!("{speed} is not from 0.5 (slow) to 2 (fast)")))
}

#[cfg(test)]
mod tests;
