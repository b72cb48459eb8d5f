//! Calls of tools in what was said before, as clients send them back.

use serde_json::{Map, Value};

use super::fields::{Fields, wrong_type};
use super::{ApiError, json_values};

/// The calls of an assistant's message, with their arguments as templates want them: as objects.
pub(super) fn tool_calls(fields: &mut Fields) -> Result<Option<Vec<Value>>, ApiError> {
    let name = fields.name("tool_calls");
    let mut calls = match fields.take("tool_calls") {
        None => return Ok(None),
        Some(Value::Array(calls)) if calls.is_empty() => return Ok(None),
        Some(Value::Array(calls)) => calls,
        Some(other) => return Err(wrong_type(name, "a list", &other)),
    };
    for (index, call) in calls.iter_mut().enumerate() {
        if call["function"]["name"].as_str().is_none() {
            let param = format!("{name}[{index}].function.name");
            return Err(ApiError::field(param, "missing_required_parameter", "is missing"));
        }
        if let Some(function) = call["function"].as_object_mut() {
            let given = function.remove("arguments").unwrap_or_default();
            function.insert("arguments".to_owned(), arguments(given));
        }
    }
    Ok(Some(calls))
}

/// The arguments of a call as templates want them: an object, not its text.
///
/// A call without arguments has an empty object, however a client writes that. A text that is no JSON stays a text: the model
/// has written it, or a limit has cut it, and no client can mend that.
pub(super) fn arguments(value: Value) -> Value {
    match value {
        Value::Null => Value::Object(Map::new()),
        Value::String(text) if text.trim().is_empty() => Value::Object(Map::new()),
        Value::String(text) => json_values(text.as_bytes())
            .ok()
            .and_then(|_| serde_json::from_str(&text).ok())
            .unwrap_or(Value::String(text)),
        value => value,
    }
}

/// A call as it was written before there were tools.
pub(super) fn older_call(parent: &Fields, name: &str, value: Value) -> Result<Value, ApiError> {
    let mut call = parent.within(name, value)?;
    let function = call.required_string("name")?;
    let arguments = arguments(call.take("arguments").unwrap_or_default());
    call.finish(false)?;
    Ok(
        serde_json::json!({ "type": "function", "function": { "name": function, "arguments": arguments } }),
    )
}

#[cfg(test)]
mod tests {
    use crane_sdk::text::Content;

    use super::super::Conversation;
    use super::*;

    #[test]
    fn arguments_come_back_in_every_form() {
        let read =
            |json: &str| Conversation::take(&mut Fields::parse(json.as_bytes()).unwrap()).unwrap();
        let call = |arguments: &str| {
            let json = format!(
                r#"{{"messages": [{{"role": "assistant", "content": null, "tool_calls": [{{"id": "a", "type": "function",
                    "function": {{"name": "now"{arguments}}}}}]}}, {{"role": "tool", "tool_call_id": "a", "content": null}}]}}"#
            );
            let calls = read(&json).messages[0].tool_calls.clone().unwrap();
            calls[0]["function"]["arguments"].clone()
        };
        let deep = "[".repeat(200);
        for (given, kept) in [
            ("", serde_json::json!({})),
            (r#", "arguments": null"#, serde_json::json!({})),
            (r#", "arguments": """#, serde_json::json!({})),
            (r#", "arguments": " \n""#, serde_json::json!({})),
            (r#", "arguments": "{}""#, serde_json::json!({})),
            (r#", "arguments": {"zone": 1}"#, serde_json::json!({ "zone": 1 })),
            (r#", "arguments": "{\"zone\": 1}""#, serde_json::json!({ "zone": 1 })),
            (r#", "arguments": "{\"zone\": \"Eu""#, serde_json::json!("{\"zone\": \"Eu")),
            (r#", "arguments": "zone=1""#, serde_json::json!("zone=1")),
            (&format!(r#", "arguments": "{deep}""#), serde_json::json!(deep)),
        ] {
            assert_eq!(call(given), kept, "{given}");
        }
    }

    #[test]
    fn null_and_nothing_beside_calls_stay_apart() {
        for (content, kept) in [
            ("", None),
            (r#""content": null, "#, Some(Content::Null)),
            (r#""content": "", "#, Some(Content::Text(String::new()))),
        ] {
            let json = format!(
                r#"{{"messages": [{{"role": "assistant", {content}"tool_calls": [{{"id": "a", "type": "function",
                    "function": {{"name": "now", "arguments": "{{}}"}}}}]}}]}}"#
            );
            let read = Conversation::take(&mut Fields::parse(json.as_bytes()).unwrap()).unwrap();
            assert_eq!(read.messages[0].content, kept, "{content}");
        }
    }
}
