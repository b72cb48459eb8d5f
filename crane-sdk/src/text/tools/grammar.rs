//! Which replies call tools as they should: the grammar of text and calls.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::CallFormat;
use crate::grammar::{Grammar, laid_out};
use crate::text::Tokenizer;
use crate::{Error, Result};

/// A tool that may be called.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// The JSON schema of its arguments, which are an object; `None` for none.
    pub parameters: Option<Value>,
    /// Whether a schema with a keyword that no grammar holds is refused; else that keyword is left to the model.
    pub strict: bool,
}

/// Which calls a reply holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calls {
    /// Whether it is calls and nothing else; else it is text, or text and then calls, as the model decides.
    pub required: bool,
    /// Whether there may be more than one.
    pub several: bool,
}

impl Tool {
    /// The schema of its arguments, as a root of its own.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if arguments of it would not be an object.
    pub fn schema(&self) -> Result<Value> {
        let mut map = match &self.parameters {
            None => Map::from_iter([("additionalProperties".to_owned(), false.into())]),
            Some(Value::Object(map)) => map.clone(),
            Some(_) => return Err(Error::argument("parameters", "is a JSON schema, an object")),
        };
        match map.get("type") {
            None => drop(map.insert("type".to_owned(), "object".into())),
            Some(Value::String(kind)) if kind.eq_ignore_ascii_case("object") => {}
            Some(Value::Array(kinds)) if kinds.iter().any(|kind| kind == "object") => {
                map.insert("type".to_owned(), "object".into());
            }
            Some(other) => {
                let reason = format_args!("has the type {other}; arguments are an object");
                return Err(Error::argument("parameters", reason));
            }
        }
        Ok(Value::Object(map))
    }

    /// Its schema, as far as it is to be held.
    #[cfg(feature = "grammar")]
    fn held(&self) -> Result<Value> {
        use crate::grammar::Enforceable;

        let schema = self.schema()?;
        if self.strict { Enforceable::whole(&schema) } else { Ok(Enforceable::of(&schema).schema) }
    }

    /// Its schema; nothing compiles it.
    #[cfg(not(feature = "grammar"))]
    fn held(&self) -> Result<Value> {
        self.schema()
    }
}

impl CallFormat {
    /// The grammar of replies that hold such calls of these tools.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if there are no tools, as [`Tool::schema`], or if a strict one has a keyword that cannot be held.
    pub fn grammar(&self, tokenizer: &Tokenizer, tools: &[Tool], calls: Calls) -> Result<Grammar> {
        if tools.is_empty() {
            return Err(Error::argument("tools", "is empty: there is nothing to call"));
        }
        let trigger = self.trigger();
        let rest = self.open.strip_prefix(trigger).unwrap_or_default();
        // A control token is no text: the grammar names it by its number.
        let token = tokenizer.token_to_id(trigger).filter(|&id| tokenizer.is_special(id));
        let mark = token.map_or_else(|| literal(trigger), |id| format!("<[{id}]>"));

        let more = match &self.between {
            Some(between) if calls.several => {
                let between = if between.is_empty() { String::new() } else { literal(between) };
                format!(" ({between} {mark} call)*")
            }
            _ => String::new(),
        };
        let mut lark = match (calls.required, token) {
            (true, _) => format!("start: {mark} call{more}\n"),
            (false, Some(_)) => format!("start: TEXT | TEXT {mark} call{more}\nTEXT: /(.|\\n)*/\n"),
            (false, None) => {
                let mark = regex(trigger);
                format!(
                    "start: TEXT | marked call{more}\nmarked[lazy]: /(.|\\n)*{mark}/\n\
                     TEXT: /(.|\\n)*/ & ~/(.|\\n)*{mark}(.|\\n)*/\n"
                )
            }
        };
        let names: Vec<String> = (0..tools.len()).map(|index| format!("tool_{index}")).collect();
        let _ = writeln!(lark, "call: {}", names.join(" | "));
        for (name, tool) in names.iter().zip(tools) {
            let head = literal(&format!("{rest}{}{}", tool.name, self.middle));
            let schema = laid_out(&tool.held()?)?;
            let _ = writeln!(lark, "{name}: {head} %json {schema} {}", literal(&self.close));
        }
        Ok(Grammar::Lark(lark))
    }
}

/// A string of the grammar's notation, which is JSON's.
fn literal(text: &str) -> String {
    json!(text).to_string()
}

/// A regular expression for this very text.
fn regex(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if !c.is_alphanumeric() && c.is_ascii() && !matches!(c, '_' | '<' | '>' | '=' | ' ') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
