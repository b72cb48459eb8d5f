//! `/api/chat`: the request.

use crane_sdk::generate::GenerationConfig;
use crane_sdk::text::{Content, Message};
use serde_json::{Value, json};

use super::Common;
use crate::server::wire::fields::{Neutral, wrong_type};
use crate::server::wire::messages::check_count;
use crate::server::wire::past_calls::arguments;
use crate::server::wire::{ApiError, Conversation, Fields, ToolUse};

/// The speakers of Ollama's API.
const ROLES: [&str; 4] = ["system", "user", "assistant", "tool"];

/// Fields of Ollama's API that ask for what is not done here.
pub(in crate::server::wire) const NOT_DONE: &[Neutral] = &[
    Neutral {
        name: "truncate",
        values: &["false"],
        reason: "nothing of a conversation is left out: shorten it, or start the server with a larger --ctx",
    },
    Neutral {
        name: "shift",
        values: &["false"],
        reason: "a reply ends where the context does; start the server with a larger --ctx",
    },
    Neutral {
        name: "_debug_render_only",
        values: &["false"],
        reason: "/apply-template tells the prompt of a conversation",
    },
];

/// What is asked for.
#[derive(Debug)]
pub struct OllamaChat {
    /// What was said; nothing where the model is only to be loaded, or let go.
    pub conversation: Option<Conversation>,
    /// What may be called.
    pub tools: Option<ToolUse>,
    /// The shared options.
    pub common: Common,
}

impl OllamaChat {
    /// Reads a request; the names of unknown fields come with it if `lenient`.
    ///
    /// # Errors
    /// The field that cannot act.
    pub fn read(
        mut fields: Fields,
        defaults: &GenerationConfig,
        lenient: bool,
    ) -> Result<(Self, Vec<String>), ApiError> {
        let list = match fields.take("messages") {
            None => Vec::new(),
            Some(Value::Array(list)) => list,
            Some(other) => return Err(wrong_type("messages", "a list", &other)),
        };
        check_count("messages", list.len())?;
        let read = |(index, value)| message(&fields, &format!("messages[{index}]"), value);
        let messages: Vec<Message> =
            list.into_iter().enumerate().map(read).collect::<Result<_, _>>()?;
        let tools = ToolUse::take(&mut fields)?;
        let mut common = Common::take(&mut fields, defaults, lenient)?;
        if tools.is_some() {
            check_with_tools(&common)?;
        }
        fields.only_neutral(NOT_DONE)?;
        let mut unknown = std::mem::take(&mut common.unknown);
        unknown.extend(fields.finish(lenient)?);
        let conversation = (!messages.is_empty()).then(|| Conversation {
            messages,
            tools: tools.as_ref().map(|tools| tools.shown.clone()),
            param: "messages",
            lenient,
            ..Conversation::default()
        });
        Ok((Self { conversation, tools, common }, unknown))
    }
}

/// Refuses what does not go with tools.
///
/// # Errors
/// The field.
fn check_with_tools(common: &Common) -> Result<(), ApiError> {
    if let Some(form) = &common.asked.form {
        let reason =
            "does not go with tools, whose calls have a form of their own; leave out one of them";
        return Err(ApiError::unsupported(form.param, reason));
    }
    if common.asked.config.logprobs.is_some() {
        let reason = "does not go with tools: the tokens of a call are not told";
        return Err(ApiError::unsupported("logprobs", reason));
    }
    Ok(())
}

fn message(parent: &Fields, path: &str, value: Value) -> Result<Message, ApiError> {
    let mut fields = parent.within(path, value)?;
    let role = fields.required_string("role")?.to_lowercase();
    if !ROLES.contains(&role.as_str()) {
        let reason = format!("is {role:?}; it is one of {}", ROLES.join(", "));
        return Err(ApiError::value(fields.name("role"), reason));
    }
    let mut message = Message::new(role, "");
    refuse_images(&mut fields)?;
    let said = fields.string("content")?;
    // Templates read them by several names, and cut thoughts out of earlier turns.
    if let Some(thoughts) = fields.string("thinking")?.filter(|thoughts| !thoughts.is_empty()) {
        for name in ["reasoning_content", "thinking"] {
            message.extra.insert(name.to_owned(), thoughts.as_str().into());
        }
    }
    if let Some(name) = fields.string("tool_name")?.filter(|name| !name.is_empty()) {
        for known in ["name", "tool_name"] {
            message.extra.insert(known.to_owned(), name.as_str().into());
        }
    }
    message.tool_call_id = fields.string("tool_call_id")?;
    message.tool_calls = calls(&mut fields)?;
    message.content = match said {
        Some(text) if !text.is_empty() || message.tool_calls.is_none() => Some(Content::Text(text)),
        None if message.tool_calls.is_none() => {
            let name = fields.name("content");
            return Err(ApiError::field(name, "missing_required_parameter", "is missing"));
        }
        _ => None,
    };
    fields.finish(false)?;
    Ok(message)
}

/// Takes `images`, of which there may be none.
///
/// # Errors
/// That there are some.
pub(super) fn refuse_images(fields: &mut Fields) -> Result<(), ApiError> {
    match fields.take("images") {
        None => Ok(()),
        Some(Value::Array(images)) if images.is_empty() => Ok(()),
        Some(Value::Array(_)) => {
            let reason = "this model reads text, and no images";
            Err(ApiError::unsupported(fields.name("images"), reason))
        }
        Some(other) => Err(wrong_type(fields.name("images"), "a list", &other)),
    }
}

/// The calls of an earlier reply, as templates want them.
fn calls(fields: &mut Fields) -> Result<Option<Vec<Value>>, ApiError> {
    let name = fields.name("tool_calls");
    let list = match fields.take("tool_calls") {
        None => return Ok(None),
        Some(Value::Array(list)) if list.is_empty() => return Ok(None),
        Some(Value::Array(list)) => list,
        Some(other) => return Err(wrong_type(name, "a list", &other)),
    };
    let call = |(index, value)| {
        let mut call = fields.within(format_args!("{name}[{index}]"), value)?;
        let id = call.string("id")?;
        call.string("type")?;
        let path = call.name("function");
        let function = call.required("function")?;
        let mut function = call.within(path, function)?;
        call.finish(false)?;
        function.integer("index", 0..=u64::MAX)?;
        // Some clients send what the tool is for, too.
        function.string("description")?;
        let given = arguments(function.take("arguments").unwrap_or_default());
        let mut read = json!({
            "type": "function",
            "function": { "name": function.required_string("name")?, "arguments": given },
        });
        function.finish(false)?;
        if let Some(id) = id {
            read["id"] = id.into();
        }
        Ok(read)
    };
    list.into_iter().enumerate().map(call).collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: Value) -> Result<OllamaChat, ApiError> {
        let fields = Fields::parse(body.to_string().as_bytes())?;
        OllamaChat::read(fields, &GenerationConfig::default(), false).map(|(request, _)| request)
    }

    #[test]
    fn conversations_are_read_with_what_was_called() {
        let body = json!({ "messages": [
            { "role": "System", "content": "Be brief." },
            { "role": "user", "content": "Oslo?", "images": [] },
            { "role": "assistant", "content": "", "thinking": "Hm.", "tool_calls": [
                { "function": { "index": 0, "name": "weather", "arguments": { "city": "Oslo" } } }] },
            { "role": "tool", "content": "snow", "tool_name": "weather" },
        ] });
        let messages = read(body).unwrap().conversation.unwrap().messages;
        let roles: Vec<&str> = messages.iter().map(|message| message.role.as_str()).collect();
        assert_eq!(roles, ["system", "user", "assistant", "tool"]);
        let call = &messages[2].tool_calls.as_ref().unwrap()[0];
        assert_eq!(call["function"]["arguments"]["city"], "Oslo");
        assert_eq!(messages[2].extra["reasoning_content"], "Hm.");
        assert_eq!(messages[3].extra["tool_name"], "weather");
        for nothing in [json!({}), json!({ "messages": [] }), json!({ "messages": null })] {
            assert!(read(nothing).unwrap().conversation.is_none());
        }
    }

    #[test]
    fn mistakes_are_named_by_their_place() {
        let tools = json!([{ "type": "function", "function": { "name": "a", "parameters": { "type": "object" } } }]);
        let say = |message: Value| json!({ "messages": [message] });
        for (body, place) in [
            (json!({ "messages": 3 }), "messages"),
            (say(json!({ "content": "x" })), "messages[0].role"),
            (say(json!({ "role": "bot", "content": "x" })), "messages[0].role"),
            (say(json!({ "role": "user" })), "messages[0].content"),
            (
                say(json!({ "role": "user", "content": "x", "images": ["aGk="] })),
                "messages[0].images",
            ),
            (
                say(json!({ "role": "assistant", "tool_calls": [{}] })),
                "messages[0].tool_calls[0].function",
            ),
            (
                say(json!({ "role": "assistant", "tool_calls": [{ "function": {} }] })),
                "messages[0].tool_calls[0].function.name",
            ),
            (say(json!({ "role": "user", "content": "x", "colour": 1 })), "messages[0].colour"),
            (json!({ "tools": tools, "format": "json" }), "format"),
            (json!({ "tools": tools, "logprobs": true }), "logprobs"),
            (json!({ "truncate": true }), "truncate"),
            (json!({ "warmth": 1 }), "warmth"),
        ] {
            let error = read(body.clone()).unwrap_err().json();
            assert_eq!(error["error"]["param"], place, "{body}");
        }
    }
}
