//! `/tokenize`, `/detokenize` and `/apply-template`: the requests.

use serde_json::Value;

use super::completion::ids;
use super::fields::wrong_type;
use super::thinking::Effort;
use super::{ApiError, Conversation, Fields, ToolUse};

/// A text whose tokens are wanted.
#[derive(Debug)]
pub struct TokenizeRequest {
    /// The text.
    pub content: String,
    /// Whether the tokens that the tokenizer puts around a text are added.
    pub add_special: bool,
    /// Whether each token comes with its text.
    pub with_pieces: bool,
}

impl TokenizeRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// The field that cannot act.
    pub fn read(mut fields: Fields, lenient: bool) -> Result<(Self, Vec<String>), ApiError> {
        let content = match fields.required("content")? {
            Value::String(text) => text,
            other => return Err(wrong_type("content", "a string", &other)),
        };
        let add_special = fields.boolean("add_special")?.unwrap_or(false);
        let with_pieces = fields.boolean("with_pieces")?.unwrap_or(false);
        let unknown = fields.finish(lenient)?;
        Ok((Self { content, add_special, with_pieces }, unknown))
    }
}

/// Tokens whose text is wanted.
#[derive(Debug)]
pub struct DetokenizeRequest {
    /// The tokens.
    pub tokens: Vec<u32>,
}

impl DetokenizeRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// The field that cannot act.
    pub fn read(mut fields: Fields, lenient: bool) -> Result<(Self, Vec<String>), ApiError> {
        let tokens = match fields.required("tokens")? {
            Value::Array(list) => ids("tokens", &list)?,
            other => return Err(wrong_type("tokens", "a list of token ids", &other)),
        };
        let unknown = fields.finish(lenient)?;
        Ok((Self { tokens }, unknown))
    }
}

/// A conversation whose prompt is wanted.
#[derive(Debug)]
pub struct TemplateRequest {
    /// What was said.
    pub conversation: Conversation,
}

impl TemplateRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// The field that cannot act.
    pub fn read(mut fields: Fields, lenient: bool) -> Result<(Self, Vec<String>), ApiError> {
        let mut conversation = Conversation::take(&mut fields)?;
        conversation.tools = ToolUse::take(&mut fields)?.map(|tools| tools.shown);
        conversation.effort = Effort::take(&mut fields, "reasoning_effort")?;
        let unknown = fields.finish(lenient)?;
        Ok((Self { conversation }, unknown))
    }
}
