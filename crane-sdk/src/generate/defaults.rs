//! The options that a checkpoint's authors published: `generation_config.json`.

use serde_json::{Map, Value};

use super::GenerationConfig;
use super::gguf_defaults;
use crate::sample::SamplingParams;
use crate::source::{Gguf, Source, json, model_gguf};
use crate::text::Tokenizer;
use crate::{Error, Result};

const FILE: &str = "generation_config.json";

/// What transformers keeps of the best tokens when it samples and the file does not say.
const TOP_K: usize = 50;

/// The most end tokens and the most stop strings: many times what is published.
const MOST_ENDS: usize = 1024;

/// Fields of `generation_config.json` that change what transformers generates and that this library
/// does not do, each with the value at which it does nothing (besides `null`).
const UNSUPPORTED: [(&str, &str); 28] = [
    ("num_beams", "1"),
    ("num_beam_groups", "1"),
    ("num_return_sequences", "1"),
    ("diversity_penalty", "0.0"),
    ("penalty_alpha", "0.0"),
    ("no_repeat_ngram_size", "0"),
    ("encoder_repetition_penalty", "1.0"),
    ("encoder_no_repeat_ngram_size", "0"),
    ("bad_words_ids", "[]"),
    ("force_words_ids", "[]"),
    ("constraints", "[]"),
    ("renormalize_logits", "false"),
    ("remove_invalid_values", "false"),
    ("forced_bos_token_id", "null"),
    ("forced_eos_token_id", "null"),
    ("exponential_decay_length_penalty", "null"),
    ("suppress_tokens", "[]"),
    ("begin_suppress_tokens", "[]"),
    ("sequence_bias", "{}"),
    ("guidance_scale", "1.0"),
    ("watermarking_config", "null"),
    ("epsilon_cutoff", "0.0"),
    ("eta_cutoff", "0.0"),
    ("top_h", "1.0"),
    ("min_length", "0"),
    ("max_time", "null"),
    ("token_healing", "false"),
    ("dola_layers", "null"),
];

/// Fields that change nothing about one sequence's text: bookkeeping, speed, and options of the
/// searches above.
const WITHOUT_EFFECT: [&str; 32] = [
    "_commit_hash",
    "_from_model_config",
    "_name_or_path",
    "assistant_confidence_threshold",
    "assistant_early_exit",
    "assistant_lookbehind",
    "bos_token_id",
    "cache_config",
    "cache_implementation",
    "chat_format",
    "compile_config",
    "decoder_start_token_id",
    "disable_compile",
    "early_stopping",
    "is_assistant",
    "length_penalty",
    "low_memory",
    "max_matching_ngram_size",
    "max_window_size",
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "output_attentions",
    "output_hidden_states",
    "output_logits",
    "output_scores",
    "pad_token_id",
    "prefill_chunk_size",
    "prompt_lookup_num_tokens",
    "return_dict_in_generate",
    "target_lookbehind",
    "transformers_version",
    "use_cache",
];

impl GenerationConfig {
    /// The options that a checkpoint's authors published.
    ///
    /// `generation_config.json` counts as transformers reads it: greedy unless `do_sample` is true,
    /// and the 50 best tokens if it samples and `top_k` is not given. Fields that would change the
    /// text and are not supported are told in `warnings`. Without the file, the end tokens are
    /// those of `config.json` or the tokenizer. A GGUF file gives `general.sampling.*`, its end tokens and
    /// those special tokens of its vocabulary that are known to end a turn; it is greedy if it gives
    /// no temperature. Every end-of-sequence id counts.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if a field has the wrong type or a value out of range.
    pub fn from_source(source: &dyn Source, tokenizer: &Tokenizer) -> Result<Self> {
        let mut config = Self { sampling: SamplingParams::greedy(), ..GenerationConfig::default() };
        if source.contains(FILE)? {
            let fields: Map<String, Value> = json::read(source, FILE)?;
            config.read_json(&fields)?;
        } else if let Some(name) = model_gguf(source)? {
            let gguf = Gguf::open(source, &name)?;
            gguf_defaults::apply(&mut config, gguf.metadata(), tokenizer)?;
            valid(&config, &name)?;
            return Ok(config);
        }
        if config.eos_ids.is_empty() && source.contains("config.json")? {
            config.eos_ids = ids("config.json", &json::read(source, "config.json")?)?;
        }
        if config.eos_ids.is_empty() {
            config.eos_ids.extend(tokenizer.eos_id());
        }
        Ok(config)
    }

    /// Takes the fields of `generation_config.json`.
    fn read_json(&mut self, fields: &Map<String, Value>) -> Result<()> {
        let sampling = &mut self.sampling;
        let mut do_sample = false;
        for (name, value) in fields {
            if value.is_null() {
                continue;
            }
            match name.as_str() {
                "do_sample" => {
                    do_sample =
                        value.as_bool().ok_or_else(|| wrong(name, value, "true or false"))?;
                }
                "temperature" => sampling.temperature = number(name, value)?,
                "top_k" => sampling.top_k = count(name, value)?,
                "top_p" => sampling.top_p = number(name, value)?,
                "min_p" => sampling.min_p = number(name, value)?,
                "typical_p" => sampling.typical_p = number(name, value)?,
                "repetition_penalty" => sampling.repetition_penalty = number(name, value)?,
                "max_new_tokens" => self.max_new_tokens = Some(count(name, value)?),
                "max_length" => self.max_length = Some(count(name, value)?),
                "min_new_tokens" => self.min_new_tokens = count(name, value)?,
                "stop_strings" => self.stop = strings(name, value)?,
                "eos_token_id" => self.eos_ids = ids(FILE, fields)?,
                _ => self.warnings.extend(unsupported(name, value)),
            }
        }
        if !do_sample {
            self.sampling.temperature = 0.0;
        } else {
            if !fields.contains_key("temperature") {
                self.sampling.temperature = 1.0;
            }
            if !fields.contains_key("top_k") {
                self.sampling.top_k = TOP_K;
            }
        }
        valid(self, FILE)
    }
}

/// Published values out of range are a fault of the file.
fn valid(config: &GenerationConfig, file: &str) -> Result<()> {
    config.validate().map_err(|error| Error::invalid_file(file, error))
}

/// The warning for a field that is not taken, unless it does nothing.
fn unsupported(name: &str, value: &Value) -> Option<String> {
    if WITHOUT_EFFECT.contains(&name) {
        return None;
    }
    let known = UNSUPPORTED.iter().find(|(known, _)| *known == name);
    let neutral = known.and_then(|(_, neutral)| serde_json::from_str::<Value>(neutral).ok());
    let same = neutral.is_some_and(|neutral| {
        neutral == *value || neutral.as_f64().is_some_and(|neutral| value.as_f64() == Some(neutral))
    });
    let what = if known.is_some() { "is not supported" } else { "is not known" };
    (!same).then(|| {
        let mut value = value.to_string();
        if value.len() > 60 {
            value = "...".to_owned();
        }
        format!("{FILE}: {name} = {value} {what} and has no effect here")
    })
}

/// `eos_token_id`: one id or a list of them, in the order given.
fn ids(file: &str, fields: &Map<String, Value>) -> Result<Vec<u32>> {
    // Older configs write -1 where there is none.
    let is_none = |value: &Value| value.as_i64() == Some(-1);
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    let ids = match fields.get("eos_token_id") {
        None | Some(Value::Null) => Some(Vec::new()),
        // Every token that is chosen is looked for among them.
        Some(Value::Array(list)) if list.len() > MOST_ENDS => {
            let reason = format_args!("eos_token_id lists {} ids, over {MOST_ENDS}", list.len());
            return Err(Error::invalid_file(file, reason));
        }
        Some(Value::Array(list)) => list.iter().filter(|value| !is_none(value)).map(id).collect(),
        Some(value) if is_none(value) => Some(Vec::new()),
        Some(value) => id(value).map(|id| vec![id]),
    };
    ids.ok_or_else(|| Error::invalid_file(file, "eos_token_id is neither a token id nor a list"))
}

fn wrong(name: &str, value: &Value, wanted: &str) -> Error {
    Error::invalid_file(FILE, format_args!("{name} is {value}; it must be {wanted}"))
}

fn number(name: &str, value: &Value) -> Result<f32> {
    value.as_f64().map(|value| value as f32).ok_or_else(|| wrong(name, value, "a number"))
}

fn count(name: &str, value: &Value) -> Result<usize> {
    let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
    count.ok_or_else(|| wrong(name, value, "a whole number, 0 or more"))
}

fn strings(name: &str, value: &Value) -> Result<Vec<String>> {
    let list = match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(list) => list.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    };
    let list = list.ok_or_else(|| wrong(name, value, "a string or a list of strings"))?;
    if list.len() > MOST_ENDS {
        let reason = format_args!("{name} lists {} strings, over {MOST_ENDS}", list.len());
        return Err(Error::invalid_file(FILE, reason));
    }
    Ok(list)
}
