//! A causal language model, loaded with the options of a builder.

use std::sync::Arc;

use candle_core::{DType, Device};

use super::AutoTokenizer;
use crate::generate::{CancelToken, GenerationConfig, Output, Session};
use crate::models::{CausalLm, LoadOptions, LoadedModel, ModelInfo, Room, load, load_within};
use crate::source::Source;
use crate::weights::Quantization;
use crate::{Error, Result};

/// A loaded causal language model; clones share its weights.
///
/// ```
/// use crane_sdk::generate::GenerationConfig;
/// use crane_sdk::pipeline::{AutoModelForCausalLM, AutoTokenizer};
/// # let source = crane_sdk::source::MemorySource::new("tiny")
/// #     .with("config.json", include_bytes!("../../tests/fixtures/qwen2_tied/config.json").to_vec())
/// #     .with("model.safetensors", include_bytes!("../../tests/fixtures/qwen2_tied/model.safetensors").to_vec())
/// #     .with("tokenizer.json", include_bytes!("../../tests/fixtures/qwen2_tied/tokenizer.json").to_vec())
/// #     .with("tokenizer_config.json", include_bytes!("../../tests/fixtures/qwen2_tied/tokenizer_config.json").to_vec())
/// #     .with("generation_config.json", include_bytes!("../../tests/fixtures/qwen2_tied/generation_config.json").to_vec());
///
/// let tokenizer = AutoTokenizer::from_source(&source)?;
/// let model = AutoModelForCausalLM::builder(&source).context(256).load()?;
/// let mut config = GenerationConfig::from_source(&source, &tokenizer)?;
/// config.max_new_tokens = Some(8);
/// let output = model.generate(&tokenizer.encode("The quick brown fox", true)?, &config)?;
/// println!("{}", tokenizer.decode(&output.ids, true)?);
/// # Ok::<(), crane_sdk::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct AutoModelForCausalLM {
    loaded: LoadedModel,
    context: usize,
}

impl AutoModelForCausalLM {
    /// Loads a checkpoint as it is stored, on the CPU.
    ///
    /// # Errors
    /// As [`load`].
    pub fn from_source(source: &dyn Source) -> Result<Self> {
        Self::builder(source).load()
    }

    /// As [`load_within`], with the model's own context.
    pub(super) fn load_within(
        source: &dyn Source,
        options: &LoadOptions,
        room: &mut Room<'_>,
    ) -> Result<Self> {
        let loaded = load_within(source, options, room)?;
        let context = loaded.info.context_length;
        Ok(Self { loaded, context })
    }

    /// Loads a checkpoint with options.
    pub fn builder(source: &dyn Source) -> AutoModelBuilder<'_> {
        AutoModelBuilder { source, options: LoadOptions::default(), context: None }
    }

    /// The model, to be shared.
    pub fn model(&self) -> &Arc<dyn CausalLm> {
        &self.loaded.model
    }

    /// What was loaded, in numbers.
    pub fn info(&self) -> &ModelInfo {
        &self.loaded.info
    }

    /// The tokens that a session's window holds.
    pub fn context(&self) -> usize {
        self.context
    }

    /// A session that remembers its tokens from turn to turn.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn session(&self, tokenizer: &AutoTokenizer) -> Result<Session> {
        Session::new(self.loaded.model.clone(), tokenizer.tokenizer().clone(), self.context)
    }

    /// Generates tokens from tokens, without text, in a session of its own.
    ///
    /// # Errors
    /// As [`Session::generate`] and [`Session::step`]; [`Error::InvalidArgument`] for stop strings,
    /// which need a [session](AutoModelForCausalLM::session) with a tokenizer.
    pub fn generate(&self, prompt: &[u32], config: &GenerationConfig) -> Result<Output> {
        let mut session = Session::without_text(self.loaded.model.clone(), self.context)?;
        session.generate(prompt, config, &CancelToken::new())?.complete()
    }
}

/// The options with which a model is loaded.
#[derive(Debug)]
#[must_use]
pub struct AutoModelBuilder<'a> {
    source: &'a dyn Source,
    options: LoadOptions,
    context: Option<usize>,
}

impl AutoModelBuilder<'_> {
    /// Where the model runs; the CPU by default.
    pub fn device(mut self, device: Device) -> Self {
        self.options.device = device;
        self
    }

    /// The type of dense weights; the stored one by default.
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.options.dtype = Some(dtype);
        self
    }

    /// Quantises dense matrices while loading, tensor by tensor.
    pub fn quantize(mut self, quantization: Quantization) -> Self {
        self.options.quantize = Some(quantization);
        self
    }

    /// The tokens that a session's window holds; what the model was made for by default. Memory follows
    /// what is used of it.
    pub fn context(mut self, tokens: usize) -> Self {
        self.context = Some(tokens);
        self
    }

    /// Loads the model.
    ///
    /// # Errors
    /// As [`load`]; [`Error::InvalidArgument`] if the context is 0 or more than the model was made for.
    pub fn load(self) -> Result<AutoModelForCausalLM> {
        let loaded = load(self.source, &self.options)?;
        let most = loaded.info.context_length;
        let context = self.context.unwrap_or(most);
        if context == 0 || context > most {
            return Err(Error::InvalidArgument {
                name: "context".to_owned(),
                reason: format!("is {context} tokens; this model takes from 1 to {most}"),
            });
        }
        Ok(AutoModelForCausalLM { loaded, context })
    }
}
