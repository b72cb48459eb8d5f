//! The library's errors as JavaScript `Error` objects that carry a `code` and, where there is one, a
//! `hint`.

use crane_sdk::Error;
use js_sys::Reflect;
use wasm_bindgen::JsValue;

/// The result of an exported function: the error is a JavaScript `Error`.
pub type Outcome<T> = Result<T, JsValue>;

/// The stable name by which JavaScript tells one failure from another.
///
/// The npm package lists the same names in its `CraneErrorCode`.
fn code(error: &Error) -> &'static str {
    match error {
        Error::NotFound { .. } => "not_found",
        Error::InvalidFile { .. } => "invalid_file",
        Error::Unsupported { .. } => "unsupported",
        Error::Weights { .. } | Error::NotFinite { .. } => "invalid_weights",
        Error::InvalidArgument { .. } => "invalid_argument",
        Error::ContextOverflow { .. } => "context_overflow",
        Error::OutOfMemory { .. } => "out_of_memory",
        Error::Template(_) => "template",
        Error::Tokenizer(_) => "tokenizer",
        Error::Io { .. } => "io",
        _ => "internal",
    }
}

fn hint(error: &Error) -> Option<&str> {
    match error {
        Error::NotFound { hint, .. }
        | Error::Unsupported { hint, .. }
        | Error::OutOfMemory { hint, .. } => Some(hint),
        Error::ContextOverflow { .. } => {
            Some("leave the oldest messages out, or pass a larger context to load")
        }
        Error::InvalidFile { .. } => Some("fetch the file again"),
        _ => None,
    }
}

/// Translates a library error.
pub fn failure(error: Error) -> JsValue {
    let said = match &error {
        // The library speaks of what its own callers may choose besides.
        Error::ContextOverflow { prompt, context } => {
            format_args!("the prompt has {prompt} tokens, and the context holds {context}")
                .to_string()
        }
        _ => error.to_string(),
    };
    js_error(code(&error), &said, hint(&error))
}

/// An argument that cannot act.
pub fn argument(name: &str, reason: &dyn std::fmt::Display) -> JsValue {
    js_error("invalid_argument", &format!("{name}: {reason}"), None)
}

fn js_error(code: &str, message: &str, hint: Option<&str>) -> JsValue {
    let error = JsValue::from(js_sys::Error::new(message));
    set(&error, "code", &code.into());
    if let Some(hint) = hint {
        set(&error, "hint", &hint.into());
    }
    error
}

fn set(object: &JsValue, key: &str, value: &JsValue) {
    // Fails only on a frozen or exotic object; this one was made a moment ago.
    let _ = Reflect::set(object, &key.into(), value);
}
