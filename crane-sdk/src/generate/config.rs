//! The options of a generation.

use serde::{Deserialize, Serialize};

use super::ContextPolicy;
use crate::grammar::Constraint;
use crate::sample::{LogprobsOf, SamplingParams};
use crate::text::tools::CallFormat;
use crate::{Error, Result};

/// How a reply is generated: what is chosen, when it ends, what is told of it.
///
/// [`GenerationConfig::from_source`] takes the values that a checkpoint's authors published; the
/// default is the model's own distribution, no limit but the context window, and no end token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GenerationConfig {
    /// How each token is chosen.
    pub sampling: SamplingParams,
    /// The most tokens that are generated; `None` is up to the end of the context window.
    pub max_new_tokens: Option<usize>,
    /// The most tokens of prompt and reply together; acts where `max_new_tokens` is not given.
    pub max_length: Option<usize>,
    /// End-of-sequence tokens cannot be chosen before so many tokens have been.
    pub min_new_tokens: usize,
    /// The tokens that end the reply.
    pub eos_ids: Vec<u32>,
    /// Go on after an end-of-sequence token (for measurements).
    pub ignore_eos: bool,
    /// Strings that end the reply and are not part of it. One that is a special token of the
    /// vocabulary ends it also where special tokens are hidden from the text.
    pub stop: Vec<String>,
    /// Tell the log-probability of each token and of the so many most likely ones.
    pub logprobs: Option<usize>,
    /// Of which distribution they are told.
    pub logprobs_of: LogprobsOf,
    /// What happens when the tokens do not fit into the context window.
    pub context: ContextPolicy,
    /// Tokens of a prompt that are evaluated at once; between two chunks a generation can be cancelled.
    pub prefill_chunk: usize,
    /// Hide special tokens such as `<|im_end|>` from the text.
    pub skip_special_tokens: bool,
    /// The form that the reply must have; it ends where the form does.
    #[serde(skip)]
    pub constraint: Option<Constraint>,
    /// How the model writes calls of tools, if the reply may hold some: stop strings are looked for in what is seen of it, never
    /// in a call.
    #[serde(skip)]
    pub calls: Option<CallFormat>,
    /// What the checkpoint's `generation_config.json` asks for and this library does not do.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

impl Default for GenerationConfig {
    fn default() -> Self {
        Self {
            sampling: SamplingParams::default(),
            max_new_tokens: None,
            max_length: None,
            min_new_tokens: 0,
            eos_ids: Vec::new(),
            ignore_eos: false,
            stop: Vec::new(),
            logprobs: None,
            logprobs_of: LogprobsOf::default(),
            context: ContextPolicy::default(),
            prefill_chunk: 256,
            skip_special_tokens: true,
            constraint: None,
            calls: None,
            warnings: Vec::new(),
        }
    }
}

impl GenerationConfig {
    /// Checks every option against the range in which it can act.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] that names the option.
    pub fn validate(&self) -> Result<()> {
        self.sampling.validate()?;
        for (name, value) in
            [("max_new_tokens", self.max_new_tokens), ("max_length", self.max_length)]
        {
            if value == Some(0) {
                return Err(Error::argument(name, "is 0; it must be at least 1"));
            }
        }
        if self.prefill_chunk == 0 {
            return Err(Error::argument("prefill_chunk", "is 0; it must be at least 1"));
        }
        if self.max_new_tokens.is_some_and(|most| self.min_new_tokens > most) {
            return Err(Error::argument(
                "min_new_tokens",
                format_args!("is {}, more than max_new_tokens", self.min_new_tokens),
            ));
        }
        if self.stop.iter().any(String::is_empty) {
            return Err(Error::argument("stop", "holds an empty string, which is everywhere"));
        }
        Ok(())
    }
}
