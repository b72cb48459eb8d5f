//! A model's hyper-parameters by their Hugging Face names, from `config.json` or GGUF metadata.

mod rope;
mod windows;

use serde_json::Value as Json;

use crate::nn::DecoderSpec;
use crate::source::{Gguf, Metadata, Source, check_model, json};
use crate::{Error, Result};

pub use windows::Sliding;

const FILE: &str = "config.json";

/// Hugging Face names and what GGUF calls them behind `general.architecture`.
const GGUF_KEYS: [(&str, &str); 12] = [
    ("hidden_size", "embedding_length"),
    ("intermediate_size", "feed_forward_length"),
    ("num_hidden_layers", "block_count"),
    ("num_attention_heads", "attention.head_count"),
    ("num_key_value_heads", "attention.head_count_kv"),
    ("head_dim", "attention.key_length"),
    ("max_position_embeddings", "context_length"),
    ("rms_norm_eps", "attention.layer_norm_rms_epsilon"),
    ("layer_norm_eps", "attention.layer_norm_epsilon"),
    ("rope_theta", "rope.freq_base"),
    ("vocab_size", "vocab_size"),
    ("sliding_window", "attention.sliding_window"),
];

/// The hyper-parameters of a checkpoint.
#[derive(Debug, Clone)]
pub enum Config {
    /// A `config.json`.
    Json(Json),
    /// GGUF metadata; `tied` if the file has no `output.weight`.
    Gguf {
        /// All pairs.
        metadata: Metadata,
        /// The output head is the embedding table.
        tied: bool,
    },
}

impl Config {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none, [`Error::InvalidFile`] if it is not a JSON object.
    pub fn from_source(source: &dyn Source) -> Result<Self> {
        if !source.contains(FILE)? {
            check_model(source)?;
        }
        let json: Json = json::read(source, FILE)?;
        if !json.is_object() {
            return Err(Error::invalid_file(FILE, "it is not a JSON object"));
        }
        Ok(Self::Json(json))
    }

    /// Takes a GGUF file's metadata.
    pub fn from_gguf(gguf: &Gguf) -> Self {
        use crate::source::Checkpoint;
        let tied = gguf.tensors().get("output.weight").is_none();
        Self::Gguf { metadata: gguf.metadata().clone(), tied }
    }

    /// The file that the numbers come from.
    pub fn file(&self) -> &str {
        match self {
            Config::Json(_) => FILE,
            Config::Gguf { metadata, .. } => metadata.label(),
        }
    }

    /// The names under which a registry may know the architecture.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if the file names none.
    pub fn architectures(&self) -> Result<Vec<String>> {
        match self {
            Config::Gguf { metadata, .. } => {
                Ok(vec![metadata.str("general.architecture")?.to_owned()])
            }
            Config::Json(json) => {
                let names: Vec<String> = json["architectures"]
                    .as_array()
                    .map(|names| {
                        names.iter().filter_map(|n| n.as_str().map(str::to_owned)).collect()
                    })
                    .unwrap_or_default();
                if names.is_empty() {
                    return Err(Error::invalid_file(FILE, "it has no \"architectures\""));
                }
                Ok(names)
            }
        }
    }

    /// A count; `None` if absent or null.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if it is not a whole number that is not negative.
    pub fn opt_usize(&self, key: &str) -> Result<Option<usize>> {
        let number = match self {
            Config::Gguf { metadata, .. } => match gguf_key(metadata, key)? {
                Some(key) => metadata.opt_u64(&key)?,
                None => None,
            },
            Config::Json(json) => match &json[key] {
                Json::Null => None,
                value => Some(value.as_u64().ok_or_else(|| self.mismatch(key, "a count", value))?),
            },
        };
        number
            .map(usize::try_from)
            .transpose()
            .map_err(|_| Error::invalid_file(self.file(), format_args!("{key} is too large")))
    }

    /// A count that must be there.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if it is absent or not a count.
    pub fn usize(&self, key: &str) -> Result<usize> {
        self.opt_usize(key)?.ok_or_else(|| {
            Error::invalid_file(self.file(), format_args!("it has no {key}, which the model needs"))
        })
    }

    /// A number; `None` if absent or null.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if it is not a number.
    pub fn opt_f64(&self, key: &str) -> Result<Option<f64>> {
        match self {
            Config::Gguf { metadata, .. } => match gguf_key(metadata, key)? {
                Some(key) => metadata.opt_f64(&key),
                None => Ok(None),
            },
            Config::Json(json) => match &json[key] {
                Json::Null => Ok(None),
                value => {
                    value.as_f64().map(Some).ok_or_else(|| self.mismatch(key, "a number", value))
                }
            },
        }
    }

    /// A switch of `config.json`; `default` if absent or null, and always for GGUF, which has none.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if it is not true or false.
    pub fn switch(&self, key: &str, default: bool) -> Result<bool> {
        match self {
            Config::Gguf { .. } => Ok(default),
            Config::Json(json) => match &json[key] {
                Json::Null => Ok(default),
                value => value.as_bool().ok_or_else(|| self.mismatch(key, "true or false", value)),
            },
        }
    }

    /// Refuses a `config.json` that has another word here than the only one that is run; an absent one is that.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub(super) fn demand(&self, key: &str, only: &str) -> Result<()> {
        match self {
            Config::Json(json) if !json[key].is_null() && json[key] != only => {
                Err(Error::Unsupported {
                    what: format!("{key} {} (in {})", json[key], self.file()),
                    hint: format!("only {only} is run"),
                })
            }
            _ => Ok(()),
        }
    }

    /// The spec of a plain Llama-like decoder: what every family shares, no biases, full attention.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if a number is missing, [`Error::Unsupported`] for an activation, a RoPE
    /// scaling or an attention that is not known.
    pub fn decoder(&self) -> Result<DecoderSpec> {
        self.sliding_decoder(Sliding::OFF)
    }

    /// As [`Config::decoder`] for a family whose layers may have an attention window.
    ///
    /// # Errors
    /// As [`Config::decoder`].
    pub fn sliding_decoder(&self, sliding: Sliding) -> Result<DecoderSpec> {
        let (hidden, heads) = (self.usize("hidden_size")?, self.usize("num_attention_heads")?);
        let layers = self.usize("num_hidden_layers")?;
        let head_dim = match self.opt_usize("head_dim")? {
            Some(width) => width,
            None if !hidden.is_multiple_of(heads.max(1)) => {
                let reason = format_args!("{heads} heads do not divide hidden_size {hidden}");
                return Err(Error::invalid_file(self.file(), reason));
            }
            None => hidden / heads.max(1),
        };
        self.check_switches(head_dim)?;
        let tied_embeddings = match self {
            Config::Gguf { tied, .. } => *tied,
            Config::Json(_) => self.switch("tie_word_embeddings", false)?,
        };
        Ok(DecoderSpec {
            hidden_size: hidden,
            intermediate_size: self.usize("intermediate_size")?,
            layers,
            heads,
            kv_heads: self.opt_usize("num_key_value_heads")?.unwrap_or(heads),
            head_dim,
            vocab_size: self.vocab_size()?,
            context_length: self.usize("max_position_embeddings")?,
            norm_eps: self.opt_f64("rms_norm_eps")?.unwrap_or(1e-6),
            rope_theta: self.rope_number("rope_theta")?.unwrap_or(10_000.0),
            rope_scaling: self.rope_scaling()?,
            qkv_bias: false,
            o_bias: false,
            mlp_bias: false,
            qk_norm: false,
            tied_embeddings,
            windows: self.windows(layers, sliding)?,
        })
    }

    pub(super) fn vocab_size(&self) -> Result<usize> {
        if let Some(size) = self.opt_usize("vocab_size")? {
            return Ok(size);
        }
        match self {
            Config::Gguf { metadata, .. } => Ok(metadata.strings("tokenizer.ggml.tokens")?.len()),
            Config::Json(_) => self.usize("vocab_size"),
        }
    }

    /// Refuses switches that would change the result and are not handled.
    fn check_switches(&self, head_dim: usize) -> Result<()> {
        let unsupported = |what: String| {
            Err(Error::Unsupported { what, hint: format!("it stands in {}", self.file()) })
        };
        match self {
            Config::Json(json) => {
                self.check_unquantised()?;
                for key in ["hidden_act", "hidden_activation"] {
                    if let Some(name) =
                        json[key].as_str().filter(|name| !matches!(*name, "silu" | "swish"))
                    {
                        return unsupported(format!("{key} {name:?}"));
                    }
                }
                let rotated = self.rope_number("partial_rotary_factor")?.unwrap_or(1.0);
                if rotated != 1.0 {
                    return unsupported(format!("partial_rotary_factor {rotated}"));
                }
            }
            Config::Gguf { metadata, .. } => {
                let arch = metadata.str("general.architecture")?;
                let rotated = metadata.opt_u64(&format!("{arch}.rope.dimension_count"))?;
                if rotated.is_some_and(|rotated| rotated != head_dim as u64) {
                    return unsupported(format!(
                        "{arch}.rope.dimension_count other than {head_dim}"
                    ));
                }
                for key in ["expert_count", "attention.logit_softcapping"] {
                    let key = format!("{arch}.{key}");
                    if metadata.opt_f64(&key)?.is_some_and(|value| value != 0.0) {
                        return unsupported(key);
                    }
                }
            }
        }
        Ok(())
    }

    /// Refuses weights that another library has quantised.
    pub(super) fn check_unquantised(&self) -> Result<()> {
        let Config::Json(json) = self else { return Ok(()) };
        let how = &json["quantization_config"];
        if how.is_null() {
            return Ok(());
        }
        let name = how["quant_method"].as_str().unwrap_or("without a quant_method");
        Err(Error::Unsupported {
            what: format!("quantization_config {name} (in {})", self.file()),
            hint: "take the model's original weights, with --quant if need be, or a GGUF file"
                .to_owned(),
        })
    }

    fn mismatch(&self, key: &str, expected: &str, found: &Json) -> Error {
        Error::invalid_file(self.file(), format_args!("{key} should be {expected}, it is {found}"))
    }
}

fn gguf_key(metadata: &Metadata, key: &str) -> Result<Option<String>> {
    let arch = metadata.str("general.architecture")?;
    let found = GGUF_KEYS.iter().find(|(name, _)| *name == key);
    Ok(found.map(|(_, suffix)| format!("{arch}.{suffix}")))
}
