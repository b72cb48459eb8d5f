//! Flags that say which model runs, where, and in which number type.

use std::ffi::OsStr;
use std::path::Path;

use clap::builder::{
    BoolishValueParser, PossibleValuesParser, StringValueParser, TypedValueParser,
};
use clap::{Arg, Args, Command, ValueEnum};
use crane_sdk::kernels::attention::KvType;

use crate::cli::machine;
use crate::device::DeviceChoice;
use crate::file_url;

/// The text of a word that may be a model's path, whose bytes need not be UTF-8.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct ModelWord;

impl TypedValueParser for ModelWord {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        word: &OsStr,
    ) -> Result<String, clap::Error> {
        match named(word) {
            Some(name) => Ok(name),
            None => StringValueParser::new().parse_ref(command, arg, word),
        }
    }
}

/// A model's name as text: the word, or the address of a path that is there and is no text.
fn named(word: &OsStr) -> Option<String> {
    match word.to_str() {
        Some(text) => Some(text.to_owned()),
        None => file_url::of(Path::new(word)).filter(|_| Path::new(word).exists()),
    }
}

/// Which model.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Model")]
pub(in crate::cli) struct ModelArgs {
    /// The model: hub id, folder, .gguf file, or a name from `crane list` [env: CRANE_MODEL=]
    // clap would take the variable for a flag, and a model by position would conflict with it.
    #[arg(short, long, value_name = "MODEL", value_parser = ModelWord)]
    pub model: Option<String>,
    /// Use only what is on this machine
    #[arg(long, env = "CRANE_OFFLINE", value_parser = BoolishValueParser::new())]
    pub offline: bool,
}

impl ModelArgs {
    /// The model that was asked for: by position, by flag, or by `CRANE_MODEL`.
    pub(in crate::cli) fn choose(&self, position: Option<String>) -> Option<String> {
        position.or_else(|| self.model.clone()).or_else(|| {
            std::env::var_os("CRANE_MODEL")
                .and_then(|name| named(&name))
                .filter(|name| !name.is_empty())
        })
    }
}

/// How its weights are loaded.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Model")]
pub(in crate::cli) struct LoadArgs {
    /// Threads to compute with [default: RAYON_NUM_THREADS, else one for each physical core]
    #[arg(short, long, env = "CRANE_THREADS", value_name = "N", value_parser = threads,
          allow_negative_numbers = true)]
    pub threads: Option<u16>,
    /// auto, cpu, metal, cuda or cuda:N
    #[arg(long, env = "CRANE_DEVICE", value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,
    /// Number type to compute in and to hold plain weights in [default: the checkpoint's]
    #[arg(long, env = "CRANE_DTYPE", value_name = "TYPE", value_enum)]
    pub dtype: Option<NumberType>,
    /// Quantise the weights while loading
    #[arg(long, env = "CRANE_QUANT", value_name = "TYPE", value_enum, conflicts_with = "dtype")]
    pub quant: Option<QuantType>,
    /// Number type of the key/value cache: f16 halves its memory, q8_0 quarters it
    #[arg(long, env = "CRANE_KV_TYPE", value_name = "TYPE", default_value = "f32", value_parser = kv_type())]
    pub kv_type: KvType,
}

/// More threads than this only take turns, and each costs memory.
fn most_threads() -> usize {
    (4 * machine::cores()).clamp(256, usize::from(u16::MAX))
}

pub(super) fn threads(text: &str) -> Result<u16, String> {
    let most = most_threads();
    match text.parse::<u16>() {
        Ok(count) if count > 0 && usize::from(count) <= most => Ok(count),
        _ => Err(format!("a whole number from 1 to {most} (256, or four for each core)")),
    }
}

fn kv_type() -> impl TypedValueParser<Value = KvType> {
    PossibleValuesParser::new(KvType::ALL.map(KvType::name)).try_map(|name| name.parse::<KvType>())
}

/// A number type of plain weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the names say it")]
pub(in crate::cli) enum NumberType {
    F32,
    F16,
    Bf16,
}

/// A ggml block type that weights can be quantised to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub(in crate::cli) enum QuantType {
    #[value(name = "q8_0")]
    Q8_0,
    #[value(name = "q4_0")]
    Q4_0,
    #[value(name = "q4_k")]
    Q4K,
    #[value(name = "q5_k")]
    Q5K,
    #[value(name = "q6_k")]
    Q6K,
}
