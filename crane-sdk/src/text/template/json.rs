//! `tojson` as `transformers` defines it: Python's `json.dumps` with `ensure_ascii=False`.

use std::fmt::Write;

use minijinja::value::{Kwargs, Rest, Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};

use super::meter;

/// Deepest nesting that is written: values are built by strangers' programs.
const MAX_DEPTH: usize = 200;

/// Widest indentation of a level.
const MAX_INDENT: usize = 64;

struct Writer<'a, 's, 'e> {
    state: &'a State<'s, 'e>,
    out: String,
    /// How much of it was paid for.
    charged: usize,
    ensure_ascii: bool,
    sort_keys: bool,
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
}

/// The filter: `tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
pub(super) fn tojson(
    state: &mut State<'_, '_>,
    value: &Value,
    args: Rest<Value>,
    kwargs: Kwargs,
) -> Result<String, Error> {
    type Args = (Option<bool>, Option<Value>, Option<Value>);
    let (ensure_ascii, indent, separators): Args = from_args(&args)?;
    let named = |name: &str, given: Option<Value>| -> Result<Option<Value>, Error> {
        let value = match given {
            Some(value) => Some(value),
            None => kwargs.get(name)?,
        };
        Ok(value.filter(|value| !value.is_none()))
    };
    let flag = |name: &str, given: Option<bool>| -> Result<bool, Error> {
        match given {
            Some(value) => Ok(value),
            None => Ok(kwargs.get::<Option<bool>>(name)?.unwrap_or_default()),
        }
    };
    let indent = named("indent", indent)?.map(|value| indentation(&value)).transpose()?;
    let (item_separator, key_separator) = match named("separators", separators)? {
        Some(pair) => (text(&pair, 0)?, text(&pair, 1)?),
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
    };
    let mut writer = Writer {
        state,
        out: String::new(),
        charged: 0,
        ensure_ascii: flag("ensure_ascii", ensure_ascii)?,
        sort_keys: flag("sort_keys", None)?,
        indent,
        item_separator,
        key_separator,
    };
    kwargs.assert_all_used()?;
    writer.value(value, 0)?;
    Ok(writer.out)
}

/// Bytes of JSON that a value takes the memory of.
const VALUE_BYTES: usize = 2;

/// The filter `fromjson`: the value that a JSON text means.
pub(super) fn fromjson(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    let text = value.as_str().ok_or_else(|| {
        fail(format!("fromjson: takes a text, not a value of type {}", value.kind()))
    })?;
    meter::items(state, text.len() / VALUE_BYTES + 1)?;
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|error| fail(format!("fromjson: not JSON: {error}")))?;
    Ok(minijinja::value::Serde(json).into())
}

fn indentation(value: &Value) -> Result<String, Error> {
    if let Some(text) = value.as_str() {
        if text.len() > MAX_INDENT {
            return Err(fail(format!("tojson: indent is longer than {MAX_INDENT} bytes")));
        }
        return Ok(text.to_owned());
    }
    let width = i64::try_from(value.clone())?.clamp(0, MAX_INDENT as i64);
    Ok(" ".repeat(usize::try_from(width).unwrap_or_default()))
}

fn text(pair: &Value, index: usize) -> Result<String, Error> {
    let item = pair.get_item(&Value::from(index))?;
    match item.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(fail("tojson: separators should be two strings")),
    }
}

fn fail(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

impl Writer<'_, '_, '_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(fail(format!("tojson: nested deeper than {MAX_DEPTH}")));
        }
        meter::items(self.state, 1)?;
        meter::bytes(self.state, self.out.len() - self.charged)?;
        self.charged = self.out.len();
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.out.push_str(&number(value)?),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => self.list(value, depth)?,
            ValueKind::Map => self.object(value, depth)?,
            kind => return Err(fail(format!("an object of type {kind} is not JSON serializable"))),
        }
        Ok(())
    }

    fn list(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.out.push('[');
        let mut empty = true;
        for item in value.try_iter()? {
            self.separate(&mut empty, depth);
            self.value(&item, depth + 1)?;
        }
        self.end(empty, depth, ']');
        Ok(())
    }

    fn object(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        meter::items(self.state, value.len().unwrap_or_default())?;
        let mut keys: Vec<Value> = value.try_iter()?.collect();
        if self.sort_keys {
            keys.sort();
        }
        self.out.push('{');
        let mut empty = true;
        for key in keys {
            self.separate(&mut empty, depth);
            match key.kind() {
                ValueKind::String => self.string(key.as_str().unwrap_or_default()),
                ValueKind::None => self.string("null"),
                ValueKind::Bool => self.string(if key.is_true() { "true" } else { "false" }),
                ValueKind::Number => {
                    let key = number(&key)?;
                    self.string(&key);
                }
                kind => return Err(fail(format!("tojson: a key cannot be a {kind}"))),
            }
            let separator = self.key_separator.clone();
            self.out.push_str(&separator);
            self.value(&value.get_item(&key)?, depth + 1)?;
        }
        self.end(empty, depth, '}');
        Ok(())
    }

    fn separate(&mut self, empty: &mut bool, depth: usize) {
        if !std::mem::replace(empty, false) {
            self.out.push_str(&self.item_separator);
        }
        self.line(depth + 1);
    }

    fn end(&mut self, empty: bool, depth: usize, close: char) {
        if !empty {
            self.line(depth);
        }
        self.out.push(close);
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = &self.indent {
            self.out.push('\n');
            for _ in 0..depth {
                self.out.push_str(indent);
            }
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            match character {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                '\0'..='\u{1f}' => self.escape(character),
                // They are taken out again.
                mark if super::guard::MARKS.contains(&mark) => self.out.push(mark),
                '\u{7f}'.. if self.ensure_ascii && character != '\u{7f}' => self.escape(character),
                _ => self.out.push(character),
            }
        }
        self.out.push('"');
    }

    fn escape(&mut self, character: char) {
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a string cannot fail.
            let _ = write!(self.out, "\\u{unit:04x}");
        }
    }
}

fn number(value: &Value) -> Result<String, Error> {
    if value.is_integer() {
        return Ok(value.to_string());
    }
    let float = f64::try_from(value.clone())?;
    Ok(if float.is_nan() {
        "NaN".to_owned()
    } else if float.is_infinite() {
        if float > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        python_float(float)
    })
}

/// Python's `repr` of a float: the shortest digits that mean it, with an exponent if that is below
/// -4 or above 15.
pub(super) fn python_float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if number == 0.0 || (-4..16).contains(&exponent) {
        let mut text = number.to_string();
        if !text.contains('.') {
            text.push_str(".0");
        }
        return text;
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::python_float;

    #[test]
    fn floats_read_as_in_python() {
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1e22, "1e+22"),
            (-2.5e300, "-2.5e+300"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(python_float(number), text);
        }
    }
}
