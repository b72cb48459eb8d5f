//! The options that a GGUF file carries: sampling values and end tokens.

use super::GenerationConfig;
use crate::source::{Metadata, Value};
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
            // Negative is llama.cpp's word for no limit.
            if matches!(metadata.get(key), Some(Value::Signed(..0))) {
                return Ok(0);
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::SamplingParams;

    fn applied(pairs: Vec<(&str, Value)>) -> Result<GenerationConfig> {
        let json = include_bytes!("../../tests/fixtures/qwen2_tied/tokenizer.json");
        let tokenizer = Tokenizer::from_json(json, None).unwrap();
        let pairs = pairs.into_iter().map(|(key, value)| (key.to_owned(), value));
        let metadata = Metadata::from_pairs("test.gguf", pairs);
        let mut config =
            GenerationConfig { sampling: SamplingParams::greedy(), ..Default::default() };
        apply(&mut config, &metadata, &tokenizer)?;
        Ok(config)
    }

    #[test]
    fn every_end_token_counts() {
        let config = applied(vec![("tokenizer.ggml.eos_token_id", Value::Unsigned(7))]).unwrap();
        // The file's own, then <|im_end|> and <|endoftext|> of the vocabulary.
        assert_eq!(config.eos_ids, [7, 402, 400]);
        assert!(config.sampling.is_greedy());
    }

    #[test]
    fn sampling_values_count_and_others_are_told() {
        let config = applied(vec![
            ("general.sampling.temp", Value::Float(0.5)),
            ("general.sampling.top_k", Value::Signed(20)),
            ("general.sampling.penalty_last_n", Value::Signed(-1)),
            ("general.sampling.mirostat", Value::Signed(2)),
        ])
        .unwrap();
        assert_eq!((config.sampling.temperature, config.sampling.top_k), (0.5, 20));
        assert_eq!(config.sampling.penalty_last_n, None);
        assert_eq!(config.warnings.len(), 1);
        assert!(config.warnings[0].contains("mirostat"));
        let wrong = Value::String("hot".to_owned());
        assert!(applied(vec![("general.sampling.temp", wrong)]).is_err());
    }
}
