//! What a reply is generated from.

use crate::text::Message;

/// Text to go on with, a conversation to answer, or ids as they are.
#[derive(Debug, Clone, PartialEq)]
pub enum Prompt {
    /// Plain text; the tokenizer adds its special tokens.
    Text(String),
    /// A conversation, written by the model's chat template.
    Messages(Vec<Message>),
    /// Token ids.
    Ids(Vec<u32>),
}

impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        Prompt::Text(text.to_owned())
    }
}

impl From<String> for Prompt {
    fn from(text: String) -> Self {
        Prompt::Text(text)
    }
}

impl From<Vec<Message>> for Prompt {
    fn from(messages: Vec<Message>) -> Self {
        Prompt::Messages(messages)
    }
}

impl From<&[Message]> for Prompt {
    fn from(messages: &[Message]) -> Self {
        Prompt::Messages(messages.to_vec())
    }
}

impl From<Message> for Prompt {
    fn from(message: Message) -> Self {
        Prompt::Messages(vec![message])
    }
}

impl From<Vec<u32>> for Prompt {
    fn from(ids: Vec<u32>) -> Self {
        Prompt::Ids(ids)
    }
}
