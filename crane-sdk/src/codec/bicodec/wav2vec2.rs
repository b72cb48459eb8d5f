//! wav2vec 2.0 (Baevski et al. 2020) up to its sixteenth layer: what of a recording belongs to what is said.

use serde::Deserialize;

use super::backbone::plain_linear;
use crate::codec::MOST_TAPS;
use crate::kernels::rows::gelu;
use crate::nn::slices::{Conv, EncoderLayer, LayerNorm, Linear, add};
use crate::source::{Checkpoint, SafetensorsCheckpoint, Source, TorchCheckpoint, json};
use crate::weights::Floats;
use crate::{Error, Result};

/// Spark-TTS listens to the mean of what these layers leave.
const HEARD: [usize; 3] = [11, 14, 16];
/// What is added to the variance of the samples.
const VARIANCE: f64 = 1e-7;

/// What `config.json` says of the network.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Config {
    conv_dim: Vec<usize>,
    conv_kernel: Vec<usize>,
    conv_stride: Vec<usize>,
    #[serde(default)]
    conv_bias: bool,
    do_stable_layer_norm: bool,
    feat_extract_norm: String,
    hidden_size: usize,
    intermediate_size: usize,
    layer_norm_eps: f32,
    num_attention_heads: usize,
    num_conv_pos_embedding_groups: usize,
    num_conv_pos_embeddings: usize,
    num_hidden_layers: usize,
}

/// The network.
#[derive(Debug)]
pub(super) struct Wav2Vec2 {
    /// Each with its stride.
    convs: Vec<(Conv, LayerNorm, usize)>,
    norm: LayerNorm,
    projection: Linear,
    positions: Positions,
    layers: Vec<EncoderLayer>,
}

/// A convolution in groups that tells places apart.
#[derive(Debug)]
struct Positions {
    groups: Vec<Conv>,
    /// Channels of a group.
    size: usize,
    taps: usize,
}

impl Config {
    fn check(&self, file: &str) -> Result<()> {
        let sizes = [
            self.hidden_size,
            self.intermediate_size,
            self.num_attention_heads,
            self.num_conv_pos_embedding_groups,
            self.num_conv_pos_embeddings,
        ];
        let convs = self.conv_dim.iter().chain(&self.conv_kernel).chain(&self.conv_stride);
        let count = self.conv_dim.len();
        let reason = if sizes.iter().chain(convs).any(|size| !(1..=1 << 16).contains(size)) {
            "a size is 0 or above 65536"
        } else if !(1..=16).contains(&count)
            || [&self.conv_kernel, &self.conv_stride].iter().any(|list| list.len() != count)
        {
            "there must be 1 to 16 convolutions, each with a kernel and a stride"
        } else if !self.hidden_size.is_multiple_of(self.num_attention_heads)
            || !self.hidden_size.is_multiple_of(self.num_conv_pos_embedding_groups)
        {
            "heads or groups do not divide the width"
        } else if self.conv_kernel.iter().any(|taps| *taps > MOST_TAPS)
            || self.num_conv_pos_embeddings > MOST_TAPS
        {
            "a convolution has more than 1024 taps"
        } else if !(0.0..1.0).contains(&self.layer_norm_eps) {
            "layer_norm_eps is not from 0 to 1"
        } else if self.num_hidden_layers < HEARD.into_iter().max().unwrap_or_default() {
            "it has fewer layers than are listened to: 16"
        } else if !(self.do_stable_layer_norm
            && self.conv_bias
            && self.feat_extract_norm == "layer")
        {
            return Err(Error::Unsupported {
                what: format!(
                    "{file}: a network that is not normalised as wav2vec2-large-xlsr-53 is"
                ),
                hint: "Spark-TTS's own is needed, in its folder wav2vec2-large-xlsr-53".to_owned(),
            });
        } else {
            return Ok(());
        };
        Err(Error::invalid_file(file, reason))
    }
}

impl Wav2Vec2 {
    /// Loads a folder with `config.json` and `pytorch_model.bin` or `model.safetensors`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if a file is missing, [`Error::InvalidFile`] if one is damaged, [`Error::Weights`] if a tensor does not
    /// fit, [`Error::Unsupported`] for another kind of network.
    pub(super) fn from_source(source: &dyn Source) -> Result<Self> {
        let config: Config = json::read(source, "config.json")?;
        config.check("config.json")?;
        let plain = source.contains("model.safetensors")?;
        let checkpoint: Box<dyn Checkpoint> = match plain {
            true => Box::new(SafetensorsCheckpoint::open(source)?),
            false => Box::new(TorchCheckpoint::open(source)?),
        };
        Self::load(&Floats::new(checkpoint.as_ref()), &config)
    }

    fn load(weights: &Floats<'_>, config: &Config) -> Result<Self> {
        let norm = |name: &str, width: usize| -> Result<LayerNorm> {
            let part = |part| weights.tensor(&format!("wav2vec2.{name}.{part}"), &[width]);
            Ok(LayerNorm::new(part("weight")?, part("bias")?, config.layer_norm_eps))
        };
        let linear = |name: &str, outputs: usize, inputs: usize| {
            plain_linear(weights, &format!("wav2vec2.{name}"), outputs, inputs)
        };
        let mut convs = Vec::new();
        let mut inputs = 1;
        let kinds = config.conv_dim.iter().zip(&config.conv_kernel).zip(&config.conv_stride);
        for (index, ((outputs, taps), stride)) in kinds.enumerate() {
            let name = format!("feature_extractor.conv_layers.{index}");
            let tensor = |part: &str, shape: &[usize]| {
                weights.tensor(&format!("wav2vec2.{name}.conv.{part}"), shape)
            };
            let weight = tensor("weight", &[*outputs, inputs, *taps])?;
            let conv = Conv::new(&weight, &tensor("bias", &[*outputs])?, [inputs, *taps], 1)?;
            convs.push((conv, norm(&format!("{name}.layer_norm"), *outputs)?, *stride));
            inputs = *outputs;
        }
        let (width, hidden) = (config.hidden_size, config.intermediate_size);
        let layer = |index: usize| {
            let name = format!("encoder.layers.{index}");
            let attention = |part: &str| format!("wav2vec2.{name}.attention.{part}_proj");
            let fused = |part: &str, shape: &[usize]| {
                let parts = ["q", "k", "v"]
                    .map(|each| weights.tensor(&format!("{}.{part}", attention(each)), shape));
                Ok::<_, Error>(parts.into_iter().collect::<Result<Vec<_>>>()?.concat())
            };
            let query_key_value =
                Linear::new(&fused("weight", &[width, width])?, &fused("bias", &[width])?)?;
            Ok(EncoderLayer::new(
                [
                    norm(&format!("{name}.layer_norm"), width)?,
                    norm(&format!("{name}.final_layer_norm"), width)?,
                ],
                [query_key_value, plain_linear(weights, &attention("out"), width, width)?],
                [
                    linear(&format!("{name}.feed_forward.intermediate_dense"), hidden, width)?,
                    linear(&format!("{name}.feed_forward.output_dense"), width, hidden)?,
                ],
                [width, config.num_attention_heads],
            ))
        };
        let last = HEARD.into_iter().max().unwrap_or_default();
        Ok(Self {
            convs,
            norm: norm("feature_projection.layer_norm", inputs)?,
            projection: linear("feature_projection.projection", width, inputs)?,
            positions: Positions::load(weights, config)?,
            layers: (0..last).map(layer).collect::<Result<_>>()?,
        })
    }

    /// Samples at 16 kHz, all of them, to `[frames, width]`, a frame for every 320 samples but the last one.
    pub(super) fn forward(&self, samples: &[f32]) -> Result<Vec<f32>> {
        self.observed(samples, &mut |_, _| {})
    }

    /// As [`Wav2Vec2::forward`], showing what the convolutions and each layer leave: number 0 is what the first layer reads.
    pub(super) fn observed(
        &self,
        samples: &[f32],
        observe: &mut dyn FnMut(&str, &[f32]),
    ) -> Result<Vec<f32>> {
        let mut x = normalized(samples);
        for (conv, norm, stride) in &self.convs {
            x = norm.forward(&conv.strided(&x, *stride, 0)?);
            gelu(&mut x);
        }
        observe("conv_features", &x);
        let mut x = self.projection.forward(&self.norm.forward(&x))?;
        let places = self.positions.forward(&x)?;
        add(&mut x, &places);
        observe("hidden.0", &x);
        let mut heard = vec![0f32; x.len()];
        for (index, layer) in self.layers.iter().enumerate() {
            layer.forward(&mut x)?;
            observe(&format!("hidden.{}", index + 1), &x);
            if HEARD.contains(&(index + 1)) {
                add(&mut heard, &x);
            }
        }
        heard.iter_mut().for_each(|x| *x /= HEARD.len() as f32);
        Ok(heard)
    }
}

/// Samples of mean 0 and variance 1.
fn normalized(samples: &[f32]) -> Vec<f32> {
    let count = samples.len().max(1) as f64;
    let mean = samples.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
    let square = samples.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / count;
    let scale = 1.0 / (square + VARIANCE).sqrt();
    samples.iter().map(|x| ((f64::from(*x) - mean) * scale) as f32).collect()
}

impl Positions {
    /// The weight is a direction and, for each tap, a length.
    fn load(weights: &Floats<'_>, config: &Config) -> Result<Self> {
        let (groups, taps) = (config.num_conv_pos_embedding_groups, config.num_conv_pos_embeddings);
        let size = config.hidden_size / groups;
        let name = "wav2vec2.encoder.pos_conv_embed.conv";
        let new = format!("{name}.parametrizations.weight.original");
        let (lengths, direction) = match weights.has(&format!("{new}0")) {
            true => (format!("{new}0"), format!("{new}1")),
            false => (format!("{name}.weight_g"), format!("{name}.weight_v")),
        };
        let lengths = weights.tensor(&lengths, &[1, 1, taps])?;
        let mut weight = weights.tensor(&direction, &[config.hidden_size, size, taps])?;
        let mut squares = vec![0f64; taps];
        for row in weight.chunks_exact(taps) {
            squares.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x).powi(2));
        }
        for row in weight.chunks_exact_mut(taps) {
            for ((x, length), square) in row.iter_mut().zip(&lengths).zip(&squares) {
                *x = (f64::from(*x) * f64::from(*length) / square.sqrt()) as f32;
            }
        }
        let bias = weights.tensor(&format!("{name}.bias"), &[config.hidden_size])?;
        let parts = weight.chunks_exact(size * size * taps).zip(bias.chunks_exact(size));
        let groups = parts.map(|(weight, bias)| Conv::new(weight, bias, [size, taps], 1));
        Ok(Self { groups: groups.collect::<Result<_>>()?, size, taps })
    }

    /// `[frames, width]` to as much.
    fn forward(&self, x: &[f32]) -> Result<Vec<f32>> {
        let width = self.size * self.groups.len();
        let mut out = vec![0f32; x.len()];
        for (index, conv) in self.groups.iter().enumerate() {
            let start = index * self.size;
            let columns: Vec<f32> = x
                .chunks_exact(width)
                .flat_map(|row| row.get(start..start + self.size).unwrap_or_default())
                .copied()
                .collect();
            // With an even number of taps there is one frame too many: the last one is left out.
            let found = conv.strided(&columns, 1, self.taps / 2)?;
            for (to, from) in out.chunks_exact_mut(width).zip(found.chunks_exact(self.size)) {
                to.iter_mut().skip(start).zip(from).for_each(|(to, from)| *to = *from);
            }
        }
        gelu(&mut out);
        Ok(out)
    }
}
