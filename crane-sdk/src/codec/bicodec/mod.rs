//! BiCodec (Wang et al. 2025): what is said in one stream of codes, who says it in a few tokens.

mod backbone;
mod config;
mod ecapa;
mod encoder;
mod mel;
mod perceiver;
mod recording;
mod semantic;
mod speaker;
#[cfg(test)]
mod tests;
mod wav2vec2;

use std::sync::Arc;

use super::residual::{linear, snake};
use super::upsampling::{StageState, UpsamplingStage};
use super::{Codec, CodecStream, Noise, float_bytes};
use crate::nn::slices::{Conv, Linear, Snake, Window};
use crate::source::{SafetensorsCheckpoint, Source, Subfolder};
use crate::weights::Floats;
use crate::{Error, Result};
use backbone::{Adapters, Backbone, BackboneState, Norms, plain_linear};
use speaker::SpeakerDecoder;

pub use config::BiCodecConfig;
pub use encoder::SpeakerEncoder;
pub use semantic::SemanticEncoder;

/// Taps of the first and the last convolution.
const TAPS: usize = 7;
/// What a sampling block without resampling does: it adds its input to two copies of it.
const COPIES: f32 = 3.0;
/// ConvNeXt blocks between two sampling blocks.
const SHORT: usize = 2;

/// BiCodec's decoder, for any speaker.
///
/// ```no_run
/// # fn example(source: &dyn crane_sdk::source::Source, speaker: &[u32], codes: &[u32]) -> crane_sdk::Result<()> {
/// use std::sync::Arc;
///
/// use crane_sdk::codec::{BiCodec, BiCodecVoice, Codec, Noise};
///
/// let codec = Arc::new(BiCodec::from_source(source)?);
/// let voice = BiCodecVoice::new(codec, speaker)?;
/// let samples = voice.decode(codes, Noise::Off)?; // mono, 16 kHz, 320 a code
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BiCodec {
    config: BiCodecConfig,
    /// `[size, dim]`.
    codebook: Vec<f32>,
    project_out: Linear,
    speaker: SpeakerDecoder,
    narrow: Linear,
    between: Vec<Backbone>,
    backbone: Backbone,
    adapters: Adapters,
    widen: Linear,
    first: Conv,
    stages: Vec<UpsamplingStage>,
    snake: Snake,
    last: Conv,
}

impl BiCodec {
    /// Loads the decoder of a Spark-TTS folder, whose `BiCodec` has `config.yaml` and `model.safetensors`.
    ///
    /// # Errors
    /// As [`BiCodecConfig::from_source`]; [`Error::Weights`] if a tensor does not fit.
    pub fn from_source(source: &dyn Source) -> Result<Self> {
        let config = BiCodecConfig::from_source(source)?;
        let checkpoint = SafetensorsCheckpoint::open(&Subfolder::new(source, "BiCodec"))?;
        let weights = Floats::new(&checkpoint);
        let codec = Self::load(&weights, config)?;
        weights.finish(&[
            "encoder.",
            "postnet.",
            "quantizer.",
            "speaker_encoder.",
            "mel_transformer.",
        ])?;
        Ok(codec)
    }

    /// Bytes that the decoder and the speaker encoder take once they are loaded, from the head of their file.
    ///
    /// # Errors
    /// As [`SafetensorsCheckpoint::open`].
    pub(crate) fn bytes(source: &dyn Source) -> Result<u64> {
        let checkpoint = SafetensorsCheckpoint::open(&Subfolder::new(source, "BiCodec"))?;
        Ok(float_bytes(&checkpoint, &["decoder.", "prenet.", "quantizer.", "speaker_encoder."]))
    }

    fn load(weights: &Floats<'_>, config: BiCodecConfig) -> Result<Self> {
        let (size, dim) = (config.quantizer.codebook_size, config.quantizer.codebook_dim);
        let (latent, width) = (config.decoder.input_channel, config.prenet.vocos_dim);
        let layers = config.prenet.vocos_num_layers;
        let conv = |name: &str, outputs: usize, inputs: usize| {
            let weight = weights.weight(name, &[outputs, inputs, TAPS])?;
            let bias = weights.tensor(&format!("{name}.bias"), &[outputs])?;
            Conv::new(&weight, &bias, [inputs, TAPS], 1)
        };
        let channels = config.decoder.channels;
        let rates = config.decoder.rates.iter().zip(&config.decoder.kernel_sizes);
        let stage = |(index, (rate, taps)): (usize, (&usize, &usize))| {
            let name = format!("decoder.model.{}", index + 1);
            let widths = [channels >> index, channels >> (index + 1)];
            let up = format!("{name}.block.1");
            let [_, _, found] = weights.weight_shape(&up)?;
            if found != *taps || taps < rate {
                return Err(weights.misfit(
                    &up,
                    format_args!("{found} taps, the config says {taps} for a rate of {rate}"),
                ));
            }
            UpsamplingStage::load(weights, &name, widths, *rate, |taps| (taps - rate) / 2, false)
        };
        let stages = rates.enumerate().map(stage).collect::<Result<Vec<_>>>()?;
        let end = channels >> stages.len();
        let between = |index: usize| {
            let name = format!("prenet.downsample.{index}.1");
            Backbone::load(weights, &name, [width, width], SHORT, false)
        };
        let backbone = "prenet.vocos_backbone";
        Ok(Self {
            codebook: weights.tensor("quantizer.codebook.weight", &[size, dim])?,
            project_out: linear(weights, "quantizer.out_project", latent, dim)?,
            speaker: SpeakerDecoder::load(weights, &config)?,
            narrow: plain_linear(weights, "prenet.linear_pre", width, latent)?,
            between: (0..config.prenet.sample_ratios.len()).map(between).collect::<Result<_>>()?,
            backbone: Backbone::load(weights, backbone, [width, width], layers, true)?,
            adapters: Adapters::load(weights, backbone, [width, latent], layers)?,
            widen: plain_linear(weights, "prenet.linear", latent, width)?,
            first: conv("decoder.model.0", channels, latent)?,
            snake: snake(weights, &format!("decoder.model.{}", stages.len() + 1), end)?,
            last: conv(&format!("decoder.model.{}", stages.len() + 2), 1, end)?,
            stages,
            config,
        })
    }

    /// Tokens of a speaker.
    pub fn speaker_tokens(&self) -> usize {
        self.speaker.tokens()
    }
}

/// BiCodec with the voice of one speaker. A frame is one code.
#[derive(Debug)]
pub struct BiCodecVoice {
    codec: Arc<BiCodec>,
    speaker: Vec<f32>,
    norms: Norms,
}

impl BiCodecVoice {
    /// The voice of [`BiCodec::speaker_tokens`] tokens.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for another number of tokens or one that does not exist.
    pub fn new(codec: Arc<BiCodec>, speaker: &[u32]) -> Result<Self> {
        let speaker = codec.speaker.decode(speaker)?;
        let norms = codec.adapters.norms(&speaker)?;
        Ok(Self { codec, speaker, norms })
    }

    /// As [`Codec::stream`], for those who keep the stream longer than a borrow.
    pub fn begin(self: Arc<Self>) -> BiCodecStream {
        let state = self.start();
        BiCodecStream { voice: self, state }
    }

    fn start(&self) -> State {
        let codec = &self.codec;
        State {
            between: codec.between.iter().map(Backbone::start).collect(),
            backbone: codec.backbone.start(),
            first: codec.first.window(),
            stages: codec.stages.iter().map(|stage| stage.start(None)).collect(),
            last: codec.last.window(),
            ended: false,
        }
    }

    fn push(&self, state: &mut State, codes: &[u32], last: bool) -> Result<Vec<f32>> {
        let codec = &self.codec;
        if state.ended {
            return Err(Error::argument(
                "frames",
                "the last one has been given; begin another stream",
            ));
        }
        let dim = codec.config.quantizer.codebook_dim;
        let row = |code: &u32| {
            let at = *code as usize * dim;
            codec.codebook.get(at..at + dim).ok_or_else(|| {
                let size = codec.codebook.len() / dim;
                Error::argument("frames", format_args!("code {code} is not below {size}"))
            })
        };
        let rows = codes.iter().map(row).collect::<Result<Vec<_>>>()?.concat();
        state.ended = last;
        let mut x = codec.narrow.forward(&codec.project_out.forward(&rows)?)?;
        for (backbone, state) in codec.between.iter().zip(&mut state.between) {
            x.iter_mut().for_each(|x| *x *= COPIES);
            x = backbone.stream(state, None, &x, last)?;
        }
        x = codec.backbone.stream(&mut state.backbone, Some(&self.norms), &x, last)?;
        x = codec.widen.forward(&x)?;
        for row in x.chunks_exact_mut(self.speaker.len()) {
            crate::nn::slices::add(row, &self.speaker);
        }
        x = codec.first.stream(&mut state.first, &x, last)?;
        for (stage, state) in codec.stages.iter().zip(&mut state.stages) {
            x = stage.stream(state, x, last, |_| {})?;
        }
        codec.snake.forward(&mut x);
        x = codec.last.stream(&mut state.last, &x, last)?;
        x.iter_mut().for_each(|x| *x = x.tanh());
        Ok(x)
    }
}

impl Codec for BiCodecVoice {
    fn sample_rate(&self) -> u32 {
        self.codec.config.mel_params.sample_rate
    }

    fn frame_samples(&self) -> usize {
        super::product(self.codec.config.decoder.rates.iter().copied())
    }

    fn frame_codes(&self) -> usize {
        1
    }

    fn codebook_size(&self) -> usize {
        self.codec.config.quantizer.codebook_size
    }

    /// It has no noise: the choice does not matter.
    fn stream(&self, _: Noise) -> Box<dyn CodecStream + '_> {
        Box::new(Borrowed { voice: self, state: self.start() })
    }
}

/// What later samples need.
#[derive(Debug)]
struct State {
    between: Vec<BackboneState>,
    backbone: BackboneState,
    first: Window,
    stages: Vec<StageState>,
    last: Window,
    ended: bool,
}

#[derive(Debug)]
struct Borrowed<'a> {
    voice: &'a BiCodecVoice,
    state: State,
}

impl CodecStream for Borrowed<'_> {
    fn push(&mut self, frames: &[u32], last: bool) -> Result<Vec<f32>> {
        self.voice.push(&mut self.state, frames, last)
    }
}

/// Codes being decoded with a voice that the stream holds itself.
#[derive(Debug)]
pub struct BiCodecStream {
    voice: Arc<BiCodecVoice>,
    state: State,
}

impl CodecStream for BiCodecStream {
    fn push(&mut self, frames: &[u32], last: bool) -> Result<Vec<f32>> {
        self.voice.push(&mut self.state, frames, last)
    }
}
