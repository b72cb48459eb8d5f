//! Flags that say how an answer is generated.

use std::fmt;
use std::str::FromStr;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

/// Limits and the shape of a reply.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Generation")]
pub(in crate::cli) struct GenerationArgs {
    /// Context size in tokens: prompt and reply together [default: the model's]
    #[arg(short, long, env = "CRANE_CTX", value_name = "N", value_parser = positive,
          allow_negative_numbers = true)]
    pub ctx: Option<usize>,
    /// Longest reply, in tokens; -1 ends where the model ends or the context is full [default: -1]
    #[arg(
        short = 'n',
        long,
        env = "CRANE_MAX_TOKENS",
        value_name = "N",
        allow_negative_numbers = true
    )]
    pub max_tokens: Option<Limit>,
    /// System prompt [default: the one of the model's template]
    #[arg(long, env = "CRANE_SYSTEM", value_name = "TEXT")]
    pub system: Option<String>,
    /// End the reply before this text; repeatable
    #[arg(long, env = "CRANE_STOP", value_name = "TEXT")]
    pub stop: Vec<String>,
    /// Go on past the model's end-of-sequence token
    #[arg(long, env = "CRANE_IGNORE_EOS", value_parser = BoolishValueParser::new())]
    pub ignore_eos: bool,
    /// Let control tokens that a message spells out act as such, so that it can end itself and begin others
    #[arg(long, env = "CRANE_ALLOW_SPECIAL_TOKENS", value_parser = BoolishValueParser::new())]
    pub allow_special_tokens: bool,
    /// Make the reply JSON of this schema: a file, or the schema itself
    #[arg(long, env = "CRANE_JSON_SCHEMA", value_name = "FILE|SCHEMA")]
    pub json_schema: Option<String>,
    /// Make the reply a text of the Lark grammar in this file
    #[arg(long, env = "CRANE_GRAMMAR", value_name = "FILE", conflicts_with = "json_schema")]
    pub grammar: Option<String>,
    /// What to do when the context is full
    #[arg(long, env = "CRANE_CONTEXT_POLICY", value_name = "POLICY", value_enum,
          default_value_t = FullContext::Error)]
    pub context_policy: FullContext,
}

/// What to do when the context is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum FullContext {
    /// Refuse a prompt that does not fit; end a reply where the context is full
    Error,
    /// Forget the oldest tokens but the system prompt, and go on
    Shift,
    /// Drop the oldest tokens but the system prompt where a prompt does not fit
    TruncateOldest,
}

/// How the next token is drawn; what is not given comes from the model's `generation_config.json`.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Sampling")]
pub(in crate::cli) struct SamplingArgs {
    /// Temperature; 0 always takes the most likely token
    #[arg(
        long,
        env = "CRANE_TEMP",
        value_name = "X",
        visible_alias = "temperature",
        allow_negative_numbers = true
    )]
    pub temp: Option<f32>,
    /// Keep the K most likely tokens; 0 and -1 keep all
    #[arg(long, env = "CRANE_TOP_K", value_name = "K", value_parser = top_k, allow_negative_numbers = true)]
    pub top_k: Option<usize>,
    /// Keep the most likely tokens whose probabilities add up to P; 1 keeps all
    #[arg(long, env = "CRANE_TOP_P", value_name = "P", allow_negative_numbers = true)]
    pub top_p: Option<f32>,
    /// Drop tokens less likely than P times the most likely one; 0 keeps all
    #[arg(long, env = "CRANE_MIN_P", value_name = "P", allow_negative_numbers = true)]
    pub min_p: Option<f32>,
    /// Keep the most typical tokens whose probabilities add up to P; 1 keeps all
    #[arg(long, env = "CRANE_TYPICAL_P", value_name = "P", allow_negative_numbers = true)]
    pub typical_p: Option<f32>,
    /// Divide the score of tokens that occurred (multiply a negative one); 1 is off
    #[arg(long, env = "CRANE_REPEAT_PENALTY", value_name = "X", allow_negative_numbers = true)]
    pub repeat_penalty: Option<f32>,
    /// How many recent tokens the penalties look at; 0 switches them off, -1 is all of them [default: -1]
    #[arg(long, env = "CRANE_REPEAT_LAST_N", value_name = "N", allow_negative_numbers = true)]
    pub repeat_last_n: Option<LastN>,
    /// Subtract this from the score of tokens that occurred; 0 is off
    #[arg(long, env = "CRANE_PRESENCE_PENALTY", value_name = "X", allow_negative_numbers = true)]
    pub presence_penalty: Option<f32>,
    /// Subtract this from the score of a token for each time it occurred; 0 is off
    #[arg(long, env = "CRANE_FREQUENCY_PENALTY", value_name = "X", allow_negative_numbers = true)]
    pub frequency_penalty: Option<f32>,
    /// Seed of the random generator: the same seed gives the same reply; -1 is random [default: random]
    #[arg(long, env = "CRANE_SEED", value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<Seed>,
    /// Add BIAS to the score of token ID (ID=BIAS); repeatable or a comma list
    #[arg(long, env = "CRANE_LOGIT_BIAS", value_name = "ID=BIAS", value_delimiter = ',')]
    pub logit_bias: Vec<LogitBias>,
}

/// `ID=BIAS`: what is added to the score of one token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::cli) struct LogitBias {
    /// The token.
    pub id: u32,
    /// What is added to its logit; `-inf` forbids it.
    pub bias: f32,
}

impl FromStr for LogitBias {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (id, bias) = text.split_once('=').ok_or("write ID=BIAS, as in 42=-1.5")?;
        let id = id.trim().parse().map_err(|_| format!("`{id}` is not a token id"))?;
        let bias: f32 = bias.trim().parse().map_err(|_| format!("`{bias}` is not a number"))?;
        if bias.is_nan() || bias == f32::INFINITY {
            return Err("the bias is a finite number or -inf".to_owned());
        }
        Ok(LogitBias { id, bias })
    }
}

/// The longest reply; `None` is to the end of the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Limit(pub Option<usize>);

/// The window of the penalties; `None` is all tokens, and 0 none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct LastN(pub Option<usize>);

/// A seed; `None` is a new one each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Seed(pub Option<u64>);

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            // llama.cpp's and Ollama's words for the same.
            "-1" | "-2" => Ok(Self(None)),
            text => match positive(text) {
                Ok(count) => Ok(Self(Some(count))),
                Err(reason) => Err(format!("{reason}, or -1 for no limit")),
            },
        }
    }
}

impl FromStr for LastN {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("-1", _) => Ok(Self(None)),
            (_, Ok(count)) => Ok(Self(Some(count))),
            _ => Err("a whole number of at least 0, or -1 for all tokens".to_owned()),
        }
    }
}

impl FromStr for Seed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse::<u64>(), text.parse::<i64>()) {
            ("-1", ..) => Ok(Self(None)),
            (_, Ok(seed), _) => Ok(Self(Some(seed))),
            (_, _, Ok(seed)) => Ok(Self(Some(seed.cast_unsigned()))),
            _ => Err("a whole number, or -1 for a random one".to_owned()),
        }
    }
}

impl Seed {
    /// The seed, or one from the system.
    pub(in crate::cli) fn or_random(self) -> u64 {
        use std::hash::{BuildHasher, Hasher, RandomState};
        self.0.unwrap_or_else(|| RandomState::new().build_hasher().finish())
    }
}

/// As the option spells it.
fn or_minus_one<T: fmt::Display>(value: Option<T>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match value {
        Some(value) => value.fmt(f),
        None => f.write_str("-1"),
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        or_minus_one(self.0, f)
    }
}

impl fmt::Display for LastN {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        or_minus_one(self.0, f)
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        or_minus_one(self.0, f)
    }
}

/// How many of the most likely tokens are kept: 0 is all.
pub(in crate::cli) fn top_k(text: &str) -> Result<usize, String> {
    match (text, text.parse()) {
        ("-1", _) => Ok(0),
        (_, Ok(count)) => Ok(count),
        _ => Err("a whole number of at least 0, or -1 for all tokens".to_owned()),
    }
}

pub(super) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("a whole number of at least 1".to_owned()),
    }
}
