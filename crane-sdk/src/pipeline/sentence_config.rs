//! How the authors of an embedding model want texts to become vectors: the files of sentence-transformers.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::generate::Pooling;
use crate::source::{Gguf, Metadata, Source, json, model_gguf};
use crate::{Error, Result};

const MODULES: &str = "modules.json";
/// The most steps: each may name a file of its own. Published models have three or four.
const MOST_MODULES: usize = 16;
const PROMPTS: &str = "config_sentence_transformers.json";

/// What of `config_sentence_transformers.json` changes vectors where nobody asks for it.
#[derive(Deserialize)]
struct Prompts {
    default_prompt_name: Option<String>,
}

/// A step of `modules.json`.
#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

/// What `config.json` of the pooling says; several may be true, and then their vectors are put side by side.
#[derive(Deserialize, Default)]
#[serde(default)]
struct PoolingConfig {
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_lasttoken: bool,
    pooling_mode_max_tokens: bool,
    pooling_mode_mean_sqrt_len_tokens: bool,
    pooling_mode_weightedmean_tokens: bool,
}

#[derive(Deserialize)]
struct SentenceBertConfig {
    max_seq_length: Option<usize>,
}

/// What was found; without any of the files it is what sentence-transformers makes of a plain encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SentenceConfig {
    pub pooling: Option<Pooling>,
    /// The longest text, in tokens.
    pub max_tokens: Option<usize>,
}

fn read<T: DeserializeOwned>(source: &dyn Source, name: &str) -> Result<Option<T>> {
    if !source.contains(name)? {
        return Ok(None);
    }
    json::read(source, name).map(Some)
}

impl SentenceConfig {
    /// Reads `modules.json`, the pooling's `config.json` and `sentence_bert_config.json`, or what a GGUF file says.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if one is damaged or misses another, [`Error::Unsupported`] for a step that is not done here.
    pub(super) fn read(source: &dyn Source) -> Result<Self> {
        let mut this = Self::default();
        if let Some(name) = model_gguf(source)? {
            this.pooling = gguf_pooling(Gguf::open(source, &name)?.metadata())?;
            return Ok(this);
        }
        if let Some(SentenceBertConfig { max_seq_length }) =
            read(source, "sentence_bert_config.json")?
        {
            this.max_tokens = max_seq_length.filter(|&most| most > 0);
        }
        let named = read::<Prompts>(source, PROMPTS)?.and_then(|file| file.default_prompt_name);
        if let Some(name) = named {
            return Err(Error::Unsupported {
                what: format!("default_prompt_name {name:?} of {PROMPTS}"),
                hint: "take it out of the file, and write the prompt before each text".to_owned(),
            });
        }
        let modules = read::<Vec<Module>>(source, MODULES)?.unwrap_or_default();
        if modules.len() > MOST_MODULES {
            let reason = format_args!("it lists {} steps, over {MOST_MODULES}", modules.len());
            return Err(Error::invalid_file(MODULES, reason));
        }
        for Module { path, kind } in modules {
            // Its package has moved within the library.
            match kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" | "Normalize" => {}
                "Pooling" => {
                    let name = format!("{path}/config.json");
                    let Some(config) = read::<PoolingConfig>(source, &name)? else {
                        let reason = format_args!("it names {name}, which is not there");
                        return Err(Error::invalid_file(MODULES, reason));
                    };
                    this.pooling = Some(config.pooling(&name)?);
                }
                _ => {
                    return Err(Error::Unsupported {
                        what: format!("the step {kind} of {MODULES}"),
                        hint: "Transformer, Pooling and Normalize are done".to_owned(),
                    });
                }
            }
        }
        Ok(this)
    }
}

/// What a GGUF file says, as llama.cpp numbers it.
fn gguf_pooling(metadata: &Metadata) -> Result<Option<Pooling>> {
    let key = format!("{}.pooling_type", metadata.str("general.architecture")?);
    match metadata.opt_u64(&key)? {
        // None is said of models whose states are wanted one by one.
        None | Some(0) => Ok(None),
        Some(1) => Ok(Some(Pooling::Mean)),
        Some(2) => Ok(Some(Pooling::Cls)),
        Some(3) => Ok(Some(Pooling::Last)),
        Some(other) => Err(Error::Unsupported {
            what: format!("{key} {other} (in {})", metadata.label()),
            hint: "1 (mean), 2 (cls) and 3 (last) are done".to_owned(),
        }),
    }
}

impl PoolingConfig {
    fn pooling(&self, name: &str) -> Result<Pooling> {
        let other = self.pooling_mode_max_tokens
            || self.pooling_mode_mean_sqrt_len_tokens
            || self.pooling_mode_weightedmean_tokens;
        match (
            self.pooling_mode_cls_token,
            self.pooling_mode_mean_tokens,
            self.pooling_mode_lasttoken,
        ) {
            (true, false, false) if !other => Ok(Pooling::Cls),
            (false, true, false) if !other => Ok(Pooling::Mean),
            (false, false, true) if !other => Ok(Pooling::Last),
            _ => Err(Error::Unsupported {
                what: format!("the pooling of {name}"),
                hint: "one of cls_token, mean_tokens and lasttoken alone is done".to_owned(),
            }),
        }
    }
}
