//! Keywords of arrays.

use serde_json::{Map, Value};

use super::{Walk, is_any};

/// Keywords that bring items or properties from elsewhere.
pub(super) const COMBINED: [&str; 9] =
    ["$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "then", "else", "dependentSchemas"];

impl Walk<'_> {
    /// Keeps what can be held of `uniqueItems`, `contains` and `unevaluatedItems`.
    pub(super) fn arrays(&mut self, map: &mut Map<String, Value>, path: &str) {
        let most = map.get("maxItems").and_then(Value::as_u64);
        if let Some(unique) = map.get("uniqueItems") {
            if unique == &Value::Bool(true) && most.is_none_or(|most| most > 1) {
                self.drop(map, "uniqueItems", path, "a grammar does not remember items");
            } else {
                map.shift_remove("uniqueItems");
            }
        }
        let least = map.shift_remove("minContains").and_then(|count| count.as_u64()).unwrap_or(1);
        let most = map.shift_remove("maxContains");
        if let Some(contains) = map.shift_remove("contains") {
            let all = is_any(&contains);
            if !all && (least > 0 || most.is_some()) {
                self.leave_out("contains", path, "a grammar does not count items of a kind");
            }
            let items = map.get("minItems").and_then(Value::as_u64).unwrap_or(0);
            if least > items {
                map.insert("minItems".to_owned(), least.into());
            }
            if let (true, Some(most), None) = (all, most, map.get("maxItems")) {
                map.insert("maxItems".to_owned(), most);
            }
        }
        if let Some(rest) = map.shift_remove("unevaluatedItems") {
            let combined = COMBINED.iter().any(|keyword| map.contains_key(*keyword));
            if is_any(&rest) || map.get("items").is_some_and(|items| !items.is_array()) {
            } else if combined || map.contains_key("items") {
                self.leave_out("unevaluatedItems", path, "stands beside combined schemas");
            } else {
                map.insert("items".to_owned(), rest);
            }
        }
    }
}
