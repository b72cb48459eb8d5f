//! A recording to the tokens of its speaker.

use super::backbone::plain_linear;
use super::config::BiCodecConfig;
use super::ecapa::Ecapa;
use super::perceiver::Perceiver;
use super::{mel, recording};
use crate::Result;
use crate::nn::slices::Linear;
use crate::source::{SafetensorsCheckpoint, Source, Subfolder};
use crate::weights::Floats;

/// Seconds of a recording that are listened to.
const SECONDS: usize = 6;
/// How much wider than its levels the quantiser's range is, so that the outer ones are reached.
const WIDER: f32 = 1.001;

/// BiCodec's speaker encoder: what [`BiCodecVoice::new`](super::BiCodecVoice::new) takes, of a recording.
///
/// ```no_run
/// # fn example(source: &dyn crane_sdk::source::Source, samples: &[f32]) -> crane_sdk::Result<()> {
/// use crane_sdk::codec::SpeakerEncoder;
///
/// let tokens = SpeakerEncoder::from_source(source)?.encode(samples, 44_100)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SpeakerEncoder {
    config: BiCodecConfig,
    ecapa: Ecapa,
    perceiver: Perceiver,
    project_in: Linear,
}

impl SpeakerEncoder {
    /// Loads the encoder of a Spark-TTS folder.
    ///
    /// # Errors
    /// As [`BiCodec::from_source`](super::BiCodec::from_source).
    pub fn from_source(source: &dyn Source) -> Result<Self> {
        let config = BiCodecConfig::from_source(source)?;
        let checkpoint = SafetensorsCheckpoint::open(&Subfolder::new(source, "BiCodec"))?;
        let weights = Floats::new(&checkpoint);
        let speaker = &config.speaker_encoder;
        let sizes = [speaker.token_num, speaker.latent_dim];
        Ok(Self {
            ecapa: Ecapa::load(
                &weights,
                "speaker_encoder.speaker_encoder",
                config.mel_params.num_mels,
            )?,
            perceiver: Perceiver::load(&weights, "speaker_encoder.perceiver_sampler", sizes)?,
            project_in: plain_linear(
                &weights,
                "speaker_encoder.quantizer.project_in",
                speaker.fsq_levels.len(),
                speaker.latent_dim,
            )?,
            config,
        })
    }

    /// The tokens of whoever speaks in a mono recording of half a second or more; its first six seconds count.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for one that is too short, silent, not finite or of an odd rate.
    pub fn encode(&self, samples: &[f32], sample_rate: u32) -> Result<Vec<u32>> {
        let params = &self.config.mel_params;
        let length = SECONDS * params.sample_rate as usize;
        let clip = recording::clip(samples, sample_rate, params.sample_rate, length)?;
        let frames = self.ecapa.forward(&mel::spectra(&clip, params)?)?;
        let rows = self.project_in.forward(&self.perceiver.forward(&frames)?)?;
        let levels = &self.config.speaker_encoder.fsq_levels;
        Ok(rows.chunks_exact(levels.len()).map(|row| quantize(row, levels)).collect())
    }
}

/// A token of numbers: each bounded, rounded to one of its levels, and a digit of the token, the first the lowest.
fn quantize(row: &[f32], levels: &[u32]) -> u32 {
    let mut base = 1;
    let mut token = 0;
    for (x, levels) in row.iter().zip(levels) {
        let half = (levels - 1) as f32 * WIDER / 2.0;
        let offset = if levels % 2 == 0 { 0.5 } else { 0.0 };
        let bounded = (x + (offset / half).atanh()).tanh() * half - offset;
        let digit = bounded.round_ties_even() as i64 + i64::from(levels / 2);
        token += digit.clamp(0, i64::from(levels - 1)) as u32 * base;
        base *= levels;
    }
    token
}
