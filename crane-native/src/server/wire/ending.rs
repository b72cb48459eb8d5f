//! How a prompt ends: with the beginning of a new reply, inside the last message, or behind it.

use crane_sdk::text::Message;

use super::{ApiError, Fields};

/// What a request says of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ending {
    /// Whether the prompt ends with the beginning of a new reply.
    add_generation_prompt: Option<bool>,
    /// Whether it ends inside the last message, which the reply goes on with.
    continue_final_message: Option<bool>,
}

impl Ending {
    /// Takes `add_generation_prompt` and `continue_final_message`.
    ///
    /// # Errors
    /// That one is no truth value, or that both are asked for.
    pub fn take(fields: &mut Fields) -> Result<Self, ApiError> {
        let ending = Self {
            add_generation_prompt: fields.boolean("add_generation_prompt")?,
            continue_final_message: fields.boolean("continue_final_message")?,
        };
        if ending
            == (Self { add_generation_prompt: Some(true), continue_final_message: Some(true) })
        {
            let reason = "does not go with add_generation_prompt: a prompt cannot end inside the last message and begin a new one";
            return Err(ApiError::value(fields.name("continue_final_message"), reason));
        }
        Ok(ending)
    }

    /// Whether the prompt of these messages begins a new reply, and whether it ends inside the last one. An assistant's last
    /// message is gone on with, unless it calls tools or the request says otherwise; one without text is a new reply.
    ///
    /// # Errors
    /// That the last message, which is to be gone on with, calls tools.
    pub fn of(self, messages: &mut Vec<Message>) -> Result<(bool, bool), ApiError> {
        let add = self.add_generation_prompt.unwrap_or(true);
        let Some(last) = messages.last() else { return Ok((add, false)) };
        let (is_assistant, calls) = (last.role == "assistant", last.tool_calls.is_some());
        let goes_on = match (self.continue_final_message, self.add_generation_prompt) {
            (Some(goes_on), _) => goes_on,
            (None, Some(true)) => false,
            (None, _) => is_assistant && !calls,
        };
        if !goes_on {
            return Ok((add, false));
        }
        if calls {
            let reason = "the last message calls tools; there is no text to go on with";
            return Err(ApiError::value("continue_final_message", reason));
        }
        let is_empty = is_assistant && last.extra.is_empty() && last.text().trim().is_empty();
        if is_empty && messages.len() > 1 {
            messages.pop();
            return Ok((true, false));
        }
        Ok((false, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(fields: serde_json::Value, last: Message) -> Result<(bool, bool, usize), ApiError> {
        let mut fields = Fields::parse(fields.to_string().as_bytes())?;
        let mut messages = vec![Message::user("Count."), last];
        let (add, goes_on) = Ending::take(&mut fields)?.of(&mut messages)?;
        Ok((add, goes_on, messages.len()))
    }

    #[test]
    fn what_the_assistant_said_last_is_gone_on_with_unless_told_otherwise() {
        let (add, goes_on) = ("add_generation_prompt", "continue_final_message");
        let said = || Message::assistant("1, 2,");
        let mut calls = Message::assistant("");
        calls.tool_calls = Some(vec![json!({ "function": { "name": "a" } })]);
        for (fields, last, expected) in [
            (json!({}), said(), (false, true, 2)),
            (json!({}), Message::user("x"), (true, false, 2)),
            (json!({}), Message::assistant(" "), (true, false, 1)),
            (json!({}), calls.clone(), (true, false, 2)),
            (json!({ add: true }), said(), (true, false, 2)),
            (json!({ add: false }), said(), (false, true, 2)),
            (json!({ add: false }), Message::user("x"), (false, false, 2)),
            (json!({ goes_on: false }), said(), (true, false, 2)),
            (json!({ goes_on: false, add: false }), said(), (false, false, 2)),
            (json!({ goes_on: true }), Message::user("x"), (false, true, 2)),
            (json!({ goes_on: true, add: false }), said(), (false, true, 2)),
        ] {
            assert_eq!(of(fields.clone(), last).unwrap(), expected, "{fields}");
        }
        assert!(of(json!({ goes_on: true, add: true }), said()).is_err());
        assert!(of(json!({ goes_on: true }), calls).is_err());
    }
}
