//! Conversations with calls of tools, in the way that a template can write them.
//!
//! Clients send null beside calls, an empty text or none at all, and arguments as an object or as its JSON; each template is
//! made for one of these.

use std::time::Duration;

use serde_json::{Value, json};
use web_time::Instant;

use super::super::message::{Content, Message};
use crate::{Error, Result};

/// Writes the messages with `render`: as they are, or in the first other way that the template takes.
pub(super) fn in_any_way(
    messages: &[Message],
    time_limit: Duration,
    render: impl Fn(&[Message]) -> Result<String>,
) -> Result<String> {
    let given = render(messages);
    if !messages.iter().any(|message| is_silent(message) || message.tool_calls.is_some()) {
        return given;
    }
    let begun = Instant::now();
    let with = |change: &[fn(&mut Message)]| {
        let mut messages = messages.to_vec();
        messages.iter_mut().for_each(|message| change.iter().for_each(|change| change(message)));
        render(&messages)
    };
    match given {
        Ok(text) => {
            if !text.contains("{'") || holds_arguments(messages, &text) {
                return Ok(text);
            }
            // A dict of Python where JSON was meant.
            let other = with(&[as_text]).or_else(|_| with(&[empty, as_text]));
            Ok(other.ok().filter(|other| holds_arguments(messages, other)).unwrap_or(text))
        }
        Err(error @ Error::Template(_)) => {
            let ways: [&[fn(&mut Message)]; 7] = [
                &[empty],
                &[null],
                &[absent],
                &[as_text],
                &[empty, as_text],
                &[as_object],
                &[empty, as_object],
            ];
            for way in ways {
                if begun.elapsed() > time_limit {
                    break;
                }
                if let Ok(text) = with(way) {
                    return Ok(text);
                }
            }
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// Whether a message says nothing: null, nothing at all, or an empty text beside calls.
fn is_silent(message: &Message) -> bool {
    match &message.content {
        None | Some(Content::Null) => true,
        Some(Content::Text(text)) => text.is_empty() && message.tool_calls.is_some(),
        Some(Content::Parts(_)) => false,
    }
}

fn arguments(message: &Message) -> impl Iterator<Item = &Value> {
    let calls = message.tool_calls.iter().flatten();
    calls.filter_map(|call| call.pointer("/function/arguments"))
}

/// Whether all names of arguments stand in the text as JSON writes them.
fn holds_arguments(messages: &[Message], text: &str) -> bool {
    let objects = messages.iter().flat_map(arguments).filter_map(Value::as_object);
    let mut names = objects.filter_map(|object| object.keys().next());
    names.all(|name| text.contains(&json!(name).to_string()))
}

fn empty(message: &mut Message) {
    if is_silent(message) {
        message.content = Some(Content::Text(String::new()));
    }
}

fn null(message: &mut Message) {
    if is_silent(message) {
        message.content = Some(Content::Null);
    }
}

fn absent(message: &mut Message) {
    if is_silent(message) {
        message.content = None;
    }
}

fn change(message: &mut Message, change: impl Fn(Value) -> Value) {
    for call in message.tool_calls.iter_mut().flatten() {
        if let Some(place) = call.pointer_mut("/function/arguments") {
            *place = change(place.take());
        }
    }
}

/// Arguments as their JSON.
fn as_text(message: &mut Message) {
    change(message, |value| match value {
        Value::String(text) => Value::String(text),
        value => value.to_string().into(),
    });
}

/// Arguments that are no JSON as the only one of an object, so that nothing of them is lost.
fn as_object(message: &mut Message) {
    change(message, |value| match value {
        Value::String(text) => json!({ "arguments": text }),
        value => value,
    });
}
