//! How many tokens a request took, and what a model is called.

use serde::Serialize;
use serde_json::{Value, json};

/// Tokens of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Of its prompts, each counted once.
    pub prompt_tokens: usize,
    /// That were chosen, with those that ended the replies.
    pub completion_tokens: usize,
    /// The sum.
    pub total_tokens: usize,
    /// More about the prompts.
    pub prompt_tokens_details: PromptDetails,
}

/// More about the prompts' tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PromptDetails {
    /// Those that were not evaluated, because a session had them already.
    pub cached_tokens: usize,
}

impl Usage {
    /// Of so many tokens.
    pub fn new(prompt: usize, cached: usize, completion: usize) -> Self {
        Self {
            prompt_tokens: prompt,
            completion_tokens: completion,
            total_tokens: prompt + completion,
            prompt_tokens_details: PromptDetails { cached_tokens: cached },
        }
    }
}

/// A model in the list of models, and where it is (`loaded`, `unloaded`, `loading`, `unloading`).
pub fn model_object(name: &str, created: u64, state: &str) -> Value {
    json!({ "id": name, "object": "model", "created": created, "owned_by": "crane", "state": state })
}
