//! The options that a GGUF file carries: sampling values and end tokens.

use super::GenerationConfig;
use crate::source::{Metadata, Value};
use crate::text::{TokenId, Tokenizer};
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
    let tokens = metadata.opt_strings("tokenizer.ggml.tokens")?;
    let count = tokens.map_or(tokenizer.vocab_size(), <[String]>::len);
    let mut faults = Vec::new();
    for key in END_KEYS {
        match TokenId::read(metadata, key, count)? {
            Some(TokenId::Known(id)) => add(&mut config.eos_ids, id),
            Some(TokenId::None(fault)) => faults.push((fault, false)),
            Some(TokenId::Outside(fault)) => faults.push((fault, true)),
            None => {}
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
    for (fault, wrong) in faults {
        let endless = config.eos_ids.is_empty();
        if endless && wrong {
            let reason = format_args!("{fault}, and no other token ends a reply");
            return Err(Error::invalid_file(metadata.label(), reason));
        }
        let file = metadata.label();
        if endless {
            let effect = "no token ends a reply, which goes on until its limit of tokens";
            config.warnings.push(format!("{file}: {effect} ({fault})"));
        } else if !tokenizer.warnings().iter().any(|warning| warning.contains(&fault)) {
            config.warnings.push(format!("{file}: {fault}; other tokens end a reply"));
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
    fn an_end_that_is_no_token_is_told() {
        let eot = "tokenizer.ggml.eot_token_id";
        let eos = "tokenizer.ggml.eos_token_id";
        for (key, id, number) in [
            (eot, Value::Signed(-1), "-1"),
            (eos, Value::Unsigned(0xFFFF_FFFF), "4294967295"),
            (eos, Value::Unsigned(77_000), "77000"),
            ("tokenizer.ggml.eom_token_id", Value::Unsigned(u64::MAX), "18446744073709551615"),
        ] {
            let config = applied(vec![(key, id)]).unwrap();
            assert_eq!(config.eos_ids, [402, 400]);
            let [warning] = config.warnings.as_slice() else { panic!("{:?}", config.warnings) };
            assert!(warning.contains(&format!("{key} is {number}")), "{warning}");
        }
        // A vocabulary of letters has no other end.
        let letters = |id: Value| {
            let json = br#"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}"#;
            let tokenizer = Tokenizer::from_json(json, None).unwrap();
            let metadata = Metadata::from_pairs("test.gguf", [(eos.to_owned(), id)]);
            let mut config = GenerationConfig::default();
            apply(&mut config, &metadata, &tokenizer).map(|()| config)
        };
        let endless = letters(Value::Signed(-1)).unwrap();
        assert!(endless.warnings[0].contains("no token ends a reply"), "{:?}", endless.warnings);
        let error = letters(Value::Unsigned(7)).unwrap_err().to_string();
        assert!(error.contains("eos_token_id is 7, but the vocabulary has 1 token"), "{error}");
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
