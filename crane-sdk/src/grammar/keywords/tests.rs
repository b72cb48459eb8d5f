//! Schemas as clients' libraries write them, and what of them is held.

use serde_json::{Value, json};

use super::Enforceable;

/// What is left of a schema, and the keywords with their paths that are not.
fn divided(schema: &Value) -> (Value, Vec<String>) {
    let held = Enforceable::of(schema);
    let out = held.left_out.iter().map(|out| format!("{} {}", out.keyword, out.path));
    (held.schema, out.collect())
}

#[test]
fn what_asks_for_nothing_new_is_taken_in_either_way() {
    for (schema, held) in [
        (
            json!({ "type": "string", "minLength": 2.0, "maxLength": 1e1 }),
            json!({ "type": "string", "minLength": 2, "maxLength": 10 }),
        ),
        (json!({ "type": "string", "format": "password" }), json!({ "type": "string" })),
        (
            json!({ "type": "string", "format": "binary", "maxLength": 9007199254740991u64 }),
            json!({ "type": "string" }),
        ),
        (
            json!({ "type": "string", "format": "url" }),
            json!({ "type": "string", "format": "uri" }),
        ),
        (json!({ "type": "integer", "format": "int64" }), json!({ "type": "integer" })),
        (
            json!({ "type": "integer", "format": "uint8" }),
            json!({ "type": "integer", "minimum": 0, "maximum": 255 }),
        ),
        (json!({ "type": "number", "format": "email" }), json!({ "type": "number" })),
        (json!({ "type": "STRING" }), json!({ "type": "string" })),
        (
            json!({ "type": "array", "uniqueItems": false, "minContains": 3 }),
            json!({ "type": "array" }),
        ),
        (
            json!({ "type": "array", "contains": { "type": "null" }, "minContains": 0 }),
            json!({ "type": "array" }),
        ),
        (
            json!({ "type": "object", "propertyNames": { "type": "string" }, "additionalProperties": {} }),
            json!({ "type": "object", "additionalProperties": {} }),
        ),
        (
            json!({ "type": "object", "properties": { "x": { "not": {} } } }),
            json!({ "type": "object", "properties": { "x": false } }),
        ),
        (
            json!({ "type": "object", "unevaluatedProperties": false }),
            json!({ "type": "object", "additionalProperties": false }),
        ),
        (
            json!({ "type": "object", "dependentRequired": { "a": ["b"] }, "required": ["a"] }),
            json!({ "type": "object", "required": ["a", "b"] }),
        ),
        (json!({ "if": { "type": "string" } }), json!({})),
        (
            json!({ "type": ["string", "null"], "not": { "type": "null" } }),
            json!({ "type": ["string"] }),
        ),
        (json!({ "enum": [1, 2, 3], "not": { "const": 2 } }), json!({ "enum": [1, 3] })),
        (
            json!({ "oneOf": [{ "type": "string" }, { "type": "null" }] }),
            json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] }),
        ),
    ] {
        assert_eq!(divided(&schema), (held.clone(), Vec::new()), "{schema}");
        assert_eq!(Enforceable::whole(&schema).unwrap(), held, "{schema}");
    }
}

#[test]
fn names_of_properties_become_properties_and_patterns() {
    let names = json!({ "type": "object", "propertyNames": { "enum": ["a", "b"] }, "additionalProperties": { "type": "integer" } });
    let integer = json!({ "type": "integer" });
    assert_eq!(
        divided(&names).0,
        json!({ "type": "object", "additionalProperties": false, "properties": { "a": integer, "b": integer } })
    );
    let pattern = json!({ "type": "object", "propertyNames": { "pattern": "^x-" } });
    assert_eq!(
        divided(&pattern).0,
        json!({ "type": "object", "patternProperties": { "^x-": true }, "additionalProperties": false })
    );
}

#[test]
fn what_cannot_be_held_is_named_by_keyword_and_path() {
    let deep =
        |inner: Value| json!({ "type": "object", "properties": { "a/b": { "items": inner } } });
    for (inner, held, keyword) in [
        (json!({ "uniqueItems": true }), json!({}), "uniqueItems"),
        (json!({ "not": { "required": ["x"] } }), json!({}), "not"),
        (json!({ "if": { "required": ["x"] }, "then": { "required": ["y"] } }), json!({}), "if"),
        (json!({ "contains": { "const": 1 } }), json!({ "minItems": 1 }), "contains"),
        (json!({ "propertyNames": { "maxLength": 3 } }), json!({}), "propertyNames"),
        (
            json!({ "dependentSchemas": { "x": { "required": ["y"] } } }),
            json!({}),
            "dependentSchemas",
        ),
        (json!({ "format": "idn-email" }), json!({}), "format"),
        (
            json!({ "pattern": "^(?!\\.)[a-z.]+\\b@x$" }),
            json!({ "pattern": "^[a-z.]+@x$" }),
            "pattern",
        ),
        (json!({ "pattern": "(a)\\1" }), json!({}), "pattern"),
        (json!({ "type": "any" }), json!({}), "type"),
        (json!({ "required": true }), json!({}), "required"),
        (json!({ "enum": [] }), json!({}), "enum"),
        (json!({ "minLength": "3" }), json!({}), "minLength"),
        (json!({ "$ref": "other.json#/x" }), json!({}), "$ref"),
        (
            json!({ "oneOf": [{ "minimum": 1 }, { "maximum": 5 }] }),
            json!({ "anyOf": [{ "minimum": 1 }, { "maximum": 5 }] }),
            "oneOf",
        ),
    ] {
        let schema = deep(inner.clone());
        let path = format!("{keyword} #/properties/a~1b/items");
        assert_eq!(divided(&schema), (deep(held), vec![path]), "{inner}");
        // The compiler is asked about the last.
        if keyword != "oneOf" {
            let error = Enforceable::whole(&schema).unwrap_err().to_string();
            assert!(error.contains(&format!("{keyword} at #/properties/a~1b/items")), "{error}");
        }
    }
}

#[test]
fn names_that_are_keywords_are_names() {
    let schema = json!({ "type": "object", "properties": { "not": { "type": "string" }, "if": {}, "uniqueItems": true,
        "$ref": { "type": "string" }, "format": { "type": "string" }, "propertyNames": {} },
        "default": { "not": 1 }, "enum": [{ "uniqueItems": true }] });
    assert_eq!(divided(&schema), (schema.clone(), Vec::new()));
}

#[test]
fn options_with_a_tag_exclude_one_another_through_references() {
    let option = |tag: &str| json!({ "type": "object", "properties": { "kind": { "const": tag } }, "required": ["kind"] });
    let mut schema = json!({ "$defs": { "Cat": option("cat"), "Dog": option("dog") },
        "oneOf": [{ "$ref": "#/$defs/Cat" }, { "$ref": "#/$defs/Dog" }] });
    let held = Enforceable::whole(&schema).unwrap();
    assert!(held.get("anyOf").is_some() && held.get("oneOf").is_none(), "{held}");
    schema["$defs"]["Dog"] = option("cat");
    assert_eq!(divided(&schema).1, ["oneOf #"]);
}

#[test]
fn references_are_pointers_and_anchors() {
    let schema = json!({
        "$id": "https://x.org/s", "$defs": { "a/b": { "type": "null" }, "c~d": { "type": "integer" }, "ü %": { "enum": [7] },
            "named": { "$anchor": "here", "const": "h" }, "list": [{ "type": "boolean" }] },
        "prefixItems": [{ "$ref": "#/$defs/a~1b" }, { "$ref": "#/$defs/c~0d" }, { "$ref": "#/$defs/%C3%BC%20%25" },
            { "$ref": "#here" }, { "$ref": "https://x.org/s#/$defs/list/0" }, { "$ref": "#/%24defs/a~1b" }, { "$ref": "#" }],
    });
    let (held, left_out) = divided(&schema);
    assert_eq!(left_out, [""; 0]);
    let resolved = |index: usize| {
        let name = held["prefixItems"][index]["$ref"].as_str().unwrap();
        let place = name.strip_prefix('#').unwrap();
        assert!(!place.contains(['~', '%']), "{place}");
        held.pointer(place).unwrap().clone()
    };
    assert_eq!(resolved(0), json!({ "type": "null" }));
    assert_eq!(resolved(1), json!({ "type": "integer" }));
    assert_eq!(resolved(2), json!({ "enum": [7] }));
    assert_eq!(resolved(3)["const"], "h");
    assert_eq!(resolved(4), json!({ "type": "boolean" }));
    assert_eq!(resolved(5), json!({ "type": "null" }));
    assert_eq!(resolved(6), held);
}

#[test]
fn definitions_are_looked_at_where_they_are_used() {
    let schema = json!({ "$defs": { "used": { "uniqueItems": true }, "unused": { "uniqueItems": true } }, "$ref": "#/$defs/used" });
    assert_eq!(divided(&schema).1, ["uniqueItems #/$defs/used"]);
    let circle = json!({ "type": "object", "properties": { "next": { "$ref": "#" }, "tags": { "$ref": "#/$defs/t" } },
        "$defs": { "t": { "items": { "$ref": "#/$defs/t" }, "contains": { "const": 1 } } } });
    assert_eq!(divided(&circle).1, ["contains #/$defs/t"]);
}

#[test]
fn a_schema_narrows_to_any_object() {
    let schema = json!({ "type": "object", "properties": { "pattern": { "type": "string", "pattern": "a" } }, "maxProperties": 1 });
    let mut held = Enforceable::of(&schema);
    let mut found = Vec::new();
    for level in 0.. {
        let Some(less) = held.narrowed(level, "too hard") else { break };
        held = less;
        found.push(held.schema.clone());
    }
    assert_eq!(
        found,
        [
            json!({ "type": "object", "properties": { "pattern": { "type": "string" } } }),
            json!({ "type": "object", "properties": { "pattern": true } }),
            json!({ "type": "object" }),
        ]
    );
    assert!(
        held.left_out
            .iter()
            .any(|out| out.to_string() == "pattern at #/properties/pattern (too hard)")
    );
}
