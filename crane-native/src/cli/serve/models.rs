//! From the models that the command line names to what the server knows of them, and to what loads them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crane_sdk::generate::GenerationConfig;
use crane_sdk::models::orpheus::Vocabulary;
use crane_sdk::models::{Config, LoadOptions, TextEncoder, find as find_architecture};
use crane_sdk::pipeline::TextToSpeech;
use crane_sdk::source::{Gguf, Source, model_gguf};
use crane_sdk::text::{ChatTemplate, Tokenizer};

use crate::cli::args::{LoadArgs, QuantType, ServeArgs};
use crate::cli::exit::{Failure, Result, code};
use crate::cli::open::{self, Text};
use crate::cli::output::Console;
use crate::memory;
use crate::resolve::{Resolved, check_path, resolve};
use crate::server::engine::{Engine, Limits};
use crate::server::{
    Card, EmbeddingModel, Kind, Lengths, LoadError, Loaded, Loader, Metrics, Plan, TextModel,
    VoiceModel,
};

/// What a slot holds where nothing says how much and the model would take more.
const DEFAULT_CONTEXT: usize = 8192;

/// A model that was named.
pub(super) struct Found {
    model: Resolved,
    names: Vec<String>,
    kind: Kind,
    defaults: GenerationConfig,
    /// What was read to find out, for the one who loads it now.
    tokenizer: Option<Arc<Tokenizer>>,
}

/// Finds the files of every model, fetching them if need be, and reads what of each must be sound before anybody asks for it.
///
/// # Errors
/// [`Failure::Usage`] for names that cannot be told apart, what the Hub refuses, and damaged files.
pub(super) fn find(console: Console, args: &ServeArgs) -> Result<Vec<Found>> {
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
        found.push((None, open::find(console, &args.model, None)?));
    }
    for name in &args.names {
        let model = open::find(console, &args.model, Some(name.clone()))?;
        found.push((Some(name), model));
    }
    if let Some(name) = &args.speech {
        let hub = open::hub(args.model.offline)?;
        found.push((Some(name), resolve(name, &hub, &open::Fetching::new(console))?));
    }
    let mut taken = BTreeSet::new();
    let mut models = Vec::new();
    for (index, (spelt, model)) in found.into_iter().enumerate() {
        // Files of one name are told apart as the command line does.
        let spelt = spelt.filter(|_| taken.contains(&model.name));
        let name = spelt.cloned().unwrap_or_else(|| model.name.clone());
        if !taken.insert(name.clone()) {
            return Err(Failure::Usage(format!("{name} is named twice")));
        }
        let may_write = index < args.names.len().max(1);
        models.push(Found::new(console, args, model, name, may_write)?);
    }
    for alias in &args.alias {
        name_too(&mut models, alias, &mut taken)?;
    }
    Ok(models)
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
            Some(of) => format!("--alias {alias}: there is no model {of}"),
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

impl Found {
    fn new(
        console: Console,
        args: &ServeArgs,
        model: Resolved,
        name: String,
        may_write: bool,
    ) -> Result<Self> {
        let source = model.source.as_ref();
        let names = vec![name];
        if may_write && TextEncoder::is_one(source).map_err(|error| model.explain(error))? {
            let kind = Kind::Embedding { queue: args.queue };
            let defaults = GenerationConfig::default();
            return Ok(Self { model, names, kind, defaults, tokenizer: None });
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
            let kind = Kind::Voice { queue: args.queue };
            let defaults = GenerationConfig::default();
            return Ok(Self { model, names, kind, defaults, tokenizer: None });
        };
        let config = config(source).map_err(|error| model.explain(error))?;
        find_architecture(&config).map_err(|error| model.explain(error))?;
        let most = config.usize("max_position_embeddings").map_err(|error| model.explain(error))?;
        let context = args.ctx.unwrap_or_else(|| most.min(DEFAULT_CONTEXT));
        if context > most {
            return Err(Failure::Usage(format!(
                "--ctx: {context} tokens; {} was made for at most {most}",
                model.name
            )));
        }
        if text.template(&model)?.is_none() {
            console.warn(format_args!(
                "{} has no chat template: only /v1/completions answers",
                model.name
            ));
        }
        let limits = Limits { parallel: args.parallel, context, queue: args.queue };
        let (kind, Text { tokenizer, defaults }) = (Kind::Text { limits }, text);
        Ok(Self { model, names, kind, defaults, tokenizer: Some(tokenizer) })
    }

    /// What answers call it.
    pub(super) fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    fn writes(&self) -> bool {
        matches!(self.kind, Kind::Text { .. })
    }

    /// What the server knows of it.
    pub(super) fn card(&self) -> Card {
        Card { names: self.names.clone(), kind: self.kind, defaults: self.defaults.clone() }
    }

    /// What loads it whenever it is asked for.
    pub(super) fn loader(
        &self,
        console: Console,
        args: &LoadArgs,
        metrics: Arc<Metrics>,
    ) -> Loader<Loaded> {
        let (model, name, kind) = (self.model.clone(), self.name().to_owned(), self.kind);
        let args = args.clone();
        Box::new(move |promised| {
            let loading = Loading { console, args: &args, model: &model, name: &name, promised };
            loading.load(kind, None, &metrics).map_err(|failure| {
                let reason = failure.message().unwrap_or_else(|| "it was interrupted".to_owned());
                console.warn(format_args!("{name} cannot be loaded: {reason}"));
                LoadError { reason, lacks_memory: failure.code() == code::OUT_OF_MEMORY }
            })
        })
    }

    /// Loads it now.
    ///
    /// # Errors
    /// What loading refuses.
    pub(super) fn load(
        self,
        console: Console,
        args: &LoadArgs,
        metrics: &Metrics,
        promised: u64,
    ) -> Result<Loaded> {
        let loading = Loading { console, args, model: &self.model, name: self.name(), promised };
        loading.load(self.kind, self.tokenizer.clone(), metrics)
    }
}

/// A model on its way into memory.
struct Loading<'a> {
    console: Console,
    args: &'a LoadArgs,
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
        let template = ChatTemplate::from_source(model.source.as_ref())
            .map_err(|error| model.explain(error))?;
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
        })))
    }

    fn voice(&self, queue: usize) -> Result<Loaded> {
        let Self { console, args, model, name, promised } = *self;
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
        let Self { console, args, model, name, promised } = *self;
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
