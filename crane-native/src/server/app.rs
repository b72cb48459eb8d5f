//! What every request is answered from: one model, its words, and the server's settings.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use crane_sdk::generate::GenerationConfig;
use crane_sdk::grammar::{Compiler, Constraint, Grammar};
use crane_sdk::models::CausalLm;
use crane_sdk::pipeline::TextToSpeech;
use crane_sdk::text::tools::CallFormat;
use crane_sdk::text::{ChatTemplate, Tokenizer};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::engine::Engine;
use super::wire::{ApiError, Form, Head, ToolUse};

/// After how many seconds it is worth asking again where many texts wait to be said.
const SPEAKING_SECONDS: u64 = 2;

/// A model that is served.
#[derive(Debug)]
pub struct Served {
    /// What clients may call it; the first one is what answers call it.
    pub names: Vec<String>,
    /// Text to ids and back.
    pub tokenizer: Arc<Tokenizer>,
    /// Its chat template, if it is made for chat.
    pub template: Option<Template>,
    /// How its authors want replies to be generated.
    pub defaults: GenerationConfig,
    /// The network.
    pub model: Model,
    /// What generates.
    pub engine: Engine,
}

/// A model, which has nothing to show of itself.
#[derive(Clone)]
pub struct Model(pub Arc<dyn CausalLm>);

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Model")
    }
}

/// What reads texts aloud.
#[derive(Debug)]
pub struct SpeechModel {
    /// What clients call it.
    pub name: String,
    /// The voices.
    pub tts: TextToSpeech,
}

/// A chat template, which has nothing to show of itself.
pub struct Template(pub ChatTemplate);

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Template")
    }
}

/// Where a warning for the one who runs the server goes.
pub type Warn = Box<dyn Fn(&str) + Send + Sync>;

/// The state of a server.
pub struct App {
    /// What answers.
    pub served: Served,
    speech: Option<SpeechModel>,
    /// One text is said at a time.
    speaking: Arc<Semaphore>,
    /// So many may wait for that.
    listening: Semaphore,
    /// Whether unknown fields are ignored with a warning.
    pub lenient: bool,
    /// When the server began, in seconds since 1970.
    pub created: u64,
    draining: AtomicBool,
    /// Whose turn it is to have texts embedded.
    pub embedding: tokio::sync::Mutex<()>,
    /// Made when the first request wants it.
    compiler: OnceLock<Compiler>,
    warn: Warn,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("served", &self.served).finish_non_exhaustive()
    }
}

impl App {
    /// A server's state at its beginning.
    pub fn new(served: Served, speech: Option<SpeechModel>, lenient: bool, warn: Warn) -> Self {
        let (draining, compiler) = (AtomicBool::new(false), OnceLock::new());
        let queue = served.engine.limits().queue;
        Self {
            served,
            speech,
            speaking: Arc::new(Semaphore::new(1)),
            listening: Semaphore::new(queue.min(Semaphore::MAX_PERMITS - 1) + 1),
            lenient,
            created: now(),
            draining,
            embedding: tokio::sync::Mutex::new(()),
            compiler,
            warn,
        }
    }

    /// Whether new requests should go elsewhere.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Tells those who ask that this server ends.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Warns of fields that had no effect.
    pub fn ignored(&self, fields: &[String]) {
        if !fields.is_empty() {
            (self.warn)(&format!("a request has unknown fields: {}", fields.join(", ")));
        }
    }

    /// Checks a request's `model`, if it names one.
    ///
    /// # Errors
    /// 404 for a model that is not here.
    pub fn check_model(&self, name: Option<&str>) -> Result<(), ApiError> {
        let names = &self.served.names;
        match name.filter(|name| !names.iter().any(|known| known == name)) {
            None => Ok(()),
            Some(name) => Err(ApiError::field(
                "model",
                "model_not_found",
                format_args!("there is no model {name:?} here; there is {}", names.join(", ")),
            )
            .with(
                axum::http::StatusCode::NOT_FOUND,
                "invalid_request_error",
                "model_not_found",
            )),
        }
    }

    /// The names of all models.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.served.names.iter().chain(self.speech.as_ref().map(|speech| &speech.name))
    }

    /// The model that speaks, if it is called by this name or by none.
    ///
    /// # Errors
    /// 404 if there is none, or by another name.
    pub fn voice(&self, name: Option<&str>) -> Result<&SpeechModel, ApiError> {
        let missing = |reason: &str| {
            ApiError::field("model", "model_not_found", reason).with(
                axum::http::StatusCode::NOT_FOUND,
                "invalid_request_error",
                "model_not_found",
            )
        };
        match (&self.speech, name) {
            (None, _) => {
                Err(missing("no model speaks here; start the server with --speech hibari"))
            }
            (Some(speech), Some(name)) if speech.name != name => {
                Err(missing(&format!("{name:?} does not speak here; {} does", speech.name)))
            }
            (Some(speech), _) => Ok(speech),
        }
    }

    /// Waits until nothing else is being said.
    ///
    /// # Errors
    /// 429 if too many wait.
    pub async fn speaking_turn(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let queue = self.served.engine.limits().queue;
        let _listening =
            self.listening.try_acquire().map_err(|_| ApiError::busy(queue, SPEAKING_SECONDS))?;
        self.speaking.clone().acquire_owned().await.map_err(ApiError::internal)
    }

    /// The chat template.
    ///
    /// # Errors
    /// 400 if the model has none.
    pub fn template(&self) -> Result<&ChatTemplate, ApiError> {
        self.served.template.as_ref().map(|template| &template.0).ok_or_else(|| {
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
    pub fn constraint(&self, form: &Form) -> Result<Constraint, ApiError> {
        let compiler = self.compiler()?;
        let constraint = compiler.compile(&form.grammar).map_err(|error| match error {
            crane_sdk::Error::InvalidArgument { reason, .. } => ApiError::value(form.param, reason),
            error => error.into(),
        })?;
        let warnings = constraint.warnings().iter();
        warnings.for_each(|warning| (self.warn)(&format!("{}: {warning}", form.param)));
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
        let grammar = format.grammar(&self.served.tokenizer, &tools.tools, tools.calls)?;
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
        let made = Compiler::new(&self.served.tokenizer)?;
        Ok(self.compiler.get_or_init(|| made))
    }

    /// The head of a new answer, whose id begins with `prefix`.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn head(&self, prefix: &str) -> Result<Head, ApiError> {
        let mut bytes = [0u8; 16];
        getrandom::fill(&mut bytes).map_err(ApiError::internal)?;
        let number = u128::from_ne_bytes(bytes);
        let model = self.served.names.first().cloned().unwrap_or_default();
        Ok(Head { id: format!("{prefix}{number:032x}"), model, created: now() })
    }
}

/// Who asks, for a fair turn: where from, and the `user` that the request names.
pub fn client(address: SocketAddr, user: Option<&str>) -> String {
    format!("{} {}", address.ip(), user.unwrap_or_default())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
