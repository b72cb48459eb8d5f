//! The Jinja environment of chat templates: the settings and functions that `transformers` gives.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{Environment, ErrorKind, Output, State};
use minijinja_contrib::globals;

use super::meter::Ended;
use super::{charges, clock, json, meter, python};
use crate::Error;

/// The work that a template may do: about as many instructions, and 64 bytes of text for each.
///
/// A conversation of ten thousand messages fits. It also bounds how deep a template can nest a value, which [`super::stack`] must be able to undo.
pub(super) const FUEL: u64 = 2_000_000;

/// Longest format of a date.
const MAX_DATE_FORMAT: usize = 1024;

/// What a template says when it calls `raise_exception`.
#[derive(Debug)]
struct Raised(String);

impl std::fmt::Display for Raised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

/// An environment without templates.
pub(super) fn new() -> Environment<'static> {
    let mut environment = Environment::new();
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true);
    // Only delimiters can be wrong, and those are the default ones.
    if let Ok(syntax) = syntax.build() {
        environment.set_syntax(syntax);
    }
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_formatter(format);
    environment.set_unknown_method_callback(python::call_method);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    // Both look inside containers without counting what they see, and no chat template has use for them.
    environment.remove_global("debug");
    environment.remove_filter("chain");
    environment.add_filter(charges::DEEP, meter::charged);
    environment.add_filter(charges::FLAT, meter::charged_items);
    environment.add_filter(charges::HELD, meter::held);
    environment.add_function("joiner", globals::joiner);
    environment.add_function("cycler", |items: Rest<Value>| globals::cycler(items.0));
    environment.add_filter("tojson", json::tojson);
    environment.add_filter("fromjson", json::fromjson);
    environment.add_filter("trim", python::trim);
    environment.add_filter("wordcount", python::wordcount);
    environment.add_test("sequence", |value: &Value| has_items(value, false));
    environment.add_test("iterable", |value: &Value| has_items(value, true));
    environment
}

/// Rewrites what minijinja's syntax lacks: `{% generation %}`, the block with which templates mark
/// the assistant's own words for training, is a block without a meaning here.
pub(super) fn prepare(template: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        let Some(len) = tag.find("%}").map(|end| end + 2) else { break };
        out.push_str(before);
        let (tag, after) = tag.split_at(len);
        let inner = tag.trim_start_matches("{%").trim_end_matches("%}");
        let word = inner.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']).trim();
        match word {
            "generation" => out.push_str(&tag.replacen("generation", "with", 1)),
            "endgeneration" => out.push_str(&tag.replacen("endgeneration", "endwith", 1)),
            _ => out.push_str(tag),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// An error of the template engine in this library's type.
pub(super) fn template_error(error: &minijinja::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(Raised(message)) = error.downcast_ref() {
            return Error::Template(message.clone());
        }
        match error.downcast_ref() {
            Some(Ended::Interrupted) => {
                return Error::Unsupported {
                    what: "the chat template's rendering".to_owned(),
                    hint: Ended::Interrupted.to_string(),
                };
            }
            Some(late @ Ended::Late(_)) => {
                return Error::Template(format!(
                    "{late}, the time limit of a rendering (RenderOptions::time_limit); it is endless, or the \
                     conversation is far too long"
                ));
            }
            None => {}
        }
        cause = error.source();
    }
    if error.kind() == ErrorKind::OutOfFuel {
        return Error::Template(format!(
            "it did not end within {FUEL} steps (with 64 bytes for each, and more for a long conversation); it is \
             endless, or the conversation is far too long"
        ));
    }
    Error::Template(error.to_string())
}

/// Prints as Python does; minijinja differs in floats with an exponent.
fn format(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    if matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable | ValueKind::Map) {
        meter::inside(state, value)?;
    } else {
        meter::tick()?;
    }
    if value.kind() == ValueKind::Number && !value.is_integer() {
        let number = f64::try_from(value.clone())?;
        return out.write_str(&json::python_float(number)).map_err(minijinja::Error::from);
    }
    minijinja::escape_formatter(out, state, value)
}

/// What Python can take the length of and index, or (`once`) walk over. Undefined counts as empty.
fn has_items(value: &Value, once: bool) -> bool {
    match value.kind() {
        ValueKind::Seq | ValueKind::Map | ValueKind::String | ValueKind::Undefined => true,
        ValueKind::Iterable => once,
        _ => false,
    }
}

fn raise_exception(state: &mut State<'_, '_>, message: &Value) -> Result<Value, minijinja::Error> {
    meter::inside(state, message)?;
    let message = message.to_string();
    let error = minijinja::Error::new(ErrorKind::InvalidOperation, message.clone());
    Err(error.with_source(Raised(message)))
}

fn strftime_now(format: &str, kwargs: Kwargs) -> Result<String, minijinja::Error> {
    kwargs.assert_all_used()?;
    if format.len() > MAX_DATE_FORMAT {
        let reason = format!("strftime_now: the format is longer than {MAX_DATE_FORMAT} bytes");
        return Err(minijinja::Error::new(ErrorKind::InvalidOperation, reason));
    }
    clock::now(format).map_err(|error| minijinja::Error::new(ErrorKind::InvalidOperation, error))
}

#[cfg(test)]
mod tests {
    use super::prepare;

    #[test]
    fn generation_blocks_become_plain_blocks() {
        let template = "{% for m in x %}{%- generation -%}{{ m }}{% endgeneration %}{% endfor %}";
        let expected = "{% for m in x %}{%- with -%}{{ m }}{% endwith %}{% endfor %}";
        assert_eq!(prepare(template), expected);
        for other in ["", "{%", "a {% if x %}generation{% endif %}", "{{ '%}' }}{% "] {
            assert_eq!(prepare(other), other);
        }
    }
}
