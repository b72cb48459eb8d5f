//! `/v1/responses`: the answer, whole and as events.

use crane_sdk::generate::Output;
use crane_sdk::text::tools::CallFormat;
use serde_json::{Map, Value, json};

use super::{ApiError, Call, CallTeller, Frame, Head, Part, Shape, Told, Usage, finish_reason};

/// Writes responses.
#[derive(Debug)]
pub struct ResponseShape {
    head: Head,
    echo: Map<String, Value>,
    teller: Option<CallTeller>,
    /// What was said so far.
    items: Vec<Item>,
    /// Whether the last of them may grow.
    open: bool,
    /// Events that were sent.
    sequence: u64,
    cut: bool,
}

/// An item of the answer.
#[derive(Debug)]
enum Item {
    Message { id: String, text: String },
    Call(Call),
}

impl Item {
    fn id(&self) -> String {
        match self {
            Item::Message { id, .. } => id.clone(),
            Item::Call(call) => call.id.replacen("call", "fc", 1),
        }
    }

    fn json(&self, status: &str) -> Value {
        match self {
            Item::Message { id, text } => json!({
                "id": id,
                "type": "message",
                "status": status,
                "role": "assistant",
                "content": [part(text)],
            }),
            Item::Call(call) => json!({
                "id": self.id(),
                "type": "function_call",
                // A call is told once it is whole.
                "status": if status == "incomplete" { "completed" } else { status },
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
            }),
        }
    }
}

fn part(text: &str) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
}

impl ResponseShape {
    /// For a request.
    pub fn new(head: Head, echo: Map<String, Value>, calls: Option<&CallFormat>) -> Self {
        let teller = calls.map(|format| CallTeller::new(format, &head.id, 0));
        Self { head, echo, teller, items: Vec::new(), open: false, sequence: 0, cut: false }
    }

    fn response(&self, status: &str, usage: Option<Usage>) -> Value {
        let output: Vec<Value> = self.items.iter().map(|item| item.json(status)).collect();
        let usage = usage.map(|usage| {
            json!({
                "input_tokens": usage.prompt_tokens,
                "input_tokens_details": { "cached_tokens": usage.prompt_tokens_details.cached_tokens },
                "output_tokens": usage.completion_tokens,
                "output_tokens_details": { "reasoning_tokens": 0 },
                "total_tokens": usage.total_tokens,
            })
        });
        let incomplete = (status == "incomplete").then(|| json!({ "reason": "max_output_tokens" }));
        let mut response = json!({
            "id": self.head.id,
            "object": "response",
            "created_at": self.head.created,
            "status": status,
            "background": false,
            "error": null,
            "incomplete_details": incomplete,
            "model": self.head.model,
            "output": output,
            "previous_response_id": null,
            "reasoning": { "effort": null, "summary": null },
            "store": false,
            "truncation": "disabled",
            "usage": usage,
            "metadata": {},
        });
        if let Some(map) = response.as_object_mut() {
            map.extend(self.echo.clone());
        }
        response
    }

    /// The state at the end, in the API's word.
    fn status(&self) -> &'static str {
        if self.cut { "incomplete" } else { "completed" }
    }

    fn frame(&mut self, event: &'static str, fields: Value) -> Frame {
        let mut data = json!({ "type": event, "sequence_number": self.sequence });
        self.sequence += 1;
        if let (Some(data), Value::Object(fields)) = (data.as_object_mut(), fields) {
            data.extend(fields);
        }
        Frame { event: Some(event), data }
    }

    /// An event about the last item.
    fn of_last(&mut self, event: &'static str, fields: Value) -> Vec<Frame> {
        let Some(item) = self.items.last() else { return Vec::new() };
        let mut all = json!({ "item_id": item.id(), "output_index": self.items.len() - 1 });
        if matches!(item, Item::Message { .. }) {
            all["content_index"] = 0.into();
        }
        if let (Some(all), Value::Object(fields)) = (all.as_object_mut(), fields) {
            all.extend(fields);
        }
        vec![self.frame(event, all)]
    }

    fn begin(&mut self, item: Item) -> Vec<Frame> {
        let mut frames = self.close();
        let message = matches!(item, Item::Message { .. });
        let mut json = item.json("in_progress");
        if message {
            json["content"] = json!([]);
        }
        self.items.push(item);
        self.open = true;
        let index = self.items.len() - 1;
        let added = json!({ "output_index": index, "item": json });
        frames.push(self.frame("response.output_item.added", added));
        if message {
            frames.extend(self.of_last("response.content_part.added", json!({ "part": part("") })));
        }
        frames
    }

    /// Ends the last item.
    fn close(&mut self) -> Vec<Frame> {
        if !std::mem::take(&mut self.open) {
            return Vec::new();
        }
        let Some(item) = self.items.last() else { return Vec::new() };
        let status = self.status();
        let done = json!({ "output_index": self.items.len() - 1, "item": item.json(status) });
        let mut frames = match item {
            Item::Message { text, .. } => {
                let text = text.clone();
                let whole = json!({ "text": text, "logprobs": [] });
                let mut frames = self.of_last("response.output_text.done", whole);
                let part = json!({ "part": part(&text) });
                frames.extend(self.of_last("response.content_part.done", part));
                frames
            }
            Item::Call(call) => {
                let whole = json!({ "name": call.name, "arguments": call.arguments });
                self.of_last("response.function_call_arguments.done", whole)
            }
        };
        frames.push(self.frame("response.output_item.done", done));
        frames
    }

    fn take(&mut self, parts: Vec<Part>) -> Vec<Frame> {
        let mut frames = Vec::new();
        for part in parts {
            match part {
                Part::Text(more) => {
                    if !matches!(self.items.last(), Some(Item::Message { .. })) {
                        let number = self.head.id.rsplit('_').next().unwrap_or_default();
                        let id = format!("msg_{number}_{}", self.items.len());
                        frames.extend(self.begin(Item::Message { id, text: String::new() }));
                    }
                    if let Some(Item::Message { text, .. }) = self.items.last_mut() {
                        text.push_str(&more);
                    }
                    let delta = json!({ "delta": more, "logprobs": [] });
                    frames.extend(self.of_last("response.output_text.delta", delta));
                }
                Part::Call(_, call) => frames.extend(self.begin(Item::Call(call))),
                Part::Arguments(_, more) => {
                    if let Some(Item::Call(call)) = self.items.last_mut() {
                        call.arguments.push_str(&more);
                    }
                    let delta = json!({ "delta": more });
                    frames.extend(self.of_last("response.function_call_arguments.delta", delta));
                }
            }
        }
        frames
    }

    fn say(&mut self, text: String) -> Vec<Frame> {
        let parts = match &mut self.teller {
            Some(teller) => teller.push(&text),
            None if text.is_empty() => Vec::new(),
            None => vec![Part::Text(text)],
        };
        self.take(parts)
    }

    fn end(&mut self, output: &Output) -> Vec<Frame> {
        self.cut = finish_reason(output) == "length";
        let parts = self.teller.as_mut().map(CallTeller::finish).unwrap_or_default();
        let mut frames = self.take(parts);
        if self.items.is_empty() {
            // An answer has an item, though nothing was said.
            frames.extend(self.take(vec![Part::Text(String::new())]));
        }
        frames.extend(self.close());
        frames
    }
}

impl Shape for ResponseShape {
    const DONE: bool = false;

    fn started(&mut self, _index: usize, _cached: usize) -> Vec<Frame> {
        let response = json!({ "response": self.response("in_progress", None) });
        let created = self.frame("response.created", response.clone());
        vec![created, self.frame("response.in_progress", response)]
    }

    fn told(&mut self, _index: usize, told: Told) -> Vec<Frame> {
        self.say(told.text)
    }

    fn ended(&mut self, _index: usize, output: &Output) -> Vec<Frame> {
        self.end(output)
    }

    fn finished(&mut self, usage: Usage) -> Vec<Frame> {
        let status = self.status();
        let event = if self.cut { "response.incomplete" } else { "response.completed" };
        let response = self.response(status, Some(usage));
        vec![self.frame(event, json!({ "response": response }))]
    }

    fn failed(&mut self, error: &ApiError) -> Frame {
        let told = error.json();
        let error = &told["error"];
        let fields =
            json!({ "code": error["code"], "message": error["message"], "param": error["param"] });
        self.frame("error", fields)
    }

    fn whole(&mut self, replies: Vec<(Told, Box<Output>)>, usage: Usage) -> Value {
        for (told, output) in replies {
            self.say(told.text);
            self.end(&output);
        }
        self.response(self.status(), Some(usage))
    }
}
