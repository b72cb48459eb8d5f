//! A loaded model and its session: tokens in, a reply that streams to stdout out.

use crane_sdk::generate::{GenerationConfig, Output, Session};

use super::args::{FullContext, GenerationArgs, Limit, LoadArgs};
use super::exit::Result;
use super::form;
use super::interrupt::Interruptible;
use super::open::{self, Text};
use super::output::{self, Console};
use super::prompt::Prompt;
use super::settings::Settings;
use super::summary;
use crate::resolve::Resolved;

/// A model that answers.
pub(super) struct Engine {
    session: Session,
}

/// What the model answered, and to what.
pub(super) struct Reply {
    /// The reply and its numbers.
    pub output: Output,
    /// The prompt's tokens without those that did not fit and that the context policy gave up.
    pub evaluated: Vec<u32>,
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

    /// Tokens that the session holds.
    pub(super) fn context(&self) -> usize {
        self.session.context()
    }

    /// Tokens that the model could hold.
    pub(super) fn most(&self) -> usize {
        self.session.model().context_length()
    }

    /// Generates a reply, shown as it comes if `shown`, with a line break at its end. Ctrl-C stops it;
    /// what was said by then is the reply, and its finish reason says so. Where the context is full,
    /// `policy` says what happens; the prompt's head stays. `heard` gets every piece of the text.
    ///
    /// # Errors
    /// A broken pipe if nobody reads stdout; what the session refuses.
    pub(super) fn reply(
        &mut self,
        console: Console,
        prompt: &Prompt,
        config: GenerationConfig,
        policy: FullContext,
        shown: bool,
        heard: &mut dyn FnMut(&str),
    ) -> Result<Reply> {
        let context = prompt.policy(policy, self.session.context())?;
        let config = GenerationConfig { context, ..config };
        let stop = Interruptible::new();
        let mut generation = self.session.generate(&prompt.ids, &config, stop.token())?;
        let evaluated = generation.tokens().to_vec();
        let mut line_open = shown;
        for piece in &mut generation {
            let piece = piece?;
            heard(&piece.text);
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
        Ok(Reply { output, evaluated })
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
    if let Some(Limit(limit)) = settings.max_tokens {
        config.max_new_tokens = limit;
        config.max_length = None;
    }
    config.stop.extend(settings.stop.iter().cloned());
    config.ignore_eos = generation.ignore_eos;
    config.constraint = form::constraint(console, &text.tokenizer, generation)?;
    config.validate()?;
    let idle = settings.sampling.draw_flags();
    if config.sampling.is_greedy() && !idle.is_empty() {
        console.warn(format_args!(
            "the temperature is 0, so the likeliest token is always taken and {} {} nothing",
            idle.join(" and "),
            if idle.len() == 1 { "does" } else { "do" }
        ));
    }
    Ok(config)
}
