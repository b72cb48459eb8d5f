//! Grammars of a size that is asked for, by families.

#![allow(dead_code, reason = "each test program uses its own part")]

pub mod lark;
pub mod schema;

use crane_sdk::grammar::Grammar;
use serde_json::{Map, Value, json};

/// A family's name, and its grammar of a size.
pub type Family = (&'static str, fn(usize) -> Grammar);

/// The most levels of a schema: to drop one takes stack for each.
const DEEP: usize = 2_000;

/// All of them.
pub const FAMILIES: [Family; 42] = [
    ("a chain of rules", lark::chain),
    ("a chain of terminals", lark::terminals),
    ("a chain below a complement", lark::complement),
    ("rules in brackets", lark::brackets),
    ("terminals that double", lark::doubling),
    ("many strings", lark::strings),
    ("rules that may be empty", lark::empty),
    ("terminals joined", lark::joined),
    ("two joined that count", lark::counted),
    ("parts of a string", lark::parts),
    ("grammars inside one another", lark::nested),
    ("conditions inside one another", lark::conditions),
    ("a circle of rules", lark::circle),
    ("tools", |size| lark::tools(size.min(2_000), 4, 2)),
    ("values of tools", |size| lark::tools(60, 20, size.min(400))),
    ("repeats", lark::repeats),
    ("what is skipped", lark::ignored),
    ("required properties", |size| wide(size, true)),
    ("optional properties", |size| wide(size, false)),
    ("names that are only required", schema::required),
    ("one property of many", schema::one_of_properties),
    ("arrays inside one another", |size| schema::arrays(size.min(DEEP))),
    ("objects inside one another", |size| schema::objects(size.min(DEEP))),
    ("anyOf inside one another", |size| schema::any(size.min(DEEP))),
    ("allOf inside one another", |size| schema::all(size.min(DEEP))),
    ("references in a chain", schema::references),
    ("references beside keywords", schema::siblings),
    ("many definitions", schema::definitions),
    ("options of an object", schema::variants),
    ("values", schema::values),
    ("numbers", schema::numbers),
    ("long values", schema::long_values),
    ("a multiple", |size| schema::multiple(size as f64 * 77_777.0)),
    ("a multiple with a fraction", |size| schema::multiple(size as f64 / 10_000.0)),
    ("patterns of one string", schema::patterns),
    ("a pattern and a length", schema::pattern_and_length),
    ("patterns of names", schema::pattern_properties),
    ("lengths", schema::lengths),
    ("groups", |size| Grammar::Regex(format!("{}a{}", "(".repeat(size), ")".repeat(size)))),
    ("a long regex", |size| Grammar::Regex("abcdefghij".repeat(size))),
    ("repeats of repeats", |size| {
        Grammar::Regex(format!("((a|b){{{size}}}c?){{{size}}}{{0,{size}}}"))
    }),
    ("classes of letters", |size| {
        let class = |n| format!("[\\w\\x{{{:x}}}]", 0xE000 + n % 0x1000);
        Grammar::Regex((0..size.min(4_000)).map(class).collect())
    }),
];

/// An object with so many properties.
pub fn wide(count: usize, required: bool) -> Grammar {
    let names: Vec<String> = (0..count).map(|n| format!("p{n}")).collect();
    let properties: Map<String, Value> =
        names.iter().map(|name| (name.clone(), json!({ "type": "integer" }))).collect();
    let required = if required { names } else { Vec::new() };
    Grammar::JsonSchema(json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    }))
}
