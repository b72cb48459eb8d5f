//! Models in memory: one that writes, with its words and its engine, and one that makes vectors of texts.

use std::sync::{Arc, OnceLock};

use crane_sdk::generate::CancelToken;
use crane_sdk::grammar::{Compiler, Constraint};
use crane_sdk::models::CausalLm;
use crane_sdk::pipeline::Embedder;
use crane_sdk::text::tools::CallFormat;
use crane_sdk::text::{ChatTemplate, Tokenizer};

use super::app::App;
use super::engine::Engine;
use super::fleet::Kept;
use super::lengths::{Lengths, go_on};
use super::partly_held::PartlyHeld;
use super::plan::Plan;
use super::voice::VoiceModel;
use super::wire::{ApiError, Form};

/// A model in memory.
#[derive(Clone)]
pub enum Loaded {
    /// It writes.
    Text(Arc<TextModel>),
    /// It speaks.
    Voice(Arc<VoiceModel>),
    /// It makes vectors of texts and nothing else.
    Embedding(Arc<EmbeddingModel>),
}

impl Kept for Loaded {
    fn promised(&self) -> u64 {
        match self {
            Loaded::Text(model) => {
                let held = model.plan.token.saturating_mul(model.engine.held_tokens() as u64);
                model.plan.caches().saturating_sub(held)
            }
            Loaded::Voice(_) | Loaded::Embedding(_) => 0,
        }
    }

    fn abandon(&self) {
        if let Loaded::Text(model) = self {
            model.engine.abandon();
        }
    }
}

/// A model that writes.
pub struct TextModel {
    /// What answers call it.
    pub name: String,
    /// Text to ids and back.
    pub tokenizer: Arc<Tokenizer>,
    /// Its chat template, if it is made for chat.
    pub template: Option<ChatTemplate>,
    /// The network.
    pub model: Arc<dyn CausalLm>,
    /// What generates.
    pub engine: Engine,
    /// What it takes.
    pub plan: Plan,
    /// How long its texts may be.
    pub lengths: Lengths,
    /// Made when the first request wants it.
    pub compiler: OnceLock<Compiler>,
    /// The tools' schemas of which it was said that they are not held whole.
    pub partly_held: PartlyHeld,
}

impl TextModel {
    /// The chat template.
    ///
    /// # Errors
    /// 400 if the model has none.
    pub fn template(&self) -> Result<&ChatTemplate, ApiError> {
        self.template.as_ref().ok_or_else(|| {
            ApiError::unsupported(
                "messages",
                "the model has no chat template; send a prompt to /v1/completions",
            )
        })
    }

    /// Compiles the form that replies must have. It may take a while: not for a thread that serves others.
    ///
    /// # Errors
    /// 400 that says what of it cannot be kept.
    pub fn constraint(
        &self,
        app: &App,
        form: &Form,
        cancel: &CancelToken,
    ) -> Result<Constraint, ApiError> {
        go_on(cancel)?;
        let compiler = self.compiler()?;
        let constraint =
            compiler.compile_until(&form.grammar, cancel).map_err(|error| match error {
                crane_sdk::Error::InvalidArgument { reason, .. } => {
                    ApiError::value(form.param, reason)
                }
                error => error.into(),
            })?;
        let warnings = constraint.warnings().iter();
        warnings.for_each(|warning| app.warn(&format!("{}: {warning}", form.param)));
        Ok(constraint)
    }

    /// How the template writes calls.
    ///
    /// # Errors
    /// 400 if it knows none.
    pub fn call_format(&self, template: &ChatTemplate) -> Result<CallFormat, ApiError> {
        CallFormat::of(template)?.ok_or_else(|| {
            ApiError::unsupported(
                "tools",
                "the model's chat template knows no calls of tools, or writes them in a way that cannot be \
                 read back; take a model that is made for tools, or leave them out",
            )
        })
    }

    /// What compiles grammars.
    ///
    /// # Errors
    /// If the vocabulary cannot be used.
    pub fn compiler(&self) -> Result<&Compiler, ApiError> {
        if let Some(compiler) = self.compiler.get() {
            return Ok(compiler);
        }
        let made = Compiler::new(&self.tokenizer)?;
        Ok(self.compiler.get_or_init(|| made))
    }
}

/// A model that makes vectors of texts and nothing else.
#[derive(Debug)]
pub struct EmbeddingModel {
    /// What answers call it.
    pub name: String,
    /// What makes them.
    pub embedder: Embedder,
    /// How long its texts may be.
    pub lengths: Lengths,
}

impl EmbeddingModel {
    /// With its name.
    pub fn new(name: String, embedder: Embedder) -> Self {
        let lengths = Lengths::new(embedder.max_tokens());
        Self { name, embedder, lengths }
    }
}
