//! `/v1/messages`, Anthropic's API: the request.

use crane_sdk::generate::GenerationConfig;
use crane_sdk::text::{Content, Message};
use serde_json::{Map, Value, json};

use super::chat::check_with_tools;
use super::fields::{Neutral, wrong_type};
use super::messages::{THOUGHTS, check_count, untold};
use super::past_calls::arguments;
use super::{ApiError, Asked, Conversation, Fields, Form, ToolUse};

/// Fields of Anthropic's API that ask for what is not done here.
pub(super) const NOT_DONE: &[Neutral] = &[
    Neutral {
        name: "thinking",
        values: &[r#"{"type":"disabled"}"#],
        reason: "give what the model's template reads in chat_template_kwargs, such as enable_thinking",
    },
    Neutral {
        name: "service_tier",
        values: &["\"auto\"", "\"standard_only\""],
        reason: "there is one tier",
    },
    Neutral { name: "speed", values: &["\"standard\""], reason: "there is one speed" },
    Neutral {
        name: "inference_geo",
        values: &[],
        reason: "replies are generated where this server is",
    },
    Neutral { name: "user_profile_id", values: &[], reason: "say who asks in metadata.user_id" },
    Neutral { name: "workspace_id", values: &[], reason: "there are no workspaces" },
    Neutral { name: "diagnostics", values: &[], reason: "there are none" },
    Neutral { name: "container", values: &[], reason: "nothing runs here but the model" },
    Neutral { name: "mcp_servers", values: &["[]"], reason: "tools are called by the client" },
    Neutral {
        name: "context_management",
        values: &[],
        reason: "nothing is left out of a conversation",
    },
];

/// What is asked for.
#[derive(Debug)]
pub struct MessagesRequest {
    /// What was said.
    pub conversation: Conversation,
    /// What may be called.
    pub tools: Option<ToolUse>,
    /// The shared options.
    pub asked: Asked,
}

impl MessagesRequest {
    /// Reads a request; the names of unknown fields come with it if `lenient`.
    ///
    /// # Errors
    /// The field that cannot act.
    pub fn read(
        mut fields: Fields,
        defaults: &GenerationConfig,
        lenient: bool,
    ) -> Result<(Self, Vec<String>), ApiError> {
        let most = fields.limit("max_tokens", 1)?.ok_or_else(|| {
            ApiError::field("max_tokens", "missing_required_parameter", "is missing")
        })?;
        let (conversation, tools) = conversation(&mut fields)?;
        let user = match fields.take("metadata") {
            None => None,
            Some(value) => {
                let mut metadata = fields.within("metadata", value)?;
                let user = metadata.string("user_id")?;
                metadata.finish(false)?;
                user
            }
        };
        let mut asked = Asked::bare(&mut fields, defaults)?;
        asked.stop(&mut fields, "stop_sequences")?;
        asked.form = Form::either(Form::take_output(&mut fields)?, asked.form)?;
        asked.at_most(Some(most));
        asked.user = user;
        if tools.is_some() {
            check_with_tools(&asked)?;
        }
        fields.only_neutral(NOT_DONE)?;
        let unknown = fields.finish(lenient)?;
        Ok((Self { conversation, tools, asked }, unknown))
    }
}

/// A conversation whose tokens are to be counted.
#[derive(Debug)]
pub struct CountRequest {
    /// What was said.
    pub conversation: Conversation,
}

impl CountRequest {
    /// Reads a request; the names of unknown fields come with it if `lenient`.
    ///
    /// # Errors
    /// The field that cannot act.
    pub fn read(mut fields: Fields, lenient: bool) -> Result<(Self, Vec<String>), ApiError> {
        let (conversation, _) = conversation(&mut fields)?;
        // The form of a reply takes no tokens of its prompt.
        Form::take_output(&mut fields)?;
        fields.only_neutral(NOT_DONE)?;
        let unknown = fields.finish(lenient)?;
        Ok((Self { conversation }, unknown))
    }
}

/// Takes `system`, `messages` and the tools.
fn conversation(fields: &mut Fields) -> Result<(Conversation, Option<ToolUse>), ApiError> {
    let (mut messages, mut further) = (Vec::new(), Vec::new());
    // What was read is found again without being told.
    fields.object("cache_control")?;
    if let Some(system) = fields.take("system") {
        messages.push(Message::system(text(fields, "system", system)?));
    }
    let list = match fields.required("messages")? {
        Value::Array(list) => list,
        other => return Err(wrong_type("messages", "a list", &other)),
    };
    if list.is_empty() {
        return Err(ApiError::value("messages", "is empty: there is nothing to answer"));
    }
    check_count("messages", list.len())?;
    for (index, value) in list.into_iter().enumerate() {
        let path = format!("messages[{index}]");
        let more = take_message(fields, &mut messages, &path, value)?;
        if let Some(last) = messages.last_mut().filter(|_| !more.is_empty()) {
            last.extra.extend(more);
            further.push((messages.len() - 1, path));
        }
    }
    let tools = ToolUse::take_blocks(fields)?;
    let mut conversation = Conversation::new(fields, messages, further, "messages")?;
    conversation.tools = tools.as_ref().map(|tools| tools.shown.clone());
    Ok((conversation, tools))
}

/// Reads a message, which may be several to a template; what of it this server does not know is returned.
fn take_message(
    parent: &Fields,
    messages: &mut Vec<Message>,
    path: &str,
    value: Value,
) -> Result<Map<String, Value>, ApiError> {
    let mut fields = parent.within(path, value)?;
    let role = match fields.required("role")?.as_str() {
        Some("user") => "user",
        Some("assistant") => "assistant",
        _ => {
            let reason = "is user or assistant; what a system says stands in the field system";
            return Err(ApiError::value(fields.name("role"), reason));
        }
    };
    let name = fields.name("content");
    let content = fields.required("content")?;
    untold(&mut fields)?;
    let more = fields.rest();
    let blocks = match content {
        Value::String(text) => {
            messages.push(Message::new(role, text));
            return Ok(more);
        }
        Value::Array(blocks) => blocks,
        other => return Err(wrong_type(name, "a string or a list of blocks", &other)),
    };
    let (mut said, mut calls, mut thoughts) = (None::<String>, Vec::new(), String::new());
    for (index, block) in blocks.into_iter().enumerate() {
        let mut block = fields.within(format_args!("{name}[{index}]"), block)?;
        // An id is a call's own.
        block.object("cache_control")?;
        let kind = block.required("type")?;
        match (kind.as_str(), role) {
            (Some("text"), _) => {
                block.take("citations");
                said.get_or_insert_default().push_str(&block.required_string("text")?);
            }
            (Some("tool_use"), "assistant") => {
                let (id, name) = (block.required_string("id")?, block.required_string("name")?);
                block.take("caller");
                let input = arguments(block.take("input").unwrap_or_default());
                calls.push(json!({ "id": id, "type": "function", "function": { "name": name, "arguments": input } }));
            }
            (Some("tool_result"), "user") => {
                let content = block.name("content");
                let result = block
                    .take("content")
                    .map_or(Ok(String::new()), |value| text(&fields, &content, value))?;
                let mut message = Message::tool(match block.boolean("is_error")? {
                    Some(true) => format!("Error: {result}"),
                    _ => result,
                });
                message.tool_call_id = Some(block.required_string("tool_use_id")?);
                messages.push(message);
            }
            (Some("thinking"), "assistant") => {
                thoughts.push_str(&block.required_string("thinking")?);
                block.string("signature")?;
            }
            // Nobody but the service that wrote it can read it.
            (Some("redacted_thinking"), "assistant") => drop(block.take("data")),
            _ => {
                let reason = format_args!(
                    "{kind} is no block of a message of role {role:?} here: there are text, \
                    tool_use and thinking (assistant) and tool_result (user)"
                );
                return Err(ApiError::unsupported(block.name("type"), reason));
            }
        }
        block.finish(false)?;
    }
    if said.is_some() || !calls.is_empty() {
        let mut message = Message::new(role, "");
        message.content = said.map(Content::Text);
        message.tool_calls = Some(calls).filter(|calls| !calls.is_empty());
        if !thoughts.is_empty() {
            message.extra.insert(THOUGHTS.to_owned(), thoughts.into());
        }
        messages.push(message);
    }
    Ok(more)
}

/// A text, or text blocks in one.
fn text(parent: &Fields, path: &str, value: Value) -> Result<String, ApiError> {
    match value {
        Value::String(text) => Ok(text),
        Value::Array(blocks) => {
            let block = |(index, value)| {
                let mut block = parent.within(format_args!("{path}[{index}]"), value)?;
                block.object("cache_control")?;
                block.take("citations");
                if block.required("type")?.as_str() != Some("text") {
                    let reason = "this model reads text: the type of a block is \"text\"";
                    return Err(ApiError::unsupported(block.name("type"), reason));
                }
                let text = block.required_string("text")?;
                block.finish(false)?;
                Ok(text)
            };
            blocks.into_iter().enumerate().map(block).collect()
        }
        other => Err(wrong_type(path, "a string or a list of blocks", &other)),
    }
}
