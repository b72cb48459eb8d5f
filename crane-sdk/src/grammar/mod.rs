//! Replies of a given form: JSON of a schema, text of a regular expression or of a grammar.
//!
//! A [`Grammar`] says what the form is; a [`Compiler`] makes a [`Constraint`] of it for one vocabulary; a
//! generation whose config holds the constraint chooses only tokens that can be continued to a text of that form, and
//! ends where the form does. A reply that is cut by a limit of tokens is a beginning of such a text.
//!
//! JSON is written on one line as Python's `json.dumps` writes it (`{"a": 1, "b": [2, 3]}`), its keys in the
//! order of the schema's `properties`.
#![cfg_attr(
    feature = "grammar",
    doc = r#"
```
use crane_sdk::generate::GenerationConfig;
use crane_sdk::grammar::{Compiler, Grammar};
# let vocab: serde_json::Map<_, _> = (b' '..=b'~').map(|byte| match byte {
#     b' ' => ("Ġ".to_owned(), 0.into()),
#     _ => ((byte as char).to_string(), (byte - b' ').into()),
# }).collect();
# let json = serde_json::json!({"model": {"type": "BPE", "vocab": vocab, "merges": []},
#     "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false}});
# let tokenizer = crane_sdk::text::Tokenizer::from_json(json.to_string().as_bytes(), None)?;

let schema = serde_json::json!({"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]});
let compiler = Compiler::new(&tokenizer)?;
let constraint = compiler.compile(&Grammar::JsonSchema(schema))?;
let config = GenerationConfig { constraint: Some(constraint), ..GenerationConfig::default() };
# let _ = config;
# Ok::<(), crane_sdk::Error>(())
```
"#
)]

#[cfg(not(feature = "grammar"))]
mod absent;
#[cfg(feature = "grammar")]
mod assemble;
#[cfg(feature = "grammar")]
mod budget;
#[cfg(feature = "grammar")]
mod chain;
#[cfg(feature = "grammar")]
mod compiler;
#[cfg(feature = "grammar")]
mod follower;
#[cfg(feature = "grammar")]
mod forms;
#[cfg(feature = "grammar")]
mod keywords;
#[cfg(feature = "grammar")]
mod lark;
#[cfg(feature = "grammar")]
mod lark_tokens;
mod limits;
#[cfg(feature = "grammar")]
mod of_type;
#[cfg(feature = "grammar")]
mod schema;
#[cfg(feature = "grammar")]
mod stack;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Error, Result};

#[cfg(not(feature = "grammar"))]
pub use absent::Constraint;
#[cfg(not(feature = "grammar"))]
pub(crate) use absent::Follower;
#[cfg(feature = "grammar")]
pub use compiler::{Compiler, Constraint};
#[cfg(feature = "grammar")]
pub(crate) use follower::Follower;
#[cfg(feature = "grammar")]
pub use forms::Forms;
#[cfg(feature = "grammar")]
pub use keywords::{Enforceable, LeftOut};
pub use limits::Limits;

/// The form of a reply.
///
/// ```
/// use crane_sdk::grammar::Grammar;
///
/// let grammar: Grammar = serde_json::from_str(r#"{"type": "regex", "value": "yes|no"}"#)?;
/// assert_eq!(grammar, Grammar::Regex("yes|no".to_owned()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Grammar {
    /// Any JSON object.
    JsonObject,
    /// JSON of this schema (draft 2020-12 and before; `$ref` inside the schema).
    JsonSchema(Value),
    /// Text that this regular expression (of Rust's `regex`) describes as a whole.
    Regex(String),
    /// Text of this grammar, in [llguidance's variant](https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md)
    /// of Lark's notation.
    Lark(String),
}

/// A schema, with how its JSON is to be written: on one line, so that a small model cannot lose itself in white space.
pub(crate) fn laid_out(schema: &Value) -> Result<Value> {
    let mut map = match schema {
        // Anything goes.
        Value::Bool(true) => serde_json::Map::new(),
        Value::Object(map) => map.clone(),
        _ => return Err(Error::argument("grammar", "a JSON schema is an object")),
    };
    let layout =
        json!({ "whitespace_flexible": false, "item_separator": ", ", "key_separator": ": " });
    if map.insert("x-guidance".to_owned(), layout).is_some() {
        return Err(Error::argument("grammar", "x-guidance is not supported; leave it out"));
    }
    Ok(Value::Object(map))
}
