//! JavaScript objects as Rust values and back; unknown fields are refused.

use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::JsValue;

use crate::failure::{Outcome, argument};

/// Reads an object; serde's message names the field that does not fit.
///
/// The way leads over a JSON value because serde-wasm-bindgen reads only the fields that it knows: it
/// would let unknown ones pass in spite of `deny_unknown_fields`.
pub fn read<T: DeserializeOwned>(what: &str, object: JsValue) -> Outcome<T> {
    let value: serde_json::Value =
        serde_wasm_bindgen::from_value(object).map_err(|error| argument(what, &error))?;
    serde_json::from_value(value).map_err(|error| argument(what, &error))
}

/// Writes a plain JavaScript object.
pub fn write<T: Serialize>(value: &T) -> Outcome<JsValue> {
    let plain = serde_wasm_bindgen::Serializer::json_compatible();
    value.serialize(&plain).map_err(|error| argument("result", &error))
}
