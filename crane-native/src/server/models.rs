//! Models in memory: one that writes, with its words and its engine, one that reads texts aloud, and one that makes vectors of them.

use std::sync::{Arc, OnceLock};

use crane_sdk::grammar::{Compiler, Constraint, Grammar};
use crane_sdk::models::CausalLm;
use crane_sdk::pipeline::{Embedder, TextToSpeech};
use crane_sdk::text::tools::CallFormat;
use crane_sdk::text::{ChatTemplate, Tokenizer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::app::App;
use super::engine::Engine;
use super::fleet::Kept;
use super::plan::Plan;
use super::wire::{ApiError, Form, ToolUse};

/// After how many seconds it is worth asking again where many texts wait to be said.
const SPEAKING_SECONDS: u64 = 2;

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
    /// Made when the first request wants it.
    pub compiler: OnceLock<Compiler>,
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
    pub fn constraint(&self, app: &App, form: &Form) -> Result<Constraint, ApiError> {
        let compiler = self.compiler()?;
        let constraint = compiler.compile(&form.grammar).map_err(|error| match error {
            crane_sdk::Error::InvalidArgument { reason, .. } => ApiError::value(form.param, reason),
            error => error.into(),
        })?;
        let warnings = constraint.warnings().iter();
        warnings.for_each(|warning| app.warn(&format!("{}: {warning}", form.param)));
        Ok(constraint)
    }

    /// How the template writes calls, and what makes the calls of a reply valid ones. It may take a while, too.
    ///
    /// # Errors
    /// 400 if the template knows no calls, or a tool's parameters cannot be kept.
    pub fn calls(
        &self,
        template: &ChatTemplate,
        tools: &ToolUse,
    ) -> Result<(CallFormat, Constraint), ApiError> {
        let format = CallFormat::of(template)?.ok_or_else(|| {
            ApiError::unsupported(
                "tools",
                "the model's chat template knows no calls of tools, or writes them in a way that cannot be \
                 read back; take a model that is made for tools, or leave them out",
            )
        })?;
        let compiler = self.compiler()?;
        let grammar = format.grammar(&self.tokenizer, &tools.tools, tools.calls)?;
        let constraint = compiler.compile(&grammar).map_err(|error| {
            // Which of them it was.
            for (tool, param) in tools.tools.iter().zip(&tools.params) {
                let alone = tool.schema().map(Grammar::JsonSchema);
                if let Err(crane_sdk::Error::InvalidArgument { reason, .. }) =
                    alone.and_then(|schema| compiler.compile(&schema))
                {
                    return ApiError::value(param, reason);
                }
            }
            ApiError::value("tools", error)
        })?;
        Ok((format, constraint))
    }

    fn compiler(&self) -> Result<&Compiler, ApiError> {
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
}

/// A model that reads texts aloud.
#[derive(Debug)]
pub struct VoiceModel {
    /// The voices.
    pub tts: TextToSpeech,
    /// One text is said at a time.
    speaking: Arc<Semaphore>,
    /// So many may wait for that.
    listening: Semaphore,
    queue: usize,
}

impl VoiceModel {
    /// Voices for whose turn so many texts may wait.
    pub fn new(tts: TextToSpeech, queue: usize) -> Self {
        let listening = Semaphore::new(queue.min(Semaphore::MAX_PERMITS - 1) + 1);
        Self { tts, speaking: Arc::new(Semaphore::new(1)), listening, queue }
    }

    /// Waits until nothing else is being said.
    ///
    /// # Errors
    /// 429 if too many wait.
    pub async fn turn(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let _listening = self
            .listening
            .try_acquire()
            .map_err(|_| ApiError::busy(self.queue, SPEAKING_SECONDS))?;
        self.speaking.clone().acquire_owned().await.map_err(ApiError::internal)
    }
}
