//! A checkpoint's tokenizer together with its chat template.

use std::ops::Deref;
use std::sync::Arc;

use crate::source::Source;
use crate::text::{ChatTemplate, Message, RenderOptions, Tokenizer};
use crate::{Error, Result};

/// A checkpoint's tokenizer and chat template; clones share both.
///
/// It is a [`Tokenizer`] in all else (`encode`, `decode`, ...).
///
/// ```
/// use crane_sdk::pipeline::AutoTokenizer;
/// use crane_sdk::text::{Message, RenderOptions};
/// # let source = crane_sdk::source::MemorySource::new("tiny")
/// #     .with("config.json", include_bytes!("../../tests/fixtures/qwen2_tied/config.json").to_vec())
/// #     .with("model.safetensors", include_bytes!("../../tests/fixtures/qwen2_tied/model.safetensors").to_vec())
/// #     .with("tokenizer.json", include_bytes!("../../tests/fixtures/qwen2_tied/tokenizer.json").to_vec())
/// #     .with("tokenizer_config.json", include_bytes!("../../tests/fixtures/qwen2_tied/tokenizer_config.json").to_vec())
/// #     .with("generation_config.json", include_bytes!("../../tests/fixtures/qwen2_tied/generation_config.json").to_vec());
///
/// let tokenizer = AutoTokenizer::from_source(&source)?;
/// let ids = tokenizer.encode("The quick brown fox", true)?;
/// assert_eq!(tokenizer.decode(&ids, true)?, "The quick brown fox");
/// let prompt = tokenizer.apply_chat_template(&[Message::user("Hi")], &RenderOptions::default())?;
/// assert!(prompt.ends_with("<|im_start|>assistant\n"));
/// # Ok::<(), crane_sdk::Error>(())
/// ```
#[derive(Clone)]
pub struct AutoTokenizer {
    tokenizer: Arc<Tokenizer>,
    template: Option<Arc<ChatTemplate>>,
}

impl AutoTokenizer {
    /// Reads both from a checkpoint.
    ///
    /// # Errors
    /// As [`Tokenizer::from_source`] and [`ChatTemplate::from_source`].
    pub fn from_source(source: &dyn Source) -> Result<Self> {
        let tokenizer = Arc::new(Tokenizer::from_source(source)?);
        Ok(Self { tokenizer, template: ChatTemplate::from_source(source)?.map(Arc::new) })
    }

    /// The two, made elsewhere.
    pub fn new(tokenizer: Arc<Tokenizer>, template: Option<Arc<ChatTemplate>>) -> Self {
        Self { tokenizer, template }
    }

    /// The tokenizer, to be shared.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// The chat template, if the model is made for chat.
    pub fn chat_template(&self) -> Option<&Arc<ChatTemplate>> {
        self.template.as_ref()
    }

    /// Writes a conversation as a prompt.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the model has no chat template, else as [`ChatTemplate::render`].
    pub fn apply_chat_template(
        &self,
        messages: &[Message],
        options: &RenderOptions,
    ) -> Result<String> {
        self.template()?.render(messages, options)
    }

    fn template(&self) -> Result<&ChatTemplate> {
        self.template.as_deref().ok_or_else(|| Error::Unsupported {
            what: "chat with a model that has no chat template".to_owned(),
            hint: "give it plain text to go on with, or choose an instruction-tuned model"
                .to_owned(),
        })
    }

    /// The ids of a conversation, up to where the reply begins.
    ///
    /// # Errors
    /// As [`AutoTokenizer::apply_chat_template`] and [`Tokenizer::encode`].
    pub fn encode_chat(&self, messages: &[Message], options: &RenderOptions) -> Result<Vec<u32>> {
        // The template writes the special tokens itself, and nobody else.
        let chat = self.template()?.render_guarded(messages, options, &self.tokenizer)?;
        self.tokenizer.encode_rendered(&chat, None)
    }
}

impl Deref for AutoTokenizer {
    type Target = Tokenizer;

    fn deref(&self) -> &Tokenizer {
        &self.tokenizer
    }
}

impl std::fmt::Debug for AutoTokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AutoTokenizer")
            .field("vocab_size", &self.tokenizer.vocab_size())
            .field("has_chat_template", &self.template.is_some())
            .finish()
    }
}
