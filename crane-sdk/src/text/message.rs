//! Chat messages, in the shape of OpenAI's API.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// `null`: nothing, as beside tool calls.
    Null,
    /// Plain text.
    Text(String),
    /// Parts, each an object with a `type` (`{"type": "text", "text": ".."}`, images, ...).
    Parts(Vec<Value>),
}

/// One message of a conversation.
///
/// Fields that this type does not name are kept in `extra` and reach the template.
///
/// ```
/// use crane_sdk::text::Message;
/// let message: Message = serde_json::from_str(r#"{"role": "user", "content": "Hi"}"#)?;
/// assert_eq!(message, Message::user("Hi"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, `tool`, or whatever else the template knows.
    pub role: String,
    /// What it says; `None` leaves the field out.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// The speaker's or the tool's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Calls that the assistant makes, each
    /// `{"id": .., "type": "function", "function": {"name": .., "arguments": ..}}`.
    ///
    /// They reach the template as they are. Most templates want `arguments` as an object, not as
    /// the string of OpenAI's API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<Value>>,
    /// The call that a `tool` message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// All other fields (`reasoning_content`, ...).
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Message {
    /// A message of any role.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: Some(Content::Text(content.into())),
            name: None,
            tool_calls: None,
            tool_call_id: None,
            extra: Map::new(),
        }
    }

    /// What the model should be and do.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new("system", content)
    }

    /// What the user says.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new("user", content)
    }

    /// What the model said.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new("assistant", content)
    }

    /// What a tool returned.
    pub fn tool(content: impl Into<String>) -> Self {
        Self::new("tool", content)
    }

    /// The text: of plain content, or of all text parts one after the other.
    pub fn text(&self) -> String {
        match &self.content {
            None | Some(Content::Null) => String::new(),
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => {
                parts.iter().filter_map(|part| part.get("text")?.as_str()).collect()
            }
        }
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Content::Text(text.to_owned())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Content::Text(text)
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Content::Null => serializer.serialize_none(),
            Content::Text(text) => serializer.serialize_str(text),
            Content::Parts(parts) => parts.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Null => Ok(Content::Null),
            Value::String(text) => Ok(Content::Text(text)),
            Value::Array(parts) => Ok(Content::Parts(parts)),
            other => {
                let found = match other {
                    Value::Object(_) => "an object",
                    Value::Bool(_) => "a bool",
                    _ => "a number",
                };
                Err(serde::de::Error::custom(format_args!(
                    "content is a string, a list of parts or null, not {found}"
                )))
            }
        }
    }
}

/// Keeps `null` apart from an absent field.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Content>, D::Error> {
    Content::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_goes_through_unchanged() {
        for json in [
            r#"{"role":"user","content":"Hi"}"#,
            r#"{"role":"user","content":[{"type":"text","text":"Hi"},{"type":"image"}]}"#,
            r#"{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]}"#,
            r#"{"role":"assistant","tool_calls":[]}"#,
            r#"{"role":"tool","content":"3","name":"add","tool_call_id":"1","x":[1,2.5]}"#,
        ] {
            let message: Message = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&message).unwrap(), json);
        }
    }

    #[test]
    fn text_joins_parts() {
        let json = r#"{"role":"user","content":[{"text":"a"},{"type":"image"},{"text":"b"}]}"#;
        assert_eq!(serde_json::from_str::<Message>(json).unwrap().text(), "ab");
        assert_eq!(Message::user("c").text(), "c");
    }

    #[test]
    fn odd_content_is_refused() {
        let error = serde_json::from_str::<Message>(r#"{"role":"user","content":3}"#).unwrap_err();
        assert!(error.to_string().contains("not a number"), "{error}");
    }
}
