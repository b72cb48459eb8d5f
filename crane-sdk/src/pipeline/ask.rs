//! Questions whose answers are values.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::Chat;
use crate::generate::{CancelToken, FinishReason, GenerationConfig, Output};
use crate::grammar::Grammar;
use crate::text::Message;
use crate::{Error, Result};

impl Chat {
    /// Asks as the user for a value of a type: the answer can only be JSON of it.
    ///
    /// The type's fields, in their order, are all that the model is held to: what it should write into them is for the
    /// question to say. Question and answer are remembered as in [`Chat::send`].
    ///
    /// ```
    /// # let source = crane_sdk::source::MemorySource::new("tiny")
    /// #     .with("config.json", include_bytes!("../../tests/fixtures/qwen2_tied/config.json").to_vec())
    /// #     .with("model.safetensors", include_bytes!("../../tests/fixtures/qwen2_tied/model.safetensors").to_vec())
    /// #     .with("tokenizer.json", include_bytes!("../../tests/fixtures/qwen2_tied/tokenizer.json").to_vec())
    /// #     .with("tokenizer_config.json", include_bytes!("../../tests/fixtures/qwen2_tied/tokenizer_config.json").to_vec());
    /// # let mut chat = crane_sdk::pipeline::Chat::from_source(&source)?;
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// enum Size {
    ///     Town,
    ///     City,
    /// }
    ///
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// struct Place {
    ///     size: Size,
    ///     inhabitants: u32,
    /// }
    ///
    /// let place: Place = chat.ask("How large is Lyon, and how many people live there?")?;
    /// println!("{} inhabitants", place.inhabitants);
    /// # Ok::<(), crane_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if [`Chat::config`] has a constraint of its own or the type one that cannot be kept;
    /// [`Error::InvalidReply`] with the reply if it was cut by a limit of tokens or by a stop string, or if the type's own
    /// reader refuses it; and as [`Chat::send`].
    pub fn ask<T>(&mut self, question: impl Into<String>) -> Result<T>
    where
        T: DeserializeOwned + JsonSchema,
    {
        if self.config.constraint.is_some() {
            return Err(Error::argument(
                "config.constraint",
                "is set, and ask brings its own; set it to None",
            ));
        }
        let constraint = self.forms.compiled(&Grammar::of::<T>(), self.tokenizer.tokenizer())?;
        let config = GenerationConfig { constraint: Some(constraint), ..self.config.clone() };
        let message = Message::user(question);
        read(self.reply_with(message, &config, &CancelToken::new())?.complete()?)
    }
}

fn read<T: DeserializeOwned>(output: Output) -> Result<T> {
    let reason = match output.finish_reason {
        FinishReason::Length => "was cut by a limit of tokens: raise max_new_tokens".to_owned(),
        _ => match serde_json::from_str(&output.text) {
            Ok(value) => return Ok(value),
            Err(error) => error.to_string(),
        },
    };
    Err(Error::InvalidReply { reason, reply: output.text })
}
