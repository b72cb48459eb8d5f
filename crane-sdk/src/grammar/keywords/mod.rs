//! Which keywords of a JSON schema a grammar can hold: the others are named, with their paths, and left to the model.

mod arrays;
mod disjoint;
mod formats;
mod logic;
mod objects;
mod patterns;
mod references;
mod values;

use std::fmt;

use serde_json::{Map, Value};

use self::references::References;
use crate::{Error, Result};

/// Schemas that are looked at; what is larger is left to the limits of the compiler.
const MOST_SCHEMAS: usize = 100_000;
/// Keywords that one message names.
const MOST_TOLD: usize = 8;
/// The deepest nesting that is looked at; the compiler refuses less.
const MOST_LEVELS: usize = 256;

/// A schema as far as a grammar can hold it.
///
/// What asks for nothing new (`uniqueItems: false`, the format `password`, a length of `1.0`) is gone, and what can be said in
/// other words is (`unevaluatedProperties` without combined schemas, `propertyNames` of an enumeration, `oneOf` of schemas that
/// exclude one another, references with escapes).
///
/// ```
/// use crane_sdk::grammar::Enforceable;
/// use serde_json::json;
///
/// let schema = json!({ "type": "array", "items": { "type": "string", "minLength": 1.0 }, "uniqueItems": true });
/// let held = Enforceable::of(&schema);
/// assert_eq!(held.schema, json!({ "type": "array", "items": { "type": "string", "minLength": 1 } }));
/// assert!(held.left_out[0].to_string().starts_with("uniqueItems at #"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Enforceable {
    /// The schema that a grammar can hold. Each value of the whole schema is one of it, too.
    pub schema: Value,
    /// What the whole schema asks for besides.
    pub left_out: Vec<LeftOut>,
}

/// A keyword that no grammar holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub keyword: String,
    /// The schema that has it, as a JSON pointer: `#/properties/tags`.
    pub path: String,
    /// Why it is not held.
    pub reason: String,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} ({})", self.keyword, self.path, self.reason)
    }
}

impl Enforceable {
    /// Divides a schema into what a grammar can hold and what it cannot.
    pub fn of(schema: &Value) -> Self {
        Self::divided(schema, false)
    }

    /// The schema in words that a grammar can hold whole.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] with the keywords that cannot be held, and their paths.
    pub fn whole(schema: &Value) -> Result<Value> {
        let held = Self::divided(schema, true);
        if held.left_out.is_empty() {
            return Ok(held.schema);
        }
        let (told, rest) = held.left_out.split_at(held.left_out.len().min(MOST_TOLD));
        let told: Vec<String> = told.iter().map(LeftOut::to_string).collect();
        let more =
            if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
        let reason =
            format_args!("has what cannot be enforced: {}{more}; leave it out", told.join(", "));
        Err(Error::argument("grammar", reason))
    }

    /// As [`Enforceable::of`]; with `strict` what the compiler may yet find possible stays in the schema.
    pub(crate) fn divided(schema: &Value, strict: bool) -> Self {
        if levels(schema) > MOST_LEVELS {
            return Self { schema: schema.clone(), left_out: Vec::new() };
        }
        let mut walk = Walk {
            root: schema,
            strict,
            left_out: Vec::new(),
            seen: 0,
            references: References::default(),
        };
        let mut held = schema.clone();
        walk.schema(&mut held, "#");
        walk.definitions(&mut held);
        Self { schema: held, left_out: walk.left_out }
    }

    /// As much less of the schema as a compiler takes that refuses all of it: first without the keywords that can be too hard,
    /// then an object with the same properties, then any object. `None` behind the last.
    pub fn narrowed(&self, level: usize, reason: &str) -> Option<Self> {
        const HARD: [&str; 14] = [
            "pattern",
            "patternProperties",
            "format",
            "minLength",
            "maxLength",
            "minItems",
            "maxItems",
            "minProperties",
            "maxProperties",
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "multipleOf",
        ];
        let mut left_out = self.left_out.clone();
        let mut note = |keyword: &str, path: &str| {
            let (keyword, path) = (keyword.to_owned(), path.to_owned());
            left_out.push(LeftOut { keyword, path, reason: reason.to_owned() });
        };
        let schema = match level {
            0 => {
                let mut schema = self.schema.clone();
                without(&mut schema, &HARD, "#", &mut note);
                schema
            }
            1 => {
                note("all but the names of properties", "#");
                let properties = self.schema.get("properties").and_then(Value::as_object);
                let properties: Map<String, Value> = properties
                    .into_iter()
                    .flatten()
                    .map(|(name, _)| (name.clone(), true.into()))
                    .collect();
                serde_json::json!({ "type": "object", "properties": properties })
            }
            2 => {
                note("all", "#");
                serde_json::json!({ "type": "object" })
            }
            _ => return None,
        };
        Some(Self { schema, left_out })
    }
}

/// Takes keywords away wherever they are.
fn without(schema: &mut Value, keywords: &[&str], path: &str, note: &mut dyn FnMut(&str, &str)) {
    match schema {
        Value::Array(values) => {
            for (index, value) in values.iter_mut().enumerate() {
                without(value, keywords, &format!("{path}/{index}"), note);
            }
        }
        Value::Object(map) => {
            for keyword in keywords {
                if map.shift_remove(*keyword).is_some() {
                    note(keyword, path);
                    if *keyword == "patternProperties" {
                        map.shift_remove("additionalProperties");
                    }
                }
            }
            for (name, value) in map.iter_mut() {
                let path = format!("{path}/{}", references::escaped(name));
                match (name.as_str(), value) {
                    // Names of properties are no keywords.
                    ("properties" | "$defs" | "definitions", Value::Object(map)) => {
                        for (name, value) in map.iter_mut() {
                            let path = format!("{path}/{}", references::escaped(name));
                            without(value, keywords, &path, note);
                        }
                    }
                    ("const" | "enum" | "default" | "examples", _) => {}
                    (_, value) => without(value, keywords, &path, note),
                }
            }
        }
        _ => {}
    }
}

/// How deep a value is, without a call for each level.
fn levels(value: &Value) -> usize {
    let (mut open, mut deepest) = (vec![(value, 1)], 0);
    while let Some((value, depth)) = open.pop() {
        deepest = deepest.max(depth);
        match value {
            Value::Array(values) => open.extend(values.iter().map(|value| (value, depth + 1))),
            Value::Object(map) => open.extend(map.values().map(|value| (value, depth + 1))),
            _ => {}
        }
    }
    deepest
}

/// Goes through a schema and changes it to what can be held.
struct Walk<'a> {
    /// The whole schema as it was given.
    root: &'a Value,
    strict: bool,
    left_out: Vec<LeftOut>,
    seen: usize,
    references: References,
}

/// Keywords that hold one schema.
const ONE: [&str; 3] = ["items", "additionalItems", "additionalProperties"];
/// Keywords that hold a list of schemas.
const LISTS: [&str; 5] = ["items", "prefixItems", "allOf", "anyOf", "oneOf"];
/// Keywords that hold schemas by name.
const MAPS: [&str; 2] = ["properties", "patternProperties"];
/// Keywords that no grammar holds, where nothing before has taken them away.
const NEVER: [&str; 3] = ["$dynamicRef", "$recursiveRef", "dependencies"];
/// Names of places, which the compiler does not know.
const PLACES: [&str; 2] = ["$dynamicAnchor", "$recursiveAnchor"];

impl<'a> Walk<'a> {
    fn leave_out(&mut self, keyword: &str, path: &str, reason: impl fmt::Display) {
        let (keyword, path) = (keyword.to_owned(), path.to_owned());
        self.left_out.push(LeftOut { keyword, path, reason: reason.to_string() });
    }

    /// Takes a keyword away that is not held.
    fn drop(&mut self, map: &mut Map<String, Value>, keyword: &str, path: &str, reason: &str) {
        if map.shift_remove(keyword).is_some() {
            self.leave_out(keyword, path, reason);
        }
    }

    fn schema(&mut self, schema: &mut Value, path: &str) {
        self.seen += 1;
        if self.seen > MOST_SCHEMAS {
            return;
        }
        let map = match schema {
            Value::Bool(_) => return,
            Value::Object(map) => map,
            _ => {
                self.leave_out(
                    "a value",
                    path,
                    "is no schema: it is neither an object nor true or false",
                );
                *schema = true.into();
                return;
            }
        };
        PLACES.iter().for_each(|keyword| drop(map.shift_remove(*keyword)));
        self.values(map, path);
        self.formats(map, path);
        self.patterns(map, path);
        self.arrays(map, path);
        self.objects(map, path);
        self.reference(map, path);
        if self.logic(map, path) {
            *schema = false.into();
            return;
        }
        NEVER.iter().for_each(|keyword| self.drop(map, keyword, path, "is not held by a grammar"));
        for keyword in ONE {
            if let Some(inner) = map.get_mut(keyword).filter(|inner| !inner.is_array()) {
                self.schema(inner, &format!("{path}/{keyword}"));
            }
        }
        for keyword in LISTS {
            for (index, inner) in
                map.get_mut(keyword).and_then(Value::as_array_mut).into_iter().flatten().enumerate()
            {
                self.schema(inner, &format!("{path}/{keyword}/{index}"));
            }
        }
        for keyword in MAPS {
            let inner = map.get_mut(keyword).and_then(Value::as_object_mut);
            for (name, inner) in inner.into_iter().flatten() {
                self.schema(inner, &format!("{path}/{keyword}/{}", references::escaped(name)));
            }
        }
    }
}

/// Keywords that say nothing about values.
const ANNOTATIONS: [&str; 15] = [
    "title",
    "description",
    "default",
    "examples",
    "example",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$comment",
    "$schema",
    "$id",
    "$anchor",
    "$defs",
    "definitions",
    "nullable",
];

/// Whether a schema describes every value.
fn is_any(schema: &Value) -> bool {
    match schema {
        Value::Bool(any) => *any,
        Value::Object(map) => map.iter().all(|(keyword, value)| match keyword.as_str() {
            "not" => is_none(value),
            keyword => ANNOTATIONS.contains(&keyword),
        }),
        _ => false,
    }
}

/// Whether a schema describes no value.
fn is_none(schema: &Value) -> bool {
    match schema {
        Value::Bool(any) => !any,
        Value::Object(map) => map.get("not").is_some_and(is_any),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
