//! `/api/chat` and `/api/generate`: the answer, whole and line by line.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crane_sdk::generate::Output;
use crane_sdk::text::Tokenizer;
use crane_sdk::text::tools::CallFormat;
use serde_json::{Map, Value, json};

use super::nanoseconds;
use super::thinking::Thinking;
use super::time::rfc3339;
use super::{VERSION, ollama_error};
use crate::server::wire::{
    ApiError, Call, CallTeller, Chosen, Frame, Part, Shape, Told, Usage, finish_reason,
};

/// Where an answer's text stands.
#[derive(Debug, Clone)]
pub enum Said {
    /// In `message.content`.
    Chat,
    /// In `response`, with the tokens of all that was said at the end, if they are told: those of the prompt come first.
    Generate(Option<Arc<[u32]>>),
}

/// Writes answers.
#[derive(Debug)]
pub struct OllamaShape {
    /// The model as it was asked for.
    model: String,
    said: Said,
    begun: Instant,
    /// How long the model was waited for.
    load: Duration,
    tokenizer: Arc<Tokenizer>,
    logprobs: bool,
    calls: Option<CallTeller>,
    /// The call that is being written, which is told once it is whole, and its number.
    call: Option<(usize, Call)>,
    thinking: Option<Thinking>,
    prompt_tokens: usize,
}

/// What is told of a reply at a time.
#[derive(Debug, Default)]
struct More {
    thoughts: String,
    text: String,
    calls: Vec<Value>,
    logprobs: Vec<Value>,
}

impl More {
    fn is_empty(&self) -> bool {
        self.thoughts.is_empty()
            && self.text.is_empty()
            && self.calls.is_empty()
            && self.logprobs.is_empty()
    }

    fn extend(&mut self, more: More) {
        self.thoughts.push_str(&more.thoughts);
        self.text.push_str(&more.text);
        self.calls.extend(more.calls);
        self.logprobs.extend(more.logprobs);
    }
}

impl OllamaShape {
    /// For a request that began at this time, and whose model was waited for so long.
    pub fn new(
        model: String,
        said: Said,
        (begun, load): (Instant, Duration),
        tokenizer: Arc<Tokenizer>,
        prompt_tokens: usize,
    ) -> Self {
        let (logprobs, calls, call, thinking) = (false, None, None, None);
        let load = load.max(Duration::from_nanos(1));
        Self { model, said, begun, load, tokenizer, logprobs, calls, call, thinking, prompt_tokens }
    }

    /// With the log-probabilities of all tokens.
    pub fn with_logprobs(self, logprobs: bool) -> Self {
        Self { logprobs, ..self }
    }

    /// With calls of tools, which are written so.
    pub fn with_calls(self, format: Option<&CallFormat>, id: &str) -> Self {
        let calls = format.map(|format| CallTeller::new(format, id, 0));
        Self { calls, ..self }
    }

    /// With thoughts, which the prompt has begun or has not.
    pub fn with_thoughts(self, opened: Option<bool>) -> Self {
        Self { thinking: opened.map(Thinking::new), ..self }
    }

    fn take(&mut self, told: Told) -> More {
        let mut more = More { logprobs: self.logprobs(&told.tokens), ..More::default() };
        let parts = match &mut self.calls {
            Some(calls) => calls.push(&told.text),
            None => vec![Part::Text(told.text)],
        };
        self.parts(parts, &mut more);
        more
    }

    /// What was held back.
    fn finish(&mut self) -> More {
        let mut more = More::default();
        let parts = self.calls.as_mut().map(CallTeller::finish).unwrap_or_default();
        self.parts(parts, &mut more);
        more.calls.extend(self.call.take().and_then(whole_call));
        if let Some(thinking) = &mut self.thinking {
            let (thoughts, text) = thinking.finish();
            more.thoughts.push_str(&thoughts);
            more.text.push_str(&text);
        }
        more
    }

    fn parts(&mut self, parts: Vec<Part>, more: &mut More) {
        for part in parts {
            match part {
                Part::Text(text) => match &mut self.thinking {
                    Some(thinking) => {
                        let (thoughts, text) = thinking.push(&text);
                        more.thoughts.push_str(&thoughts);
                        more.text.push_str(&text);
                    }
                    None => more.text.push_str(&text),
                },
                Part::Call(number, call) => {
                    more.calls.extend(self.call.replace((number, call)).and_then(whole_call));
                }
                Part::Arguments(_, text) => {
                    if let Some((_, call)) = &mut self.call {
                        call.arguments.push_str(&text);
                    }
                }
            }
        }
    }

    fn logprobs(&self, tokens: &[Chosen]) -> Vec<Value> {
        if !self.logprobs {
            return Vec::new();
        }
        let token = |id: u32, logprob: f32| {
            let bytes = self.tokenizer.token_bytes(id);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            json!({ "token": text, "logprob": logprob, "bytes": bytes })
        };
        let entry = |chosen: &Chosen| {
            let mut entry = token(chosen.id, chosen.logprob);
            if !chosen.top.is_empty() {
                let top = chosen.top.iter().map(|other| token(other.id, other.logprob));
                entry["top_logprobs"] = top.collect();
            }
            entry
        };
        tokens.iter().map(entry).collect()
    }

    /// A line with more of the reply.
    fn line(&self, more: More) -> Value {
        let mut line = begin(&self.model);
        let More { thoughts, text, calls, logprobs } = more;
        match &self.said {
            Said::Chat => {
                let mut message = json!({ "role": "assistant", "content": text });
                if !thoughts.is_empty() {
                    message["thinking"] = thoughts.into();
                }
                if !calls.is_empty() {
                    message["tool_calls"] = calls.into();
                }
                line["message"] = message;
            }
            Said::Generate(_) => {
                line["response"] = text.into();
                if !thoughts.is_empty() {
                    line["thinking"] = thoughts.into();
                }
            }
        }
        line["done"] = false.into();
        if !logprobs.is_empty() {
            line["logprobs"] = logprobs.into();
        }
        line
    }

    /// The last line, with the last of the reply.
    fn last(&self, more: More, output: &Output) -> Value {
        let mut line = self.line(more);
        let stats = &output.stats;
        line["done"] = true.into();
        line["done_reason"] = finish_reason(output).into();
        if let Said::Generate(Some(prompt)) = &self.said {
            line["context"] = prompt.iter().chain(&output.ids).copied().collect();
        }
        let counted = json!({
            "total_duration": nanoseconds(self.begun.elapsed()),
            "load_duration": nanoseconds(self.load),
            "prompt_eval_count": self.prompt_tokens,
            "prompt_eval_duration": nanoseconds(stats.prefill_time),
            "eval_count": stats.generated_tokens,
            "eval_duration": nanoseconds(stats.decode_time),
        });
        if let (Value::Object(line), Value::Object(counted)) = (&mut line, counted) {
            line.extend(counted);
        }
        line
    }
}

/// What every line begins with.
fn begin(model: &str) -> Value {
    json!({ "model": model, "created_at": rfc3339(SystemTime::now()) })
}

/// The answer to a request without a text: the model was only to be loaded (`load`) or let go (`unload`).
pub fn nothing_said(model: &str, said: &Said, reason: &str) -> Value {
    let mut answer = begin(model);
    match said {
        Said::Chat => answer["message"] = json!({ "role": "assistant", "content": "" }),
        Said::Generate(_) => answer["response"] = "".into(),
    }
    answer["done"] = true.into();
    answer["done_reason"] = reason.into();
    answer
}

/// A call, if its arguments are all there.
fn whole_call((number, call): (usize, Call)) -> Option<Value> {
    let arguments = match call.arguments.trim() {
        "" => Map::new(),
        text => serde_json::from_str(text).ok()?,
    };
    Some(json!({
        "id": call.id,
        "function": { "index": number, "name": call.name, "arguments": arguments },
    }))
}

impl Shape for OllamaShape {
    const DONE: bool = false;
    const LINES: bool = true;

    fn started(&mut self, _index: usize, _cached: usize) -> Vec<Frame> {
        Vec::new()
    }

    fn told(&mut self, _index: usize, told: Told) -> Vec<Frame> {
        let more = self.take(told);
        Vec::from_iter((!more.is_empty()).then(|| self.line(more).into()))
    }

    fn ended(&mut self, _index: usize, output: &Output) -> Vec<Frame> {
        let rest = self.finish();
        // Clients take the last line for the numbers alone.
        let line = (!rest.is_empty()).then(|| self.line(rest).into());
        let last = self.last(More::default(), output).into();
        line.into_iter().chain([last]).collect()
    }

    fn finished(&mut self, _usage: Usage) -> Vec<Frame> {
        Vec::new()
    }

    fn failed(&mut self, error: &ApiError) -> Frame {
        ollama_error(error).into()
    }

    fn whole(&mut self, replies: Vec<(Told, Box<Output>)>, _usage: Usage) -> Value {
        let Some((told, output)) = replies.into_iter().next() else {
            return nothing_said(&self.model, &self.said, "stop");
        };
        let mut more = self.take(told);
        more.extend(self.finish());
        self.last(more, &output)
    }
}

/// The answer of `/api/version`.
pub fn version() -> Value {
    json!({ "version": VERSION, "server": concat!("crane ", env!("CARGO_PKG_VERSION")) })
}
