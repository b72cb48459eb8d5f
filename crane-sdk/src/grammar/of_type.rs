//! The form that a Rust type gives: JSON that serde reads as a value of it.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::Grammar;

/// The whole numbers that every reader of JSON keeps exactly: up to 2^53 - 1, as in
/// [RFC 8259, section 6](https://www.rfc-editor.org/rfc/rfc8259#section-6).
const EXACT: i64 = (1 << 53) - 1;
/// A number without bounds may have any exponent, and one such as 1e999 cannot be read; llguidance writes numbers between
/// bounds without one, and takes none beyond 64 bits.
const LARGE: f64 = 1e15;

impl Grammar {
    /// JSON of a type: what schemars says of it, in terms that a grammar can keep.
    ///
    /// Objects hold no other fields than the type's; whole numbers of 64 bits and more stay within ±(2^53 - 1), numbers with
    /// fractions within ±1e15, written without an exponent. What says nothing about how a value is written is left away: names
    /// of number formats, `uniqueItems`.
    ///
    /// ```
    /// use crane_sdk::grammar::Grammar;
    ///
    /// #[derive(schemars::JsonSchema)]
    /// # #[allow(dead_code)]
    /// struct Person {
    ///     name: String,
    ///     age: u8,
    /// }
    ///
    /// let Grammar::JsonSchema(schema) = Grammar::of::<Person>() else { unreachable!() };
    /// assert_eq!(schema["properties"]["age"]["maximum"], 255);
    /// assert_eq!(schema["additionalProperties"], false);
    /// ```
    pub fn of<T: JsonSchema>() -> Self {
        let generator = SchemaSettings::draft2020_12().into_generator();
        let mut schema = generator.into_root_schema_for::<T>();
        let mut mixed = false;
        RecursiveTransform(|schema: &mut Schema| mixed |= mixes(schema)).transform(&mut schema);
        RecursiveTransform(|schema: &mut Schema| adapt(schema, !mixed)).transform(&mut schema);
        Grammar::JsonSchema(schema.to_value())
    }
}

/// Rewrites one schema; `close` leaves no room for fields that it does not name.
fn adapt(schema: &mut Schema, close: bool) {
    let format = schema.get("format").and_then(Value::as_str);
    if let Some((least, most)) = format.and_then(bounds) {
        schema.remove("format");
        for (name, bound) in [("minimum", least), ("maximum", most)] {
            if schema.get(name).is_none() {
                schema.insert(name.to_owned(), bound);
            }
        }
    }
    schema.remove("uniqueItems");
    // serde takes the first variant that fits, so more than one may.
    if let Some(variants) = schema.remove("oneOf") {
        schema.insert("anyOf".to_owned(), variants);
    }
    if close && schema.get("properties").is_some() && schema.get("additionalProperties").is_none() {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
}

/// The numbers of schemars' formats.
fn bounds(format: &str) -> Option<(Value, Value)> {
    let (least, most) = match format {
        "int8" => (i8::MIN.into(), i8::MAX.into()),
        "int16" => (i16::MIN.into(), i16::MAX.into()),
        "int32" => (i32::MIN.into(), i32::MAX.into()),
        "int" | "int64" | "int128" => (-EXACT, EXACT),
        "uint8" => (0, u8::MAX.into()),
        "uint16" => (0, u16::MAX.into()),
        "uint32" => (0, u32::MAX.into()),
        "uint" | "uint64" | "uint128" => (0, EXACT),
        "float" | "double" => return Some(((-LARGE).into(), LARGE.into())),
        _ => return None,
    };
    Some((least.into(), most.into()))
}

/// Whether a schema takes fields from several places (`serde(flatten)`, tagged variants): each of them must leave room for
/// the others'.
fn mixes(schema: &Schema) -> bool {
    let others = ["$ref", "allOf", "anyOf", "oneOf"];
    schema.get("properties").is_some() && others.iter().any(|name| schema.get(*name).is_some())
}
