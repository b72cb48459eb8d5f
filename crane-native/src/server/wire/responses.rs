//! `/v1/responses`: the request.

use crane_sdk::generate::GenerationConfig;
use crane_sdk::text::{Content, Message};
use serde_json::{Map, Value, json};

use super::chat::check_with_tools;
use super::fields::{Neutral, wrong_type};
use super::messages::{arguments, check_count, content};
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
    Neutral {
        name: "reasoning",
        values: &["{}"],
        reason: "give what the model's template reads in chat_template_kwargs, such as enable_thinking",
    },
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
    Neutral {
        name: "prompt_cache_key",
        values: &[],
        reason: "prefixes are found by their tokens; leave it out",
    },
];

/// The types of texts in items.
const PARTS: &[&str] = &["input_text", "output_text", "text"];

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
        let instructions = fields.string("instructions")?;
        let mut messages = input(fields.required("input")?)?;
        if let Some(text) = instructions {
            messages.insert(0, Message::system(text));
        }
        let tools = ToolUse::take_flat(&mut fields)?;
        let conversation = Conversation {
            messages,
            tools: tools.as_ref().map(|tools| tools.shown.clone()),
            extra: fields.object("chat_template_kwargs")?.unwrap_or_default(),
            param: "input",
        };
        let mut asked = Asked::bare(&mut fields, defaults)?;
        asked.form = Form::either(Form::take_text(&mut fields)?, asked.form)?;
        asked.config.max_new_tokens =
            fields.count("max_output_tokens")?.or(asked.config.max_new_tokens);
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

/// A text, or the items of a conversation.
fn input(value: Value) -> Result<Vec<Message>, ApiError> {
    let list = match value {
        Value::String(text) => return Ok(vec![Message::user(text)]),
        Value::Array(list) if list.is_empty() => {
            return Err(ApiError::value("input", "is empty: there is nothing to answer"));
        }
        Value::Array(list) => list,
        other => return Err(wrong_type("input", "a string or a list of items", &other)),
    };
    check_count("input", list.len())?;
    let mut messages = Vec::new();
    for (index, item) in list.into_iter().enumerate() {
        take_item(&mut messages, &format!("input[{index}]"), item)?;
    }
    Ok(messages)
}

fn take_item(messages: &mut Vec<Message>, path: &str, value: Value) -> Result<(), ApiError> {
    let mut fields = Fields::of(path, value)?;
    let kind = fields.string("type")?;
    // What an answer's item says of itself.
    fields.string("id")?;
    fields.string("status")?;
    match kind.as_deref() {
        None | Some("message") => {
            let role = fields.role()?;
            let name = fields.name("content");
            let text = content(&name, fields.required("content")?, PARTS)?;
            messages.push(Message::new(role, text));
        }
        Some("function_call") => {
            let name = fields.required_string("name")?;
            let id = fields.required_string("call_id")?;
            let param = fields.name("arguments");
            let arguments = arguments(&param, fields.required("arguments")?)?;
            let call = json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } });
            // Calls follow one another, and the text that they came with.
            match messages.last_mut().filter(|message| message.role == "assistant") {
                Some(message) => message.tool_calls.get_or_insert_default().push(call),
                None => {
                    let mut message = Message::assistant("");
                    message.content = Some(Content::Null);
                    message.tool_calls = Some(vec![call]);
                    messages.push(message);
                }
            }
        }
        Some("function_call_output") => {
            let name = fields.name("output");
            let mut message = Message::tool(content(&name, fields.required("output")?, PARTS)?);
            message.tool_call_id = Some(fields.required_string("call_id")?);
            messages.push(message);
        }
        Some(other) => {
            let reason = format_args!(
                "is {other:?}; items are message, function_call and function_call_output"
            );
            return Err(ApiError::unsupported(fields.name("type"), reason));
        }
    }
    fields.finish(false)?;
    Ok(())
}
