//! A loaded model: its tokenizer, its chat template, and the session that remembers the last prompt.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crane_sdk::generate::{CancelToken, GenerationConfig, Session};
use crane_sdk::grammar::Forms;
use crane_sdk::kernels::quant::{self, Helpers};
use crane_sdk::models::{self, LoadOptions, ModelInfo};
use crane_sdk::source::Source;
use crane_sdk::text::{ChatTemplate, Message, RenderOptions, Tokenizer};
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

use crate::failure::{Outcome, failure};
use crate::files::FileSet;
use crate::generation::{Request, Step};
use crate::{options, shards, task};

/// A language model, ready to answer.
#[wasm_bindgen]
pub struct Model {
    info: ModelInfo,
    tokenizer: Arc<Tokenizer>,
    template: Option<ChatTemplate>,
    defaults: GenerationConfig,
    /// Shared with the step that is prepared.
    session: Rc<RefCell<Session>>,
    forms: Forms,
}

/// The options of [`Model::prepare_load`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The most tokens of prompt and answer together; the model's own length by default.
    context: Option<usize>,
    /// The type that dense matrices are quantised to, tensor by tensor; as stored by default.
    quantize: Option<String>,
}

/// What was loaded, as JavaScript sees it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Info<'a> {
    architecture: &'a str,
    parameters: usize,
    weight_bytes: usize,
    precision: String,
    vocabulary_size: usize,
    context_length: usize,
    has_chat_template: bool,
    instruction_set: &'a str,
}

#[wasm_bindgen]
impl Model {
    /// Prepares to load a model from its files, which are let go of at the end, whether it succeeds or not; the task's result is the
    /// `Model`. `options`: `{ context?: number, quantize?: string }`; `helpers` other workers hold a part of each large
    /// matrix.
    ///
    /// The task fails with every failure of the library, as an `Error` with a `code`.
    #[wasm_bindgen(js_name = prepareLoad)]
    pub fn prepare_load(files: FileSet, options: JsValue, helpers: u32) {
        task::prepare(move || {
            let options = options::read("load", options)?;
            load(&files, options, shards::helpers(helpers)).map(JsValue::from).map_err(failure)
        });
    }

    /// What was loaded.
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn info(&self) -> Outcome<JsValue> {
        let info = &self.info;
        options::write(&Info {
            architecture: info.architecture,
            parameters: info.parameters,
            weight_bytes: info.weight_bytes,
            precision: info.weight_types.first().map(|(name, _)| name.clone()).unwrap_or_default(),
            vocabulary_size: info.vocab_size,
            context_length: self.session.borrow().context(),
            has_chat_template: self.template.is_some(),
            instruction_set: quant::instruction_set(),
        })
    }

    /// The token ids of a text; special tokens written in it are recognised.
    ///
    /// # Errors
    /// `tokenizer` if the text cannot be tokenised.
    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Outcome<Vec<u32>> {
        self.tokenizer.encode(text, add_special_tokens).map_err(failure)
    }

    /// The text of token ids; ids outside the vocabulary have none.
    ///
    /// # Errors
    /// `tokenizer` if the tokenizer's own decoder fails.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Outcome<String> {
        self.tokenizer.decode(ids, skip_special_tokens).map_err(failure)
    }

    /// The token ids of a conversation up to where the answer begins. `messages` is a list of
    /// `{ role, content }`.
    ///
    /// # Errors
    /// `unsupported` if the model has no chat template, `template` if the template refuses the
    /// conversation.
    #[wasm_bindgen(js_name = encodeChat)]
    pub fn encode_chat(&self, messages: JsValue) -> Outcome<Vec<u32>> {
        let messages: Vec<Message> = options::read("messages", messages)?;
        self.render(&messages)
            .and_then(|prompt| self.tokenizer.encode(&prompt, false))
            .map_err(failure)
    }

    /// Begins to answer a prompt; nothing is computed before the first step. What the session
    /// remembers of the prompt's beginning is not computed again.
    ///
    /// # Errors
    /// `invalid_argument` for an option that cannot act or an id that the model does not know,
    /// `context_overflow` if the prompt is too long, `invalid_argument` for a form that cannot be kept.
    pub fn begin(&mut self, ids: &[u32], request: JsValue) -> Outcome<()> {
        let request: Request = options::read("generate", request)?;
        let constraint = match request.grammar() {
            Some(grammar) => Some(self.forms.compiled(grammar, &self.tokenizer).map_err(failure)?),
            None => None,
        };
        let config = GenerationConfig { constraint, ..request.over(self.defaults.clone()) };
        self.session.borrow_mut().begin(ids, &config, &CancelToken::new()).map_err(failure)
    }

    /// Prepares one step of the answer; the task's result is `{ text, id?, done }`, and with the last one
    /// `{ finishReason, usage, timings }`. A step that only evaluates a part of the prompt has an empty text and no id.
    ///
    /// The task fails with every failure of the library; the answer has then ended.
    #[wasm_bindgen(js_name = prepareStep)]
    pub fn prepare_step(&self) {
        let session = self.session.clone();
        task::prepare(move || {
            options::write(&Step::make(&mut session.borrow_mut()).map_err(failure)?)
        });
    }

    /// Gives the answer up if it is under way; the model can begin another.
    pub fn stop(&mut self) {
        self.session.borrow_mut().finish();
    }
}

impl Model {
    fn render(&self, messages: &[Message]) -> crane_sdk::Result<String> {
        match &self.template {
            Some(template) => template.render(messages, &RenderOptions::default()),
            None => Err(crane_sdk::Error::Unsupported {
                what: "chat with a model that has no chat template".to_owned(),
                hint: "write the prompt yourself and use generate".to_owned(),
            }),
        }
    }
}

fn load(
    files: &FileSet,
    options: Options,
    helpers: Option<Arc<dyn Helpers>>,
) -> crane_sdk::Result<Model> {
    let Options { context, quantize } = options;
    let quantize = quantize.map(|name| name.parse()).transpose()?;
    let source: &dyn Source = files;
    let tokenizer = Arc::new(Tokenizer::from_source(source)?);
    let template = ChatTemplate::from_source(source)?;
    let defaults = GenerationConfig::from_source(source, &tokenizer)?;
    let loaded =
        models::load(source, &LoadOptions { quantize, helpers, ..LoadOptions::default() })?;
    let context = context.unwrap_or(loaded.info.context_length);
    let session = Session::new(loaded.model.clone(), tokenizer.clone(), context)?;
    let session = Rc::new(RefCell::new(session));
    let forms = Forms::default();
    Ok(Model { info: loaded.info, tokenizer, template, defaults, session, forms })
}
