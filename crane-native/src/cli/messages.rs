//! `--messages FILE`: a conversation as a JSON list.

use std::path::Path;

use crane_sdk::text::Message;

use super::exit::{Failure, Result};
use super::words;

/// Reads a conversation; `-` is stdin.
///
/// # Errors
/// [`Failure::Usage`] that names the file, if it cannot be read or is not a list of messages.
pub(super) fn read(path: &Path) -> Result<Vec<Message>> {
    let name = path.display();
    let text = match path.to_str() {
        Some("-") => words::stdin()?,
        _ => std::fs::read_to_string(path)
            .map_err(|error| Failure::Usage(format!("cannot read {name}: {error}")))?,
    };
    let value: serde_json::Value = serde_json::from_str(&text)
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
            serde_json::from_value(message.clone()).map_err(|error| {
                Failure::Usage(format!("{name}: message {} is malformed: {error}", index + 1))
            })
        })
        .collect()
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
