//! Which architectures there are, by the names that checkpoints use.

use super::Config;
use super::{TextEncoder, llama, mistral, qwen2, qwen3};
use crate::nn::DecoderSpec;
use crate::{Error, Result};

/// A family of decoder-only models.
#[derive(Debug, Clone, Copy)]
pub struct Architecture {
    /// What people call the family.
    pub name: &'static str,
    /// Well-known models of the family.
    pub examples: &'static str,
    /// Names in `config.json`'s `architectures`.
    pub hugging_face: &'static [&'static str],
    /// Names in GGUF's `general.architecture`.
    pub gguf: &'static [&'static str],
    /// The GGUF converter stores q and k for adjacent-pair RoPE, so their rows are put back.
    pub gguf_permutes_qk: bool,
    /// Turns a config into a spec.
    pub spec: fn(&Config) -> Result<DecoderSpec>,
}

const REGISTRY: [Architecture; 4] =
    [qwen2::ARCHITECTURE, qwen3::ARCHITECTURE, llama::ARCHITECTURE, mistral::ARCHITECTURE];

/// Every architecture, in the order of the model table.
pub fn registry() -> &'static [Architecture] {
    &REGISTRY
}

/// The architecture of a checkpoint.
///
/// # Errors
/// [`Error::Unsupported`] that lists what is known.
pub fn find(config: &Config) -> Result<&'static Architecture> {
    let names = config.architectures()?;
    let known = |architecture: &Architecture| match config {
        Config::Json(_) => architecture.hugging_face,
        Config::Gguf { .. } => architecture.gguf,
    };
    let found = registry()
        .iter()
        .find(|architecture| names.iter().any(|name| known(architecture).contains(&name.as_str())));
    found.ok_or_else(|| {
        let known: Vec<&str> = registry().iter().flat_map(known).copied().collect();
        let hint = match TextEncoder::family(config) {
            Ok(Some(_)) => {
                "it writes nothing, it makes vectors of texts: take `crane embed`, /v1/embeddings, \
                 pipeline::Embedder, or in a page crane.loadEmbedder"
                    .to_owned()
            }
            _ => format!("these are: {}", known.join(", ")),
        };
        Error::Unsupported { what: format!("architecture {}", names.join(", ")), hint }
    })
}
