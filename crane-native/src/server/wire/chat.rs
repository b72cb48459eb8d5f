//! `/v1/chat/completions`: the request, the answer, and the chunks of a streamed answer.

use std::sync::Arc;

use crane_sdk::generate::{GenerationConfig, Output};
use crane_sdk::text::Tokenizer;
use serde_json::{Value, json};

use super::fields::Neutral;
use super::{
    ApiError, Asked, Chosen, Conversation, Fields, Head, Shape, Told, Usage, finish_reason,
};

/// Fields of OpenAI's API that ask for what is not done here.
const NOT_DONE: &[Neutral] = &[
    Neutral {
        name: "response_format",
        values: &[r#"{"type":"text"}"#],
        reason: "output cannot be constrained yet; ask for it in the prompt",
    },
    Neutral {
        name: "tools",
        values: &["[]"],
        reason: "calls of tools are not read out of replies yet",
    },
    Neutral { name: "tool_choice", values: &["\"none\""], reason: "tools are not supported yet" },
    Neutral { name: "parallel_tool_calls", values: &[], reason: "acts only with tools" },
    Neutral { name: "functions", values: &["[]"], reason: "tools are not supported yet" },
    Neutral { name: "function_call", values: &["\"none\""], reason: "tools are not supported yet" },
    Neutral { name: "modalities", values: &[r#"["text"]"#], reason: "the model writes text" },
    Neutral { name: "audio", values: &[], reason: "the model writes text" },
    Neutral { name: "prediction", values: &[], reason: "predicted output is not used" },
    Neutral {
        name: "reasoning_effort",
        values: &[],
        reason: "give what the model's template reads in chat_template_kwargs, such as enable_thinking",
    },
    Neutral { name: "verbosity", values: &[], reason: "ask for it in the prompt" },
    Neutral { name: "web_search_options", values: &[], reason: "nothing is searched" },
    Neutral { name: "store", values: &["false"], reason: "nothing is stored" },
    Neutral { name: "metadata", values: &["{}"], reason: "nothing is stored" },
    Neutral {
        name: "service_tier",
        values: &["\"auto\"", "\"default\""],
        reason: "there is one tier",
    },
    Neutral {
        name: "prompt_cache_key",
        values: &[],
        reason: "prefixes are found by their tokens; leave it out",
    },
    Neutral { name: "grammar", values: &[], reason: "output cannot be constrained yet" },
];

/// What is asked for.
#[derive(Debug)]
pub struct ChatRequest {
    /// What was said.
    pub conversation: Conversation,
    /// The shared options.
    pub asked: Asked,
}

impl ChatRequest {
    /// Reads a request; the names of unknown fields come with it if `lenient`.
    ///
    /// # Errors
    /// The field that cannot act.
    pub fn read(
        mut fields: Fields,
        defaults: &GenerationConfig,
        lenient: bool,
    ) -> Result<(Self, Vec<String>), ApiError> {
        let conversation = Conversation::take(&mut fields)?;
        let mut asked = Asked::take(&mut fields, defaults)?;
        let both = (fields.count("max_completion_tokens")?, fields.count("max_tokens")?);
        asked.config.max_new_tokens = match both {
            (Some(_), Some(_)) => {
                let reason = "is the older name of max_completion_tokens; give one of them";
                return Err(ApiError::value("max_tokens", reason));
            }
            (one, other) => one.or(other).or(asked.config.max_new_tokens),
        };
        let wanted = fields.boolean("logprobs")?.unwrap_or(false);
        let top = fields.integer("top_logprobs", 0..=20)?;
        asked.config.logprobs = match (wanted, top) {
            (true, top) => Some(top.unwrap_or(0) as usize),
            (false, None) => None,
            (false, Some(_)) => {
                return Err(ApiError::value("top_logprobs", "acts only with logprobs: true"));
            }
        };
        fields.only_neutral(NOT_DONE)?;
        let unknown = fields.finish(lenient)?;
        Ok((Self { conversation, asked }, unknown))
    }
}

/// Writes chat completions.
#[derive(Debug)]
pub struct ChatShape {
    /// What all chunks say.
    pub head: Head,
    /// Spells tokens.
    pub tokenizer: Arc<Tokenizer>,
    /// Whether log-probabilities were asked for.
    pub logprobs: bool,
    /// Whether chunks speak of usage.
    pub include_usage: bool,
}

impl ChatShape {
    fn chunk(&self, choices: Value) -> Value {
        let mut chunk = json!({
            "id": self.head.id,
            "object": "chat.completion.chunk",
            "created": self.head.created,
            "model": self.head.model,
            "choices": choices,
        });
        if self.include_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }

    fn choice(&self, index: usize, delta: Value, logprobs: Value, finish: Value) -> Value {
        self.chunk(json!([
            { "index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish }
        ]))
    }

    fn logprobs(&self, tokens: &[Chosen]) -> Value {
        if !self.logprobs {
            return Value::Null;
        }
        let token = |id: u32, logprob: f32| {
            let bytes = self.tokenizer.token_bytes(id);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            json!({ "token": text, "logprob": logprob, "bytes": bytes })
        };
        let entry = |chosen: &Chosen| {
            let mut entry = token(chosen.id, chosen.logprob);
            let top = chosen.top.iter().map(|other| token(other.id, other.logprob));
            entry["top_logprobs"] = top.collect();
            entry
        };
        json!({ "content": tokens.iter().map(entry).collect::<Vec<_>>(), "refusal": null })
    }
}

impl Shape for ChatShape {
    fn started(&mut self, index: usize) -> Option<Value> {
        let delta = json!({ "role": "assistant", "content": "", "refusal": null });
        Some(self.choice(index, delta, Value::Null, Value::Null))
    }

    fn told(&mut self, index: usize, told: Told) -> Option<Value> {
        let logprobs = self.logprobs(&told.tokens);
        Some(self.choice(index, json!({ "content": told.text }), logprobs, Value::Null))
    }

    fn ended(&mut self, index: usize, output: &Output) -> Value {
        self.choice(index, json!({}), Value::Null, finish_reason(output).into())
    }

    fn usage(&mut self, usage: Usage) -> Option<Value> {
        let mut chunk = self.chunk(json!([]));
        chunk["usage"] = json!(usage);
        self.include_usage.then_some(chunk)
    }

    fn whole(&mut self, replies: Vec<(Told, Box<Output>)>, usage: Usage) -> Value {
        let choice = |(index, (told, output)): (usize, &(Told, Box<Output>))| {
            json!({
                "index": index,
                "message": { "role": "assistant", "content": told.text, "refusal": null },
                "logprobs": self.logprobs(&told.tokens),
                "finish_reason": finish_reason(output),
            })
        };
        json!({
            "id": self.head.id,
            "object": "chat.completion",
            "created": self.head.created,
            "model": self.head.model,
            "choices": replies.iter().enumerate().map(choice).collect::<Vec<_>>(),
            "usage": usage,
        })
    }
}
