//! Calls of tools: how a model's template writes them, which replies hold valid ones, and how they are read out.
//!
//! A [`CallFormat`] is found by rendering a call that was made up and looking at what the template puts around its
//! name and arguments. From it follow the [`Grammar`](crate::grammar::Grammar) of replies whose calls are valid, whatever
//! the size of the model, and a [`CallReader`] that takes a reply apart as it comes.
//!
//! ```
//! use crane_sdk::text::tools::{CallFormat, CallPiece};
//! use crane_sdk::text::{ChatTemplate, SpecialTokens};
//!
//! let template = "{% for t in tools %}{{ t | tojson }}{% endfor %}{% for m in messages %}<|{{ m.role }}|>\
//!     {% for call in m.tool_calls %}<call>{{ call.function.name }}:{{ call.function.arguments | tojson }}</call>\
//!     {% else %}{{ m.content }}{% endfor %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";
//! let template = ChatTemplate::new(template, SpecialTokens::new())?;
//! let format = CallFormat::of(&template)?.ok_or(crane_sdk::Error::Template("no calls".to_owned()))?;
//! let mut reader = format.reader();
//! let mut pieces = reader.push("Let me see. <call>add:{\"a\": 1}</call>");
//! pieces.extend(reader.finish());
//! assert_eq!(
//!     pieces,
//!     [
//!         CallPiece::Text("Let me see.".to_owned()),
//!         CallPiece::Name("add".to_owned()),
//!         CallPiece::Arguments("{\"a\": 1}".to_owned()),
//!     ]
//! );
//! # Ok::<(), crane_sdk::Error>(())
//! ```

mod format;
mod grammar;
mod reader;

pub use format::CallFormat;
pub use grammar::{Calls, Tool};
pub use reader::{CallPiece, CallReader};
pub(crate) use reader::{Span, Splitter};
