//! Reads a JSON object field by field, so that each is used or refused by its name.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::rc::Rc;

use crane_sdk::source::without_bom;
use serde_json::{Map, Value};

use super::ApiError;

/// The fields of a request that nobody has read yet.
#[derive(Debug)]
pub struct Fields {
    map: Map<String, Value>,
    /// What stands before a field's name in messages.
    path: String,
    /// The names of fields without effect, of the request and of all objects in it, where such are ignored.
    ignored: Option<Rc<RefCell<BTreeSet<String>>>>,
}

/// The most names that are noted of a request.
const MOST_IGNORED: usize = 1000;

/// Fields that only wish: an answer without what they ask for is still an answer to the request. A lenient server ignores them.
const WISHES: &[&str] = &[
    "allowed_callers",
    "background_options",
    "context_management",
    "defer_loading",
    "diagnostics",
    "include",
    "inference_geo",
    "input_examples",
    "instructions",
    "max_tool_calls",
    "metadata",
    "moderation",
    "output_schema",
    "prediction",
    "service_tier",
    "speed",
    "store",
    "stream_format",
    "thinking",
    "top_logprobs",
    "truncation",
    "user_profile_id",
    "verbosity",
    "workspace_id",
];

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
            Ok(Value::Object(map)) => Ok(Self { map, path: String::new(), ignored: None }),
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
            Value::Object(map) => Ok(Self { map, path: format!("{path}."), ignored: None }),
            other => Err(wrong_type(path, "an object", &other)),
        }
    }

    /// As [`Fields::of`], for an object inside this one: its unknown fields are ignored if this one's are.
    ///
    /// # Errors
    /// That it is not an object.
    pub fn within(&self, path: impl Display, value: Value) -> Result<Self, ApiError> {
        Ok(Self { ignored: self.ignored.clone(), ..Self::of(path, value)? })
    }

    /// Unknown fields of the request and of the objects in it are ignored and noted, if `lenient`.
    #[must_use]
    pub fn leniently(mut self, lenient: bool) -> Self {
        self.ignored = lenient.then(Rc::default);
        self
    }

    /// Whether unknown fields are ignored.
    pub fn is_lenient(&self) -> bool {
        self.ignored.is_some()
    }

    /// Notes a field that has no effect.
    pub fn ignore(&self, name: impl Display) {
        if let Some(names) = &self.ignored
            && names.borrow().len() < MOST_IGNORED
        {
            names.borrow_mut().insert(placeless(&name.to_string()));
        }
    }

    /// Takes a field that asks for what is not done here: refused, or ignored where unknown fields are.
    ///
    /// # Errors
    /// The field, if it is there.
    pub fn wish(&mut self, name: &str, reason: impl Display) -> Result<(), ApiError> {
        match self.take(name) {
            None => Ok(()),
            Some(_) if self.is_lenient() => {
                self.ignore(self.name(name));
                Ok(())
            }
            Some(_) => Err(ApiError::unsupported(self.name(name), reason)),
        }
    }

    /// Takes all fields that nobody has read.
    pub fn rest(&mut self) -> Map<String, Value> {
        let mut rest = std::mem::take(&mut self.map);
        rest.retain(|_, value| !value.is_null());
        rest
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

    /// Whether a field was sent as null.
    pub fn is_null(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(Value::is_null)
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

    /// Takes a whole number in a range, or one of those below 0 that stand for none.
    ///
    /// # Errors
    /// As [`Fields::integer`].
    pub fn or_none(
        &mut self,
        name: &str,
        range: RangeInclusive<u64>,
        none: &[i64],
    ) -> Result<Option<Option<u64>>, ApiError> {
        let number = self.map.get(name).and_then(Value::as_i64);
        match number.is_some_and(|number| none.contains(&number)) {
            true => Ok(self.take(name).map(|_| None)),
            false => Ok(self.integer(name, range)?.map(Some)),
        }
    }

    /// Takes the most tokens of a reply; -1 and -2 are as many as the context holds, as for llama.cpp and Ollama.
    ///
    /// # Errors
    /// As [`Fields::integer`].
    pub fn limit(&mut self, name: &str, least: u64) -> Result<Option<Option<usize>>, ApiError> {
        let number = self.or_none(name, least..=u64::from(u32::MAX), &[-1, -2])?;
        Ok(number.map(|number| number.map(|number| number as usize)))
    }

    /// Takes a seed; -1 is a new one each time, and other numbers below 0 are seeds like any.
    ///
    /// # Errors
    /// As [`Fields::integer`].
    pub fn seed(&mut self, name: &str) -> Result<Option<Option<u64>>, ApiError> {
        match self.map.get(name).and_then(Value::as_i64) {
            Some(-1) => Ok(self.take(name).map(|_| None)),
            Some(seed @ ..-1) => Ok(self.take(name).map(|_| Some(seed.cast_unsigned()))),
            _ => Ok(self.integer(name, 0..=u64::MAX)?.map(Some)),
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
            if !neutral && self.is_lenient() && WISHES.contains(name) {
                self.ignore(self.name(name));
            } else if !neutral {
                return Err(ApiError::unsupported(self.name(name), reason));
            }
        }
        Ok(())
    }

    /// Ends the reading: what nobody took is unknown. If `lenient`, the names are returned instead, with those of objects in the
    /// request; an object in a lenient request leaves its names there.
    ///
    /// # Errors
    /// The first unknown field.
    pub fn finish(self, lenient: bool) -> Result<Vec<String>, ApiError> {
        // `null` asks for nothing, but a name that nobody knows is a mistake all the same.
        for name in self.map.keys() {
            if !lenient && !self.is_lenient() {
                return Err(unknown(self.name(name)));
            }
            self.ignore(self.name(name));
        }
        Ok(match self.ignored {
            Some(names) if self.path.is_empty() => names.take().into_iter().collect(),
            Some(_) => Vec::new(),
            None => self.map.keys().map(|name| format!("{}{name}", self.path)).collect(),
        })
    }
}

/// A field that nobody knows.
pub fn unknown(name: impl Display) -> ApiError {
    ApiError::field(
        name,
        "unknown_parameter",
        "is unknown to this server; leave it out (or start the server with --lenient)",
    )
}

/// A field's name for all places of the lists that it stands in: `messages[].name`.
pub fn placeless(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for part in name.split_inclusive('[') {
        text.push_str(match text.ends_with('[') {
            true => part.trim_start_matches(|c: char| c.is_ascii_digit()),
            false => part,
        });
    }
    text
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
    fn a_lenient_request_tells_the_unknown_names_of_all_its_objects_once() {
        let json =
            r#"{"list": [{"a": 1}, {"a": 2, "b": null}], "store": true, "c": 3, "functions": [1]}"#;
        let read = |lenient: bool| {
            let mut read = fields(json).leniently(lenient);
            for (index, item) in read.take("list").unwrap().as_array().unwrap().iter().enumerate() {
                read.within(format_args!("list[{index}]"), item.clone())?.finish(false)?;
            }
            let neutral = |name| Neutral { name, values: &["false"], reason: "nothing is" };
            read.only_neutral(&[neutral("store")])?;
            let refused = read.only_neutral(&[neutral("functions")]).unwrap_err();
            assert_eq!(told(refused).0, "functions");
            read.finish(false)
        };
        assert_eq!(read(true).unwrap(), ["c", "list[].a", "list[].b", "store"]);
        assert_eq!(told(read(false).unwrap_err()).0, "list[0].a");
        assert_eq!(placeless("a[12].b[3].c"), "a[].b[].c");
    }

    #[test]
    fn numbers_below_zero_mean_what_they_mean_elsewhere() {
        let json = r#"{"k": -1, "n": -2, "s": -1, "t": -7, "u": 7, "v": -3}"#;
        let mut read = fields(json);
        assert_eq!(read.or_none("k", 0..=9, &[-1]).unwrap(), Some(None));
        assert_eq!(read.limit("n", 1).unwrap(), Some(None));
        assert_eq!(read.seed("s").unwrap(), Some(None));
        assert_eq!(read.seed("t").unwrap(), Some(Some((-7i64).cast_unsigned())));
        assert_eq!(read.seed("u").unwrap(), Some(Some(7)));
        assert!(read.limit("v", 1).is_err() && read.seed("w").unwrap().is_none());
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
