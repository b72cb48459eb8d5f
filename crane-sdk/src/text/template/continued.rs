//! A prompt that ends inside its last message, so that the model goes on with it.

use serde_json::Value;

use super::super::message::{Content, Message};
use super::python;
use crate::{Error, Result};

/// Stands behind the last message's text while the template is rendered: the text itself may occur anywhere in a prompt, in
/// the template's own marks, too. Its space tells whether the template cuts spaces off.
const MARK: &str = "GOES-ON-HERE-5c1e ";

/// The messages, with a mark where the prompt is to end.
///
/// # Errors
/// [`Error::InvalidArgument`] if the last message has no text.
pub(super) fn marked(messages: &[Message]) -> Result<Vec<Message>> {
    let mut messages = messages.to_vec();
    let last = messages.last_mut().and_then(|message| last_text(message.content.as_mut()?));
    let text = last.filter(|text| !python::strip(text).is_empty()).ok_or_else(nothing)?;
    text.push_str(MARK);
    Ok(messages)
}

/// Cuts a rendered prompt at the mark.
///
/// # Errors
/// [`Error::InvalidArgument`] if the template has not written it.
pub(super) fn cut(mut prompt: String) -> Result<String> {
    let at = prompt.rfind(MARK.trim_end()).ok_or_else(nothing)?;
    let keeps_spaces = prompt.get(at..).is_some_and(|end| end.starts_with(MARK));
    prompt.truncate(at);
    if !keeps_spaces {
        // It would have cut them off the text, too.
        prompt.truncate(python::strip_end(&prompt).len());
    }
    Ok(prompt)
}

fn nothing() -> Error {
    Error::argument(
        "continue_final_message",
        "the last message has no text that the template writes; there is nothing to continue",
    )
}

/// The text that a message ends with.
fn last_text(content: &mut Content) -> Option<&mut String> {
    match content {
        Content::Null => None,
        Content::Text(text) => Some(text),
        Content::Parts(parts) => {
            parts.iter_mut().rev().find_map(|part| match part.get_mut("text") {
                Some(Value::String(text)) => Some(text),
                _ => None,
            })
        }
    }
}
