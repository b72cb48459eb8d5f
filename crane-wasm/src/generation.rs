//! What JavaScript asks of a generation, and what each step of it gives.

use std::collections::BTreeMap;

use crane_sdk::generate::{self, FinishReason, GenerationConfig, Output, Session};
use crane_sdk::grammar::Grammar;
use serde::{Deserialize, Serialize};

/// Tokens of a prompt that are evaluated in one step: between two steps the worker takes messages, so
/// this is how long an abort may wait.
const PREFILL_CHUNK: usize = 32;

/// What a caller may ask for; what is left out has the value of the checkpoint's authors.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    max_tokens: Option<usize>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<usize>,
    min_p: Option<f32>,
    typical_p: Option<f32>,
    seed: Option<u64>,
    stop: Option<Vec<String>>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    repetition_penalty: Option<f32>,
    penalty_last_n: Option<usize>,
    logit_bias: Option<BTreeMap<u32, f32>>,
    ignore_eos: Option<bool>,
    grammar: Option<Grammar>,
}

impl Request {
    /// The form that the answer must have.
    pub fn grammar(&self) -> Option<&Grammar> {
        self.grammar.as_ref()
    }

    /// Lays the request over the checkpoint's own configuration.
    pub fn over(self, mut config: GenerationConfig) -> GenerationConfig {
        fn lay<T>(over: Option<T>, value: &mut T) {
            if let Some(over) = over {
                *value = over;
            }
        }
        config.prefill_chunk = PREFILL_CHUNK;
        let sampling = &mut config.sampling;
        lay(self.temperature, &mut sampling.temperature);
        lay(self.top_p, &mut sampling.top_p);
        lay(self.top_k, &mut sampling.top_k);
        lay(self.min_p, &mut sampling.min_p);
        lay(self.typical_p, &mut sampling.typical_p);
        lay(self.presence_penalty, &mut sampling.presence_penalty);
        lay(self.frequency_penalty, &mut sampling.frequency_penalty);
        lay(self.repetition_penalty, &mut sampling.repetition_penalty);
        lay(self.logit_bias, &mut sampling.logit_bias);
        lay(self.penalty_last_n.map(Some), &mut sampling.penalty_last_n);
        lay(self.seed.map(Some), &mut sampling.seed);
        lay(self.max_tokens.map(Some), &mut config.max_new_tokens);
        lay(self.stop, &mut config.stop);
        lay(self.ignore_eos, &mut config.ignore_eos);
        config
    }
}

/// What a step gives to JavaScript.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The text that became complete.
    text: String,
    /// The token that was drawn; none while the prompt is evaluated and when the answer has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
    done: bool,
    #[serde(flatten)]
    end: Option<End>,
}

/// How it ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct End {
    finish_reason: &'static str,
    usage: Usage,
    timings: Timings,
}

/// Token counts in OpenAI's shape.
#[derive(Debug, Serialize)]
struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
    prompt_tokens_details: PromptTokens,
}

#[derive(Debug, Serialize)]
struct PromptTokens {
    cached_tokens: usize,
}

#[derive(Debug, Serialize)]
struct Timings {
    time_to_first_token_ms: f64,
    prefill_tokens_per_second: f64,
    decode_tokens_per_second: f64,
}

impl Step {
    /// Makes one step of a session's generation.
    ///
    /// # Errors
    /// Whatever the model or the sampler returns.
    pub fn make(session: &mut Session) -> crane_sdk::Result<Self> {
        let (text, id) = match session.step()? {
            generate::Step::Piece(piece) => (piece.text, piece.id),
            generate::Step::Prefill { .. } | generate::Step::Done => (String::new(), None),
        };
        let ended = if session.is_running() { None } else { session.finish() };
        Ok(Self { text, id, done: ended.is_some(), end: ended.map(|output| End::of(&output)) })
    }
}

impl End {
    fn of(output: &Output) -> Self {
        let stats = &output.stats;
        let first = stats.time_to_first_token.unwrap_or_default();
        Self {
            finish_reason: match output.finish_reason {
                FinishReason::Length => "length",
                _ => "stop",
            },
            usage: Usage {
                prompt_tokens: stats.prompt_tokens,
                completion_tokens: stats.generated_tokens,
                total_tokens: stats.prompt_tokens + stats.generated_tokens,
                prompt_tokens_details: PromptTokens { cached_tokens: stats.cached_tokens },
            },
            timings: Timings {
                time_to_first_token_ms: first.as_secs_f64() * 1000.0,
                prefill_tokens_per_second: stats.prefill_tokens_per_second(),
                decode_tokens_per_second: stats.decode_tokens_per_second(),
            },
        }
    }
}
