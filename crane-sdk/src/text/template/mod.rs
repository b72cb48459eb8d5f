//! Chat templates: the Jinja program of a checkpoint that writes messages as a prompt.

mod calls;
mod charges;
mod clock;
mod continued;
mod environment;
mod guard;
mod json;
mod meter;
mod python;
mod sources;
mod stack;
mod tags;

pub use guard::RenderedChat;

use std::collections::BTreeMap;
use std::time::Duration;

use minijinja::Environment;
use minijinja::value::{Serde, Value as JinjaValue};
use serde::Serialize;
use serde_json::{Map, Value};

use super::Interrupt;
use super::message::{Content, Message};
use super::special_tokens::SpecialTokens;
use crate::source::Source;
use crate::{Error, Result};

/// A checkpoint's chat template (or templates), rendered as `transformers` renders it.
///
/// ```
/// use crane_sdk::text::{ChatTemplate, Message, RenderOptions, SpecialTokens};
/// let template = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}{% endfor %}\
///                 {% if add_generation_prompt %}<|assistant|>{% endif %}";
/// let template = ChatTemplate::new(template, SpecialTokens::new().with("eos_token", "</s>"))?;
/// let prompt = template.render(&[Message::user("Hi")], &RenderOptions::default())?;
/// assert_eq!(prompt, "<|user|>Hi</s><|assistant|>");
/// # Ok::<(), crane_sdk::Error>(())
/// ```
///
/// A template is a stranger's program: it can reach nothing but its arguments. Its steps, the bytes and items that it makes,
/// the depth of what it nests and its time ([`RenderOptions::time_limit`]) are bounded, so that an endless one is an error.
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// The text of each template; `default` and `tool_use` have a meaning.
    texts: BTreeMap<String, String>,
    tokens: SpecialTokens,
}

/// What [`ChatTemplate::render`] gives a template besides the messages.
#[derive(Debug, Clone)]
pub struct RenderOptions {
    /// End with the beginning of the assistant's next message (default true).
    pub add_generation_prompt: bool,
    /// End inside the last message, so that the model goes on with it (default false). Excludes
    /// `add_generation_prompt`.
    pub continue_final_message: bool,
    /// The tools that the model may call, each a JSON schema
    /// (`{"type": "function", "function": {..}}`).
    pub tools: Option<Vec<Value>>,
    /// Documents to answer from, each an object with `title` and `text`.
    pub documents: Option<Vec<Value>>,
    /// Which of several named templates; by default `tool_use` if there are tools and it exists,
    /// else `default`.
    pub template: Option<String>,
    /// Further variables (`enable_thinking`, `date_string`, ...).
    pub extra: Map<String, Value>,
    /// How long the rendering may take (default 1 s); its steps and bytes are bounded besides.
    pub time_limit: Duration,
    /// Ends the rendering early when it is set.
    pub interrupt: Option<Interrupt>,
    /// Whether control tokens that a message spells out count as such (default false): then who writes a message can end it, and
    /// begin another in another's name.
    pub allow_special_tokens: bool,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self {
            add_generation_prompt: true,
            continue_final_message: false,
            tools: None,
            documents: None,
            template: None,
            extra: Map::new(),
            time_limit: Duration::from_secs(1),
            interrupt: None,
            allow_special_tokens: false,
        }
    }
}

impl ChatTemplate {
    /// A template from its text; `tokens` are its variables `bos_token`, `eos_token` and so on.
    ///
    /// # Errors
    /// [`Error::Template`] with the line of a syntax error.
    pub fn new(template: &str, tokens: SpecialTokens) -> Result<Self> {
        Self::named([("default".to_owned(), template.to_owned())], tokens)
    }

    /// Several templates by name.
    ///
    /// # Errors
    /// As [`ChatTemplate::new`].
    pub fn named(
        templates: impl IntoIterator<Item = (String, String)>,
        tokens: SpecialTokens,
    ) -> Result<Self> {
        let mut environment = environment::new();
        let texts: BTreeMap<String, String> = templates.into_iter().collect();
        stack::with_room(|| {
            for (name, text) in &texts {
                let text = charges::insert(&environment::prepare(text)).map_err(Error::Template)?;
                environment
                    .add_template_owned(name.clone(), text)
                    .map_err(|error| environment::template_error(&error))?;
            }
            Ok(())
        })?;
        Ok(Self { environment, texts, tokens })
    }

    /// The template of a model: `chat_template.jinja` (with `additional_chat_templates/`), the
    /// `chat_template` of `tokenizer_config.json` or `chat_template.json`, or that of its GGUF
    /// file. `None` if it has none, as models that are not made for chat.
    ///
    /// # Errors
    /// [`Error::Template`] if it cannot be parsed, [`Error::InvalidFile`] if its file is damaged.
    pub fn from_source(source: &dyn Source) -> Result<Option<Self>> {
        match sources::find(source)? {
            Some((templates, tokens)) => match Self::named(templates, tokens) {
                Err(Error::Template(reason)) => {
                    Err(Error::Template(format!("{}: {reason}", source.label())))
                }
                named => named.map(Some),
            },
            None => Ok(None),
        }
    }

    /// Another template for a model, in the place of its own: with its special tokens.
    ///
    /// # Errors
    /// As [`ChatTemplate::from_source`].
    pub fn for_source(source: &dyn Source, template: &str) -> Result<Self> {
        Self::new(template, sources::tokens(source)?)
    }

    /// The templates by name.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Whether the template reads `tools`.
    pub fn supports_tools(&self) -> bool {
        self.texts.values().any(|text| text.contains("tools"))
    }

    /// Writes a conversation as a prompt.
    ///
    /// # Errors
    /// [`Error::Template`] with the template's own words if it refuses the messages
    /// (`raise_exception`), with the line if it fails, or if it does not end or takes too long;
    /// [`Error::InvalidArgument`] if an option cannot act; [`Error::Unsupported`] if it was interrupted.
    pub fn render(&self, messages: &[Message], options: &RenderOptions) -> Result<String> {
        if options.continue_final_message && options.add_generation_prompt {
            return Err(Error::argument(
                "continue_final_message",
                "excludes add_generation_prompt: the prompt cannot end inside the last message \
                 and begin a new one",
            ));
        }
        let name = self.choose(options)?;
        let marked = options.continue_final_message.then(|| continued::marked(messages));
        let marked = marked.transpose()?;
        let messages = marked.as_deref().unwrap_or(messages);
        let text = calls::in_any_way(messages, options.time_limit, |messages| {
            self.written(name, messages, options)
        })?;
        if marked.is_some() { continued::cut(text) } else { Ok(text) }
    }

    fn written(&self, name: &str, messages: &[Message], options: &RenderOptions) -> Result<String> {
        stack::with_room(|| {
            let context = self.context(messages, options)?;
            // A template may look at each byte of a conversation some thirty times.
            let mut environment = self.environment.clone();
            environment.set_fuel(Some(environment::FUEL + text_bytes(messages) / 2));
            meter::timed(options.time_limit, options.interrupt.as_ref(), || {
                let template = environment.get_template(name);
                template
                    .and_then(|template| template.render(context))
                    .map_err(|error| environment::template_error(&error))
            })
        })
    }

    fn choose<'a>(&'a self, options: &'a RenderOptions) -> Result<&'a str> {
        let names = || self.texts.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        if let Some(name) = options.template.as_deref() {
            if self.texts.contains_key(name) {
                return Ok(name);
            }
            let reason = format!("there is no template {name:?}; there are: {}", names());
            return Err(Error::argument("template", reason));
        }
        if options.tools.is_some() && self.texts.contains_key("tool_use") {
            return Ok("tool_use");
        }
        if self.texts.contains_key("default") {
            return Ok("default");
        }
        Err(Error::argument("template", format!("name one of: {}", names())))
    }

    fn context(&self, messages: &[Message], options: &RenderOptions) -> Result<JinjaValue> {
        let mut context = BTreeMap::new();
        for (role, token) in self.tokens.iter() {
            context.insert(role.to_owned(), JinjaValue::from(token));
        }
        if !self.tokens.additional().is_empty() {
            let tokens = jinja(self.tokens.additional());
            context.insert("additional_special_tokens".to_owned(), tokens);
        }
        for (name, value) in &options.extra {
            context.insert(name.clone(), jinja(value));
        }
        let own = [
            ("messages", jinja(messages)),
            ("tools", jinja(&options.tools)),
            ("documents", jinja(&options.documents)),
            ("add_generation_prompt", JinjaValue::from(options.add_generation_prompt)),
        ];
        for (name, value) in own {
            if context.insert(name.to_owned(), value).is_some() && options.extra.contains_key(name)
            {
                let reason = "is an option of its own, not an extra variable";
                return Err(Error::argument(format_args!("extra.{name}"), reason));
            }
        }
        Ok(JinjaValue::from(context))
    }
}

impl std::fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatTemplate")
            .field("texts", &self.texts)
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

fn text_bytes(messages: &[Message]) -> u64 {
    let bytes = |message: &Message| match &message.content {
        None | Some(Content::Null) => 0,
        Some(Content::Text(text)) => text.len(),
        Some(Content::Parts(parts)) => {
            let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
            texts.map(str::len).sum()
        }
    };
    messages.iter().map(bytes).sum::<usize>() as u64
}

fn jinja(value: impl Serialize) -> JinjaValue {
    Serde(value).into()
}
