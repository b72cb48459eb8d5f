//! A phoneme string being said: samples as soon as they are certain.

use std::sync::Arc;

use super::prosody::stretch;
use super::{Hibari, decoder, vocoder};
use crate::Result;
use crate::generate::CancelToken;
use crate::sample::Normals;

/// Frames until the first samples: the decoder looks 27 frames ahead, and the first samples come soon.
const FIRST: usize = 27 + 16;
/// Frames at a time after that, in growing pieces: few products of many rows cost less.
const NEXT: [usize; 3] = [32, 64, 128];

/// Samples in pieces, at [`super::SAMPLE_RATE`], about −0.5 to 0.5. Together they are what one piece would be.
#[derive(Debug)]
pub struct Utterance {
    voice: Arc<Hibari>,
    /// `[frames, text + 2]`.
    frames: Vec<f32>,
    width: usize,
    /// Frames that were given to the decoder.
    given: usize,
    pieces: usize,
    decoder: decoder::Progress,
    sound: vocoder::Progress,
    noise: Normals,
}

impl Utterance {
    pub(super) fn new(
        voice: Arc<Hibari>,
        ids: &[usize],
        speed: f32,
        seed: u64,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let melody = voice.prosody.forward(ids, speed, cancel)?;
        let text_width = voice.text.width();
        let text = stretch(&voice.text.forward(ids, cancel)?, text_width, &melody.durations, 2);
        let width = text_width + decoder::EXTRAS;
        let mut frames = Vec::with_capacity(melody.pitch.len() * width);
        for ((text, pitch), energy) in
            text.chunks_exact(text_width).zip(&melody.pitch).zip(&melody.energy)
        {
            frames.extend_from_slice(text);
            frames.extend([pitch.max(0.0).ln_1p() / 5.0, energy / 5.0]);
        }
        Ok(Self {
            frames,
            width,
            given: 0,
            pieces: 0,
            decoder: voice.decoder.begin(),
            sound: voice.vocoder.begin(&melody.pitch),
            noise: Normals::new(seed),
            voice,
        })
    }

    /// Samples that there will be in all.
    pub fn samples(&self) -> usize {
        self.frames.len() / self.width * super::HOP
    }

    #[cfg(test)]
    pub(super) fn frames(&self) -> &[f32] {
        &self.frames
    }

    /// Gives the decoder up to `count` frames more and returns the samples that come of it.
    fn advance(&mut self, count: usize) -> Result<Vec<f32>> {
        let total = self.frames.len() / self.width;
        let end = self.given.saturating_add(count).min(total);
        let rows = self.frames.get(self.given * self.width..end * self.width).unwrap_or_default();
        self.given = end;
        let mut maps = self.voice.decoder.forward(&mut self.decoder, rows, end == total)?;
        let mut out = Vec::new();
        self.voice.vocoder.forward(
            &mut self.sound,
            &mut maps,
            &mut |pairs| self.noise.fill(pairs),
            &mut out,
        )?;
        Ok(out)
    }

    /// All samples in one piece.
    ///
    /// # Errors
    /// As the iterator.
    pub fn whole(mut self) -> Result<Vec<f32>> {
        self.advance(usize::MAX)
    }
}

impl Iterator for Utterance {
    type Item = Result<Vec<f32>>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.given * self.width < self.frames.len() {
            let count = match self.pieces {
                0 => FIRST,
                piece => NEXT.get(piece - 1).or(NEXT.last()).copied().unwrap_or(FIRST),
            };
            self.pieces += 1;
            match self.advance(count) {
                Ok(samples) if samples.is_empty() => {}
                Err(error) => {
                    self.given = self.frames.len() / self.width;
                    return Some(Err(error));
                }
                samples => return Some(samples),
            }
        }
        None
    }
}
