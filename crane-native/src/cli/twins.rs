//! The `CRANE_*` variables of options: an empty one counts as unset, a wrong one is named.

use std::env;
use std::ffi::OsStr;

use clap::builder::{Resettable, StyledStr};
use clap::error::{ContextKind, ContextValue};
use clap::{Command, Parser};

/// Parses the process's arguments and environment; ends the process with a message if they are
/// wrong, or if help was asked for.
pub(super) fn parse<P: Parser>() -> P {
    let mut command = without_empty(P::command(), &|name| env::var_os(name));
    let matches = command.try_get_matches_from_mut(env::args_os());
    match matches.and_then(|mut matches| P::from_arg_matches_mut(&mut matches)) {
        Ok(parsed) => parsed,
        Err(error) => explained(error, &command).exit(),
    }
}

/// The command without the variables that are set to nothing: a script unsets them so.
fn without_empty(command: Command, var: &dyn Fn(&OsStr) -> Option<std::ffi::OsString>) -> Command {
    command
        .mut_args(|arg| {
            let value = arg.get_env().and_then(var);
            match value.is_some_and(|value| value.is_empty()) {
                true => arg.env(Resettable::Reset),
                false => arg,
            }
        })
        .mut_subcommands(|command| without_empty(command, var))
}

/// Says where a wrong value comes from if it is not on the command line.
fn explained(mut error: clap::Error, command: &Command) -> clap::Error {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let (Some(option), Some(value)) =
        (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue))
    else {
        return error;
    };
    let flag = option.split_whitespace().next().unwrap_or_default();
    if let Some(variable) = variable_of(command, flag)
        && env::var(&variable).is_ok_and(|set| set.contains(&value))
        && !is_given(flag, &value)
    {
        let tip = StyledStr::from(format!("the value comes from the variable {variable}"));
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

/// The variable of a flag such as `--temp`, wherever in the command it stands.
fn variable_of(command: &Command, flag: &str) -> Option<String> {
    let name = flag.strip_prefix("--")?;
    let here = command.get_arguments().find(|arg| arg.get_long() == Some(name));
    here.and_then(|arg| Some(arg.get_env()?.to_string_lossy().into_owned()))
        .or_else(|| command.get_subcommands().find_map(|command| variable_of(command, flag)))
}

/// Whether the command line has the flag, or its value behind a short one.
fn is_given(flag: &str, value: &str) -> bool {
    env::args().skip(1).any(|argument| argument.starts_with(flag) || argument.ends_with(value))
}

/// An error about `--flag` with the variable that the value came from, if it did.
pub(super) fn named(message: String) -> String {
    let Some(flag) = message.split([':', ' ']).next().filter(|flag| flag.starts_with("--")) else {
        return message;
    };
    let variable =
        format!("CRANE_{}", flag.trim_start_matches('-').replace('-', "_").to_uppercase());
    match env::var(&variable) {
        Ok(value) if !value.is_empty() && !is_given(flag, &value) => {
            format!("{message} (the value comes from the variable {variable})")
        }
        _ => message,
    }
}
