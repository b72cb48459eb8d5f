//! `crane run`: one prompt, one answer.

use crane_sdk::generate::{CancelToken, FinishReason};
use crane_sdk::text::Message;

use super::args::RunArgs;
use super::exit::{Failure, Result};
use super::open::{self, Text};
use super::output::{self, Console};
use super::prompt::{Prompt, PromptOptions};
use super::reply::{self, Engine};
use super::settings::Settings;
use super::{messages, summary, words};
use crate::resolve::Resolved;

/// What is to be answered.
enum Question {
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
    args.template.text().map_err(Failure::Usage)?;
    let (position, question) = question(console, &args)?;
    let model = open::find(console, &args.model, position)?;
    let text = open::text(console, &model)?;
    let mut config = reply::config(console, &text, &settings, &args.generation)?;
    let (prompt, goes_on) = render(console, &args, &model, &text, question)?;
    if let (Some(constraint), Some(said)) = (&config.constraint, goes_on) {
        // With what the reply goes on with it is of the form.
        let ids = text.tokenizer.encode(&said, false)?;
        let after = constraint.after(&ids, &CancelToken::new()).map_err(|error| match error {
            crane_sdk::Error::InvalidArgument { reason, .. } => {
                let schema = args.generation.json_schema.is_some();
                let flag = if schema { "--json-schema" } else { "--grammar" };
                Failure::Usage(format!(
                    "{flag}: {reason}; --add-generation-prompt begins a new message"
                ))
            }
            error => error.into(),
        })?;
        config.constraint = Some(after);
    }

    let mut engine = Engine::load(console, &model, &text, &args.load, args.generation.ctx)?;
    let policy = args.generation.context_policy;
    let reply = engine.reply(console, &prompt, config, policy, !args.json, &mut |_| {})?;
    if args.json {
        output::json(&summary::json(&model.name, &prompt.ids, &reply))?;
    }
    match reply.output.finish_reason {
        FinishReason::Cancelled => Err(Failure::Interrupted),
        _ => Ok(()),
    }
}

/// The model by position, if one is, and what is to be answered.
fn question(console: Console, args: &RunArgs) -> Result<(Option<String>, Question)> {
    let flag = args.model.model.clone();
    let Some(file) = &args.messages else {
        let words = words::split(args.words.clone(), flag)?;
        open::check(&args.model, &words.model)?;
        return Ok((words.model, Question::Words(words::prompt(console, words.text)?)));
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
    let messages = messages::with_system(messages::read(console, file)?, system)?;
    Ok((position, Question::Messages(messages)))
}

/// The text that the reply goes on with: what the assistant said last, unless it calls tools or a new reply is asked for. A message
/// without text is left out.
fn goes_on(messages: &mut Vec<Message>, new: bool) -> Option<String> {
    let last = messages.last().filter(|last| last.role == "assistant" && !new)?;
    if last.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty()) {
        return None;
    }
    let text = last.text();
    if text.trim().is_empty() && messages.len() > 1 {
        messages.pop();
        return None;
    }
    Some(text)
}

/// The prompt as the model reads it, through its chat template or as it is, and the text that the reply goes on with.
fn render(
    console: Console,
    args: &RunArgs,
    model: &Resolved,
    text: &Text,
    question: Question,
) -> Result<(Prompt, Option<String>)> {
    let template = if args.raw { None } else { text.template(model, &args.template)? };
    let system = args.generation.system.as_deref();
    let options = PromptOptions {
        allow_special_tokens: args.generation.allow_special_tokens,
        ..PromptOptions::default()
    };
    match (question, template) {
        (Question::Words(words), Some(template)) => {
            let messages = messages::with_system(vec![Message::user(words)], system)?;
            Ok((text.render(console, &template, &messages, options)?, None))
        }
        (Question::Messages(mut messages), Some(template)) => {
            let goes_on = goes_on(&mut messages, args.add_generation_prompt);
            let options = PromptOptions { goes_on: goes_on.is_some(), ..options };
            Ok((text.render(console, &template, &messages, options)?, goes_on))
        }
        (Question::Words(words), None) if system.is_none() => {
            if !args.raw {
                console.warn(format_args!(
                    "{} has no chat template, so the prompt is completed as it is (as with --raw)",
                    model.name
                ));
            }
            Ok((Prompt::text(&text.tokenizer, &words)?, None))
        }
        _ => Err(open::no_template(model)),
    }
}
