//! `--json-schema` and `--grammar`: the form that a reply must have.

use std::path::Path;

use crane_sdk::grammar::{Compiler, Constraint, Grammar};
use crane_sdk::text::Tokenizer;

use super::args::GenerationArgs;
use super::exit::{Failure, Result};
use super::output::Console;
use crate::plain_text;

/// The form that the command line asks for, read before any model is looked for.
///
/// # Errors
/// [`Failure::Usage`] if a file cannot be read or is not JSON.
pub(super) fn grammar(args: &GenerationArgs) -> Result<Option<(&'static str, Grammar)>> {
    if let Some(text) = &args.json_schema {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let read = match text.trim_start().starts_with('{') {
            true => text.to_owned(),
            false => file("--json-schema", text)?,
        };
        let schema = serde_json::from_str(&read).map_err(|error| {
            Failure::Usage(format!("--json-schema: {text:?} is not JSON: {error}"))
        })?;
        return Ok(Some(("--json-schema", Grammar::JsonSchema(schema))));
    }
    let Some(path) = &args.grammar else { return Ok(None) };
    Ok(Some(("--grammar", Grammar::Lark(file("--grammar", path)?))))
}

/// Compiles it for the model's vocabulary.
///
/// # Errors
/// [`Failure::Usage`] that says what of it cannot be kept.
pub(super) fn constraint(
    console: Console,
    tokenizer: &Tokenizer,
    args: &GenerationArgs,
) -> Result<Option<Constraint>> {
    let Some((flag, grammar)) = grammar(args)? else { return Ok(None) };
    let constraint = Compiler::new(tokenizer)?.compile(&grammar).map_err(|error| match error {
        crane_sdk::Error::InvalidArgument { reason, .. } => {
            Failure::Usage(format!("{flag}: {reason}"))
        }
        error => error.into(),
    })?;
    constraint
        .warnings()
        .iter()
        .for_each(|warning| console.warn(format_args!("{flag}: {warning}")));
    Ok(Some(constraint))
}

fn file(flag: &str, path: &str) -> Result<String> {
    plain_text::read(Path::new(path)).map_err(|reason| Failure::Usage(format!("{flag}: {reason}")))
}
