//! `crane chat`: a conversation that remembers, on a terminal or through a pipe.

mod aloud;
mod block;
mod command;
mod compact;
mod input;

use std::path::Path;

use crane_sdk::generate::{FinishReason, Output};
use crane_sdk::text::{ChatTemplate, Message};

use super::args::{ChatArgs, GenerationArgs};
use super::exit::{Failure, Result, code};
use super::messages;
use super::open::{self, Text};
use super::output::Console;
use super::prompt::PromptOptions;
use super::reply::{self, Engine};
use super::settings::Settings;
use crate::hub::HubConfig;
use aloud::Aloud;
use command::{Command, HELP, Line};
use input::{Input, Reader};

/// The conversation and what answers it.
struct Chat {
    console: Console,
    text: Text,
    template: ChatTemplate,
    engine: Engine,
    generation: GenerationArgs,
    settings: Settings,
    messages: Vec<Message>,
    aloud: Option<Aloud>,
    /// Whether the voice stopped before the chat ended.
    silenced: bool,
    interactive: bool,
}

/// Talks until the user leaves.
///
/// # Errors
/// What finding and loading the model refuses. A reply that fails is told, and the chat goes on.
pub(super) fn chat(console: Console, args: ChatArgs) -> Result {
    let settings = Settings::new(&args.sampling, &args.generation)?;
    args.template.text().map_err(Failure::Usage)?;
    aloud::check(&args.speaking)?;
    let model = open::find(console, &args.model, args.name)?;
    let text = open::text(console, &model)?;
    let template =
        text.template(&model, &args.template)?.ok_or_else(|| open::no_template(&model))?;
    reply::config(console, &text, &settings, &args.generation)?;
    let engine = Engine::load(console, &model, &text, &args.load, args.generation.ctx)?;
    let aloud = Aloud::load(console, args.speaking, args.model.offline)?;
    let mut reader = Reader::new(console, HubConfig::from_env().crane_dir.join("chat_history"))?;
    let interactive = reader.is_interactive();
    if interactive {
        console.note("/help lists the commands, Ctrl-D leaves");
    }
    let messages = args.generation.system.iter().map(Message::system).collect();
    let generation = args.generation;
    let mut chat = Chat {
        console,
        text,
        template,
        engine,
        generation,
        settings,
        messages,
        aloud,
        silenced: false,
        interactive,
    };
    let mut first_failure = None;
    while let Input::Text(text) = reader.next()? {
        match command::parse(&text).map_err(Failure::Usage).and_then(|line| chat.obey(line)) {
            Ok(true) => {}
            Ok(false) => break,
            Err(end @ (Failure::BrokenPipe | Failure::Interrupted)) => return Err(end),
            Err(failure) => {
                if let Some(message) = failure.message() {
                    console.error(message);
                }
                // A person saw the message; a script looks at the exit code.
                if !interactive {
                    first_failure.get_or_insert(failure);
                }
            }
        }
    }
    match first_failure {
        Some(failure) => Err(Failure::Told(failure.code())),
        None if chat.silenced && !interactive => Err(Failure::Told(code::OTHER)),
        None => Ok(()),
    }
}

impl Chat {
    /// Does what a line asks for; `false` ends the chat.
    fn obey(&mut self, line: Line) -> Result<bool> {
        match line {
            Line::Empty => {}
            Line::Say(text) => self.say(text)?,
            Line::Do(Command::Bye) => return Ok(false),
            Line::Do(Command::Help) => self.console.tell(HELP),
            Line::Do(Command::System(None)) => match self.system() {
                Some(text) => self.console.tell(text),
                None => self.console.tell("no system prompt but the template's own"),
            },
            Line::Do(Command::System(Some(text))) => self.set_system(&text),
            Line::Do(Command::Set(None)) => match self.settings.listed().as_slice() {
                [] => self.console.tell("every option is at the model's default"),
                listed => self.console.tell(listed.join("\n")),
            },
            Line::Do(Command::Set(Some((name, value)))) => self.settings.set(&name, &value)?,
            Line::Do(Command::Compact) => self.compact()?,
            Line::Do(Command::Clear) => self.messages.retain(|message| message.role == "system"),
            Line::Do(Command::Save(file)) => self.save(&file)?,
            Line::Do(Command::Load(file)) => {
                self.messages = messages::read(self.console, &file)?;
                self.console.tell(format_args!("{} messages", self.messages.len()));
            }
        }
        Ok(true)
    }

    /// Answers; a message that got no answer at all is taken back.
    fn say(&mut self, text: String) -> Result {
        self.messages.push(Message::user(text));
        let reply = self.answer();
        match &reply {
            Ok(output) => self.messages.push(Message::assistant(output.text.as_str())),
            Err(_) => drop(self.messages.pop()),
        }
        let output = reply?;
        self.offer(&output);
        match output.finish_reason {
            // Through a pipe there is no prompt to return to.
            FinishReason::Cancelled if !self.interactive => Err(Failure::Interrupted),
            _ => Ok(()),
        }
    }

    /// How the conversation becomes a prompt.
    fn options(&self) -> PromptOptions {
        let allow_special_tokens = self.generation.allow_special_tokens;
        PromptOptions { allow_special_tokens, ..PromptOptions::default() }
    }

    fn answer(&mut self) -> Result<Output> {
        let config = reply::config(self.console, &self.text, &self.settings, &self.generation)?;
        let prompt =
            self.text.render(self.console, &self.template, &self.messages, self.options())?;
        self.check_room(&prompt)?;
        let policy = self.generation.context_policy;
        let Some(aloud) = &mut self.aloud else {
            let reply = self.engine.reply(self.console, &prompt, config, policy, true, &mut |_| {});
            return Ok(reply?.output);
        };
        let reading = aloud.begin()?;
        let mut heard = |text: &str| reading.say(text);
        let reply = self.engine.reply(self.console, &prompt, config, policy, true, &mut heard);
        let finished =
            reply.as_ref().is_ok_and(|it| it.output.finish_reason != FinishReason::Cancelled);
        let read = reading.end(finished, self.console);
        let output = reply?.output;
        if let Err(failure) = read {
            // The reply is there; only its sound is not.
            self.aloud = None;
            self.silenced = true;
            let reason = match failure {
                Failure::BrokenPipe => "its reader has gone".to_owned(),
                failure => failure.message().unwrap_or_default(),
            };
            self.console
                .error(format_args!("the voice stopped ({reason}); the chat goes on in writing"));
        }
        Ok(output)
    }

    fn system(&self) -> Option<String> {
        self.messages.first().filter(|message| message.role == "system").map(Message::text)
    }

    fn set_system(&mut self, text: &str) {
        if self.system().is_some() {
            self.messages.remove(0);
        }
        if !text.is_empty() {
            self.messages.insert(0, Message::system(text));
        }
    }

    fn save(&self, file: &Path) -> Result {
        let name = file.display();
        let text = serde_json::to_string_pretty(&self.messages)
            .map_err(|error| Failure::Other(format!("cannot write {name}: {error}")))?;
        std::fs::write(file, text + "\n")
            .map_err(|error| Failure::Other(format!("cannot write {name}: {error}")))?;
        self.console.tell(format_args!("{} messages in {name}", self.messages.len()));
        Ok(())
    }
}
