//! What a `config.json` says of an encoder, checked.

use crate::models::Config;
use crate::{Error, Result};

/// A family of encoders, which differ in names and in where positions begin.
struct Family {
    /// What people call it.
    name: &'static str,
    /// Names in `architectures`.
    architectures: &'static [&'static str],
    /// The name in GGUF's `general.architecture`, whose converter cuts the table of positions to begin with the first one.
    gguf: Option<&'static str>,
    /// What its tensors' names may begin with.
    prefix: &'static str,
    /// Positions are counted from behind the padding token's id.
    after_padding: bool,
}

const FAMILIES: [Family; 3] = [
    Family {
        name: "BERT",
        architectures: &["BertModel", "BertForMaskedLM"],
        gguf: Some("bert"),
        prefix: "bert.",
        after_padding: false,
    },
    Family {
        name: "RoBERTa",
        architectures: &["RobertaModel", "RobertaForMaskedLM"],
        gguf: None,
        prefix: "roberta.",
        after_padding: true,
    },
    Family {
        name: "XLM-RoBERTa",
        architectures: &["XLMRobertaModel", "XLMRobertaForMaskedLM"],
        gguf: None,
        prefix: "roberta.",
        after_padding: true,
    },
];

/// The shape of an encoder.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct EncoderSpec {
    /// The family, e.g. `BERT`.
    pub family: &'static str,
    /// What the names of its tensors may begin with.
    pub prefix: &'static str,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width inside the feed-forward block.
    pub intermediate: usize,
    /// Layers.
    pub layers: usize,
    /// Heads; they divide the width.
    pub heads: usize,
    /// Rows of the table of tokens.
    pub vocab: usize,
    /// Rows of the table of positions.
    pub positions: usize,
    /// The first token's row there.
    pub first_position: usize,
    /// Rows of the table of segments, of which texts have the first.
    pub segments: usize,
    /// ε of the norms.
    pub eps: f32,
}

fn family(config: &Config) -> Result<Option<&'static Family>> {
    let names = config.architectures()?;
    let known = |family: &&Family| match config {
        Config::Json(_) => names.iter().any(|name| family.architectures.contains(&name.as_str())),
        Config::Gguf { .. } => names.iter().any(|name| Some(name.as_str()) == family.gguf),
    };
    Ok(FAMILIES.iter().find(known))
}

/// The family of the encoder that a config describes, if it is one that is known here.
///
/// # Errors
/// [`Error::InvalidFile`] if it names no architecture.
pub(super) fn name(config: &Config) -> Result<Option<&'static str>> {
    Ok(family(config)?.map(|family| family.name))
}

/// The encoders that are known, for messages.
pub(super) fn known() -> String {
    let names = FAMILIES.iter().flat_map(|family| family.architectures).copied();
    names.collect::<Vec<_>>().join(", ")
}

impl EncoderSpec {
    /// Reads and checks a config.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for another architecture, activation or kind of positions; [`Error::InvalidFile`] if a number is
    /// missing or cannot be.
    pub(super) fn read(config: &Config) -> Result<Self> {
        let Some(family) = family(config)? else {
            return Err(Error::Unsupported {
                what: format!("architecture {} as an encoder", config.architectures()?.join(", ")),
                hint: format!("these are: {}", known()),
            });
        };
        config.check_unquantised()?;
        config.demand("hidden_act", "gelu")?;
        config.demand("position_embedding_type", "absolute")?;
        if config.switch("is_decoder", false)? {
            return Err(Error::Unsupported {
                what: format!("is_decoder (in {})", config.file()),
                hint: "encoders that see the whole text are run".to_owned(),
            });
        }
        let first_position = match family.after_padding {
            true => config.usize("pad_token_id")?.saturating_add(1),
            false => 0,
        };
        let spec = Self {
            family: family.name,
            prefix: family.prefix,
            hidden: config.usize("hidden_size")?,
            intermediate: config.usize("intermediate_size")?,
            layers: config.usize("num_hidden_layers")?,
            heads: config.usize("num_attention_heads")?,
            vocab: config.vocab_size()?,
            positions: config.usize("max_position_embeddings")?,
            first_position,
            segments: match config {
                Config::Json(_) => config.opt_usize("type_vocab_size")?.unwrap_or(2),
                Config::Gguf { metadata, .. } => {
                    let count = metadata.opt_u64("tokenizer.ggml.token_type_count")?;
                    count.map_or(2, |count| usize::try_from(count).unwrap_or(usize::MAX))
                }
            },
            eps: config.opt_f64("layer_norm_eps")?.unwrap_or(1e-12) as f32,
        };
        spec.check(config.file())?;
        Ok(spec)
    }

    fn check(&self, file: &str) -> Result<()> {
        let wrong = |reason: String| Err(Error::invalid_file(file, reason));
        let sizes = [
            ("hidden_size", self.hidden, 1 << 20),
            ("intermediate_size", self.intermediate, 1 << 22),
            ("num_hidden_layers", self.layers, 1 << 12),
            ("num_attention_heads", self.heads, 1 << 12),
            ("vocab_size", self.vocab, 1 << 24),
            ("max_position_embeddings", self.positions, 1 << 24),
            ("type_vocab_size", self.segments, 1 << 12),
        ];
        for (name, value, most) in sizes {
            if value == 0 || value > most {
                return wrong(format!("{name} is {value}, it must be 1 to {most}"));
            }
        }
        if !self.hidden.is_multiple_of(self.heads) {
            return wrong(format!("{} heads do not divide {}", self.heads, self.hidden));
        }
        if self.first_position >= self.positions {
            return wrong(format!("no position is left behind pad_token_id: {}", self.positions));
        }
        if !(self.eps >= 0.0 && self.eps < 1.0) {
            return wrong(format!("layer_norm_eps is {}", self.eps));
        }
        Ok(())
    }

    /// The longest text, in tokens.
    pub(super) fn context_length(&self) -> usize {
        self.positions - self.first_position
    }
}
