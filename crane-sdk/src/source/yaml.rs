//! YAML files of a checkpoint, read as what JSON can say: no aliases, which could make a short text a large value.

use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};
use yaml_rust2::Yaml;
use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::TScalarStyle;

use super::{Source, without_bom};
use crate::{Error, Result};

/// The longest file, in bytes.
const MOST: u64 = 1 << 20;
/// How deep values may lie in each other.
const DEPTH: usize = 64;
/// The most values: hundreds of times what configs have. One takes two bytes of the text and over a hundred of memory.
const VALUES: usize = 1 << 16;

/// Reads the only document of a file of at most a megabyte.
///
/// # Errors
/// What `source` says of the file, and [`Error::InvalidFile`] for what is not YAML or not a `T`.
pub(crate) fn read<T: DeserializeOwned>(source: &dyn Source, name: &str) -> Result<T> {
    let blob = source.open(name)?;
    if blob.len() > MOST {
        return Err(Error::invalid_file(name, format_args!("{} bytes are no config", blob.len())));
    }
    let bytes = blob.read_all()?;
    let text = std::str::from_utf8(without_bom(&bytes))
        .map_err(|error| Error::invalid_file(name, error))?;
    let value = value(text).map_err(|reason| Error::invalid_file(name, reason))?;
    serde_json::from_value(value).map_err(|error| Error::invalid_file(name, error))
}

/// A list or mapping that has begun; a mapping with the key whose value comes next.
enum Open {
    List(Vec<Value>),
    Mapping(Map<String, Value>, Option<String>),
}

/// The text's document. It goes by events, since readers that call themselves can be led too deep.
fn value(text: &str) -> Result<Value, String> {
    let mut parser = Parser::new_from_str(text);
    let mut open: Vec<Open> = Vec::new();
    let mut found = None;
    let mut values = 0;
    loop {
        let (event, place) = parser.next_token().map_err(|error| error.to_string())?;
        let at = |reason: &str| format!("line {}: {reason}", place.line());
        values += 1;
        if values > VALUES {
            return Err(at(&format!(
                "there are more than {VALUES} values, the most that are read"
            )));
        }
        let done = match event {
            Event::StreamEnd => return found.ok_or_else(|| "there is nothing in it".to_owned()),
            Event::Alias(_) => return Err(at("aliases are not read")),
            Event::SequenceStart(..) if open.len() < DEPTH => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) if open.len() < DEPTH => {
                open.push(Open::Mapping(Map::new(), None));
                continue;
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                return Err(at("values lie too deep in each other"));
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(list)) => Value::Array(list),
                Some(Open::Mapping(mapping, None)) => Value::Object(mapping),
                _ => return Err(at("a key has no value")),
            },
            Event::Scalar(text, TScalarStyle::Plain, ..) => scalar(text),
            Event::Scalar(text, ..) => Value::String(text),
            _ => continue,
        };
        match open.last_mut() {
            None if found.is_some() => return Err(at("there is a second document")),
            None => found = Some(done),
            Some(Open::List(list)) => list.push(done),
            Some(Open::Mapping(mapping, key)) => match (key.take(), done) {
                (Some(key), done) => {
                    if mapping.insert(key, done).is_some() {
                        return Err(at("a key stands twice in one mapping"));
                    }
                }
                (None, Value::String(name)) => *key = Some(name),
                (None, Value::Number(number)) => *key = Some(number.to_string()),
                (None, _) => return Err(at("a key is neither a word nor a number")),
            },
        }
    }
}

/// A plain word of YAML's core schema. Numbers that JSON cannot hold stay words.
fn scalar(text: String) -> Value {
    match Yaml::from_str(&text) {
        Yaml::Null => Value::Null,
        Yaml::Boolean(truth) => Value::Bool(truth),
        Yaml::Integer(number) => Value::Number(number.into()),
        Yaml::Real(digits) => {
            let number = digits.parse().ok().and_then(Number::from_f64);
            number.map_or(Value::String(text), Value::Number)
        }
        _ => Value::String(text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_mappings_and_every_kind_of_scalar() {
        let text = "# a comment\na:\n  - 1\n  - -2.5e-3\n  - {b: null, 'c d': \"1\", e: true}\nf: [x, .inf]\n7: word\ng: >-\n  two\n  lines\n";
        let expected = json!({
            "a": [1, -0.0025, {"b": null, "c d": "1", "e": true}], "f": ["x", ".inf"], "7": "word",
            "g": "two lines",
        });
        assert_eq!(value(text).unwrap(), expected);
    }

    #[test]
    fn what_is_not_read_is_refused_with_its_line() {
        for (text, reason) in [
            ("", "nothing"),
            ("a: &x 1\nb: *x\n", "line 2: aliases"),
            ("a: 1\n---\nb: 2\n", "second document"),
            ("a: 1\na: 2\n", "line 2: a key stands twice"),
            ("[a, b]: 1\n", "neither a word nor a number"),
            ("a: [1, 2\n", ""),
        ] {
            let error = value(text).unwrap_err();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
        let many = format!("[{}1]", "1,".repeat(VALUES));
        assert!(value(&many).unwrap_err().contains("more than 65536 values"));
        assert!(value(&"- ".repeat(10_000)).unwrap_err().contains("too deep"));
        assert!(value(&"[".repeat(100)).unwrap_err().contains("too deep"));
        assert!(value(&"[".repeat(10_000)).is_err());
    }
}
