//! A conversation that remembers.

use super::{AutoModelForCausalLM, AutoTokenizer, Reply};
use crate::generate::{CancelToken, GenerationConfig, Session};
use crate::source::Source;
use crate::text::{Message, RenderOptions};
use crate::{Error, Result};

/// A conversation with a model: what was said is part of every next prompt, and is evaluated once.
///
/// ```
/// use crane_sdk::pipeline::Chat;
/// # let source = crane_sdk::source::MemorySource::new("tiny")
/// #     .with("config.json", include_bytes!("../../tests/fixtures/qwen2_tied/config.json").to_vec())
/// #     .with("model.safetensors", include_bytes!("../../tests/fixtures/qwen2_tied/model.safetensors").to_vec())
/// #     .with("tokenizer.json", include_bytes!("../../tests/fixtures/qwen2_tied/tokenizer.json").to_vec())
/// #     .with("tokenizer_config.json", include_bytes!("../../tests/fixtures/qwen2_tied/tokenizer_config.json").to_vec())
/// #     .with("generation_config.json", include_bytes!("../../tests/fixtures/qwen2_tied/generation_config.json").to_vec());
///
/// let mut chat = Chat::from_source(&source)?.with_system("Be brief.");
/// chat.config.max_new_tokens = Some(8);
/// for piece in chat.send("Hello!")? {
///     print!("{}", piece?.text);
/// }
/// chat.send("And now?")?.complete()?;
/// assert_eq!(chat.messages().len(), 5);
///
/// let saved = chat.to_json()?;
/// chat.clear();
/// chat.load_json(&saved)?;
/// assert_eq!(chat.messages().len(), 5);
/// # Ok::<(), crane_sdk::Error>(())
/// ```
#[derive(Debug)]
pub struct Chat {
    pub(super) tokenizer: AutoTokenizer,
    pub(super) session: Session,
    pub(super) messages: Vec<Message>,
    #[cfg(feature = "grammar")]
    pub(super) forms: crate::grammar::Forms,
    /// How replies are generated.
    pub config: GenerationConfig,
    /// What the chat template is given besides the messages.
    pub render: RenderOptions,
}

impl Chat {
    /// Loads a checkpoint to talk with, with the options of its authors.
    ///
    /// # Errors
    /// As [`AutoModelForCausalLM::from_source`], [`AutoTokenizer::from_source`] and [`Chat::new`].
    pub fn from_source(source: &dyn Source) -> Result<Self> {
        let tokenizer = AutoTokenizer::from_source(source)?;
        let config = GenerationConfig::from_source(source, &tokenizer)?;
        Self::new(&AutoModelForCausalLM::from_source(source)?, tokenizer, config)
    }

    /// A conversation of parts; any number of them may share one model.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn new(
        model: &AutoModelForCausalLM,
        tokenizer: AutoTokenizer,
        config: GenerationConfig,
    ) -> Result<Self> {
        let session = model.session(&tokenizer)?;
        Ok(Self {
            tokenizer,
            session,
            messages: Vec::new(),
            #[cfg(feature = "grammar")]
            forms: crate::grammar::Forms::default(),
            config,
            render: RenderOptions::default(),
        })
    }

    /// With a system prompt.
    #[must_use]
    pub fn with_system(mut self, system: impl Into<String>) -> Self {
        self.set_system(Some(system.into()));
        self
    }

    /// The system prompt.
    pub fn system(&self) -> Option<String> {
        self.messages.first().filter(|message| message.role == "system").map(Message::text)
    }

    /// Sets the system prompt, or takes it away; what was said stays.
    pub fn set_system(&mut self, system: Option<String>) {
        if self.system().is_some() {
            self.messages.remove(0);
        }
        if let Some(system) = system {
            self.messages.insert(0, Message::system(system));
        }
    }

    /// What was said, the system prompt first.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Sets what was said.
    pub fn set_messages(&mut self, messages: Vec<Message>) {
        self.messages = messages;
    }

    /// Forgets all but the system prompt.
    pub fn clear(&mut self) {
        self.messages.truncate(usize::from(self.system().is_some()));
    }

    /// What was said, as a JSON list of messages.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if a message cannot be written.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(&self.messages).map_err(|error| json_error(&error))
    }

    /// Sets what was said from a JSON list of messages.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if it is not one; what was said is then kept.
    pub fn load_json(&mut self, json: &str) -> Result<()> {
        let json = json.strip_prefix('\u{feff}').unwrap_or(json);
        self.messages = serde_json::from_str(json).map_err(|error| json_error(&error))?;
        Ok(())
    }

    /// The session underneath: its tokens, its model.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The tokenizer and the chat template.
    pub fn tokenizer(&self) -> &AutoTokenizer {
        &self.tokenizer
    }

    /// Says something as the user; the reply comes piece by piece.
    ///
    /// # Errors
    /// As [`AutoTokenizer::encode_chat`] and [`Session::generate`]; nothing is remembered then.
    pub fn send(&mut self, text: impl Into<String>) -> Result<Reply<'_>> {
        self.send_message(Message::user(text), &CancelToken::new())
    }

    /// Says a message of any role; `cancel` ends the reply from elsewhere.
    ///
    /// # Errors
    /// As [`Chat::send`].
    pub fn send_message(&mut self, message: Message, cancel: &CancelToken) -> Result<Reply<'_>> {
        let config = self.config.clone();
        self.reply_with(message, &config, cancel)
    }

    /// As [`Chat::send_message`], with another config this once.
    pub(super) fn reply_with(
        &mut self,
        message: Message,
        config: &GenerationConfig,
        cancel: &CancelToken,
    ) -> Result<Reply<'_>> {
        self.messages.push(message);
        let begun = self
            .tokenizer
            .encode_chat(&self.messages, &self.render)
            .and_then(|prompt| self.session.begin(&prompt, config, cancel));
        match begun {
            Ok(()) => Ok(Reply::new(self)),
            Err(error) => {
                self.messages.pop();
                Err(error)
            }
        }
    }
}

fn json_error(error: &serde_json::Error) -> Error {
    Error::argument("messages", format_args!("are not a JSON list of chat messages: {error}"))
}
