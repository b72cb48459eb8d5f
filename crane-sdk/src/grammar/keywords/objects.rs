//! Keywords of objects.

use serde_json::{Map, Value};

use super::arrays::COMBINED;
use super::patterns::is_followed;
use super::{ANNOTATIONS, Walk, is_any, is_none};

/// Names of an enumeration that are written out as properties.
const MOST_NAMES: usize = 1000;

impl Walk<'_> {
    /// Keeps what can be held of `propertyNames`, `unevaluatedProperties`, `dependentRequired` and `dependentSchemas`.
    pub(super) fn objects(&mut self, map: &mut Map<String, Value>, path: &str) {
        if let Some(rest) = map.shift_remove("unevaluatedProperties") {
            let combined = COMBINED.iter().any(|keyword| map.contains_key(*keyword));
            if is_any(&rest) || map.contains_key("additionalProperties") {
            } else if combined {
                self.leave_out("unevaluatedProperties", path, "stands beside combined schemas");
            } else {
                map.insert("additionalProperties".to_owned(), rest);
            }
        }
        self.names(map, path);
        self.dependent(map, path);
        self.required(map, path);
    }

    /// `propertyNames`, which patterns and properties can say.
    fn names(&mut self, map: &mut Map<String, Value>, path: &str) {
        let Some(names) = map.shift_remove("propertyNames") else { return };
        let says: Vec<&String> = names
            .as_object()
            .into_iter()
            .flat_map(Map::keys)
            .filter(|keyword| *keyword != "type" && !ANNOTATIONS.contains(&keyword.as_str()))
            .collect();
        let is_text = names.get("type").is_none_or(|kind| kind == "string");
        if is_any(&names) || names.is_object() && says.is_empty() && is_text {
            return;
        }
        let free =
            ["properties", "patternProperties"].iter().all(|keyword| !map.contains_key(*keyword));
        let combined = COMBINED.iter().any(|keyword| map.contains_key(*keyword));
        if let ([only], true, true) = (says.as_slice(), free && !combined, is_text) {
            let rest = map.get("additionalProperties").cloned().unwrap_or(true.into());
            let held = match (only.as_str(), names.get(only.as_str())) {
                ("pattern", Some(Value::String(pattern))) if is_followed(pattern) => {
                    Some(("patternProperties", Map::from_iter([(pattern.clone(), rest)])))
                }
                ("enum", Some(Value::Array(names))) if names.len() <= MOST_NAMES => {
                    let names = names.iter().filter_map(Value::as_str);
                    let properties = names.map(|name| (name.to_owned(), rest.clone()));
                    Some(("properties", properties.collect()))
                }
                ("const", Some(Value::String(name))) => {
                    Some(("properties", Map::from_iter([(name.clone(), rest)])))
                }
                _ => None,
            };
            if let Some((keyword, inner)) = held {
                map.insert(keyword.to_owned(), inner.into());
                map.insert("additionalProperties".to_owned(), false.into());
                return;
            }
        }
        self.leave_out(
            "propertyNames",
            path,
            "names of properties are held only by properties and patterns",
        );
    }

    /// What is asked for where a property is there.
    fn dependent(&mut self, map: &mut Map<String, Value>, path: &str) {
        for keyword in ["dependentRequired", "dependentSchemas", "dependencies"] {
            let Some(dependent) = map.shift_remove(keyword) else { continue };
            let required = |map: &Map<String, Value>, name: &str| {
                let names = map.get("required").and_then(Value::as_array);
                names.is_some_and(|names| names.iter().any(|other| other == name))
            };
            let mut held = dependent.is_object();
            for (name, asked) in dependent.as_object().into_iter().flatten() {
                match asked {
                    Value::Array(names) if names.is_empty() => {}
                    Value::Array(names) if required(map, name) => {
                        if let Some(all) = map.get_mut("required").and_then(Value::as_array_mut) {
                            all.extend(names.iter().filter(|name| name.is_string()).cloned());
                        }
                    }
                    asked if is_any(asked) => {}
                    _ => held = false,
                }
            }
            if !held {
                self.leave_out(keyword, path, "a grammar does not look back at other properties");
            }
        }
    }

    /// Names that are asked for and not allowed.
    fn required(&mut self, map: &mut Map<String, Value>, path: &str) {
        let closed = map.get("additionalProperties").is_some_and(is_none)
            && !map.contains_key("patternProperties");
        if !closed || self.strict {
            return;
        }
        let known: Vec<String> = map
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter(|(_, schema)| !is_none(schema))
            .map(|(name, _)| name.clone())
            .collect();
        let Some(names) = map.get_mut("required").and_then(Value::as_array_mut) else { return };
        let before = names.len();
        names.retain(|name| {
            name.as_str().is_some_and(|name| known.iter().any(|known| known == name))
        });
        if names.len() < before {
            self.leave_out("required", path, "asks for a property that the schema does not allow");
        }
    }
}
