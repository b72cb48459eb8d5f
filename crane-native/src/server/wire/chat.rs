//! `/v1/chat/completions`: the request, the answer, and the chunks of a streamed answer.

use std::sync::Arc;

use crane_sdk::generate::{GenerationConfig, Output};
use crane_sdk::text::Tokenizer;
use crane_sdk::text::tools::CallFormat;
use serde_json::{Map, Value, json};

use super::fields::Neutral;
use super::thinking::Effort;
use super::{
    ApiError, Asked, Call, CallTeller, Chosen, Conversation, Fields, Frame, Head, Part, Shape,
    Told, ToolUse, Usage, finish_reason, gather,
};

/// Fields of OpenAI's API that ask for what is not done here.
pub(super) const NOT_DONE: &[Neutral] = &[
    Neutral { name: "functions", values: &["[]"], reason: "is the older name of tools" },
    Neutral {
        name: "function_call",
        values: &["\"none\""],
        reason: "is the older name of tool_choice",
    },
    Neutral { name: "modalities", values: &[r#"["text"]"#], reason: "the model writes text" },
    Neutral { name: "audio", values: &[], reason: "the model writes text" },
    Neutral { name: "prediction", values: &[], reason: "predicted output is not used" },
    Neutral { name: "verbosity", values: &[], reason: "ask for it in the prompt" },
    Neutral { name: "web_search_options", values: &[], reason: "nothing is searched" },
    Neutral { name: "store", values: &["false"], reason: "nothing is stored" },
    Neutral { name: "metadata", values: &["{}"], reason: "nothing is stored" },
    Neutral {
        name: "service_tier",
        values: &["\"auto\"", "\"default\""],
        reason: "there is one tier",
    },
    Neutral { name: "moderation", values: &[], reason: "nothing is moderated" },
];

/// What is asked for.
#[derive(Debug)]
pub struct ChatRequest {
    /// What was said.
    pub conversation: Conversation,
    /// What may be called.
    pub tools: Option<ToolUse>,
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
        let mut conversation = Conversation::take(&mut fields)?;
        let tools = ToolUse::take(&mut fields)?;
        conversation.tools = tools.as_ref().map(|tools| tools.shown.clone());
        conversation.effort = Effort::take(&mut fields, "reasoning_effort")?;
        caching(&mut fields)?;
        let mut asked = Asked::take(&mut fields, defaults)?;
        match (fields.limit("max_completion_tokens", 1)?, fields.limit("max_tokens", 1)?) {
            (Some(_), Some(_)) => {
                let reason = "is the older name of max_completion_tokens; give one of them";
                return Err(ApiError::value("max_tokens", reason));
            }
            (one, other) => asked.at_most(one.or(other)),
        }
        let wanted = fields.boolean("logprobs")?.unwrap_or(false);
        let top = fields.integer("top_logprobs", 0..=20)?;
        asked.config.logprobs = match (wanted, top) {
            (true, top) => Some(top.unwrap_or(0) as usize),
            (false, None) => None,
            (false, Some(_)) => {
                return Err(ApiError::value("top_logprobs", "acts only with logprobs: true"));
            }
        };
        if tools.is_some() {
            check_with_tools(&asked)?;
        }
        fields.only_neutral(NOT_DONE)?;
        let unknown = fields.finish(lenient)?;
        Ok((Self { conversation, tools, asked }, unknown))
    }
}

/// Takes what says where the beginning of a prompt is to be found again: it is found by its tokens, and for as long as there is
/// place for it.
///
/// # Errors
/// That a field is of the wrong type.
pub(super) fn caching(fields: &mut Fields) -> Result<(), ApiError> {
    fields.string("prompt_cache_key")?;
    fields.string("prompt_cache_retention")?;
    fields.object("prompt_cache_options")?;
    Ok(())
}

/// Refuses what does not go with tools.
///
/// # Errors
/// The field.
pub(super) fn check_with_tools(asked: &Asked) -> Result<(), ApiError> {
    if let Some(form) = &asked.form {
        let reason =
            "does not go with tools, whose calls have a form of their own; set tool_choice to none";
        return Err(ApiError::unsupported(form.param, reason));
    }
    if asked.config.logprobs.is_some() {
        let reason = "does not go with tools: the tokens of a call are not told";
        return Err(ApiError::unsupported("logprobs", reason));
    }
    Ok(())
}

/// Writes chat completions.
#[derive(Debug)]
pub struct ChatShape {
    /// What all chunks say.
    head: Head,
    /// Spells tokens.
    tokenizer: Arc<Tokenizer>,
    /// Whether log-probabilities were asked for.
    logprobs: bool,
    /// Whether chunks speak of usage.
    include_usage: bool,
    /// Read the calls out of each reply, if there may be some.
    tellers: Vec<CallTeller>,
}

impl ChatShape {
    /// For a request.
    pub fn new(
        head: Head,
        tokenizer: Arc<Tokenizer>,
        asked: &Asked,
        calls: Option<&CallFormat>,
    ) -> Self {
        let teller = |index| Some(CallTeller::new(calls?, &head.id, index));
        let tellers = (0..asked.n).filter_map(teller).collect();
        let (logprobs, include_usage) = (asked.config.logprobs.is_some(), asked.include_usage);
        Self { head, tokenizer, logprobs, include_usage, tellers }
    }

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

    fn choice(&self, index: usize, delta: Value, logprobs: Value, finish: Value) -> Frame {
        let choice = json!([
            { "index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish }
        ]);
        self.chunk(choice).into()
    }

    /// Parts of a reply in one chunk.
    fn parts(&self, index: usize, parts: Vec<Part>) -> Option<Frame> {
        let mut delta = Map::new();
        let mut calls: Vec<Value> = Vec::new();
        for part in parts {
            match part {
                Part::Text(text) => match delta.get_mut("content") {
                    Some(Value::String(said)) => said.push_str(&text),
                    _ => drop(delta.insert("content".to_owned(), text.into())),
                },
                Part::Call(number, call) => {
                    let mut json = call.json();
                    json["index"] = number.into();
                    calls.push(json);
                }
                Part::Arguments(number, text) => {
                    calls.push(json!({ "index": number, "function": { "arguments": text } }));
                }
            }
        }
        if !calls.is_empty() {
            delta.insert("tool_calls".to_owned(), calls.into());
        }
        (!delta.is_empty()).then(|| self.choice(index, delta.into(), Value::Null, Value::Null))
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

/// Why a reply ended that called so many tools.
fn finish_with(calls: usize, output: &Output) -> &'static str {
    match finish_reason(output) {
        "stop" if calls > 0 => "tool_calls",
        reason => reason,
    }
}

impl Shape for ChatShape {
    fn started(&mut self, index: usize, _cached: usize) -> Vec<Frame> {
        let delta = json!({ "role": "assistant", "content": "", "refusal": null });
        vec![self.choice(index, delta, Value::Null, Value::Null)]
    }

    fn told(&mut self, index: usize, told: Told) -> Vec<Frame> {
        if let Some(teller) = self.tellers.get_mut(index) {
            let parts = teller.push(&told.text);
            return Vec::from_iter(self.parts(index, parts));
        }
        let logprobs = self.logprobs(&told.tokens);
        vec![self.choice(index, json!({ "content": told.text }), logprobs, Value::Null)]
    }

    fn ended(&mut self, index: usize, output: &Output) -> Vec<Frame> {
        let (parts, calls) = match self.tellers.get_mut(index) {
            Some(teller) => (teller.finish(), teller.count()),
            None => (Vec::new(), 0),
        };
        let mut frames = Vec::from_iter(self.parts(index, parts));
        let finish = finish_with(calls, output);
        frames.push(self.choice(index, json!({}), Value::Null, finish.into()));
        frames
    }

    fn finished(&mut self, usage: Usage) -> Vec<Frame> {
        let mut chunk = self.chunk(json!([]));
        chunk["usage"] = json!(usage);
        Vec::from_iter(self.include_usage.then_some(chunk.into()))
    }

    fn whole(&mut self, replies: Vec<(Told, Box<Output>)>, usage: Usage) -> Value {
        let mut choices = Vec::new();
        for (index, (told, output)) in replies.into_iter().enumerate() {
            let logprobs = self.logprobs(&told.tokens);
            let (text, calls) = match self.tellers.get_mut(index) {
                Some(teller) => {
                    let mut parts = teller.push(&told.text);
                    parts.extend(teller.finish());
                    gather(parts)
                }
                None => (told.text, Vec::new()),
            };
            let mut message = json!({ "role": "assistant", "content": text, "refusal": null });
            if !calls.is_empty() {
                message["tool_calls"] = calls.iter().map(Call::json).collect();
                if text.is_empty() {
                    message["content"] = Value::Null;
                }
            }
            choices.push(json!({
                "index": index,
                "message": message,
                "logprobs": logprobs,
                "finish_reason": finish_with(calls.len(), &output),
            }));
        }
        json!({
            "id": self.head.id,
            "object": "chat.completion",
            "created": self.head.created,
            "model": self.head.model,
            "choices": choices,
            "usage": usage,
        })
    }
}
