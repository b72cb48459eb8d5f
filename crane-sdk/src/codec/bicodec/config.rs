//! The sizes of a BiCodec, of which Spark-TTS's `config.yaml` files tell.

use serde::Deserialize;

use crate::codec::{MOST_FRAME_SAMPLES, SAMPLE_RATES, product};
use crate::source::{Source, yaml};
use crate::{Error, Result};

const FILE: &str = "BiCodec/config.yaml";
/// The most samples of a spectrum and the most mels, many times what is published: their filters are a table of both.
const MOST_SPECTRUM: usize = 1 << 14;
const MOST_MELS: usize = 1 << 10;

/// What `BiCodec/config.yaml` says of the parts that make sound.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct BiCodecConfig {
    pub(super) mel_params: MelParams,
    pub(super) decoder: Wave,
    pub(super) quantizer: Codebook,
    pub(super) speaker_encoder: Speaker,
    pub(super) prenet: Prenet,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct MelParams {
    pub sample_rate: u32,
    pub n_fft: usize,
    pub win_length: usize,
    pub hop_length: usize,
    pub mel_fmin: f64,
    pub mel_fmax: Option<f64>,
    pub num_mels: usize,
}

/// What the file says of the part that hears what is said: only cloning with a transcript needs it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct EncoderConfig {
    pub input_channels: usize,
    pub vocos_dim: usize,
    pub vocos_num_layers: usize,
    pub out_channels: usize,
    pub sample_ratios: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Wave {
    pub input_channel: usize,
    pub channels: usize,
    pub rates: Vec<usize>,
    pub kernel_sizes: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Codebook {
    pub codebook_size: usize,
    pub codebook_dim: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Speaker {
    pub out_dim: usize,
    pub latent_dim: usize,
    pub token_num: usize,
    pub fsq_levels: Vec<u32>,
    pub fsq_num_quantizers: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Prenet {
    pub vocos_dim: usize,
    pub vocos_num_layers: usize,
    pub sample_ratios: Vec<usize>,
    #[serde(default)]
    pub use_tanh_at_final: bool,
}

#[derive(Deserialize)]
struct File {
    audio_tokenizer: BiCodecConfig,
}

#[derive(Deserialize)]
struct EncoderFile {
    audio_tokenizer: Encoding,
}

#[derive(Deserialize)]
struct Encoding {
    encoder: EncoderConfig,
}

impl EncoderConfig {
    /// As [`BiCodecConfig::from_source`].
    pub(super) fn from_source(source: &dyn Source) -> Result<Self> {
        let EncoderFile { audio_tokenizer: Encoding { encoder } } = yaml::read(source, FILE)?;
        let sizes = [encoder.input_channels, encoder.vocos_dim, encoder.out_channels];
        if sizes.iter().any(|size| !(1..=1 << 16).contains(size))
            || encoder.vocos_num_layers > 256
            || encoder.sample_ratios.len() > 16
        {
            return Err(Error::invalid_file(FILE, "a size of the encoder is 0 or too large"));
        }
        if encoder.sample_ratios.iter().any(|ratio| *ratio != 1) {
            return Err(Error::Unsupported {
                what: format!("{FILE}: resampling between the encoder's layers"),
                hint: "Spark-TTS-0.5B as it was published has none".to_owned(),
            });
        }
        Ok(encoder)
    }
}

impl BiCodecConfig {
    /// Reads and checks `BiCodec/config.yaml` of a Spark-TTS folder.
    ///
    /// # Errors
    /// [`Error::NotFound`] without one, [`Error::InvalidFile`] if it is damaged, [`Error::Unsupported`] for a variant that
    /// was never published.
    pub fn from_source(source: &dyn Source) -> Result<Self> {
        let File { audio_tokenizer: config } = yaml::read(source, FILE)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        let Self { decoder, quantizer, speaker_encoder: speaker, prenet, mel_params: mel } = self;
        let sizes = [
            decoder.input_channel,
            decoder.channels,
            quantizer.codebook_size,
            quantizer.codebook_dim,
            speaker.out_dim,
            speaker.latent_dim,
            speaker.token_num,
            prenet.vocos_dim,
            mel.n_fft,
            mel.win_length,
            mel.hop_length,
            mel.num_mels,
            mel.sample_rate as usize,
        ];
        let highest = f64::from(mel.sample_rate) / 2.0;
        let stages = decoder.rates.len();
        let reason = if sizes.iter().any(|size| !(1..=1 << 16).contains(size)) {
            "a size is 0 or above 65536"
        } else if !SAMPLE_RATES.contains(&mel.sample_rate) {
            "the sample rate is not 4000 to 384000"
        } else if mel.n_fft > MOST_SPECTRUM || mel.num_mels > MOST_MELS {
            "its mel spectra have more than 16384 samples or 1024 mels"
        } else if mel.hop_length.saturating_mul(64) < mel.n_fft {
            "its mel spectra overlap more than 64 times"
        } else if mel.win_length > mel.n_fft
            || !mel.n_fft.is_multiple_of(2)
            || !(0.0..mel.mel_fmax.unwrap_or(highest)).contains(&mel.mel_fmin)
            || mel.mel_fmax.is_some_and(|most| most > highest)
        {
            "its mel spectra have windows longer than frames or frequencies out of range"
        } else if !(1..=8).contains(&stages) || decoder.kernel_sizes.len() != stages {
            "there must be 1 to 8 rates and a kernel size for each"
        } else if decoder.rates.iter().any(|rate| !(1..=64).contains(rate)) {
            "a rate is 0 or above 64"
        } else if product(decoder.rates.iter().copied()) > MOST_FRAME_SAMPLES {
            "a code has more than 65536 samples"
        } else if !decoder.channels.is_multiple_of(1 << stages) {
            "the decoder's channels cannot be halved at each stage"
        } else if prenet.vocos_num_layers > 256 || prenet.sample_ratios.len() > 16 {
            "there are too many layers"
        } else if speaker.fsq_levels.is_empty()
            || speaker.fsq_levels.iter().any(|levels| !(2..=64).contains(levels))
            || self.counted_speaker_codes().is_none()
        {
            "the levels of speaker tokens must be 2 to 64 and make less than 2³² tokens"
        } else if speaker.out_dim != decoder.input_channel {
            "speaker and decoder have different widths"
        } else {
            let variant = if prenet.sample_ratios.iter().any(|ratio| *ratio != 1) {
                "resampling between layers"
            } else if speaker.fsq_num_quantizers != 1 {
                "several quantisers of the speaker"
            } else if prenet.use_tanh_at_final {
                "tanh after the prenet"
            } else {
                return Ok(());
            };
            return Err(Error::Unsupported {
                what: format!("{FILE}: {variant}"),
                hint: "Spark-TTS-0.5B as it was published has none".to_owned(),
            });
        };
        Err(Error::invalid_file(FILE, reason))
    }

    /// Samples a second.
    pub fn sample_rate(&self) -> u32 {
        self.mel_params.sample_rate
    }

    /// How many values a code of what is said has.
    pub fn semantic_codes(&self) -> u32 {
        // Checked to be at most 2¹⁶.
        self.quantizer.codebook_size as u32
    }

    /// How many values a token of a speaker has.
    pub fn speaker_codes(&self) -> u32 {
        // Checked when the config was read.
        self.counted_speaker_codes().unwrap_or(u32::MAX)
    }

    fn counted_speaker_codes(&self) -> Option<u32> {
        let levels = &self.speaker_encoder.fsq_levels;
        levels.iter().try_fold(1u32, |product, levels| product.checked_mul(*levels))
    }
}
