//! JSON schemas.

use crane_sdk::grammar::Grammar;
use serde_json::{Map, Value, json};

fn inside(count: usize, begin: Value, around: impl Fn(usize, Value) -> Value) -> Grammar {
    Grammar::JsonSchema((0..count).fold(begin, |schema, n| around(n, schema)))
}

/// An object of JSON that its values are moved into; `json!` copies them.
fn object<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Object(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn properties(count: usize, of: impl Fn(usize) -> Value) -> Map<String, Value> {
    (0..count).map(|n| (format!("p{n}"), of(n))).collect()
}

/// An object of which only names are said.
pub fn required(count: usize) -> Grammar {
    let names: Vec<String> = (0..count).map(|n| format!("p{n}")).collect();
    Grammar::JsonSchema(json!({ "type": "object", "required": names }))
}

/// An object that has at least one of its properties.
pub fn one_of_properties(count: usize) -> Grammar {
    let properties = properties(count, |_| json!({ "type": "integer" }));
    Grammar::JsonSchema(json!({
        "type": "object", "properties": properties, "minProperties": 1, "additionalProperties": false,
    }))
}

/// Arrays inside one another.
pub fn arrays(count: usize) -> Grammar {
    let around = |_, items| object([("type", json!("array")), ("items", items)]);
    inside(count, json!({ "type": "integer" }), around)
}

/// Objects inside one another.
pub fn objects(count: usize) -> Grammar {
    inside(count, json!({ "type": "integer" }), |_, inner| {
        let properties = object([("a", inner)]);
        object([("type", json!("object")), ("properties", properties), ("required", json!(["a"]))])
    })
}

/// Choices inside one another, beside a keyword.
pub fn any(count: usize) -> Grammar {
    inside(count, json!({ "type": "object" }), |n, inner| {
        let other = json!({ "type": "object", "properties": { "x": { "const": n } } });
        object([("anyOf", Value::Array(vec![inner, other])), ("type", json!("object"))])
    })
}

/// Combinations inside one another.
pub fn all(count: usize) -> Grammar {
    inside(count, json!({ "type": "object" }), |n, inner| {
        let other = json!({ "type": "object", "properties": { format!("x{n}"): { "const": n } } });
        object([("allOf", Value::Array(vec![inner, other]))])
    })
}

/// Definitions that each refer to the next.
pub fn references(count: usize) -> Grammar {
    let next =
        |n| json!({ "properties": { "a": { "$ref": format!("#/$defs/p{}", (n + 1) % count) } } });
    Grammar::JsonSchema(json!({ "$ref": "#/$defs/p0", "$defs": properties(count, next) }))
}

/// The same beside other keywords.
pub fn siblings(count: usize) -> Grammar {
    let next = |n| match n + 1 == count {
        true => json!({ "type": "object" }),
        false => json!({ "type": "object", "properties": { format!("q{n}"): {} },
            "allOf": [{ "$ref": format!("#/$defs/p{}", n + 1) }] }),
    };
    Grammar::JsonSchema(json!({ "$ref": "#/$defs/p0", "$defs": properties(count, next) }))
}

/// Definitions side by side.
pub fn definitions(count: usize) -> Grammar {
    let plain =
        |n| json!({ "type": "object", "properties": { format!("q{n}"): { "type": "string" } } });
    let all: Vec<Value> = (0..count).map(|n| json!({ "$ref": format!("#/$defs/p{n}") })).collect();
    Grammar::JsonSchema(json!({ "anyOf": all, "$defs": properties(count, plain) }))
}

/// Options that a field tells apart.
pub fn variants(count: usize) -> Grammar {
    let one = |n| {
        json!({
            "type": "object",
            "properties": { "kind": { "const": format!("k{n}") }, "a": { "type": "string" }, "b": { "type": "integer" } },
            "required": ["kind", "a"],
            "additionalProperties": false,
        })
    };
    Grammar::JsonSchema(json!({ "oneOf": (0..count).map(one).collect::<Vec<_>>() }))
}

/// One of so many texts.
pub fn values(count: usize) -> Grammar {
    let mixed = |n: usize| format!("{:08x}", (n as u32).wrapping_mul(0x9E37_79B1));
    Grammar::JsonSchema(json!({ "enum": (0..count).map(mixed).collect::<Vec<_>>() }))
}

/// One of so many numbers.
pub fn numbers(count: usize) -> Grammar {
    Grammar::JsonSchema(json!({ "enum": (0..count).map(|n| n * 31).collect::<Vec<_>>() }))
}

/// One of four texts of ten times so many letters.
pub fn long_values(count: usize) -> Grammar {
    let text = |n| format!("{n}{}", "abcdefghij".repeat(count));
    Grammar::JsonSchema(json!({ "enum": (0..4).map(text).collect::<Vec<_>>() }))
}

/// A number that is a multiple.
pub fn multiple(of: f64) -> Grammar {
    let of = if of.fract() == 0.0 { json!(of as u64) } else { json!(of) };
    Grammar::JsonSchema(json!({ "type": "number", "multipleOf": of }))
}

/// A text that fits so many patterns.
pub fn patterns(count: usize) -> Grammar {
    let pattern = |n| json!({ "pattern": format!("[a-{}]", (b'b' + n as u8 % 24) as char) });
    Grammar::JsonSchema(
        json!({ "type": "string", "allOf": (0..count).map(pattern).collect::<Vec<_>>() }),
    )
}

/// A text that fits a pattern that branches, and has a length.
pub fn pattern_and_length(count: usize) -> Grammar {
    let pattern = format!("^(a|b)*a(a|b){{{}}}$", count % 40);
    Grammar::JsonSchema(
        json!({ "type": "string", "pattern": pattern, "minLength": count, "maxLength": count + 10 }),
    )
}

/// An object whose names have patterns.
pub fn pattern_properties(count: usize) -> Grammar {
    let names: Map<String, Value> =
        (0..count).map(|n| (format!("^k{n}_[a-z]+$"), json!({ "type": "integer" }))).collect();
    Grammar::JsonSchema(json!({ "type": "object", "patternProperties": names }))
}

/// Texts of many lengths.
pub fn lengths(count: usize) -> Grammar {
    let one = |n| json!({ "type": "string", "minLength": n * 7, "maxLength": n * 1_000 });
    let items: Vec<Value> = (0..count).map(one).collect();
    Grammar::JsonSchema(json!({ "type": "array", "prefixItems": items, "minItems": count }))
}
