//! The pre-tokenizers that GGUF files name: how text is cut before the merges are applied.
//!
//! The patterns are those of the models' own `tokenizer.json` files.

use super::cutter::{Cutter, GPT2};
use super::normalizer::Normalizer;
use crate::{Error, Result};

/// How one `tokenizer.ggml.pre` cuts text.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PreTokenizer {
    /// Applied in order: each match is a piece, and so is what lies between matches.
    patterns: &'static [&'static str],
    /// Text is composed (Unicode NFC) first.
    nfc: bool,
    /// A piece that is a token is that token, whatever the merges say.
    pub(super) ignore_merges: bool,
    /// A text begins with the bos token unless the file says otherwise.
    pub(super) add_bos: bool,
}

const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK_V3: [&str; 3] = [
    r"\p{N}{1,3}",
    "[一-龥\u{3040}-ゟ゠-ヿ]+",
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
];
const DEEPSEEK_CODER: [&str; 5] =
    [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-\u{D7FF}]+", r"\p{N}"];

impl PreTokenizer {
    /// The pre-tokenizer that a file names as `tokenizer.ggml.pre`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a name that is not known.
    pub(super) fn named(name: &str) -> Result<Self> {
        let plain = |patterns| Self { patterns, ..Self::default() };
        Ok(match name {
            // What files from before the key are read as.
            "default" => plain(&[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"]),
            "gpt-2" | "phi-2" | "mpt" | "olmo" | "jais" | "exaone4" | "trillion"
            | "granite-docling" | "gigachat" | "a.x-4.0" | "mellum" => plain(&[GPT2]),
            "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone"
            | "minerva-7b" | "mellum2" => plain(&[r"\p{N}", GPT2]),
            "falcon" => plain(&[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"]),
            "qwen2" => Self { nfc: true, ..plain(&[QWEN2]) },
            "deepseek-r1-qwen" | "stablelm2" | "megrez" | "hunyuan" | "kormo" | "solar-open"
            | "grok-2" => plain(&[QWEN2]),
            "qwen35" => Self { nfc: true, ..plain(&[QWEN35]) },
            "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "falcon-h1" | "pixtral"
            | "midm-2.0" | "lfm2" => {
                Self { ignore_merges: true, add_bos: true, ..plain(&[LLAMA3]) }
            }
            "dbrx" | "smaug-bpe" | "glm4" | "chatglm-bpe" => plain(&[LLAMA3]),
            "tekken" => Self { ignore_merges: true, add_bos: true, ..plain(&[TEKKEN]) },
            "gpt-4o" | "llama4" | "kanana2" | "minimax-m2" => plain(&[GPT4O]),
            "deepseek-v3" | "hunyuan-dense" => plain(&DEEPSEEK_V3),
            "deepseek-coder" => plain(&DEEPSEEK_CODER),
            _ => {
                return Err(Error::Unsupported {
                    what: format!("the pre-tokenizer {name:?} (tokenizer.ggml.pre)"),
                    hint: "put the model's tokenizer.json beside the file, or use a model whose \
                           pre-tokenizer is known, such as qwen2, llama-bpe, smollm or gpt-2"
                        .to_owned(),
                });
            }
        })
    }

    /// The normalizer that comes before it.
    pub(super) fn normalizer(&self) -> Normalizer {
        if self.nfc { Normalizer::nfc() } else { Normalizer::default() }
    }

    /// The steps: the patterns, then bytes as characters.
    pub(super) fn build(&self) -> Result<Cutter> {
        Cutter::byte_level(self.patterns).map_err(Error::Tokenizer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 16] = [
        "default",
        "gpt-2",
        "smollm",
        "falcon",
        "qwen2",
        "stablelm2",
        "qwen35",
        "llama-bpe",
        "dbrx",
        "tekken",
        "gpt-4o",
        "deepseek-v3",
        "deepseek-coder",
        "command-r",
        "pixtral",
        "starcoder",
    ];

    fn texts() -> Vec<String> {
        let cases = include_str!("../../tests/fixtures/refs/tokenizer_cases.json");
        let cases: serde_json::Value = serde_json::from_str(cases).unwrap();
        let mut texts: Vec<String> = ["qwen", "smollm2"]
            .iter()
            .flat_map(|name| cases[*name].as_array().unwrap())
            .map(|case| case["text"].as_str().unwrap().to_owned())
            .collect();
        let characters: Vec<char> =
            " \t\n\r\u{a0}\u{85}\u{2028}\u{3000}aZéßǅʰ中の한ก\u{301}\u{94d}059٣½Ⅷ'’sTLVEred.,!?-_/$+<>`~^|=«、。😀\u{200d}\u{1f3fd}\u{7f}\u{0}\u{ad}\u{feff}"
                .chars()
                .collect();
        let mut seed = 1u64;
        for _ in 0..400 {
            let mut next = |bound: usize| {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (seed >> 33) as usize % bound
            };
            let length = next(30);
            texts.push((0..length).map(|_| characters[next(characters.len())]).collect());
        }
        texts
    }

    /// The library matches with Oniguruma natively and with fancy-regex in a browser: the same text
    /// must be cut alike on both.
    #[test]
    fn both_regex_engines_cut_alike() {
        let texts = texts();
        for name in NAMES {
            for pattern in PreTokenizer::named(name).unwrap().patterns {
                let native = onig::Regex::new(pattern).unwrap();
                let browser = fancy_regex::Regex::new(pattern).unwrap();
                for text in &texts {
                    let native: Vec<_> = native.find_iter(text).collect();
                    let browser: Vec<_> = browser
                        .find_iter(text)
                        .map(|found| found.map(|found| (found.start(), found.end())).unwrap())
                        .collect();
                    assert_eq!(native, browser, "{name}: {pattern} on {text:?}");
                }
            }
        }
    }

    #[test]
    fn every_name_builds() {
        for name in NAMES {
            PreTokenizer::named(name).unwrap().build().unwrap();
        }
        let error = PreTokenizer::named("martian").unwrap_err().to_string();
        assert!(error.contains("martian"), "{error}");
    }
}
