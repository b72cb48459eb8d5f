//! Makes shapes of schemas, and combines them as the compiler does.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use serde_json::{Map, Value};

use super::at;
use super::shape::{Array, Object, Shape, array_of, normal, options_of, raw_options};
use crate::grammar::budget::{Budget, most};
use crate::{Error, Result};

/// The levels of combined schemas that the compiler takes.
const COMBINED: usize = 128;
/// What a check that two patterns for property names exclude each other may take.
const DISJOINT: u64 = 500;
/// Ways in which all patterns of one string can go on together; the lexer tries each.
const WAYS: u64 = 100_000;
/// What stands in the place of a missing `type`.
const TYPES: [&str; 6] = ["null", "boolean", "number", "string", "array", "object"];

pub(super) struct Reader<'a, 'b, 'c> {
    pub(super) root: &'a Value,
    pub(super) budget: &'b mut Budget<'c>,
    /// `None` while one is being read.
    pub(super) definitions: HashMap<String, Option<Shape>>,
    pub(super) names: u64,
}

impl<'a> Reader<'a, '_, '_> {
    pub(super) fn read(&mut self, schema: &'a Value) -> Result<Shape> {
        self.budget.step(1)?;
        let map = match schema {
            Value::Bool(true) => return Ok(Shape::Any),
            Value::Object(map) => map,
            // What is no schema is refused by the compiler.
            _ => return Ok(Shape::Never),
        };
        let mut result = Shape::Any;
        let mut plain: Vec<&str> = Vec::new();
        for (keyword, value) in map {
            self.budget.step(1)?;
            typed(keyword, value)?;
            if !APPLICATORS.contains(&keyword.as_str()) {
                plain.push(keyword);
                continue;
            }
            result = self.before(result, &mut plain, map)?;
            let applied = match keyword.as_str() {
                "const" => self.constant(value)?,
                "enum" => {
                    let values = value.as_array().into_iter().flatten();
                    let options =
                        values.map(|value| self.constant(value)).collect::<Result<Vec<_>>>()?;
                    options_of(options, false, self.budget)?
                }
                "anyOf" | "oneOf" => {
                    let values = value.as_array().into_iter().flatten();
                    let options =
                        values.map(|value| self.read(value)).collect::<Result<Vec<_>>>()?;
                    // They are made normal once they are combined with what is there.
                    raw_options(options, keyword == "oneOf")
                }
                "allOf" => {
                    for value in value.as_array().into_iter().flatten() {
                        let shape = self.read(value)?;
                        result = self.both(result, shape, 0)?;
                    }
                    continue;
                }
                _ => {
                    let name = value.as_str().unwrap_or_default();
                    self.define(name)?;
                    if matches!(result, Shape::Any) {
                        result = Shape::Ref(name.into());
                    } else {
                        result = self.both_with_ref(name, result, 0)?;
                    }
                    continue;
                }
            };
            result = self.both(result, applied, 0)?;
        }
        self.before(result, &mut plain, map)
    }

    /// Combines what is known with the plain keywords that came since.
    fn before(
        &mut self,
        result: Shape,
        plain: &mut Vec<&str>,
        map: &'a Map<String, Value>,
    ) -> Result<Shape> {
        let keywords = std::mem::take(plain);
        if !keywords.iter().any(|keyword| PLAIN.contains(keyword)) {
            return Ok(result);
        }
        let get = |keyword: &str| map.get(keyword).filter(|_| keywords.contains(&keyword));
        let types: Vec<&str> = match map.get("type") {
            Some(Value::String(kind)) => vec![kind],
            Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).collect(),
            _ => TYPES.to_vec(),
        };
        let options = types.into_iter().map(|kind| self.of_type(kind, &get));
        let shape = match <[Shape; 1]>::try_from(options.collect::<Result<Vec<_>>>()?) {
            Ok([only]) => only,
            Err(options) => raw_options(options, false),
        };
        self.both(result, shape, 0)
    }

    fn of_type(&mut self, kind: &str, get: &dyn Fn(&str) -> Option<&'a Value>) -> Result<Shape> {
        self.budget.step(1)?;
        Ok(match kind {
            "null" => Shape::Plain(0),
            "boolean" => Shape::Plain(1),
            "number" | "integer" => Shape::Plain(2),
            "string" => {
                let mut ways = 1;
                if let Some(pattern) = get("pattern").and_then(Value::as_str) {
                    self.budget.pattern(pattern)?;
                    ways = 1 + pattern.len() as u64;
                }
                if get("format").is_some() {
                    ways = self.ways(ways, 200)?;
                }
                if ways > 1 && (get("minLength").is_some() || get("maxLength").is_some()) {
                    ways = self.ways(ways, 8)?;
                }
                Shape::Text(ways)
            }
            "array" => self.array(get)?,
            "object" => self.object(get)?,
            _ => Shape::Never,
        })
    }

    fn array(&mut self, get: &dyn Fn(&str) -> Option<&'a Value>) -> Result<Shape> {
        let mut prefix = Vec::new();
        let mut items = None;
        for keyword in ["prefixItems", "items", "additionalItems"] {
            match get(keyword) {
                Some(Value::Array(schemas)) => {
                    for schema in schemas {
                        prefix.push(self.read(schema)?);
                    }
                }
                Some(schema) => {
                    let shape = self.read(schema)?;
                    // An older draft's word for the other takes its place.
                    items = Some(
                        items.filter(|first: &Shape| first.size() > shape.size()).unwrap_or(shape),
                    );
                }
                None => {}
            }
        }
        Ok(array_of(prefix, items))
    }

    fn object(&mut self, get: &dyn Fn(&str) -> Option<&'a Value>) -> Result<Shape> {
        let mut object = Object {
            properties: HashMap::new(),
            patterns: HashMap::new(),
            rest: None,
            required: HashSet::new(),
            counted: get("minProperties").is_some() || get("maxProperties").is_some(),
            size: 0,
        };
        for (keyword, map) in
            [("properties", &mut object.properties), ("patternProperties", &mut object.patterns)]
        {
            for (name, schema) in get(keyword).and_then(Value::as_object).into_iter().flatten() {
                let shape = self.read(schema)?;
                map.insert(name.as_str().into(), shape);
            }
        }
        self.names += object.properties.len() as u64;
        for name in get("required").and_then(Value::as_array).into_iter().flatten() {
            self.budget.step(1)?;
            object.required.extend(name.as_str().map(Rc::from));
        }
        self.disjoint(object.patterns.keys())?;
        if let Some(largest) = object.patterns.values().max_by_key(|shape| shape.size()).cloned() {
            for name in object.properties.keys().cloned().collect::<Vec<_>>() {
                self.budget.step(largest.size())?;
                if let Some(shape) = object.properties.get(&name).cloned() {
                    let both = self.both(shape, largest.clone(), 0)?;
                    object.properties.insert(name, both);
                }
            }
        }
        object.rest = get("additionalProperties").map(|schema| self.read(schema)).transpose()?;
        self.object_of(object)
    }

    /// Counts the checks among patterns of names.
    fn disjoint<'p>(&mut self, patterns: impl ExactSizeIterator<Item = &'p Rc<str>>) -> Result<()> {
        let count = patterns.len() as u64;
        for pattern in patterns {
            self.budget.pattern(pattern)?;
        }
        self.budget.step(count * count.saturating_sub(1) / 2 * DISJOINT)
    }

    /// Gives an object its size.
    fn object_of(&mut self, mut object: Object) -> Result<Shape> {
        let alone = object.required.iter().filter(|name| !object.properties.contains_key(*name));
        let names = object.properties.len() + alone.count();
        most("properties", "properties in one object", names, self.budget.limits.properties)?;
        let (names, patterns) = (names as u64, object.patterns.len() as u64);
        let parts = object.properties.values().chain(object.patterns.values()).chain(&object.rest);
        let mut size = parts.fold(2, |sum: u64, shape| sum.saturating_add(shape.size()));
        // Each name is found among the rest of its row, and by each pattern.
        size = size.saturating_add(2 * names + names * names / 64 + names * patterns);
        let optional = names.saturating_sub(object.required.len() as u64);
        self.budget.row(optional as usize);
        if object.counted {
            // The compiler writes the whole row for each that may be the only one.
            size = size.saturating_add(optional * names * names / 4);
        }
        object.size = size;
        Ok(Shape::Object(Rc::new(object)))
    }

    fn constant(&mut self, value: &'a Value) -> Result<Shape> {
        self.budget.step(1)?;
        Ok(match value {
            Value::Null => Shape::Plain(0),
            Value::Bool(_) => Shape::Plain(1),
            Value::Number(_) => Shape::Plain(2),
            Value::String(_) => Shape::Text(1),
            Value::Array(values) => {
                let values = values.iter().map(|value| self.constant(value));
                array_of(values.collect::<Result<_>>()?, Some(Shape::Never))
            }
            Value::Object(map) => {
                self.names += map.len() as u64;
                let mut object = Object {
                    properties: HashMap::new(),
                    patterns: HashMap::new(),
                    rest: Some(Shape::Never),
                    required: map.keys().map(|name| name.as_str().into()).collect(),
                    counted: false,
                    size: 0,
                };
                for (name, value) in map {
                    object.properties.insert(name.as_str().into(), self.constant(value)?);
                }
                self.object_of(object)?
            }
        })
    }

    /// Reads a definition when it is first met.
    fn define(&mut self, name: &str) -> Result<()> {
        if self.definitions.contains_key(name) {
            return Ok(());
        }
        self.definitions.insert(name.to_owned(), None);
        // What is not there is told by the compiler.
        let shape = match at(self.root, name) {
            Some(schema) => self.read(schema)?,
            None => Shape::Never,
        };
        self.definitions.insert(name.to_owned(), Some(shape));
        Ok(())
    }

    fn both_with_ref(&mut self, name: &str, other: Shape, level: usize) -> Result<Shape> {
        self.define(name)?;
        // A definition that is still being read cannot be combined; the compiler says so.
        let Some(Some(shape)) = self.definitions.get(name).cloned() else {
            return Ok(Shape::Never);
        };
        self.budget.step(shape.size())?;
        self.both(shape, other, level + 1)
    }

    /// What is of both shapes.
    fn both(&mut self, a: Shape, b: Shape, level: usize) -> Result<Shape> {
        self.budget.step(1)?;
        if level > COMBINED {
            let reason = format_args!(
                "combines schemas (allOf, or $ref beside other keywords) over more than {COMBINED} levels, or in a circle"
            );
            return Err(Error::argument("grammar", reason));
        }
        Ok(match (a, b) {
            (Shape::Any, shape) | (shape, Shape::Any) => return normal(shape, self.budget),
            (Shape::Never, _) | (_, Shape::Never) => Shape::Never,
            (Shape::Ref(name), other) | (other, Shape::Ref(name)) => {
                self.both_with_ref(&name, other, level + 1)?
            }
            (Shape::Options { options, one, .. }, other)
            | (other, Shape::Options { options, one, .. }) => {
                let mut all = Vec::with_capacity(options.len());
                for option in options.iter() {
                    self.budget.step(other.size())?;
                    all.push(self.both(option.clone(), other.clone(), level + 1)?);
                }
                options_of(all, one, self.budget)?
            }
            (Shape::Plain(a), Shape::Plain(b)) if a == b => Shape::Plain(a),
            (Shape::Text(a), Shape::Text(b)) => Shape::Text(self.ways(a, b)?),
            (Shape::Array(a), Shape::Array(b)) => self.both_arrays(&a, &b, level)?,
            (Shape::Object(a), Shape::Object(b)) => self.both_objects(&a, &b, level)?,
            _ => Shape::Never,
        })
    }

    fn both_arrays(&mut self, a: &Array, b: &Array, level: usize) -> Result<Shape> {
        let mut prefix = Vec::new();
        for index in 0..a.prefix.len().max(b.prefix.len()) {
            let [one, other] = [a, b].map(|array| {
                array.prefix.get(index).or(array.items.as_ref()).cloned().unwrap_or(Shape::Any)
            });
            self.budget.step(one.size().saturating_add(other.size()))?;
            prefix.push(self.both(one, other, level + 1)?);
        }
        let items = self.both_rests(&a.items, &b.items, level)?;
        Ok(array_of(prefix, items))
    }

    fn both_rests(
        &mut self,
        a: &Option<Shape>,
        b: &Option<Shape>,
        level: usize,
    ) -> Result<Option<Shape>> {
        match (a, b) {
            (Some(a), Some(b)) => self.both(a.clone(), b.clone(), level + 1).map(Some),
            (one, other) => Ok(one.as_ref().or(other.as_ref()).cloned()),
        }
    }

    fn both_objects(&mut self, a: &Object, b: &Object, level: usize) -> Result<Shape> {
        let mut object = Object {
            properties: HashMap::new(),
            patterns: HashMap::new(),
            rest: None,
            required: a.required.union(&b.required).cloned().collect(),
            counted: a.counted || b.counted,
            size: 0,
        };
        for (one, other) in [(a, b), (b, a)] {
            for (name, shape) in &one.properties {
                if object.properties.contains_key(name) {
                    continue;
                }
                let beside = other.property(name);
                self.budget.step(beside.size())?;
                let both = self.both(shape.clone(), beside, level + 1)?;
                object.properties.insert(name.clone(), both);
            }
            for (name, shape) in &one.patterns {
                if object.patterns.contains_key(name) {
                    continue;
                }
                let beside = other.patterns.get(name).or(other.rest.as_ref()).cloned();
                let beside = beside.unwrap_or(Shape::Any);
                self.budget.step(beside.size())?;
                let both = self.both(shape.clone(), beside, level + 1)?;
                object.patterns.insert(name.clone(), both);
            }
        }
        self.disjoint(object.patterns.keys())?;
        object.rest = self.both_rests(&a.rest, &b.rest, level)?;
        self.object_of(object)
    }

    /// The ways of two strings' patterns together.
    fn ways(&mut self, a: u64, b: u64) -> Result<u64> {
        let ways = a.saturating_mul(b);
        if ways > WAYS {
            let reason = format_args!(
                "asks one string to fit several patterns (pattern, format, a length, allOf) that can go on in {ways} ways \
                 together, and at most {WAYS} are taken; write one pattern"
            );
            return Err(Error::argument("grammar", reason));
        }
        Ok(ways)
    }
}

/// Refuses values of another type than their keyword's; short ones are left to the compiler, which shows them.
fn typed(keyword: &str, value: &Value) -> Result<()> {
    let fits = match keyword {
        "pattern" | "format" | "$ref" => value.is_string(),
        "properties" | "patternProperties" => value.is_object(),
        "required" => value.as_array().is_some_and(|names| names.iter().all(Value::is_string)),
        "prefixItems" | "enum" | "allOf" | "anyOf" | "oneOf" => value.is_array(),
        "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties"
        | "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
            value.is_number() || value.is_boolean()
        }
        _ => return Ok(()),
    };
    // The compiler cuts what it shows by bytes, through the middle of a letter.
    if fits || value.as_str().is_some_and(|text| text.len() < 90 && text.is_ascii()) {
        return Ok(());
    }
    Err(Error::argument("grammar", format_args!("has a value of another type at {keyword}")))
}

/// The keywords that combine schemas.
const APPLICATORS: [&str; 6] = ["const", "enum", "allOf", "anyOf", "oneOf", "$ref"];

/// The keywords that say something by themselves.
const PLAIN: [&str; 21] = [
    "type",
    "items",
    "additionalItems",
    "prefixItems",
    "minItems",
    "maxItems",
    "properties",
    "additionalProperties",
    "patternProperties",
    "required",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
];
