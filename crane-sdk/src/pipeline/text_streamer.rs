//! Writes a reply as it is generated.

use std::fmt;
use std::io::{self, Write};

use crate::Result;
use crate::generate::Piece;

/// Where the text goes.
type Sink<'a> = Box<dyn FnMut(&str) -> io::Result<()> + 'a>;

/// Writes the pieces of a reply to a writer or a closure, each as soon as it is there.
///
/// ```
/// use crane_sdk::generate::CancelToken;
/// use crane_sdk::pipeline::{Task, TextStreamer, pipeline};
/// # let source = crane_sdk::source::MemorySource::new("tiny")
/// #     .with("config.json", include_bytes!("../../tests/fixtures/qwen2_tied/config.json").to_vec())
/// #     .with("model.safetensors", include_bytes!("../../tests/fixtures/qwen2_tied/model.safetensors").to_vec())
/// #     .with("tokenizer.json", include_bytes!("../../tests/fixtures/qwen2_tied/tokenizer.json").to_vec())
/// #     .with("tokenizer_config.json", include_bytes!("../../tests/fixtures/qwen2_tied/tokenizer_config.json").to_vec())
/// #     .with("generation_config.json", include_bytes!("../../tests/fixtures/qwen2_tied/generation_config.json").to_vec());
///
/// let mut pipe = pipeline(Task::TextGeneration, &source)?;
/// pipe.config.max_new_tokens = Some(8);
/// let mut generation = pipe.stream("The quick brown fox", &CancelToken::new())?;
/// let mut streamer = TextStreamer::new(std::io::stdout());
/// streamer.stream(&mut generation)?;
/// streamer.finish().expect("stdout takes the text");
/// println!(" ({:?})", generation.finish().finish_reason);
/// # Ok::<(), crane_sdk::Error>(())
/// ```
pub struct TextStreamer<'a> {
    sink: Sink<'a>,
    failed: Option<io::Error>,
}

impl<'a> TextStreamer<'a> {
    /// Writes to a writer and flushes after each piece.
    pub fn new(mut writer: impl Write + 'a) -> Self {
        let sink = move |text: &str| {
            writer.write_all(text.as_bytes())?;
            writer.flush()
        };
        Self { sink: Box::new(sink), failed: None }
    }

    /// Calls a closure with each piece of text that is not empty.
    pub fn from_fn(mut each: impl FnMut(&str) + 'a) -> Self {
        let sink = move |text: &str| {
            each(text);
            Ok(())
        };
        Self { sink: Box::new(sink), failed: None }
    }

    /// Writes the pieces of a generation or a chat's reply, to the end; it stops where the writer fails
    /// (see [`TextStreamer::finish`]), and the generation can then be finished or dropped.
    ///
    /// # Errors
    /// Whatever the generation yields.
    pub fn stream(&mut self, pieces: impl Iterator<Item = Result<Piece>>) -> Result<()> {
        for piece in pieces {
            let piece = piece?;
            if piece.text.is_empty() {
                continue;
            }
            self.failed = (self.sink)(&piece.text).err();
            if self.failed.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Ends the writing.
    ///
    /// # Errors
    /// The writer's error, if it failed.
    pub fn finish(self) -> io::Result<()> {
        self.failed.map_or(Ok(()), Err)
    }
}

impl fmt::Debug for TextStreamer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextStreamer").field("failed", &self.failed).finish_non_exhaustive()
    }
}
