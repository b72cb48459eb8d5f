//! The command line: `crane` and its two older names, over one set of commands.
//!
//! Stdout carries the answer alone. Progress, statistics and warnings go to stderr, in colour and
//! with bars only on a terminal. How a command ended is its exit code: 0 ok, 2 usage, 3 model not
//! found or incompatible, 4 out of memory, 130 interrupted, 1 anything else.

mod args;
mod bench;
mod chat;
mod completions;
mod doctor;
mod embed;
mod exit;
mod form;
mod interrupt;
mod machine;
mod messages;
mod open;
mod output;
mod perplexity;
mod prompt;
mod reply;
mod run;
#[cfg(feature = "server")]
mod serve;
mod settings;
mod show;
mod stdin;
mod store;
mod summary;
mod tokenize;
mod tts;
mod twins;
mod units;
mod words;

use std::num::NonZeroUsize;
use std::process::ExitCode;

use args::{Command, Crane, LlmBench, OutputArgs, QwenChat};
use crane_sdk::kernels::isa;
use exit::{Failure, Result};
use output::Console;

/// Runs `crane`: reads the process's arguments and environment, and returns its exit code.
///
/// Call it first in `main`, while the process has one thread.
pub fn crane() -> ExitCode {
    let Crane { command, output } = twins::parse();
    start(output, command)
}

/// Runs `qwenchat`: `crane chat`, whose default model is a Qwen2.5.
///
/// Call it first in `main`, while the process has one thread.
pub fn qwenchat() -> ExitCode {
    let QwenChat { chat, output } = twins::parse();
    start(output, Command::Chat(chat))
}

/// Runs `llmbench`: `crane bench`.
///
/// Call it first in `main`, while the process has one thread.
pub fn llmbench() -> ExitCode {
    let LlmBench { bench, output } = twins::parse();
    start(output, Command::Bench(bench))
}

/// Runs a command and tells the user how it ended, if that is not well.
fn start(output: OutputArgs, command: Command) -> ExitCode {
    let console = Console::new(output);
    let threads = match &command {
        Command::Run(args) => Some(args.load.threads),
        Command::Chat(args) => Some(args.load.threads),
        #[cfg(feature = "server")]
        Command::Serve(args) => Some(args.load.threads),
        Command::Bench(args) => Some(args.load.threads),
        Command::Perplexity(args) => Some(args.load.threads),
        Command::Tts(args) => Some(args.threads),
        Command::Embed(args) => Some(args.load.threads),
        _ => None,
    };
    if let Some(threads) = threads {
        if let Err(failure) = instruction_set() {
            return end(console, Err(failure));
        }
        machine::keep_freed_memory();
        let threads = threads.and_then(|count| NonZeroUsize::new(usize::from(count)));
        // SAFETY: this is the start of `main`; no thread has been started yet.
        unsafe { crate::threads::set_threads(threads) };
    }
    end(console, interrupt::install().and_then(|()| perform(console, command)))
}

/// Checks the name in `CRANE_ISA`: the library takes what it does not know for no limit.
fn instruction_set() -> Result {
    let Ok(name) = std::env::var(isa::VARIABLE) else { return Ok(()) };
    if name.is_empty() || isa::NAMES.contains(&name.as_str()) {
        return Ok(());
    }
    let (variable, names) = (isa::VARIABLE, isa::NAMES.join(", "));
    Err(Failure::Usage(format!(
        "{variable} is {name:?}; on this processor it can be one of {names}"
    )))
}

fn end(console: Console, result: Result) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(message) = failure.message() {
                console.error(message);
            }
            ExitCode::from(failure.code())
        }
    }
}

fn perform(console: Console, command: Command) -> Result {
    match command {
        Command::Run(args) => run::run(console, args),
        Command::Chat(args) => chat::chat(console, args),
        #[cfg(feature = "server")]
        Command::Serve(args) => serve::serve(console, *args),
        Command::Tts(args) => tts::tts(console, args),
        Command::Embed(args) => embed::embed(console, args),
        Command::Pull(args) => store::pull(console, args),
        Command::List(args) => store::list(console, args),
        Command::Show(args) => show::show(console, args),
        Command::Rm(args) => store::rm(console, args),
        Command::Bench(args) => bench::bench(console, args),
        Command::Doctor(args) => doctor::doctor(args),
        Command::Tokenize(args) => tokenize::tokenize(console, args),
        Command::Perplexity(args) => perplexity::measure(console, args),
        Command::Completions(args) => completions::completions(args),
    }
}
