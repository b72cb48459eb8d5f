//! Formats: those that a grammar knows, those that another keyword says, and those that ask for nothing.

use serde_json::{Map, Value};

use super::Walk;

/// Formats that the compiler holds.
const HELD: [&str; 11] = [
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
    "uri",
    "unknown",
];
/// How a value is shown or kept, which says nothing about its text.
const SHOWN: [&str; 8] =
    ["", "password", "binary", "textarea", "multiline", "markdown", "html", "text"];
/// Other names.
const NAMES: [(&str, &str); 3] = [("url", "uri"), ("guid", "uuid"), ("datetime", "date-time")];
/// Formats that a pattern says.
const PATTERNS: [(&str, &str); 7] = [
    ("byte", "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"),
    ("base64", "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"),
    ("base64url", "^[A-Za-z0-9_-]*$"),
    ("e164", "^\\+[1-9][0-9]{6,14}$"),
    ("ulid", "^[0-9A-HJKMNP-TV-Z]{26}$"),
    ("nanoid", "^[A-Za-z0-9_-]{21}$"),
    ("json-pointer", "^(?:/(?:[^/~]|~[01])*)*$"),
];
/// Bounds of numbers by their formats.
const NUMBERS: [(&str, i64, i64); 6] = [
    ("int8", i8::MIN as i64, i8::MAX as i64),
    ("int16", i16::MIN as i64, i16::MAX as i64),
    ("int32", i32::MIN as i64, i32::MAX as i64),
    ("uint8", 0, u8::MAX as i64),
    ("uint16", 0, u16::MAX as i64),
    ("uint32", 0, u32::MAX as i64),
];

impl Walk<'_> {
    /// Keeps, translates or takes away a format.
    pub(super) fn formats(&mut self, map: &mut Map<String, Value>, path: &str) {
        let Some(format) = map.get("format").and_then(Value::as_str).map(str::to_owned) else {
            return;
        };
        let format = format.as_str();
        let is = |name: &str| match map.get("type") {
            Some(Value::String(kind)) => kind == name,
            Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == name),
            _ => true,
        };
        let (text, number) = (is("string"), is("integer") || is("number"));
        let bounds = NUMBERS.iter().find(|(name, ..)| *name == format);
        if let (Some(&(_, least, most)), true, false) = (bounds, number, text) {
            for (keyword, bound) in [("minimum", least), ("maximum", most)] {
                if !map.contains_key(keyword) && !map.contains_key(&exclusive(keyword)) {
                    map.insert(keyword.to_owned(), bound.into());
                }
            }
        }
        let of_numbers = bounds.is_some()
            || ["int64", "uint64", "int", "uint", "float", "double", "decimal"].contains(&format);
        if !text || of_numbers || SHOWN.contains(&format) {
            map.shift_remove("format");
            return;
        }
        if HELD.contains(&format) {
            return;
        }
        if let Some((_, name)) = NAMES.iter().find(|(other, _)| *other == format) {
            map.insert("format".to_owned(), (*name).into());
            return;
        }
        if let Some((_, pattern)) = PATTERNS.iter().find(|(name, _)| *name == format) {
            map.shift_remove("format");
            // The pattern that stands beside it says the same.
            map.entry("pattern").or_insert_with(|| (*pattern).into());
            return;
        }
        let reason = format!("the format {format:?} is not known");
        self.drop(map, "format", path, &reason);
    }
}

fn exclusive(keyword: &str) -> String {
    format!(
        "exclusive{}{}",
        keyword.get(..1).unwrap_or_default().to_uppercase(),
        keyword.get(1..).unwrap_or_default()
    )
}
