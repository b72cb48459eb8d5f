//! The options that a GGUF file carries: sampling values and end tokens.

use super::GenerationConfig;
use crate::source::Metadata;
use crate::text::Tokenizer;
use crate::{Error, Result};

/// Metadata keys that name an end token: of the sequence, of a turn, of a message.
const END_KEYS: [&str; 3] =
    ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];

/// Special tokens that end a turn in the vocabularies of published models.
///
/// Files are common that name only one of theirs: a base model's end of text, say, where the
/// chat template ends turns with another.
const END_TOKENS: [&str; 13] = [
    "<|im_end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|eot|>",
    "<|eom|>",
    "<|end|>",
    "<|return|>",
    "<end_of_turn>",
    "<|end_of_turn|>",
    "<｜end▁of▁sentence｜>",
    "</s>",
];

const SAMPLING: &str = "general.sampling.";

/// Takes the end tokens and `general.sampling.*`.
pub(super) fn apply(
    config: &mut GenerationConfig,
    metadata: &Metadata,
    tokenizer: &Tokenizer,
) -> Result<()> {
    for key in END_KEYS {
        if let Some(id) = metadata.opt_u64(key)? {
            let id = u32::try_from(id).map_err(|_| {
                Error::invalid_file(metadata.label(), format_args!("{key} is {id}"))
            })?;
            add(&mut config.eos_ids, id);
        }
    }
    // Where answers are made of several messages, the end of one is not the end.
    let harmony = tokenizer.token_to_id("<|return|>").is_some();
    for token in END_TOKENS {
        if let Some(id) = tokenizer.token_to_id(token)
            && tokenizer.is_special(id)
            && !(harmony && token == "<|end|>")
        {
            add(&mut config.eos_ids, id);
        }
    }
    for (key, _) in metadata.iter() {
        let Some(name) = key.strip_prefix(SAMPLING) else { continue };
        let number = || metadata.f64(key).map(|value| value as f32);
        let count = || -> Result<usize> {
            let value = metadata.u64(key)?;
            usize::try_from(value).map_err(|_| {
                Error::invalid_file(metadata.label(), format_args!("{key} is {value}"))
            })
        };
        let sampling = &mut config.sampling;
        match name {
            "temp" => sampling.temperature = number()?,
            "top_k" => sampling.top_k = count()?,
            "top_p" => sampling.top_p = number()?,
            "min_p" => sampling.min_p = number()?,
            "penalty_repeat" => sampling.repetition_penalty = number()?,
            "penalty_last_n" => sampling.penalty_last_n = Some(count()?).filter(|&n| n > 0),
            _ => config.warnings.push(format!("{key} is not supported and has no effect here")),
        }
    }
    Ok(())
}

fn add(ids: &mut Vec<u32>, id: u32) {
    if !ids.contains(&id) {
        ids.push(id);
    }
}
