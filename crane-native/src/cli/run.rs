//! `crane run`: one prompt, one answer.

use crane_sdk::generate::FinishReason;
use crane_sdk::text::Message;

use super::args::RunArgs;
use super::exit::{Failure, Result};
use super::open::{self, Text};
use super::output::{self, Console};
use super::reply::{self, Engine};
use super::settings::Settings;
use super::{messages, summary, words};
use crate::resolve::Resolved;

/// What is to be answered.
enum Prompt {
    /// One message of the user, or the beginning of a text where the model knows no messages.
    Words(String),
    /// A conversation.
    Messages(Vec<Message>),
}

/// Answers the prompt.
///
/// # Errors
/// [`Failure::Usage`] before any model is looked for, if the command line makes no sense; what
/// finding, loading and running the model refuses; [`Failure::Interrupted`] on Ctrl-C.
pub(super) fn run(console: Console, args: RunArgs) -> Result {
    let settings = Settings::new(&args.sampling, &args.generation)?;
    let (position, prompt) = prompt(&args)?;
    let model = open::find(console, &args.model, position)?;
    let text = open::text(console, &model)?;
    let config = reply::config(console, &text, &settings, &args.generation)?;
    let ids = prompt_ids(console, &args, &model, &text, prompt)?;

    let mut engine = Engine::load(console, &model, &text, &args.load, args.generation.ctx)?;
    let output = engine.reply(console, &ids, &config, !args.json)?;
    if args.json {
        output::json(&summary::json(&model.name, &ids, &output))?;
    }
    match output.finish_reason {
        FinishReason::Cancelled => Err(Failure::Interrupted),
        _ => Ok(()),
    }
}

/// The model by position, if one is, and what is to be answered.
fn prompt(args: &RunArgs) -> Result<(Option<String>, Prompt)> {
    let flag = args.model.model.clone();
    let Some(file) = &args.messages else {
        let words = words::split(args.words.clone(), flag)?;
        open::check(&args.model, &words.model)?;
        return Ok((words.model, Prompt::Words(words::text(words.text, "prompt")?)));
    };
    let position = match args.words.as_slice() {
        [] => flag,
        [model] if flag.is_none() => Some(model.clone()),
        _ => {
            return Err(Failure::Usage(
                "--messages takes the place of PROMPT; give at most a MODEL besides".to_owned(),
            ));
        }
    };
    let system = args.generation.system.as_deref();
    let messages = messages::with_system(messages::read(file)?, system)?;
    Ok((position, Prompt::Messages(messages)))
}

/// The prompt as the model reads it: through its chat template, or as it is.
fn prompt_ids(
    console: Console,
    args: &RunArgs,
    model: &Resolved,
    text: &Text,
    prompt: Prompt,
) -> Result<Vec<u32>> {
    let template = if args.raw { None } else { text.template(model)? };
    let system = args.generation.system.as_deref();
    match (prompt, template) {
        (Prompt::Words(words), Some(template)) => {
            let messages = messages::with_system(vec![Message::user(words)], system)?;
            text.render(console, &template, &messages)
        }
        (Prompt::Messages(messages), Some(template)) => text.render(console, &template, &messages),
        (Prompt::Words(words), None) if system.is_none() => {
            if !args.raw {
                console.warn(format_args!(
                    "{} has no chat template, so the prompt is completed as it is (as with --raw)",
                    model.name
                ));
            }
            text.complete(&words)
        }
        _ => Err(open::no_template(model)),
    }
}
