//! Encoders of the BERT family: every token of a text sees all of it.

mod config;
mod layer;

use candle_core::{Device, Tensor};

use self::config::EncoderSpec;
use self::layer::{Layer, layer_norm};
use super::{Config, Footprint, LoadOptions, ModelInfo, Room};
use crate::finite::all_finite;
use crate::generate::CancelToken;
use crate::kernels::attention::{KvBlocks, KvType};
use crate::nn::Embedding;
use crate::nn::slices::LayerNorm;
use crate::nn::views::with_slice;
use crate::source::{Checkpoint, Gguf, SafetensorsCheckpoint, Source, model_gguf};
use crate::weights::{Naming, Weights};
use crate::{Error, Result};

/// An encoder of the BERT family (BERT, RoBERTa, XLM-RoBERTa): token ids to a vector for each.
///
/// ```
/// # let file = |name: &str| std::fs::read(format!("tests/fixtures/bert/{name}")).unwrap_or_default();
/// # let source = crane_sdk::source::MemorySource::new("tiny")
/// #     .with("config.json", file("config.json"))
/// #     .with("model.safetensors", file("model.safetensors"));
/// use crane_sdk::models::{LoadOptions, TextEncoder};
///
/// let encoder = TextEncoder::load(&source, &LoadOptions::default())?;
/// let [states] = encoder.forward(&[&[2, 7, 3]])?.try_into().unwrap_or_default();
/// assert_eq!(states.len(), 3 * encoder.width());
/// # Ok::<(), crane_sdk::Error>(())
/// ```
pub struct TextEncoder {
    spec: EncoderSpec,
    tokens: Embedding,
    positions: Embedding,
    /// What is added to every token of a text: the first row of the table of segments.
    segment: Vec<f32>,
    norm: LayerNorm,
    layers: Vec<Layer>,
    kv_type: KvType,
    info: ModelInfo,
}

impl std::fmt::Debug for TextEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextEncoder").field("info", &self.info).finish_non_exhaustive()
    }
}

impl TextEncoder {
    /// Whether a source's `config.json` or GGUF file describes an encoder that is known here.
    ///
    /// # Errors
    /// [`Error::Io`] if the source cannot be read, [`Error::InvalidFile`] if the config is damaged.
    pub fn is_one(source: &dyn Source) -> Result<bool> {
        let config = match model_gguf(source)? {
            Some(name) => Config::from_gguf(&Gguf::open(source, &name)?),
            None if source.contains("config.json")? => Config::from_source(source)?,
            None => return Ok(false),
        };
        Ok(Self::family(&config)?.is_some())
    }

    /// The family of the encoder that a config describes (`BERT`), if it is one that is known here.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if it names no architecture.
    pub fn family(config: &Config) -> Result<Option<&'static str>> {
        config::name(config)
    }

    /// Loads `config.json` and the safetensors of a source, or its GGUF file, on the CPU.
    ///
    /// # Errors
    /// [`Error::NotFound`] if a file is missing, [`Error::InvalidFile`] if one is damaged, [`Error::Unsupported`] for another
    /// architecture, [`Error::Weights`] if a tensor does not fit the config, [`Error::InvalidArgument`] for another device.
    pub fn load(source: &dyn Source, options: &LoadOptions) -> Result<Self> {
        Self::load_within(source, options, &mut |_| Ok(()))
    }

    /// As [`TextEncoder::load`], but asks `room` before the first weight is read, as
    /// [`load_within`](super::load_within) does.
    ///
    /// # Errors
    /// As [`TextEncoder::load`], and what `room` returns.
    pub fn load_within(
        source: &dyn Source,
        options: &LoadOptions,
        room: &mut Room<'_>,
    ) -> Result<Self> {
        if !options.device.is_cpu() {
            return Err(Error::argument("device", "encoders run on the CPU"));
        }
        if let Some(name) = model_gguf(source)? {
            let gguf = Gguf::open(source, &name)?;
            let spec = EncoderSpec::read(&Config::from_gguf(&gguf))?;
            return Self::of(spec, &gguf, Naming::GgufEncoder, options, room);
        }
        let spec = EncoderSpec::read(&Config::from_source(source)?)?;
        let checkpoint = SafetensorsCheckpoint::open(source)?;
        Self::of(spec, &checkpoint, Naming::HuggingFace, options, room)
    }

    fn of(
        spec: EncoderSpec,
        checkpoint: &dyn Checkpoint,
        naming: Naming,
        options: &LoadOptions,
        room: &mut Room<'_>,
    ) -> Result<Self> {
        let weights = Weights::new(checkpoint, naming, options)?;
        room(Footprint::of(checkpoint, options))?;
        Self::read(spec, &weights)
    }

    fn read(spec: EncoderSpec, weights: &Weights<'_>) -> Result<Self> {
        let inner = weights.has(&format!("{}embeddings.word_embeddings.weight", spec.prefix));
        let prefix = if inner { spec.prefix } else { "" };
        let table = |name: &str, rows: usize| -> Result<Embedding> {
            let name = format!("{prefix}embeddings.{name}_embeddings.weight");
            let matrix = weights.embedding(&name, rows, spec.hidden, false)?;
            Ok(Embedding::new(matrix, rows))
        };
        let segments = table("token_type", spec.segments)?;
        let segment = with_slice::<f32, _>(&segments.forward(&[0])?, <[f32]>::to_vec)?;
        let layer =
            |index: usize| Layer::load(weights, &format!("{prefix}encoder.layer.{index}"), &spec);
        let (tokens, positions) = (table("word", spec.vocab)?, table("position", spec.positions)?);
        let norm = layer_norm(weights, &format!("{prefix}embeddings.LayerNorm"), &spec)?;
        let layers = (0..spec.layers).map(layer).collect::<Result<Vec<_>>>()?;
        // Heads for what the network was trained with, which vectors of texts are not made with.
        weights.ignore_those(|name| {
            let name = name.strip_prefix(prefix).unwrap_or(name);
            name == "embeddings.position_ids"
                || ["pooler.", "cls.", "lm_head."].iter().any(|head| name.starts_with(head))
        });
        weights.finish()?;
        let info = ModelInfo {
            architecture: spec.family,
            parameters: weights.elements(|_| true),
            layer_parameters: weights
                .elements(|name| name.starts_with("blk.") || name.contains("encoder.layer.")),
            weight_bytes: weights.held_bytes(),
            weight_types: weights.held_types(),
            context_length: spec.context_length(),
            vocab_size: spec.vocab,
            hidden_size: spec.hidden,
        };
        let kv_type = weights.kv_type();
        Ok(Self { spec, tokens, positions, segment, norm, layers, kv_type, info })
    }

    /// What was loaded, in numbers.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Numbers of a token's vector.
    pub fn width(&self) -> usize {
        self.spec.hidden
    }

    /// The longest text that it was made for, in tokens.
    pub fn context_length(&self) -> usize {
        self.spec.context_length()
    }

    /// The last layer's states of each text's tokens, `[tokens, width]`; texts do not see each other, and are not padded.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a text without tokens or a token that the model does not know,
    /// [`Error::ContextOverflow`] for a text that is too long, [`Error::NotFinite`] with the first layer that gives NaN.
    pub fn forward(&self, texts: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        self.forward_until(texts, &CancelToken::new())
    }

    /// As [`TextEncoder::forward`], until it is cancelled, which is looked at before each layer.
    ///
    /// # Errors
    /// As [`TextEncoder::forward`]; [`Error::Unsupported`] if it was cancelled.
    pub fn forward_until(&self, texts: &[&[u32]], cancel: &CancelToken) -> Result<Vec<Vec<f32>>> {
        let (width, context) = (self.width(), self.context_length());
        for text in texts {
            if text.is_empty() {
                return Err(Error::argument("tokens", "are none: there is nothing to encode"));
            }
            if text.len() > context {
                return Err(Error::ContextOverflow { prompt: text.len(), context });
            }
        }
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let mut observe = |_, _: &Tensor| cancel.check("the rest of the embeddings");
        let states = self.states(texts, &mut observe)?;
        if !all_finite(&states) {
            return Err(self.located(texts));
        }
        let mut rest = states.as_slice();
        let mut take = |text: &&[u32]| {
            let (states, left) = rest.split_at_checked(text.len() * width)?;
            rest = left;
            Some(states.to_vec())
        };
        Ok(texts.iter().filter_map(&mut take).collect())
    }

    /// The layer whose output is the first that is not finite, as an error.
    fn located(&self, texts: &[&[u32]]) -> Error {
        let mut place = "the encoder".to_owned();
        let found = self.states(texts, &mut |number, x| {
            if with_slice::<f32, _>(x, all_finite)? {
                return Ok(());
            }
            // Counted as the names of its tensors are.
            place = match number {
                0 => "the encoder's embeddings".to_owned(),
                number => format!("layer {} of the encoder", number - 1),
            };
            Err(Error::NotFinite { place: place.clone() })
        });
        found.err().unwrap_or(Error::NotFinite { place })
    }

    /// The last layer's states of all texts; `observe` sees what the first layer reads, number 0, and what each leaves.
    fn states(
        &self,
        texts: &[&[u32]],
        observe: &mut dyn FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<Vec<f32>> {
        let width = self.width();
        let mut x = self.embed(texts)?;
        observe(0, &x)?;
        let room = |text: &&[u32]| {
            let heads = self.spec.heads;
            let mut room = KvBlocks::new(self.kv_type, heads, width / heads);
            room.reserve(text.len());
            (text.len(), room)
        };
        let mut rooms: Vec<(usize, KvBlocks)> = texts.iter().map(room).collect();
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x, &mut rooms)?;
            observe(index + 1, &x)?;
        }
        with_slice::<f32, _>(&x, <[f32]>::to_vec)
    }

    /// What the first layer reads, `[tokens of all texts, width]`.
    fn embed(&self, texts: &[&[u32]]) -> Result<Tensor> {
        let ids: Vec<u32> = texts.concat();
        let first = self.spec.first_position as u32;
        let places = texts.iter().flat_map(|text| (first..).take(text.len()));
        let places: Vec<u32> = places.collect();
        let tokens = self.tokens.forward(&ids)?;
        let mut added = with_slice::<f32, _>(&self.positions.forward(&places)?, <[f32]>::to_vec)?;
        for row in added.chunks_exact_mut(self.segment.len().max(1)) {
            row.iter_mut().zip(&self.segment).for_each(|(x, segment)| *x += segment);
        }
        let normed = with_slice::<f32, _>(&tokens, |x| self.norm.forward_sum(x, &added))?;
        Ok(Tensor::from_vec(normed, tokens.shape(), &Device::Cpu)?)
    }
}
