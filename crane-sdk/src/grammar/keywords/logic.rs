//! Keywords that combine schemas: `not`, `if`, `oneOf`.

use serde_json::{Map, Value, json};

use super::disjoint::Disjoint;
use super::values::TYPES;
use super::{Walk, is_any, is_none};

impl Walk<'_> {
    /// Keeps what can be held; whether the schema describes no value at all.
    pub(super) fn logic(&mut self, map: &mut Map<String, Value>, path: &str) -> bool {
        if self.not(map, path) {
            return true;
        }
        let (then, other) = (map.shift_remove("then"), map.shift_remove("else"));
        if let Some(when) = map.shift_remove("if") {
            let branches = [then, other].map(|branch| branch.filter(|branch| !is_any(branch)));
            match branches {
                [None, None] => {}
                [then, other] if is_any(&when) || is_none(&when) => {
                    let branch = if is_any(&when) { then } else { other };
                    if let (Some(branch), Some(all)) =
                        (branch, map.entry("allOf").or_insert_with(|| json!([])).as_array_mut())
                    {
                        all.push(branch);
                    }
                }
                _ => self.leave_out("if", path, "a grammar does not look back at a condition"),
            }
        }
        if map.get("allOf").and_then(Value::as_array).is_some_and(Vec::is_empty) {
            map.shift_remove("allOf");
        }
        self.one_of(map, path);
        false
    }

    fn not(&mut self, map: &mut Map<String, Value>, path: &str) -> bool {
        let Some(not) = map.shift_remove("not") else { return false };
        if is_any(&not) {
            return true;
        }
        if is_none(&not) {
            return false;
        }
        let inner = not.as_object();
        let only = inner.filter(|inner| inner.len() == 1).and_then(|inner| inner.iter().next());
        let list = |value: &Value| match value {
            Value::Array(values) => values.clone(),
            value => vec![value.clone()],
        };
        match only {
            Some((keyword, kinds)) if keyword == "type" => {
                let without = list(kinds);
                if !without.iter().any(|kind| kind == "integer") {
                    let own = map.get("type").map_or_else(
                        || TYPES.iter().map(|kind| Value::from(*kind)).collect(),
                        list,
                    );
                    let is_out = |kind: &Value| {
                        without.contains(kind)
                            || kind == "integer" && without.iter().any(|kind| kind == "number")
                    };
                    let kinds: Vec<Value> = own.into_iter().filter(|kind| !is_out(kind)).collect();
                    if kinds.is_empty() {
                        return true;
                    }
                    map.insert("type".to_owned(), kinds.into());
                    return false;
                }
            }
            Some((keyword, values)) if matches!(keyword.as_str(), "enum" | "const") => {
                let without = if keyword == "enum" { list(values) } else { vec![values.clone()] };
                if let Some(own) = map.get_mut("enum").and_then(Value::as_array_mut) {
                    own.retain(|value| !without.contains(value));
                    return own.is_empty();
                }
            }
            _ => {}
        }
        self.leave_out("not", path, "a grammar says what may come, not what may not");
        false
    }

    /// `oneOf` whose schemas exclude one another is `anyOf`.
    fn one_of(&mut self, map: &mut Map<String, Value>, path: &str) {
        let Some(options) = map.get("oneOf").and_then(Value::as_array) else { return };
        let apart = options.len() < 2 || Disjoint::new(self.root).all(options);
        if !apart && self.strict {
            return;
        }
        if !apart {
            self.leave_out(
                "oneOf",
                path,
                "its schemas are not known to exclude one another; it is read as anyOf",
            );
        }
        let beside = map.contains_key("anyOf");
        let entries = std::mem::take(map);
        let mut both = None;
        for (keyword, value) in entries {
            match keyword.as_str() {
                "oneOf" if beside => both = Some(json!({ "anyOf": value })),
                "oneOf" => drop(map.insert("anyOf".to_owned(), value)),
                _ => drop(map.insert(keyword, value)),
            }
        }
        if let Some(both) = both
            && let Some(all) = map.entry("allOf").or_insert_with(|| json!([])).as_array_mut()
        {
            all.push(both);
        }
    }
}
