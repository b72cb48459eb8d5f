//! A speaker's tokens to a vector: finite scalar quantisation (Mentzer et al. 2023), undone.

use super::BiCodecConfig;
use super::backbone::plain_linear;
use crate::nn::slices::Linear;
use crate::weights::Floats;
use crate::{Error, Result};

/// From tokens to the vector that steers the decoder.
#[derive(Debug)]
pub(super) struct SpeakerDecoder {
    levels: Vec<u32>,
    tokens: usize,
    codes: u32,
    latent: usize,
    project_out: Linear,
    project: Linear,
}

impl SpeakerDecoder {
    pub(super) fn load(weights: &Floats<'_>, config: &BiCodecConfig) -> Result<Self> {
        let speaker = &config.speaker_encoder;
        let (latent, tokens) = (speaker.latent_dim, speaker.token_num);
        let name = "speaker_encoder";
        let levels = speaker.fsq_levels.clone();
        Ok(Self {
            tokens,
            codes: config.speaker_codes(),
            latent,
            project_out: plain_linear(
                weights,
                &format!("{name}.quantizer.project_out"),
                latent,
                levels.len(),
            )?,
            project: plain_linear(
                weights,
                &format!("{name}.project"),
                speaker.out_dim,
                latent * tokens,
            )?,
            levels,
        })
    }

    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    /// As many tokens as the model has to its vector.
    pub(super) fn decode(&self, tokens: &[u32]) -> Result<Vec<f32>> {
        if tokens.len() != self.tokens {
            let reason = format_args!("are {} tokens, a speaker has {}", tokens.len(), self.tokens);
            return Err(Error::argument("speaker", reason));
        }
        if let Some(token) = tokens.iter().find(|token| **token >= self.codes) {
            let reason = format_args!("token {token} is not below {}", self.codes);
            return Err(Error::argument("speaker", reason));
        }
        // Digits of mixed base, the first dimension the fastest, −1 to just below 1 (to 1 for odd bases).
        let digits = |token: &u32| {
            let mut rest = *token;
            let digit = move |levels: &u32| {
                let digit = (rest % levels) as f32;
                rest /= levels;
                let half = (levels / 2) as f32;
                (digit - half) / half
            };
            self.levels.iter().map(digit).collect::<Vec<f32>>()
        };
        let codes: Vec<f32> = tokens.iter().flat_map(digits).collect();
        let rows = self.project_out.forward(&codes)?; // [tokens, latent]
        let columns = (0..self.latent)
            .flat_map(|column| rows.iter().skip(column).step_by(self.latent).copied());
        self.project.forward(&columns.collect::<Vec<f32>>())
    }
}
