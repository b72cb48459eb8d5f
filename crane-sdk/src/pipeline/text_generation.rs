//! Text or messages in, text out.

use super::{AutoModelForCausalLM, AutoTokenizer, Prompt};
use crate::Result;
use crate::generate::{CancelToken, Generation, GenerationConfig, Output, Session};
use crate::text::RenderOptions;

/// A model, its tokenizer and its options, ready to go on with a text or to answer a conversation.
///
/// It remembers nothing but the cache: a prompt that begins as the one before is not evaluated anew.
///
/// ```
/// use crane_sdk::pipeline::{Task, pipeline};
/// use crane_sdk::text::Message;
/// # let source = crane_sdk::source::MemorySource::new("tiny")
/// #     .with("config.json", include_bytes!("../../tests/fixtures/qwen2_tied/config.json").to_vec())
/// #     .with("model.safetensors", include_bytes!("../../tests/fixtures/qwen2_tied/model.safetensors").to_vec())
/// #     .with("tokenizer.json", include_bytes!("../../tests/fixtures/qwen2_tied/tokenizer.json").to_vec())
/// #     .with("tokenizer_config.json", include_bytes!("../../tests/fixtures/qwen2_tied/tokenizer_config.json").to_vec())
/// #     .with("generation_config.json", include_bytes!("../../tests/fixtures/qwen2_tied/generation_config.json").to_vec());
///
/// let mut pipe = pipeline(Task::TextGeneration, &source)?;
/// pipe.config.max_new_tokens = Some(8);
/// let output = pipe.run(vec![Message::system("Be brief."), Message::user("Hello!")])?;
/// println!("{} ({} tokens)", output.text, output.stats.generated_tokens);
/// # Ok::<(), crane_sdk::Error>(())
/// ```
#[derive(Debug)]
pub struct TextGeneration {
    tokenizer: AutoTokenizer,
    session: Session,
    /// How replies are generated.
    pub config: GenerationConfig,
    /// What the chat template is given besides the messages.
    pub render: RenderOptions,
}

impl TextGeneration {
    /// A pipeline of parts.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn new(
        model: &AutoModelForCausalLM,
        tokenizer: AutoTokenizer,
        config: GenerationConfig,
    ) -> Result<Self> {
        let session = model.session(&tokenizer)?;
        Ok(Self { tokenizer, session, config, render: RenderOptions::default() })
    }

    /// The tokenizer and the chat template.
    pub fn tokenizer(&self) -> &AutoTokenizer {
        &self.tokenizer
    }

    /// Generates to the end.
    ///
    /// # Errors
    /// As [`TextGeneration::stream`] and [`Session::step`].
    pub fn run(&mut self, prompt: impl Into<Prompt>) -> Result<Output> {
        self.stream(prompt, &CancelToken::new())?.complete()
    }

    /// Generates piece by piece.
    ///
    /// # Errors
    /// As [`AutoTokenizer::encode_chat`] and [`Session::generate`].
    pub fn stream(
        &mut self,
        prompt: impl Into<Prompt>,
        cancel: &CancelToken,
    ) -> Result<Generation<'_>> {
        let ids = match prompt.into() {
            Prompt::Text(text) => self.tokenizer.encode(&text, true)?,
            Prompt::Messages(messages) => self.tokenizer.encode_chat(&messages, &self.render)?,
            Prompt::Ids(ids) => ids,
        };
        self.session.generate(&ids, &self.config, cancel)
    }
}
