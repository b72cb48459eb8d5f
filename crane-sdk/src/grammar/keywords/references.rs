//! References: JSON pointers as RFC 6901 and percent-encoding write them, and anchors.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::Walk;

/// Keywords whose schemas are not where they were, once a schema is rewritten.
const MOVED: [&str; 9] = [
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "dependentSchemas",
    "unevaluatedProperties",
];
/// Schemas that are copied, in values.
const MOST_COPIES: usize = 64;

/// What references are met.
#[derive(Default)]
pub(super) struct References {
    /// Places that are named as the compiler reads names.
    plain: BTreeSet<String>,
    /// Other names, and the definitions that stand for them.
    copies: BTreeMap<String, (String, Value)>,
}

/// A name as a part of a pointer.
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The parts of a pointer that begins with `#`.
fn parts(name: &str) -> Option<Vec<String>> {
    let name = name.strip_prefix('#')?;
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex =
            after.get(..2).filter(|_| byte == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    if name.is_empty() {
        return Some(Vec::new());
    }
    let name = name.strip_prefix('/')?;
    Some(name.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect())
}

/// What a reference means inside its document.
pub(super) fn target<'a>(root: &'a Value, name: &str) -> Option<&'a Value> {
    let base = root.get("$id").and_then(Value::as_str).unwrap_or_default();
    let name = match name.strip_prefix(base.trim_end_matches('#')) {
        Some("") if !base.is_empty() => "#",
        Some(rest) if rest.starts_with('#') => rest,
        _ => name,
    };
    // The compiler's name of the whole.
    if name == "#/" && root.get("").is_none() {
        return Some(root);
    }
    match parts(name) {
        Some(parts) => parts.iter().try_fold(root, |value, part| match value {
            Value::Array(values) => values.get(part.parse::<usize>().ok()?),
            value => value.get(part),
        }),
        None => anchor(root, name.strip_prefix('#')?),
    }
}

/// The schema that gives itself this name.
fn anchor<'a>(root: &'a Value, name: &str) -> Option<&'a Value> {
    let mut open = vec![root];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(values) => open.extend(values),
            Value::Object(map) => {
                let is = |keyword: &str| map.get(keyword).is_some_and(|anchor| anchor == name);
                if is("$anchor") || is("$dynamicAnchor") {
                    return Some(value);
                }
                open.extend(map.values());
            }
            _ => {}
        }
    }
    None
}

impl Walk<'_> {
    /// Writes a reference as the compiler reads it.
    pub(super) fn reference(&mut self, map: &mut Map<String, Value>, path: &str) {
        for keyword in ["$dynamicRef", "$recursiveRef"] {
            if !map.contains_key("$ref")
                && map
                    .get(keyword)
                    .and_then(Value::as_str)
                    .is_some_and(|name| target(self.root, name).is_some())
                && let Some(name) = map.shift_remove(keyword)
            {
                map.insert("$ref".to_owned(), name);
            }
        }
        let Some(name) = map.get("$ref").and_then(Value::as_str).map(str::to_owned) else { return };
        let Some(found) = target(self.root, &name) else {
            let reason = format!("{name:?} is no place inside the schema");
            self.drop(map, "$ref", path, &reason);
            return;
        };
        if std::ptr::eq(found, self.root) {
            map.insert("$ref".to_owned(), "#".into());
            return;
        }
        let plain = name.strip_prefix("#/").is_some_and(|rest| {
            !rest.contains(['~', '%'])
                && !rest.split('/').any(|part| part.is_empty() || MOVED.contains(&part))
        });
        if plain {
            self.references.plain.insert(name);
            return;
        }
        let next = self.references.copies.len();
        if next >= MOST_COPIES && !self.references.copies.contains_key(&name) {
            self.drop(map, "$ref", path, "is one of too many references with escapes");
            return;
        }
        let root = self.root;
        let (key, _) = self.references.copies.entry(name).or_insert_with(|| {
            let taken = |key: &str| root.get("$defs").is_some_and(|defs| defs.get(key).is_some());
            let mut key = format!("reference_{next}");
            while taken(&key) {
                key.push('_');
            }
            (key, found.clone())
        });
        let place = format!("#/$defs/{key}");
        map.insert("$ref".to_owned(), place.into());
    }

    /// Goes through what was referred to, and adds the definitions that stand for other names.
    pub(super) fn definitions(&mut self, root: &mut Value) {
        let (mut done, mut added) = (BTreeSet::new(), BTreeSet::new());
        loop {
            if let Some(name) = self.references.plain.difference(&done).next().cloned() {
                let place = name.strip_prefix('#').unwrap_or_default();
                if let Some(place) = root.pointer_mut(place) {
                    let mut schema = place.take();
                    self.schema(&mut schema, &name);
                    if let Some(place) =
                        root.pointer_mut(name.strip_prefix('#').unwrap_or_default())
                    {
                        *place = schema;
                    }
                }
                done.insert(name);
                continue;
            }
            let next = self.references.copies.iter().find(|(name, _)| !added.contains(*name));
            let Some((name, (key, schema))) = next.map(|(name, copy)| (name.clone(), copy.clone()))
            else {
                return;
            };
            let mut schema = schema;
            self.schema(&mut schema, &name);
            if let Some(map) = root.as_object_mut()
                && let Some(defs) = map.entry("$defs").or_insert_with(|| json!({})).as_object_mut()
            {
                defs.insert(key, schema);
            }
            added.insert(name);
        }
    }
}
