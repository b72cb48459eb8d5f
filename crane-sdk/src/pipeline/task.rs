//! Tasks by name, each with the pipeline that does it.

use super::{AutoModelForCausalLM, AutoTokenizer, Embedder, TextGeneration, TextToSpeech};
use crate::Result;
use crate::generate::GenerationConfig;
use crate::source::Source;

/// The names of the tasks: `Task::TextGeneration`.
#[derive(Debug, Clone, Copy)]
pub struct Task;

#[allow(
    non_upper_case_globals,
    reason = "they read as the variants of an enum, each with its type"
)]
impl Task {
    /// Text or messages in, text out.
    pub const TextGeneration: TextGenerationTask = TextGenerationTask;
    /// Text in, a vector out.
    pub const FeatureExtraction: FeatureExtractionTask = FeatureExtractionTask;
    /// Text in, sound out.
    pub const TextToSpeech: TextToSpeechTask = TextToSpeechTask;
}

/// A task that a checkpoint can be loaded for.
pub trait PipelineTask {
    /// What does it.
    type Pipeline;

    /// Loads a checkpoint for the task.
    ///
    /// # Errors
    /// Whatever loading returns.
    fn load(self, source: &dyn Source) -> Result<Self::Pipeline>;
}

/// The task of [`Task::TextGeneration`].
#[derive(Debug, Clone, Copy)]
pub struct TextGenerationTask;

impl PipelineTask for TextGenerationTask {
    type Pipeline = TextGeneration;

    fn load(self, source: &dyn Source) -> Result<TextGeneration> {
        let tokenizer = AutoTokenizer::from_source(source)?;
        let config = GenerationConfig::from_source(source, &tokenizer)?;
        TextGeneration::new(&AutoModelForCausalLM::from_source(source)?, tokenizer, config)
    }
}

/// The task of [`Task::FeatureExtraction`].
#[derive(Debug, Clone, Copy)]
pub struct FeatureExtractionTask;

impl PipelineTask for FeatureExtractionTask {
    type Pipeline = Embedder;

    fn load(self, source: &dyn Source) -> Result<Embedder> {
        Embedder::from_source(source)
    }
}

/// The task of [`Task::TextToSpeech`].
#[derive(Debug, Clone, Copy)]
pub struct TextToSpeechTask;

impl PipelineTask for TextToSpeechTask {
    type Pipeline = TextToSpeech;

    fn load(self, source: &dyn Source) -> Result<TextToSpeech> {
        TextToSpeech::from_source(source)
    }
}

/// Loads a checkpoint for a task, with the options of its authors.
///
/// # Errors
/// Whatever loading returns: see [`load`](crate::models::load) and
/// [`Tokenizer::from_source`](crate::text::Tokenizer::from_source).
pub fn pipeline<T: PipelineTask>(task: T, source: &dyn Source) -> Result<T::Pipeline> {
    task.load(source)
}
