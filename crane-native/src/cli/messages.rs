//! `--messages FILE`: a conversation as a JSON list.

use std::path::Path;

use crane_sdk::text::{Content, Message};
use serde_json::Value;

use super::exit::{Failure, Result};
use super::output::Console;
use super::stdin;
use crate::plain_text;

/// The speakers that chat templates know.
const ROLES: [&str; 5] = ["system", "developer", "user", "assistant", "tool"];
/// What a message's content may be.
const CONTENT: &str = "it should be a text, or a list of {\"type\": \"text\", \"text\": …}";

/// Reads a conversation; `-` is stdin.
///
/// # Errors
/// [`Failure::Usage`] that names the file, if it cannot be read or is not a list of messages.
pub(super) fn read(console: Console, path: &Path) -> Result<Vec<Message>> {
    let name = path.display();
    let text = match path.to_str() {
        Some("-") => stdin::text(console)?,
        _ => plain_text::read(path).map_err(Failure::Usage)?,
    };
    let value: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::Usage(format!("{name} is not JSON: {error}")))?;
    let Some(list) = value.as_array() else {
        return Err(Failure::Usage(format!(
            "{name} does not hold a list; write [{{\"role\": \"user\", \"content\": \"…\"}}]"
        )));
    };
    if list.is_empty() {
        return Err(Failure::Usage(format!(
            "{name} holds an empty list; there is nothing to answer"
        )));
    }
    list.iter()
        .enumerate()
        .map(|(index, message)| {
            message_of(message).map_err(|reason| {
                Failure::Usage(format!("{name}: message {} is malformed: {reason}", index + 1))
            })
        })
        .collect()
}

/// One message, with its text in one piece.
fn message_of(value: &Value) -> Result<Message, String> {
    let mut message: Message =
        serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
    if !ROLES.contains(&message.role.as_str()) {
        return Err(format!("role is {:?}; it is one of {}", message.role, ROLES.join(", ")));
    }
    let calls = message.role == "assistant" && message.tool_calls.is_some();
    match &message.content {
        Some(Content::Text(_)) => {}
        Some(Content::Parts(parts)) => {
            let texts: Result<Vec<&str>, String> = parts.iter().map(text_part).collect();
            message.content = Some(Content::Text(texts?.concat()));
        }
        None | Some(Content::Null) if calls => {}
        None => return Err(format!("it has no content; {CONTENT}")),
        Some(Content::Null) => return Err(format!("its content is null; {CONTENT}")),
    }
    Ok(message)
}

/// The text of one part of a content.
fn text_part(part: &Value) -> Result<&str, String> {
    match (part["type"].as_str(), part["text"].as_str()) {
        (Some("text"), Some(text)) => Ok(text),
        (Some("text"), None) => Err("a part of its content has no text".to_owned()),
        (Some(other), _) => Err(format!("its content has a part of type {other:?}; {CONTENT}")),
        (None, _) => Err(format!("a part of its content has no type; {CONTENT}")),
    }
}

/// Puts a system prompt in front of a conversation that has none.
///
/// # Errors
/// [`Failure::Usage`] if it has one.
pub(super) fn with_system(
    mut messages: Vec<Message>,
    system: Option<&str>,
) -> Result<Vec<Message>> {
    let Some(system) = system else { return Ok(messages) };
    if messages.first().is_some_and(|message| message.role == "system") {
        return Err(Failure::Usage(
            "--system: the messages have a system message of their own; leave one out".to_owned(),
        ));
    }
    messages.insert(0, Message::system(system));
    Ok(messages)
}
