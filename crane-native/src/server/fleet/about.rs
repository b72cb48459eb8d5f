//! What a model's files say of it, for those who ask what there is.

use std::time::SystemTime;

/// What a model's files say of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Bytes of its files.
    pub bytes: u64,
    /// When the youngest of them was written, where the system tells.
    pub modified: Option<SystemTime>,
    /// 64 hexadecimal digits that are others once the names, the sizes or the times of its files are.
    pub digest: String,
    /// `gguf`, `safetensors`, `onnx`.
    pub format: &'static str,
    /// The network's family: `llama`, `qwen2`, `bert`.
    pub family: String,
    /// How many weights it has.
    pub parameters: u64,
    /// The type that most of them have: `Q4_K`, `BF16`.
    pub quantization: String,
    /// Tokens that it was made for.
    pub context: Option<usize>,
    /// Numbers of a hidden state.
    pub width: Option<usize>,
    /// Its chat template.
    pub template: Option<String>,
    /// Whether calls of tools can be read out of its replies.
    pub calls_tools: bool,
}

impl About {
    /// Whether it can think before it answers.
    pub fn thinks(&self) -> bool {
        self.template.as_deref().is_some_and(Self::has_thoughts)
    }

    /// Whether a chat template has a place for thoughts.
    pub fn has_thoughts(template: &str) -> bool {
        ["enable_thinking", "<think>", "reasoning_effort"]
            .iter()
            .any(|sign| template.contains(sign))
    }
}
