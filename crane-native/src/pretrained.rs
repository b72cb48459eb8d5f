//! Loading by name, in the habits of transformers: `AutoTokenizer::from_pretrained("org/name")`.

use crane_sdk::pipeline::{
    AutoModelBuilder, AutoModelForCausalLM, AutoTokenizer, Chat, Embedder, PipelineTask, Task,
    TextGeneration, TextToSpeech,
};
use crane_sdk::source::Source;

use crate::Result;
use crate::hub::{Hub, TerminalProgress};
use crate::resolve::{Resolved, resolve};

/// What can be read from a model's files, and so by the model's name.
///
/// The name is all that [`resolve`] takes: a hub id, a folder, a `.gguf` file, a cached name. What
/// is not on this machine is fetched, with progress on stderr.
///
/// ```no_run
/// use crane_native::prelude::*;
///
/// # fn main() -> crane_native::Result<()> {
/// let name = "Qwen/Qwen2.5-0.5B-Instruct";
/// let tokenizer = AutoTokenizer::from_pretrained(name)?;
/// let model = AutoModelForCausalLM::from_pretrained(name)?;
/// let output = model.generate(&tokenizer.encode("The sky is", true)?, &GenerationConfig::default())?;
/// println!("{}", tokenizer.decode(&output.ids, true)?);
/// # Ok(())
/// # }
/// ```
pub trait FromPretrained: Sized {
    /// Reads it from a model's files.
    ///
    /// # Errors
    /// Those of the type's own `from_source`.
    fn read_from(source: &dyn Source) -> crane_sdk::Result<Self>;

    /// Finds a model by its name, and reads it from there.
    ///
    /// # Errors
    /// As [`resolve`] and [`FromPretrained::read_from`].
    fn from_pretrained(model: &str) -> Result<Self> {
        let resolved = find(model)?;
        Self::read_from(&*resolved.source).map_err(|error| resolved.explain(error))
    }
}

impl FromPretrained for AutoTokenizer {
    fn read_from(source: &dyn Source) -> crane_sdk::Result<Self> {
        Self::from_source(source)
    }
}

impl FromPretrained for AutoModelForCausalLM {
    fn read_from(source: &dyn Source) -> crane_sdk::Result<Self> {
        Self::from_source(source)
    }
}

impl FromPretrained for Chat {
    fn read_from(source: &dyn Source) -> crane_sdk::Result<Self> {
        Self::from_source(source)
    }
}

impl FromPretrained for TextGeneration {
    fn read_from(source: &dyn Source) -> crane_sdk::Result<Self> {
        Task::TextGeneration.load(source)
    }
}

impl FromPretrained for Embedder {
    fn read_from(source: &dyn Source) -> crane_sdk::Result<Self> {
        Self::from_source(source)
    }
}

impl FromPretrained for TextToSpeech {
    fn read_from(source: &dyn Source) -> crane_sdk::Result<Self> {
        Self::from_source(source)
    }
}

/// Loads a model by its name for a task, with the options of its authors.
///
/// ```no_run
/// use crane_native::prelude::*;
///
/// # fn main() -> crane_native::Result<()> {
/// let mut generator = pipeline(Task::TextGeneration, "Qwen/Qwen2.5-0.5B-Instruct")?;
/// println!("{}", generator.run("Why is the sky blue?")?.text);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`resolve`] and the task's own [`load`](PipelineTask::load).
pub fn pipeline<T: PipelineTask>(task: T, model: &str) -> Result<T::Pipeline> {
    let resolved = find(model)?;
    task.load(&*resolved.source).map_err(|error| resolved.explain(error))
}

fn find(model: &str) -> Result<Resolved> {
    resolve(model, &Hub::from_env()?, &TerminalProgress::new())
}

/// Loading a model by its name with options.
///
/// ```no_run
/// use crane_native::prelude::*;
///
/// # fn main() -> crane_native::Result<()> {
/// let model = AutoModelForCausalLM::from_pretrained_with("Qwen/Qwen2.5-0.5B-Instruct", |options| {
///     options.context(2048)
/// })?;
/// assert_eq!(model.context(), 2048);
/// # Ok(())
/// # }
/// ```
pub trait FromPretrainedWith: Sized {
    /// Finds a model by its name, and loads it as `options` say.
    ///
    /// # Errors
    /// As [`resolve`] and [`AutoModelBuilder::load`].
    fn from_pretrained_with(
        model: &str,
        options: impl FnOnce(AutoModelBuilder<'_>) -> AutoModelBuilder<'_>,
    ) -> Result<Self>;
}

impl FromPretrainedWith for AutoModelForCausalLM {
    fn from_pretrained_with(
        model: &str,
        options: impl FnOnce(AutoModelBuilder<'_>) -> AutoModelBuilder<'_>,
    ) -> Result<Self> {
        let resolved = find(model)?;
        let loaded = options(Self::builder(&*resolved.source)).load();
        loaded.map_err(|error| resolved.explain(error))
    }
}
