//! Keywords whose values have another type than theirs, and numbers that are written in an unusual way.

use serde_json::{Map, Value};

use super::Walk;

/// Counts, as whole numbers.
const COUNTS: [&str; 8] = [
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minContains",
    "maxContains",
];
const BOUNDS: [&str; 5] =
    ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
/// No reply is as long as this: a bound above it is none.
const ENDLESS: u64 = 1 << 24;
/// The names of types.
pub(super) const TYPES: [&str; 7] =
    ["null", "boolean", "integer", "number", "string", "array", "object"];

/// Whether a keyword's value is of the kind that it must be.
type Fits = fn(&Value) -> bool;
/// The most characters of a value that a reason shows.
const SHOWN: usize = 60;

impl Walk<'_> {
    /// Puts values right that can only be meant in one way, and takes away those that are none.
    pub(super) fn values(&mut self, map: &mut Map<String, Value>, path: &str) {
        for keyword in COUNTS {
            let Some(value) = map.get_mut(keyword) else { continue };
            let Some(number) = value.as_f64() else {
                self.drop(map, keyword, path, "is no whole number");
                continue;
            };
            let (least, whole) = (keyword.starts_with("min"), number.fract() == 0.0);
            if number < 0.0 && least || !least && number > ENDLESS as f64 {
                map.shift_remove(keyword);
            } else if number < 0.0 || !whole {
                self.drop(map, keyword, path, "is no whole number of 0 or more");
            } else if !value.is_u64() {
                *value = (number as u64).into();
            }
        }
        for keyword in BOUNDS {
            let fits = |value: &Value| {
                value.is_number() || value.is_boolean() && keyword.starts_with("exclusive")
            };
            if map.get(keyword).is_some_and(|value| !fits(value)) {
                self.drop(map, keyword, path, "is no number");
            }
        }
        let kinds: [(&str, Fits, &str); 11] = [
            ("enum", is_list, "is no list of values"),
            ("allOf", is_list, "is no list of schemas"),
            ("anyOf", is_list, "is no list of schemas"),
            ("oneOf", is_list, "is no list of schemas"),
            ("prefixItems", Value::is_array, "is no list of schemas"),
            ("properties", Value::is_object, "is no object"),
            ("patternProperties", Value::is_object, "is no object"),
            ("required", is_names, "is no list of names"),
            ("pattern", Value::is_string, "is no text"),
            ("format", Value::is_string, "is no text"),
            ("$ref", Value::is_string, "is no text"),
        ];
        for (keyword, fits, reason) in kinds {
            if map.get(keyword).is_some_and(|value| !fits(value)) {
                self.drop(map, keyword, path, reason);
            }
        }
        self.types(map, path);
    }

    /// Types by their names, in whatever case.
    fn types(&mut self, map: &mut Map<String, Value>, path: &str) {
        let Some(value) = map.get_mut("type") else { return };
        let known = |name: &Value| {
            let name = name.as_str()?.to_ascii_lowercase();
            TYPES.contains(&name.as_str()).then(|| Value::from(name))
        };
        let found = match &*value {
            Value::Array(names) => {
                let names: Option<Vec<Value>> = names.iter().map(known).collect();
                names.filter(|names| !names.is_empty()).map(Value::from)
            }
            name => known(name),
        };
        match found {
            Some(found) => *value = found,
            None => {
                let given: String = value.to_string().chars().take(SHOWN).collect();
                let reason = format!("is {given}; JSON has {}", TYPES.join(", "));
                self.drop(map, "type", path, &reason);
            }
        }
    }
}

fn is_list(value: &Value) -> bool {
    value.as_array().is_some_and(|values| !values.is_empty())
}

fn is_names(value: &Value) -> bool {
    value.as_array().is_some_and(|names| names.iter().all(Value::is_string))
}
