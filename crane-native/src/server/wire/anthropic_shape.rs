//! `/v1/messages`, Anthropic's API: the answer, whole and as events, and errors in its shape.

use axum::http::StatusCode;
use crane_sdk::generate::{FinishReason, Output};
use crane_sdk::text::tools::CallFormat;
use serde_json::{Value, json};

use super::{ApiError, Call, CallTeller, Frame, Head, Part, Shape, Told, Usage, gather};

/// Writes messages.
#[derive(Debug)]
pub struct MessagesShape {
    head: Head,
    teller: Option<CallTeller>,
    /// The stop strings that the client gave.
    stops: Vec<String>,
    prompt_tokens: usize,
    /// Blocks that have begun, and whether the last of them is open and a text.
    blocks: usize,
    open: Option<bool>,
    end: (&'static str, Option<String>),
}

impl MessagesShape {
    /// For a request.
    pub fn new(
        head: Head,
        stops: Vec<String>,
        prompt_tokens: usize,
        calls: Option<&CallFormat>,
    ) -> Self {
        let teller = calls.map(|format| CallTeller::new(format, &head.id, 0));
        Self { head, teller, stops, prompt_tokens, blocks: 0, open: None, end: ("end_turn", None) }
    }

    fn message(&self, content: Vec<Value>, usage: Value) -> Value {
        json!({
            "id": self.head.id,
            "type": "message",
            "role": "assistant",
            "model": self.head.model,
            "content": content,
            "stop_reason": null,
            "stop_sequence": null,
            "usage": usage,
        })
    }

    /// Notes why the reply ended, and what was held back.
    fn end(&mut self, output: &Output) -> Vec<Part> {
        let rest = self.teller.as_mut().map(CallTeller::finish).unwrap_or_default();
        let calls = self.teller.as_ref().map_or(0, CallTeller::count);
        let stop = output.stop.clone().filter(|stop| self.stops.contains(stop));
        self.end = match (output.finish_reason, stop) {
            (FinishReason::Length, _) => ("max_tokens", None),
            (FinishReason::Stop, Some(stop)) => ("stop_sequence", Some(stop)),
            _ if calls > 0 => ("tool_use", None),
            _ => ("end_turn", None),
        };
        rest
    }

    fn push(&mut self, text: String) -> Vec<Part> {
        match &mut self.teller {
            Some(teller) => teller.push(&text),
            None if text.is_empty() => Vec::new(),
            None => vec![Part::Text(text)],
        }
    }

    fn begin(&mut self, block: Value, text: bool) -> Vec<Frame> {
        let mut frames = self.close();
        let index = self.blocks;
        (self.blocks, self.open) = (self.blocks + 1, Some(text));
        frames
            .push(frame("content_block_start", json!({ "index": index, "content_block": block })));
        frames
    }

    fn close(&mut self) -> Vec<Frame> {
        let open = self.open.take();
        let stop = open.map(|_| frame("content_block_stop", json!({ "index": self.blocks - 1 })));
        Vec::from_iter(stop)
    }

    fn take(&mut self, parts: Vec<Part>) -> Vec<Frame> {
        let mut frames = Vec::new();
        for part in parts {
            let delta = match part {
                Part::Text(text) => {
                    if self.open != Some(true) {
                        frames.extend(self.begin(json!({ "type": "text", "text": "" }), true));
                    }
                    json!({ "type": "text_delta", "text": text })
                }
                Part::Call(_, call) => {
                    frames.extend(self.begin(tool_use(&call, json!({})), false));
                    continue;
                }
                Part::Arguments(_, text) => {
                    json!({ "type": "input_json_delta", "partial_json": text })
                }
            };
            let index = self.blocks.saturating_sub(1);
            frames.push(frame("content_block_delta", json!({ "index": index, "delta": delta })));
        }
        frames
    }
}

fn tool_use(call: &Call, input: Value) -> Value {
    json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": input })
}

fn frame(event: &'static str, fields: Value) -> Frame {
    let mut data = json!({ "type": event });
    if let (Some(data), Value::Object(fields)) = (data.as_object_mut(), fields) {
        data.extend(fields);
    }
    Frame { event: Some(event), data }
}

fn usage(prompt: usize, cached: usize, output: usize) -> Value {
    json!({
        "input_tokens": prompt.saturating_sub(cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": output,
    })
}

impl Shape for MessagesShape {
    const DONE: bool = false;

    fn started(&mut self, _index: usize, cached: usize) -> Vec<Frame> {
        let message = self.message(Vec::new(), usage(self.prompt_tokens, cached, 0));
        vec![frame("message_start", json!({ "message": message }))]
    }

    fn told(&mut self, _index: usize, told: Told) -> Vec<Frame> {
        let parts = self.push(told.text);
        self.take(parts)
    }

    fn ended(&mut self, _index: usize, output: &Output) -> Vec<Frame> {
        let rest = self.end(output);
        let mut frames = self.take(rest);
        frames.extend(self.close());
        frames
    }

    fn finished(&mut self, used: Usage) -> Vec<Frame> {
        let (reason, stop) = &self.end;
        let cached = used.prompt_tokens_details.cached_tokens;
        let usage = usage(used.prompt_tokens, cached, used.completion_tokens);
        let delta = json!({ "stop_reason": reason, "stop_sequence": stop });
        vec![
            frame("message_delta", json!({ "delta": delta, "usage": usage })),
            frame("message_stop", json!({})),
        ]
    }

    fn failed(&mut self, error: &ApiError) -> Frame {
        Frame { event: Some("error"), data: anthropic_error(error) }
    }

    fn whole(&mut self, replies: Vec<(Told, Box<Output>)>, used: Usage) -> Value {
        let mut content = Vec::new();
        for (told, output) in replies {
            let mut parts = self.push(told.text);
            parts.extend(self.end(&output));
            let (text, calls) = gather(parts);
            if !text.is_empty() {
                content.push(json!({ "type": "text", "text": text }));
            }
            for call in &calls {
                // Arguments that a limit of tokens has cut are no JSON: nothing is told of them.
                let input = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
                content.push(tool_use(call, input));
            }
        }
        let cached = used.prompt_tokens_details.cached_tokens;
        let usage = usage(used.prompt_tokens, cached, used.completion_tokens);
        let mut message = self.message(content, usage);
        message["stop_reason"] = self.end.0.into();
        message["stop_sequence"] = json!(self.end.1);
        message
    }
}

/// A refusal in the shape of Anthropic's API.
pub fn anthropic_error(error: &ApiError) -> Value {
    let kind = match error.status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
        StatusCode::GATEWAY_TIMEOUT => "timeout_error",
        status if status.is_server_error() => "api_error",
        _ => "invalid_request_error",
    };
    let message = error.json()["error"]["message"].clone();
    json!({ "type": "error", "error": { "type": kind, "message": message } })
}
