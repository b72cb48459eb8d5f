//! From the models that the command line names to what the server knows of them, and to what loads them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crane_sdk::generate::GenerationConfig;
use crane_sdk::models::orpheus::Vocabulary;
use crane_sdk::models::{Config, LoadOptions, TextEncoder, find as find_architecture};
use crane_sdk::pipeline::TextToSpeech;
use crane_sdk::source::{Gguf, Source, model_gguf};
use crane_sdk::text::Tokenizer;

use super::{about, voices};
use crate::cli::args::{LoadArgs, QuantType, ServeArgs, TemplateArgs};
use crate::cli::exit::{Failure, Result, code};
use crate::cli::open::{self, Text};
use crate::cli::output::Console;
use crate::memory;
use crate::resolve::{Resolved, check_path, resolve};
use crate::server::engine::{Engine, Limits};
use crate::server::{
    About, Card, EmbeddingModel, Kind, Lengths, LoadError, Loaded, Loader, Metrics, Plan,
    TextModel, VoiceModel,
};

/// What a slot holds where nothing says how much and the model would take more.
const DEFAULT_CONTEXT: usize = 8192;

/// A model that was named.
pub(super) struct Found {
    names: Vec<String>,
    kind: Kind,
    /// Whether it is one of those that may write, as those of `--speech` may not.
    may_write: bool,
    template: TemplateArgs,
    /// Its files, or why they cannot be read.
    files: Result<Files>,
}

/// The files of a model, and what was read of them.
struct Files {
    model: Resolved,
    defaults: GenerationConfig,
    about: About,
    /// What was read to find out, for the one who loads it now.
    tokenizer: Option<Arc<Tokenizer>>,
}

/// Finds the files of every model, fetching them if need be, and reads what of each must be sound before anybody asks for it.
/// One among several whose files cannot be had or read is kept as such: the others are served.
///
/// # Errors
/// [`Failure::Usage`] for names that cannot be told apart; where there is no model that can be read, what the Hub refuses, and
/// damaged files.
pub(super) fn find(console: Console, args: &ServeArgs) -> Result<Vec<Found>> {
    let template = args.template.text().map_err(Failure::Usage)?;
    let mut named = BTreeSet::new();
    for name in args.names.iter().chain(&args.speech) {
        if !named.insert(name) {
            return Err(Failure::Usage(format!("{name} is named twice")));
        }
        check_path(name)?;
    }
    let mut found = Vec::new();
    if args.names.is_empty() {
        open::check(&args.model, &None)?;
        found.push((None, open::find(console, &args.model, None)));
    }
    for name in &args.names {
        let model = open::find(console, &args.model, Some(name.clone()));
        found.push((Some(name), model));
    }
    if let Some(name) = &args.speech {
        let hub = open::hub(args.model.offline)?;
        let model = resolve(name, &hub, &open::Fetching::new(console));
        found.push((Some(name), model.map_err(Failure::from)));
    }
    let mut taken = BTreeSet::new();
    let mut models = Vec::new();
    for (index, (spelt, model)) in found.into_iter().enumerate() {
        let model = bearable(model)?;
        let own = match (&model, spelt) {
            (Ok(model), _) => model.name.clone(),
            (Err(_), spelt) => spelt.map_or_else(String::new, |spelt| file_name(spelt)),
        };
        // Files of one name are told apart as the command line does.
        let spelt = spelt.filter(|_| taken.contains(&own));
        let name = spelt.cloned().unwrap_or(own);
        if !taken.insert(name.clone()) {
            return Err(Failure::Usage(format!("{name} is named twice")));
        }
        let may_write = index < args.names.len().max(1);
        models.push(Found::new(console, args, model, name, may_write)?);
    }
    // Where none can be served, what is wrong with the first is wrong with all.
    if !models.is_empty()
        && models.iter().all(|model| model.files.is_err())
        && let Err(failure) = models.swap_remove(0).files
    {
        return Err(failure);
    }
    if template.is_some() {
        let writers = models.iter().filter(|model| model.writes()).count();
        if writers != 1 {
            return Err(Failure::Usage(format!(
                "--chat-template and --chat-template-file are for one model that writes, and there are {writers}"
            )));
        }
    }
    for alias in &args.alias {
        if voices::alias(&models, alias)?.is_none() {
            name_too(&mut models, alias, &mut taken)?;
        }
    }
    Ok(models)
}

/// What a model is called that cannot be opened: the name of its file or folder, or what was typed.
fn file_name(spelt: &str) -> String {
    let path = Path::new(spelt);
    let name = path.file_name().filter(|_| path.exists());
    name.map_or_else(|| spelt.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Tells a model that is broken, without which the others can be served, from what ends the program: a mistake in the command
/// line, Ctrl-C, memory that is too small.
///
/// # Errors
/// The latter.
pub(super) fn bearable<T>(result: Result<T>) -> Result<Result<T>> {
    match result {
        Err(failure) if ends(&failure) => Err(failure),
        result => Ok(result),
    }
}

fn ends(failure: &Failure) -> bool {
    let is_ambiguous = matches!(failure, Failure::Crane(crate::Error::Ambiguous { .. }));
    is_ambiguous || [code::USAGE, code::INTERRUPTED, code::OUT_OF_MEMORY].contains(&failure.code())
}

/// Why it failed, in words.
pub(super) fn reason(failure: &Failure) -> String {
    failure.message().unwrap_or_else(|| "it was interrupted".to_owned())
}

/// Gives a model another name: `NAME=MODEL`, or `NAME` for the only one (that writes).
fn name_too(models: &mut [Found], alias: &str, taken: &mut BTreeSet<String>) -> Result {
    let (name, of) = alias.split_once('=').map_or((alias, None), |(name, of)| (name, Some(of)));
    let writers = models.iter().filter(|model| model.writes()).count();
    let alone = models.len() == 1;
    let is_meant = |model: &&mut Found| match of {
        Some(of) => model.name() == of,
        None => alone || (writers == 1 && model.writes()),
    };
    let Some(model) = models.iter_mut().find(is_meant) else {
        return Err(Failure::Usage(match of {
            Some(of) => format!("--alias {alias}: there is no model {of}{}", no_voice(models)?),
            None => format!("--alias {alias}: there are several models; say {alias}=MODEL"),
        }));
    };
    if model.names.iter().any(|known| known == name) {
        return Ok(());
    }
    if name.is_empty() || !taken.insert(name.to_owned()) {
        return Err(Failure::Usage(format!(
            "--alias {alias}: {name:?} is no name for it, or is taken"
        )));
    }
    model.names.push(name.to_owned());
    Ok(())
}

/// What is said of a name that is no model's, where it might be meant for a voice.
fn no_voice(models: &[Found]) -> Result<String> {
    let mut all = Vec::new();
    for model in models {
        all.extend(voices::voices(model)?);
    }
    Ok(match all.is_empty() {
        true => String::new(),
        false => format!(", and no voice of that name; there are {}", all.join(", ")),
    })
}

impl Found {
    fn new(
        console: Console,
        args: &ServeArgs,
        model: Result<Resolved>,
        name: String,
        may_write: bool,
    ) -> Result<Self> {
        let read = model.and_then(|model| read(console, args, model, may_write));
        let (kind, files) = match bearable(read)? {
            Ok((kind, files)) => (kind, Ok(files)),
            Err(failure) => (Kind::Unknown, Err(failure)),
        };
        let template = args.template.clone();
        Ok(Self { names: vec![name], kind, may_write, template, files })
    }

    /// What answers call it.
    pub(super) fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// The files of a model that speaks.
    pub(super) fn speaks(&self) -> Option<&dyn Source> {
        let files = self.files.as_ref().ok()?;
        matches!(self.kind, Kind::Voice { .. }).then(|| files.model.source.as_ref())
    }

    fn writes(&self) -> bool {
        match self.kind {
            Kind::Text { .. } => true,
            // As far as is known.
            Kind::Unknown => self.may_write,
            Kind::Voice { .. } | Kind::Embedding { .. } => false,
        }
    }

    /// Why its files cannot be read, if they cannot.
    pub(super) fn failure(&self) -> Option<String> {
        self.files.as_ref().err().map(reason)
    }

    /// What the server knows of it.
    pub(super) fn card(&self) -> Card {
        let (names, kind, failure) = (self.names.clone(), self.kind, self.failure());
        let (defaults, about) = match &self.files {
            Ok(files) => (files.defaults.clone(), files.about.clone()),
            Err(_) => Default::default(),
        };
        Card { names, kind, defaults, about, failure }
    }

    /// What loads it whenever it is asked for.
    pub(super) fn loader(
        &self,
        console: Console,
        args: &LoadArgs,
        metrics: Arc<Metrics>,
    ) -> Loader<Loaded> {
        let (name, kind) = (self.name().to_owned(), self.kind);
        let model = match &self.files {
            Ok(files) => files.model.clone(),
            Err(failure) => {
                let reason = reason(failure);
                return Box::new(move |_| {
                    Err(LoadError { reason: reason.clone(), lacks_memory: false })
                });
            }
        };
        let (args, template) = (args.clone(), self.template.clone());
        Box::new(move |promised| {
            let (args, template) = (&args, &template);
            let loading = Loading { console, args, template, model: &model, name: &name, promised };
            loading.load(kind, None, &metrics).map_err(|failure| {
                let reason = reason(&failure);
                console.warn(format_args!("{name} cannot be loaded: {reason}"));
                LoadError { reason, lacks_memory: failure.code() == code::OUT_OF_MEMORY }
            })
        })
    }

    /// Loads it now.
    ///
    /// # Errors
    /// Why its files cannot be read; what loading refuses.
    pub(super) fn load(
        self,
        console: Console,
        args: &LoadArgs,
        metrics: &Metrics,
        promised: u64,
    ) -> Result<Loaded> {
        let (name, kind, template) = (self.name().to_owned(), self.kind, self.template);
        let Files { model, tokenizer, .. } = self.files?;
        let loading =
            Loading { console, args, template: &template, model: &model, name: &name, promised };
        loading.load(kind, tokenizer, metrics)
    }
}

/// Reads what of a model's files can be read without its weights.
///
/// # Errors
/// If they are damaged, or not of a model that can be served; [`Failure::Usage`] if `--ctx` is too long for it.
fn read(
    console: Console,
    args: &ServeArgs,
    model: Resolved,
    may_write: bool,
) -> Result<(Kind, Files)> {
    let source = model.source.as_ref();
    let explained = |error| Failure::from(model.explain(error));
    if may_write && TextEncoder::is_one(source).map_err(explained)? {
        let about = about::of_text(&model).map_err(explained)?;
        let defaults = GenerationConfig::default();
        let files = Files { model, defaults, about, tokenizer: None };
        return Ok((Kind::Embedding { queue: args.queue }, files));
    }
    let speaks = source.contains("voices.json")? || source.contains("BiCodec/config.yaml")?;
    let text = match may_write && !speaks {
        true => Some(open::text(console, &model)?),
        false => None,
    };
    // Orpheus speaks where its codec lies in a folder below it, and writes its tokens else.
    let has_codec = source.files()?.iter().any(|file| file.ends_with("/config.json"));
    let orpheus = |text: &Text| has_codec && Vocabulary::find(&text.tokenizer).is_some();
    let text = text.filter(|text| !orpheus(text));
    let Some(text) = text else {
        let about = about::of_files(&model).map_err(explained)?;
        let defaults = GenerationConfig::default();
        let files = Files { model, defaults, about, tokenizer: None };
        return Ok((Kind::Voice { queue: args.queue }, files));
    };
    let config = config(source).map_err(explained)?;
    find_architecture(&config).map_err(explained)?;
    let most = config.usize("max_position_embeddings").map_err(explained)?;
    let context = args.ctx.unwrap_or_else(|| most.min(DEFAULT_CONTEXT));
    if context > most {
        return Err(Failure::Usage(format!(
            "--ctx: {context} tokens; {} was made for at most {most}",
            model.name
        )));
    }
    if text.template(&model, &args.template)?.is_none() {
        console.warn(format_args!(
            "{} has no chat template: only /v1/completions and /api/generate answer",
            model.name
        ));
    }
    let about = about::of_text(&model).map_err(explained)?;
    let limits = Limits { parallel: args.parallel, context, queue: args.queue };
    let Text { tokenizer, defaults } = text;
    let files = Files { model, defaults, about, tokenizer: Some(tokenizer) };
    Ok((Kind::Text { limits }, files))
}

/// A model on its way into memory.
struct Loading<'a> {
    console: Console,
    args: &'a LoadArgs,
    template: &'a TemplateArgs,
    model: &'a Resolved,
    name: &'a str,
    /// Bytes that others may still take.
    promised: u64,
}

impl Loading<'_> {
    fn load(
        &self,
        kind: Kind,
        tokenizer: Option<Arc<Tokenizer>>,
        metrics: &Metrics,
    ) -> Result<Loaded> {
        match kind {
            Kind::Text { limits } => self.writer(limits, tokenizer, metrics),
            Kind::Voice { queue } => self.voice(queue),
            Kind::Embedding { .. } => self.embedder(),
            Kind::Unknown => Err(Failure::Other("nothing is known of the model".to_owned())),
        }
    }

    fn writer(
        &self,
        limits: Limits,
        tokenizer: Option<Arc<Tokenizer>>,
        metrics: &Metrics,
    ) -> Result<Loaded> {
        let Self { console, args, model, promised, .. } = *self;
        let tokenizer = tokenizer.map_or_else(|| open::tokenizer(console, model), Ok)?;
        let template = open::template(model, self.template)?;
        let loaded = open::weights_beside(console, model, args, promised)?;
        let weights = loaded.info.weight_bytes as u64;
        let plan = Plan::new(loaded.model.as_ref(), weights, limits)?;
        console.note(format_args!("{}: {plan}", self.name));
        if loaded.model.device().is_cpu() {
            plan.check(memory::available().map(|available| available.without(promised)))?;
        }
        let engine = Engine::start(&loaded.model, &tokenizer, limits, metrics.of(self.name))?;
        Ok(Loaded::Text(Arc::new(TextModel {
            name: self.name.to_owned(),
            engine,
            plan,
            model: loaded.model,
            tokenizer,
            template,
            lengths: Lengths::new(limits.context),
            compiler: Default::default(),
            partly_held: Default::default(),
        })))
    }

    fn voice(&self, queue: usize) -> Result<Loaded> {
        let Self { console, args, model, name, promised, .. } = *self;
        let quantize = args.quant.map(QuantType::quantization);
        let options = LoadOptions { quantize, ..LoadOptions::default() };
        let mut room = |footprint| memory::check_beside(name, footprint, promised);
        let tts = TextToSpeech::load_within(model.source.as_ref(), &options, &mut room)
            .map_err(|error| model.explain(error))?;
        console.note(format_args!("{name} speaks: {}", tts.voices().join(", ")));
        let voice = VoiceModel::new(tts, queue).map_err(Failure::Other)?;
        Ok(Loaded::Voice(Arc::new(voice)))
    }

    fn embedder(&self) -> Result<Loaded> {
        let Self { console, args, model, name, promised, .. } = *self;
        let embedder = open::embedder(console, model, args, promised)?;
        Ok(Loaded::Embedding(Arc::new(EmbeddingModel::new(name.to_owned(), embedder))))
    }
}

/// The config, by the same rule as loading.
fn config(source: &dyn Source) -> crane_sdk::Result<Config> {
    match model_gguf(source)? {
        Some(name) => Ok(Config::from_gguf(&Gguf::open(source, &name)?)),
        None => Config::from_source(source),
    }
}
