//! `/v1/responses`: the request.

use crane_sdk::generate::GenerationConfig;
use crane_sdk::text::Message;
use serde_json::{Map, Value, json};

use super::chat::{caching, check_with_tools};
use super::fields::{Neutral, wrong_type};
use super::messages::{THOUGHTS, check_count, content_of, untold};
use super::past_calls::arguments;
use super::thinking::Effort;
use super::{ApiError, Asked, Conversation, Fields, Form, ToolUse};

/// Fields of OpenAI's API that ask for what is not done here.
pub(super) const NOT_DONE: &[Neutral] = &[
    Neutral {
        name: "store",
        values: &["false"],
        reason: "nothing is stored; leave it out or say false",
    },
    Neutral {
        name: "previous_response_id",
        values: &[],
        reason: "nothing is stored; send the conversation again (what a slot holds of it is not computed again)",
    },
    Neutral { name: "conversation", values: &[], reason: "nothing is stored" },
    Neutral { name: "background", values: &["false"], reason: "nothing is stored" },
    Neutral { name: "metadata", values: &["{}"], reason: "nothing is stored" },
    Neutral { name: "prompt", values: &[], reason: "there are no stored prompts" },
    Neutral { name: "include", values: &["[]"], reason: "there is nothing more to include" },
    Neutral { name: "max_tool_calls", values: &[], reason: "tools are called by the client" },
    Neutral { name: "top_logprobs", values: &["0"], reason: "take /v1/chat/completions" },
    Neutral {
        name: "truncation",
        values: &["\"disabled\""],
        reason: "nothing is left out of a conversation",
    },
    Neutral {
        name: "service_tier",
        values: &["\"auto\"", "\"default\""],
        reason: "there is one tier",
    },
    Neutral { name: "moderation", values: &[], reason: "nothing is moderated" },
    Neutral {
        name: "context_management",
        values: &["[]"],
        reason: "nothing is left out of a conversation",
    },
    Neutral { name: "background_options", values: &[], reason: "nothing is stored" },
];

/// The types of texts in items.
const PARTS: &[&str] = &["input_text", "output_text", "text", "refusal"];

/// What is asked for.
#[derive(Debug)]
pub struct ResponseRequest {
    /// What was said.
    pub conversation: Conversation,
    /// What may be called.
    pub tools: Option<ToolUse>,
    /// The shared options.
    pub asked: Asked,
    /// What the answer repeats of the request.
    pub echo: Map<String, Value>,
}

impl ResponseRequest {
    /// Reads a request; the names of unknown fields come with it if `lenient`.
    ///
    /// # Errors
    /// The field that cannot act.
    pub fn read(
        mut fields: Fields,
        defaults: &GenerationConfig,
        lenient: bool,
    ) -> Result<(Self, Vec<String>), ApiError> {
        let mut echo = Map::new();
        for (name, default) in [
            ("instructions", Value::Null),
            ("max_output_tokens", Value::Null),
            ("parallel_tool_calls", true.into()),
            ("text", json!({ "format": { "type": "text" } })),
            ("tool_choice", "auto".into()),
            ("tools", json!([])),
            ("user", Value::Null),
        ] {
            echo.insert(name.to_owned(), fields.copy(name).unwrap_or(default));
        }
        let mut items = Items::default();
        items.messages.extend(fields.string("instructions")?.map(Message::system));
        let input = fields.required("input")?;
        items.take(&fields, input)?;
        let tools = ToolUse::take_flat(&mut fields)?;
        let mut conversation =
            Conversation::new(&mut fields, items.messages, items.further, "input")?;
        conversation.tools = tools.as_ref().map(|tools| tools.shown.clone());
        conversation.effort = effort(&mut fields)?;
        caching(&mut fields)?;
        let mut asked = Asked::bare(&mut fields, defaults)?;
        asked.form = Form::either(Form::take_text(&mut fields)?, asked.form)?;
        asked.at_most(fields.limit("max_output_tokens", 1)?);
        asked.stream_options(&mut fields)?;
        asked.user(&mut fields)?;
        if tools.is_some() {
            check_with_tools(&asked)?;
        }
        echo.insert("temperature".to_owned(), asked.config.sampling.temperature.into());
        echo.insert("top_p".to_owned(), asked.config.sampling.top_p.into());
        fields.only_neutral(NOT_DONE)?;
        let unknown = fields.finish(lenient)?;
        Ok((Self { conversation, tools, asked, echo }, unknown))
    }
}

/// Takes `reasoning`: how much the model should think. Its thoughts are not summed up.
fn effort(fields: &mut Fields) -> Result<Option<Effort>, ApiError> {
    let Some(value) = fields.take("reasoning") else { return Ok(None) };
    let mut reasoning = fields.within("reasoning", value)?;
    let effort = Effort::take(&mut reasoning, "effort")?;
    for name in ["summary", "generate_summary"] {
        reasoning.wish(name, "thoughts are not summed up; leave it out")?;
    }
    for name in ["context", "mode"] {
        reasoning.wish(name, "is not supported; leave it out")?;
    }
    reasoning.finish(false)?;
    Ok(effort)
}

/// The items of a conversation as messages.
#[derive(Debug, Default)]
struct Items {
    messages: Vec<Message>,
    /// Which of them have fields that only a template may know, and where.
    further: Vec<(usize, String)>,
    /// What the assistant thought before its next message.
    thoughts: Option<String>,
}

impl Items {
    /// A text, or the items of a conversation.
    fn take(&mut self, fields: &Fields, value: Value) -> Result<(), ApiError> {
        let list = match value {
            Value::String(text) => {
                self.messages.push(Message::user(text));
                return Ok(());
            }
            Value::Array(list) if list.is_empty() => {
                return Err(ApiError::value("input", "is empty: there is nothing to answer"));
            }
            Value::Array(list) => list,
            other => return Err(wrong_type("input", "a string or a list of items", &other)),
        };
        check_count("input", list.len())?;
        for (index, item) in list.into_iter().enumerate() {
            self.take_item(fields, format!("input[{index}]"), item)?;
        }
        Ok(())
    }

    fn take_item(&mut self, parent: &Fields, path: String, value: Value) -> Result<(), ApiError> {
        let mut fields = parent.within(&path, value)?;
        let kind = fields.string("type")?;
        // What an answer's item says of itself.
        untold(&mut fields)?;
        for name in ["status", "phase"] {
            fields.string(name)?;
        }
        fields.take("caller");
        match kind.as_deref() {
            None | Some("message") => {
                let role = fields.role()?;
                let name = fields.name("content");
                let content = fields.required("content")?;
                let mut message = Message::new(role, content_of(&fields, &name, content, PARTS)?);
                message.extra = fields.rest();
                if !message.extra.is_empty() {
                    self.further.push((self.messages.len(), path));
                }
                if message.role == "assistant" {
                    self.remember(&mut message);
                }
                self.messages.push(message);
                return Ok(());
            }
            Some("function_call") => {
                let name = fields.required_string("name")?;
                let id = fields.required_string("call_id")?;
                let arguments = arguments(fields.take("arguments").unwrap_or_default());
                fields.string("namespace")?;
                let call = json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } });
                // Calls follow one another, and the text that they came with.
                match self.messages.last_mut().filter(|message| message.role == "assistant") {
                    Some(message) => message.tool_calls.get_or_insert_default().push(call),
                    None => {
                        let mut message = Message::assistant("");
                        message.content = None;
                        message.tool_calls = Some(vec![call]);
                        self.remember(&mut message);
                        self.messages.push(message);
                    }
                }
            }
            Some("function_call_output") => {
                let name = fields.name("output");
                let output = fields.required("output")?;
                let mut message = Message::tool(content_of(&fields, &name, output, PARTS)?);
                message.tool_call_id = Some(fields.required_string("call_id")?);
                message.name = fields.string("name")?;
                fields.string("namespace")?;
                self.messages.push(message);
            }
            Some("reasoning") => {
                let mut thoughts = String::new();
                for name in ["summary", "content"] {
                    let path = fields.name(name);
                    if let Some(texts) = fields.take(name) {
                        let types = &["summary_text", "reasoning_text"];
                        let text = content_of(&fields, &path, texts, types)?;
                        // The thoughts themselves say more than their summary.
                        thoughts = if text.is_empty() { thoughts } else { text };
                    }
                }
                // Nobody but the service that wrote it can read it.
                fields.take("encrypted_content");
                self.thoughts = Some(thoughts).filter(|text| !text.is_empty());
            }
            Some(other) => {
                let reason = format_args!(
                    "is {other:?}; items are message, reasoning, function_call and function_call_output"
                );
                return Err(ApiError::unsupported(fields.name("type"), reason));
            }
        }
        fields.finish(false)?;
        Ok(())
    }

    /// Gives a message the thoughts before it, for templates that read them.
    fn remember(&mut self, message: &mut Message) {
        if let Some(thoughts) = self.thoughts.take() {
            message.extra.entry(THOUGHTS).or_insert_with(|| thoughts.into());
        }
    }
}
