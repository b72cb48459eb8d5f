//! From a model's name to its files, and from its files to a model that can answer.

use std::sync::Arc;
use std::time::Instant;

use crane_sdk::generate::GenerationConfig;
use crane_sdk::models::{LoadOptions, LoadedModel, ModelInfo, TextEncoder, load_within};
use crane_sdk::pipeline::Embedder;
use crane_sdk::text::{ChatTemplate, Message, Tokenizer};
use crane_sdk::weights::Quantization;

use super::args::{LoadArgs, ModelArgs, NumberType, QuantType, TemplateArgs};
use super::exit::{Failure, Result};
use super::interrupt::Interruptible;
use super::machine;
use super::output::Console;
use super::prompt::{Prompt, PromptOptions};
use super::units::{bytes, count};
use crate::device::{self, DeviceChoice};
use crate::hub::{Event, Hub, HubConfig, Progress, TerminalProgress};
use crate::memory;
use crate::resolve::{Resolved, check_path, resolve, resolve_default};

/// The Hub as the environment and `--offline` want it.
///
/// # Errors
/// If the environment's settings are malformed.
pub(super) fn hub(offline: bool) -> Result<Hub> {
    let mut config = HubConfig::from_env();
    config.offline |= offline;
    Ok(Hub::new(config)?)
}

/// Refuses a mistyped path before a text is asked for, which may be long in coming on stdin.
///
/// # Errors
/// That there is nothing at the path.
pub(super) fn check(args: &ModelArgs, position: &Option<String>) -> Result {
    match args.choose(position.clone()) {
        Some(name) => Ok(check_path(&name)?),
        None => Ok(()),
    }
}

/// Finds the model's files, fetching them if need be.
///
/// # Errors
/// What the Hub or the disk refuses; [`super::exit::Failure::Interrupted`] on Ctrl-C.
pub(super) fn find(
    console: Console,
    args: &ModelArgs,
    position: Option<String>,
) -> Result<Resolved> {
    let hub = hub(args.offline)?;
    let fetching = Fetching::new(console);
    let resolved = match args.choose(position) {
        Some(name) => resolve(&name, &hub, &fetching)?,
        None => resolve_default(&hub, &fetching)?,
    };
    console.detail(format_args!("{} lies in {}", resolved.name, resolved.path.display()));
    Ok(resolved)
}

/// A transfer: shown unless `--quiet`, stopped by Ctrl-C.
pub(super) struct Fetching {
    bars: Option<TerminalProgress>,
    stop: Interruptible,
}

impl Fetching {
    /// Ctrl-C stops the transfer for as long as this lives.
    pub(super) fn new(console: Console) -> Self {
        Fetching {
            bars: (!console.is_quiet()).then(TerminalProgress::new),
            stop: Interruptible::new(),
        }
    }
}

impl Progress for Fetching {
    fn report(&self, event: Event<'_>) {
        if let Some(bars) = &self.bars {
            bars.report(event);
        }
    }

    fn cancelled(&self) -> bool {
        self.stop.pressed()
    }
}

/// Reads the tokenizer of a model.
///
/// # Errors
/// If there is none or it is damaged.
pub(super) fn tokenizer(console: Console, model: &Resolved) -> Result<Arc<Tokenizer>> {
    let start = Instant::now();
    let tokenizer =
        Tokenizer::from_source(model.source.as_ref()).map_err(|error| model.explain(error))?;
    console.detail(format_args!(
        "tokenizer of {} tokens read in {:.2} s",
        tokenizer.vocab_size(),
        start.elapsed().as_secs_f64()
    ));
    tokenizer.warnings().iter().for_each(|warning| console.warn(warning));
    Ok(Arc::new(tokenizer))
}

/// What of a model can be read before its weights: its words.
pub(super) struct Text {
    /// Text to ids and back.
    pub tokenizer: Arc<Tokenizer>,
    /// How the model's authors want replies to be generated.
    pub defaults: GenerationConfig,
}

/// Reads a model's tokenizer and its generation config, and says what of it has no effect.
///
/// # Errors
/// If a file is missing or damaged.
pub(super) fn text(console: Console, model: &Resolved) -> Result<Text> {
    let tokenizer = tokenizer(console, model)?;
    let defaults = GenerationConfig::from_source(model.source.as_ref(), &tokenizer)
        .map_err(|error| model.explain(error))?;
    for warning in &defaults.warnings {
        console.warn(warning);
    }
    Ok(Text { tokenizer, defaults })
}

impl Text {
    /// The chat template: the one that the command line gives, or the model's, if it has one.
    ///
    /// # Errors
    /// As [`template`].
    pub(super) fn template(
        &self,
        model: &Resolved,
        args: &TemplateArgs,
    ) -> Result<Option<ChatTemplate>> {
        template(model, args)
    }

    /// A conversation that waits for its next reply, or that ends inside its last message if the reply `goes_on` with it.
    ///
    /// # Errors
    /// If the template refuses the messages.
    pub(super) fn render(
        &self,
        console: Console,
        template: &ChatTemplate,
        messages: &[Message],
        options: PromptOptions,
    ) -> Result<Prompt> {
        let (prompt, text) = Prompt::chat(&self.tokenizer, template, messages, options)?;
        console.detail(format_args!("prompt: {text:?}"));
        if prompt.ids.is_empty() {
            let reason = "the model's writes nothing for these messages; `crane run --raw PROMPT` completes text without it";
            return Err(crane_sdk::Error::Template(reason.to_owned()).into());
        }
        Ok(prompt)
    }
}

/// The chat template: the one that the command line gives, or the model's, if it has one.
///
/// # Errors
/// If it cannot be read or parsed; [`Failure::Usage`] for the command line's.
pub(super) fn template(model: &Resolved, args: &TemplateArgs) -> Result<Option<ChatTemplate>> {
    let source = model.source.as_ref();
    let Some((option, text)) = args.text().map_err(Failure::Usage)? else {
        return Ok(ChatTemplate::from_source(source).map_err(|error| model.explain(error))?);
    };
    let template = ChatTemplate::for_source(source, &text).map_err(|error| match error {
        crane_sdk::Error::Template(reason) => Failure::Usage(format!("{option}: {reason}")),
        error => model.explain(error).into(),
    })?;
    Ok(Some(template))
}

/// The refusal of a conversation by a model that knows no messages.
pub(super) fn no_template(model: &Resolved) -> Failure {
    crane_sdk::Error::Template(format!(
        "{} has none, so it cannot take messages or a system prompt; `crane run --raw PROMPT` \
         completes text",
        model.name
    ))
    .into()
}

/// Loads the weights and says what answers.
///
/// # Errors
/// If the device is not there, the checkpoint is damaged or not supported, or memory is too small.
pub(super) fn weights(console: Console, model: &Resolved, args: &LoadArgs) -> Result<LoadedModel> {
    weights_beside(console, model, args, 0)
}

/// As [`weights`], where so many bytes of the memory that is available are promised to other models.
///
/// # Errors
/// As [`weights`].
pub(super) fn weights_beside(
    console: Console,
    model: &Resolved,
    args: &LoadArgs,
    promised: u64,
) -> Result<LoadedModel> {
    let start = Instant::now();
    let options = options(args, device::open(args.device)?);
    let on_host = options.device.is_cpu();
    let loaded = load_within(model.source.as_ref(), &options, &mut |footprint| match on_host {
        true => memory::check_beside(&model.name, footprint, promised),
        false => Ok(()),
    })
    .map_err(|error| model.explain(error))?;
    tell(console, model, &loaded.info, &options.device, start);
    Ok(loaded)
}

/// Loads what makes vectors of texts, where so many bytes of the memory that is available are promised to other models.
///
/// # Errors
/// As [`weights`].
pub(super) fn embedder(
    console: Console,
    model: &Resolved,
    args: &LoadArgs,
    promised: u64,
) -> Result<Embedder> {
    let start = Instant::now();
    let source = model.source.as_ref();
    // Encoders have no kernels for a GPU: one that nobody asked for is left alone.
    let encodes = TextEncoder::is_one(source).map_err(|error| model.explain(error))?;
    let device = match (encodes, args.device) {
        (true, DeviceChoice::Auto) => candle_core::Device::Cpu,
        (_, choice) => device::open(choice)?,
    };
    let options = options(args, device);
    let on_host = options.device.is_cpu();
    let embedder = Embedder::load_within(source, &options, &mut |footprint| match on_host {
        true => memory::check_beside(&model.name, footprint, promised),
        false => Ok(()),
    })
    .map_err(|error| model.explain(error))?;
    embedder.tokenizer().warnings().iter().for_each(|warning| console.warn(warning));
    tell(console, model, embedder.info(), &options.device, start);
    Ok(embedder)
}

fn options(args: &LoadArgs, device: candle_core::Device) -> LoadOptions {
    LoadOptions {
        device,
        dtype: args.dtype.map(NumberType::dtype),
        quantize: args.quant.map(QuantType::quantization),
        kv_type: args.kv_type,
        ..LoadOptions::default()
    }
}

/// Says what was loaded.
fn tell(
    console: Console,
    model: &Resolved,
    info: &ModelInfo,
    device: &candle_core::Device,
    start: Instant,
) {
    let kinds: Vec<_> = info.weight_types.iter().map(|(name, _)| name.to_lowercase()).collect();
    console.note(format_args!(
        "{}: {}, {} parameters, {} ({}), {}, {} threads, loaded in {:.2} s",
        model.name,
        info.architecture,
        count(info.parameters as u64),
        bytes(info.weight_bytes as u64),
        kinds.join(" "),
        device_name(device),
        machine::threads(),
        start.elapsed().as_secs_f64(),
    ));
}

/// The device as llama-bench's backend column spells it.
pub(super) fn device_name(device: &candle_core::Device) -> &'static str {
    match device {
        candle_core::Device::Cpu => "CPU",
        candle_core::Device::Cuda(_) => "CUDA",
        candle_core::Device::Metal(_) => "Metal",
    }
}

impl NumberType {
    fn dtype(self) -> candle_core::DType {
        match self {
            NumberType::F32 => candle_core::DType::F32,
            NumberType::F16 => candle_core::DType::F16,
            NumberType::Bf16 => candle_core::DType::BF16,
        }
    }
}

impl QuantType {
    pub(super) fn quantization(self) -> Quantization {
        match self {
            QuantType::Q8_0 => Quantization::Q8_0,
            QuantType::Q4_0 => Quantization::Q4_0,
            QuantType::Q4K => Quantization::Q4K,
            QuantType::Q5K => Quantization::Q5K,
            QuantType::Q6K => Quantization::Q6K,
        }
    }
}
