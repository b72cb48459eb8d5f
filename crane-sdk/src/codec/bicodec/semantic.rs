//! A recording to the codes of what is said in it.

use super::backbone::{Backbone, plain_linear};
use super::config::{BiCodecConfig, EncoderConfig};
use super::wav2vec2::Wav2Vec2;
use super::{COPIES, SHORT, recording};
use crate::Result;
use crate::codec::residual::linear;
use crate::nn::slices::Linear;
use crate::source::{SafetensorsCheckpoint, Source, Subfolder};
use crate::weights::Floats;

/// Where Spark-TTS keeps the network that listens.
const LISTENER: &str = "wav2vec2-large-xlsr-53";

/// BiCodec's semantic encoder behind wav2vec 2.0: what [`Recording::said`](crate::pipeline::Recording::said) wants besides the
/// transcript. It takes a gigabyte and is needed once: encode, then let go of it.
///
/// ```no_run
/// # fn example(source: &dyn crane_sdk::source::Source, samples: &[f32]) -> crane_sdk::Result<()> {
/// use crane_sdk::codec::SemanticEncoder;
///
/// let codes = SemanticEncoder::from_source(source)?.encode(samples, 44_100)?; // 50 a second
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SemanticEncoder {
    pub(super) listener: Wav2Vec2,
    backbone: Backbone,
    between: Vec<Backbone>,
    project: Linear,
    project_in: Linear,
    /// `[size, dim]`, each of length 1.
    codebook: Vec<f32>,
    dim: usize,
    sample_rate: u32,
}

impl SemanticEncoder {
    /// Loads the encoder of a Spark-TTS folder and its `wav2vec2-large-xlsr-53`.
    ///
    /// # Errors
    /// As [`BiCodec::from_source`](super::BiCodec::from_source).
    pub fn from_source(source: &dyn Source) -> Result<Self> {
        let config = BiCodecConfig::from_source(source)?;
        let encoder = EncoderConfig::from_source(source)?;
        let checkpoint = SafetensorsCheckpoint::open(&Subfolder::new(source, "BiCodec"))?;
        let weights = Floats::new(&checkpoint);
        let EncoderConfig { input_channels, vocos_dim: width, vocos_num_layers, .. } = encoder;
        let (size, dim) = (config.quantizer.codebook_size, config.quantizer.codebook_dim);
        let between = |index: usize| {
            let name = format!("encoder.downsample.{index}.1");
            Backbone::load(&weights, &name, [width, width], SHORT, false)
        };
        let mut codebook = weights.tensor("quantizer.codebook.weight", &[size, dim])?;
        codebook.chunks_exact_mut(dim).for_each(to_length_one);
        Ok(Self {
            backbone: Backbone::load(
                &weights,
                "encoder.encoder",
                [width, input_channels],
                vocos_num_layers,
                false,
            )?,
            between: (0..encoder.sample_ratios.len()).map(between).collect::<Result<_>>()?,
            project: plain_linear(&weights, "encoder.project", encoder.out_channels, width)?,
            project_in: linear(&weights, "quantizer.in_project", dim, encoder.out_channels)?,
            listener: Wav2Vec2::from_source(&Subfolder::new(source, LISTENER))?,
            codebook,
            dim,
            sample_rate: config.sample_rate(),
        })
    }

    /// The codes of what is said in a mono recording of half a second to half a minute.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for one that is too short or long, silent, not finite or of an odd rate.
    pub fn encode(&self, samples: &[f32], sample_rate: u32) -> Result<Vec<u32>> {
        let samples = recording::whole(samples, sample_rate, self.sample_rate)?;
        let z = self.latent(&self.listener.forward(&samples)?)?;
        let rows = self.project_in.forward(&z)?;
        Ok(rows.chunks_exact(self.dim).map(|row| self.nearest(row)).collect())
    }

    /// `[frames, what the listener leaves]` to what is quantised.
    pub(super) fn latent(&self, x: &[f32]) -> Result<Vec<f32>> {
        let mut x = self.backbone.stream(&mut self.backbone.start(), None, x, true)?;
        for backbone in &self.between {
            x.iter_mut().for_each(|x| *x *= COPIES);
            x = backbone.stream(&mut backbone.start(), None, &x, true)?;
        }
        self.project.forward(&x)
    }

    /// The code of the smallest angle; of several the first.
    fn nearest(&self, row: &[f32]) -> u32 {
        let mut row = row.to_vec();
        to_length_one(&mut row);
        let mut best = (0, f32::NEG_INFINITY);
        for (code, known) in self.codebook.chunks_exact(self.dim).enumerate() {
            let likeness = row.iter().zip(known).map(|(a, b)| a * b).sum();
            if likeness > best.1 {
                best = (code, likeness);
            }
        }
        best.0 as u32
    }
}

fn to_length_one(row: &mut [f32]) {
    let square: f32 = row.iter().map(|x| x * x).sum();
    // As PyTorch's normalisation keeps the division apart from zero.
    let scale = 1.0 / square.sqrt().max(1e-12);
    row.iter_mut().for_each(|x| *x *= scale);
}
