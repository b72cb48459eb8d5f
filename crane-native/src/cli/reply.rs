//! A loaded model and its session: tokens in, a reply that streams to stdout out.

use crane_sdk::generate::{ContextPolicy, GenerationConfig, Output, Session};

use super::args::{FullContext, GenerationArgs, LoadArgs};
use super::exit::Result;
use super::interrupt::Interruptible;
use super::open::{self, Text};
use super::output::{self, Console};
use super::settings::Settings;
use super::summary;
use crate::resolve::Resolved;

/// A model that answers.
pub(super) struct Engine {
    session: Session,
}

impl Engine {
    /// Loads the weights and opens a session as large as `--ctx`, or as the model allows.
    ///
    /// # Errors
    /// As [`open::weights`]; a usage error if the context is larger than the model's.
    pub(super) fn load(
        console: Console,
        model: &Resolved,
        text: &Text,
        load: &LoadArgs,
        context: Option<usize>,
    ) -> Result<Self> {
        let loaded = open::weights(console, model, load)?;
        let context = context.unwrap_or_else(|| loaded.model.context_length());
        let session = Session::new(loaded.model, text.tokenizer.clone(), context)?;
        Ok(Engine { session })
    }

    /// Generates a reply, shown as it comes if `shown`, with a line break at its end. Ctrl-C stops it;
    /// what was said by then is the reply, and its finish reason says so.
    ///
    /// # Errors
    /// A broken pipe if nobody reads stdout; what the session refuses.
    pub(super) fn reply(
        &mut self,
        console: Console,
        prompt: &[u32],
        config: &GenerationConfig,
        shown: bool,
    ) -> Result<Output> {
        let stop = Interruptible::new();
        let mut generation = self.session.generate(prompt, config, stop.token())?;
        let mut line_open = shown;
        for piece in &mut generation {
            let piece = piece?;
            if shown && !piece.text.is_empty() {
                output::answer(&piece.text)?;
                line_open = !piece.text.ends_with('\n');
            }
        }
        let output = generation.finish();
        if line_open {
            output::answer("\n")?;
        }
        summary::note(console, &output);
        Ok(output)
    }
}

/// The model's own options with the user's wishes on top.
///
/// # Errors
/// A usage error that names the option which cannot act.
pub(super) fn config(
    console: Console,
    text: &Text,
    settings: &Settings,
    generation: &GenerationArgs,
) -> Result<GenerationConfig> {
    let mut config = text.defaults.clone();
    settings.sampling.apply(&mut config.sampling);
    config.max_new_tokens = settings.max_tokens.or(config.max_new_tokens);
    config.stop.extend(settings.stop.iter().cloned());
    config.ignore_eos = generation.ignore_eos;
    config.context = match generation.context_policy {
        FullContext::Error => ContextPolicy::Error,
        FullContext::Shift => ContextPolicy::Shift { keep: 0 },
        FullContext::TruncateOldest => ContextPolicy::TruncateOldest { keep: 0 },
    };
    config.validate()?;
    let idle = settings.sampling.draw_flags();
    if config.sampling.is_greedy() && !idle.is_empty() {
        console.warn(format_args!(
            "the temperature is 0, so the likeliest token is always taken and {} does nothing",
            idle.join(", ")
        ));
    }
    Ok(config)
}
