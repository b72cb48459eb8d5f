//! Reads a JSON object field by field, so that each is used or refused by its name.

use std::fmt::Display;
use std::ops::RangeInclusive;

use crane_sdk::source::without_bom;
use serde_json::{Map, Value};

use super::ApiError;

/// The fields of a request that nobody has read yet.
#[derive(Debug)]
pub struct Fields {
    map: Map<String, Value>,
    /// What stands before a field's name in messages.
    path: String,
}

/// What a value is, for messages.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Whether a range begins right above 0.
fn is_tiny(least: f64) -> bool {
    least > 0.0 && least <= f64::from(f32::MIN_POSITIVE)
}

/// Why a body is not JSON.
fn not_json(body: &[u8], error: &serde_json::Error) -> String {
    let format = match body {
        [] => return "the body is empty; a JSON object is expected".to_owned(),
        [0x1F, 0x8B, ..] => "gzip",
        [0x28, 0xB5, 0x2F, 0xFD, ..] => "zstd",
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => {
            return "the body is UTF-16 text; JSON is sent as UTF-8".to_owned();
        }
        _ => {
            return match std::str::from_utf8(body) {
                Ok(_) => format!("the body is not JSON: {error}"),
                Err(error) => format!("the body is not UTF-8 text: {error}"),
            };
        }
    };
    format!("the body is compressed ({format}), which is not read here; send the JSON as it is")
}

/// A value of the wrong type.
pub fn wrong_type(param: impl Display, wanted: &str, value: &Value) -> ApiError {
    let reason = format_args!("must be {wanted}, not {}", kind(value));
    ApiError::field(param, "invalid_type", reason)
}

impl Fields {
    /// The fields of a request's body.
    ///
    /// # Errors
    /// That it is not a JSON object.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let body = without_bom(body);
        match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => Ok(Self { map, path: String::new() }),
            Ok(other) => Err(ApiError::invalid(format_args!(
                "the body must be a JSON object, not {}",
                kind(&other)
            ))),
            Err(error) => Err(ApiError::invalid(not_json(body, &error))),
        }
    }

    /// The fields of an object inside a request, called `path` in messages.
    ///
    /// # Errors
    /// That it is not an object.
    pub fn of(path: impl Display, value: Value) -> Result<Self, ApiError> {
        match value {
            Value::Object(map) => Ok(Self { map, path: format!("{path}.") }),
            other => Err(wrong_type(path, "an object", &other)),
        }
    }

    /// A field's name as messages spell it.
    pub fn name(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// Takes a field; `null` counts as absent.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        #[cfg(test)]
        if self.path.is_empty() {
            READ.with_borrow_mut(|names| names.insert(name.to_owned()));
        }
        self.map.shift_remove(name).filter(|value| !value.is_null())
    }

    /// A field as it was sent, left where it is.
    pub fn copy(&self, name: &str) -> Option<Value> {
        self.map.get(name).filter(|value| !value.is_null()).cloned()
    }

    /// Takes a field that must be there.
    ///
    /// # Errors
    /// That it is not.
    pub fn required(&mut self, name: &str) -> Result<Value, ApiError> {
        self.take(name).ok_or_else(|| {
            let name = self.name(name);
            ApiError::field(name, "missing_required_parameter", "is missing")
        })
    }

    /// Takes a number in a range.
    ///
    /// # Errors
    /// That it is none, or outside.
    pub fn number(
        &mut self,
        name: &str,
        range: RangeInclusive<f64>,
    ) -> Result<Option<f32>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let name = self.name(name);
        let Some(number) = value.as_f64() else {
            return Err(wrong_type(name, "a number", &value));
        };
        if range.contains(&number) {
            return Ok(Some(number as f32));
        }
        let (least, most) = range.into_inner();
        let reason = match most {
            _ if most >= f64::from(f32::MAX) && is_tiny(least) => {
                format!("is {number}; it must be above 0")
            }
            _ if most >= f64::from(f32::MAX) => format!("is {number}; it must be at least {least}"),
            _ if is_tiny(least) => format!("is {number}; it must be above 0, up to {most}"),
            _ => format!("is {number}; it must be from {least} to {most}"),
        };
        Err(ApiError::value(name, reason))
    }

    /// Takes a whole number in a range.
    ///
    /// # Errors
    /// That it is none, or outside.
    pub fn integer(
        &mut self,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let name = self.name(name);
        if !value.is_number() {
            return Err(wrong_type(name, "a whole number", &value));
        }
        match value.as_u64().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let (least, most) = range.into_inner();
                let reason = match most {
                    u64::MAX => format!("is {value}; it must be a whole number, at least {least}"),
                    _ => format!("is {value}; it must be a whole number from {least} to {most}"),
                };
                Err(ApiError::value(name, reason))
            }
        }
    }

    /// Takes a count of tokens, at least 1.
    ///
    /// # Errors
    /// As [`Fields::integer`].
    pub fn count(&mut self, name: &str) -> Result<Option<usize>, ApiError> {
        let number = self.integer(name, 1..=u64::from(u32::MAX))?;
        Ok(number.map(|number| number as usize))
    }

    /// Takes true or false.
    ///
    /// # Errors
    /// That it is neither.
    pub fn boolean(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(other) => Err(wrong_type(self.name(name), "true or false", &other)),
        }
    }

    /// Takes a string.
    ///
    /// # Errors
    /// That it is none.
    pub fn string(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(value)),
            Some(other) => Err(wrong_type(self.name(name), "a string", &other)),
        }
    }

    /// Takes a string that must be there.
    ///
    /// # Errors
    /// That it is not, or is none.
    pub fn required_string(&mut self, name: &str) -> Result<String, ApiError> {
        match self.required(name)? {
            Value::String(value) => Ok(value),
            other => Err(wrong_type(self.name(name), "a string", &other)),
        }
    }

    /// Takes an object.
    ///
    /// # Errors
    /// That it is none.
    pub fn object(&mut self, name: &str) -> Result<Option<Map<String, Value>>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(other) => Err(wrong_type(self.name(name), "an object", &other)),
        }
    }

    /// Takes the fields at whose `neutral` value nothing has to be done, and refuses any other value.
    ///
    /// # Errors
    /// The field that asks for what this server does not do.
    pub fn only_neutral(&mut self, known: &[Neutral]) -> Result<(), ApiError> {
        for Neutral { name, values, reason } in known {
            let Some(value) = self.take(name) else { continue };
            let neutral = values.iter().any(|text| {
                serde_json::from_str::<Value>(text).is_ok_and(|neutral| neutral == value)
            });
            if !neutral {
                return Err(ApiError::unsupported(self.name(name), reason));
            }
        }
        Ok(())
    }

    /// Ends the reading: what nobody took is unknown. With `lenient` it is returned instead.
    ///
    /// # Errors
    /// The first unknown field.
    pub fn finish(self, lenient: bool) -> Result<Vec<String>, ApiError> {
        // `null` asks for nothing, but a name that nobody knows is a mistake all the same.
        let names: Vec<String> = self.map.keys().map(|name| self.name(name)).collect();
        match names.first() {
            Some(name) if !lenient => Err(ApiError::field(
                name,
                "unknown_parameter",
                "is unknown to this server; leave it out (or start the server with --lenient)",
            )),
            _ => Ok(names),
        }
    }
}

/// A field that is understood, and whose effect is not implemented.
#[derive(Debug)]
pub struct Neutral {
    /// Its name.
    pub name: &'static str,
    /// The values, as JSON, with which nothing has to be done.
    pub values: &'static [&'static str],
    /// What to tell those who want more.
    pub reason: &'static str,
}

#[cfg(test)]
thread_local! {
    /// The names of the fields that were asked for, which the documentation is checked against.
    pub(super) static READ: std::cell::RefCell<std::collections::BTreeSet<String>> =
        const { std::cell::RefCell::new(std::collections::BTreeSet::new()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields {
        Fields::parse(json.as_bytes()).unwrap()
    }

    fn told(error: ApiError) -> (String, String) {
        let json = error.json();
        let text = |name: &str| json["error"][name].as_str().unwrap_or_default().to_owned();
        (text("param"), text("code"))
    }

    #[test]
    fn values_are_checked_and_null_is_absent() {
        let mut read = fields(r#"{"a": 0.5, "b": 3, "c": null, "d": true, "e": "x"}"#);
        assert_eq!(read.number("a", 0.0..=1.0).unwrap(), Some(0.5));
        assert_eq!(read.integer("b", 0..=3).unwrap(), Some(3));
        assert_eq!(read.string("c").unwrap(), None);
        assert_eq!(read.boolean("d").unwrap(), Some(true));
        assert_eq!(read.string("e").unwrap().as_deref(), Some("x"));
        assert!(read.finish(false).unwrap().is_empty());
    }

    #[test]
    fn refusals_name_the_field() {
        let code = |result: Result<Option<u64>, ApiError>| told(result.unwrap_err());
        let json = r#"{"a": 4, "b": "x", "c": 1.5, "d": -1}"#;
        let mut read = fields(json);
        let invalid = |name: &str| (name.to_owned(), "invalid_value".to_owned());
        assert_eq!(code(read.integer("a", 0..=3)), invalid("a"));
        assert_eq!(code(read.integer("b", 0..=3)), ("b".to_owned(), "invalid_type".to_owned()));
        assert_eq!(code(read.integer("c", 0..=3)), invalid("c"));
        assert_eq!(code(read.integer("d", 0..=3)), invalid("d"));
        let unknown = ("a".to_owned(), "unknown_parameter".to_owned());
        assert_eq!(told(fields(json).finish(false).unwrap_err()), unknown);
        assert_eq!(fields(json).finish(true).unwrap(), ["a", "b", "c", "d"]);
        for body in ["", "[]", "{", "\"x\"", "{\"a\":}"] {
            assert_eq!(Fields::parse(body.as_bytes()).unwrap_err().status, 400, "{body}");
        }
    }

    #[test]
    fn what_is_not_done_is_accepted_only_where_it_asks_for_nothing() {
        let known = [Neutral { name: "store", values: &["false"], reason: "nothing is stored" }];
        assert!(fields(r#"{"store": false}"#).only_neutral(&known).is_ok());
        assert!(fields(r#"{"store": null}"#).only_neutral(&known).is_ok());
        let refused = fields(r#"{"store": true}"#).only_neutral(&known).unwrap_err();
        assert_eq!(told(refused), ("store".to_owned(), "unsupported_parameter".to_owned()));
    }
}
