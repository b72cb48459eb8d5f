//! From a source of bytes to a model that runs.

use std::fmt;
use std::sync::Arc;

use candle_core::{DType, Device};

use super::{CausalLm, Config, Footprint, registry};
use crate::Result;
use crate::kernels::attention::KvType;
use crate::kernels::quant::Helpers;
use crate::nn::Decoder;
use crate::source::{Checkpoint, Gguf, SafetensorsCheckpoint, Source, model_gguf};
use crate::weights::{Naming, Quantization, Weights};

/// How weights are to be held.
///
/// ```
/// use crane_sdk::models::LoadOptions;
/// use crane_sdk::weights::Quantization;
///
/// let options = LoadOptions { quantize: Some(Quantization::Q8_0), ..LoadOptions::default() };
/// assert!(options.device.is_cpu());
/// ```
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Where the model runs.
    pub device: Device,
    /// The type of dense weights; `None` keeps the stored one. Given for a quantised checkpoint, its
    /// weights are expanded to it.
    pub dtype: Option<DType>,
    /// Quantise dense matrices while loading, tensor by tensor.
    pub quantize: Option<Quantization>,
    /// How caches hold keys and values.
    pub kv_type: KvType,
    /// Other instances of the engine that are to hold a part of each large quantised matrix.
    pub helpers: Option<Arc<dyn Helpers>>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            device: Device::Cpu,
            dtype: None,
            quantize: None,
            kv_type: KvType::F32,
            helpers: None,
        }
    }
}

/// What was loaded, in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// The family, e.g. `Qwen2, Qwen2.5`.
    pub architecture: &'static str,
    /// Elements of all tensors.
    pub parameters: usize,
    /// Elements of the layers alone, each of which every token of a prompt is multiplied with: without token embeddings
    /// and output head.
    pub layer_parameters: usize,
    /// Bytes of the weights as they are held.
    pub weight_bytes: usize,
    /// Types in which matrices are held with the number of each, the most frequent first.
    pub weight_types: Vec<(String, usize)>,
    /// The longest sequence the model was made for.
    pub context_length: usize,
    /// Rows of the output head (of an encoder: of the table of tokens).
    pub vocab_size: usize,
    /// Numbers of a token's hidden state.
    pub hidden_size: usize,
}

/// A model and what is known of it.
#[derive(Clone)]
pub struct LoadedModel {
    /// The model; any number of sequences may share it.
    pub model: Arc<dyn CausalLm>,
    /// What was loaded.
    pub info: ModelInfo,
}

impl fmt::Debug for LoadedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedModel").field("info", &self.info).finish_non_exhaustive()
    }
}

/// Loads the model of a source: `config.json` with safetensors, or a GGUF file.
///
/// ```
/// use crane_sdk::models::{LoadOptions, load};
/// # let file = |name: &str| std::fs::read(format!("tests/fixtures/qwen2_tied/{name}")).unwrap_or_default();
/// # let source = crane_sdk::source::MemorySource::new("tiny")
/// #     .with("config.json", file("config.json"))
/// #     .with("model.safetensors", file("model.safetensors"))
/// #     .with("tokenizer.json", file("tokenizer.json"));
///
/// let loaded = load(&source, &LoadOptions::default())?;
/// assert_eq!(loaded.info.architecture, "Qwen2, Qwen2.5");
/// assert_eq!(loaded.info.vocab_size, loaded.model.vocab_size());
/// # Ok::<(), crane_sdk::Error>(())
/// ```
///
/// # Errors
/// [`crate::Error::NotFound`] if there is no config or a file is missing,
/// [`crate::Error::InvalidFile`] if one is damaged, [`crate::Error::Unsupported`] for an unknown
/// architecture, [`crate::Error::Weights`] if a tensor does not fit the config.
pub fn load(source: &dyn Source, options: &LoadOptions) -> Result<LoadedModel> {
    load_within(source, options, &mut |_| Ok(()))
}

/// As [`load`], but asks `room` before the first weight is read: it knows how much memory there is,
/// and its refusal ends the loading.
///
/// # Errors
/// As [`load`], and what `room` returns.
pub fn load_within(
    source: &dyn Source,
    options: &LoadOptions,
    room: &mut Room<'_>,
) -> Result<LoadedModel> {
    let (decoder, info) = open(source, options, room)?;
    Ok(LoadedModel { model: Arc::new(decoder), info })
}

/// Says whether there is memory for a model; an error ends the loading.
pub type Room<'a> = dyn FnMut(Footprint) -> Result<()> + 'a;

/// As [`load`], for those who look inside the decoder.
///
/// # Errors
/// As [`load`].
pub fn load_decoder(source: &dyn Source, options: &LoadOptions) -> Result<(Decoder, ModelInfo)> {
    open(source, options, &mut |_| Ok(()))
}

/// What a language model takes of memory, from the heads of its files alone: its weights, and the bytes of keys and values
/// for each token that a sequence remembers.
///
/// # Errors
/// As [`load`], but for tensors that do not fit the config.
pub(crate) fn measure(source: &dyn Source, options: &LoadOptions) -> Result<(Footprint, u64)> {
    let bytes = |config: &Config, checkpoint: &dyn Checkpoint| -> Result<(Footprint, u64)> {
        let spec = (registry::find(config)?.spec)(config)?;
        spec.check(config.file())?;
        let row = match options.kv_type {
            KvType::F32 => 4 * spec.head_dim,
            KvType::F16 => 2 * spec.head_dim,
            KvType::Q8_0 => spec.head_dim.div_ceil(32) * 34,
        };
        let token = (2 * spec.layers * spec.kv_heads).saturating_mul(row);
        Ok((Footprint::of(checkpoint, options), token as u64))
    };
    match model_gguf(source)? {
        Some(name) => {
            let gguf = Gguf::open(source, &name)?;
            bytes(&Config::from_gguf(&gguf), &gguf)
        }
        None => bytes(&Config::from_source(source)?, &SafetensorsCheckpoint::open(source)?),
    }
}

fn open(
    source: &dyn Source,
    options: &LoadOptions,
    room: &mut Room<'_>,
) -> Result<(Decoder, ModelInfo)> {
    if let Some(name) = model_gguf(source)? {
        let gguf = Gguf::open(source, &name)?;
        return load_checkpoint(&Config::from_gguf(&gguf), &gguf, options, room);
    }
    let config = Config::from_source(source)?;
    // Before the weights are looked for: an unknown architecture is the better message.
    registry::find(&config)?;
    load_checkpoint(&config, &SafetensorsCheckpoint::open(source)?, options, room)
}

fn load_checkpoint(
    config: &Config,
    checkpoint: &dyn Checkpoint,
    options: &LoadOptions,
    room: &mut Room<'_>,
) -> Result<(Decoder, ModelInfo)> {
    let architecture = registry::find(config)?;
    let spec = (architecture.spec)(config)?;
    let naming = match config {
        Config::Json(_) => Naming::HuggingFace,
        Config::Gguf { .. } if architecture.gguf_permutes_qk => {
            Naming::GgufPermuted { heads: spec.heads, kv_heads: spec.kv_heads }
        }
        Config::Gguf { .. } => Naming::Gguf,
    };
    let weights = Weights::new(checkpoint, naming, options)?;
    room(Footprint::of(checkpoint, options))?;
    let hidden_size = spec.hidden_size;
    let decoder = Decoder::load(spec, &weights)?;
    let info = ModelInfo {
        architecture: architecture.name,
        parameters: weights.elements(|_| true),
        layer_parameters: weights
            .elements(|name| name.starts_with("blk.") || name.contains("layers.")),
        weight_bytes: weights.held_bytes(),
        weight_types: weights.held_types(),
        context_length: decoder.context_length(),
        vocab_size: decoder.vocab_size(),
        hidden_size,
    };
    Ok((decoder, info))
}
