//! Reads a JSON schema the way its compiler does, and counts what that takes, before the compiler is let near it.
//!
//! The compiler copies schemas where they are combined: each option of an `anyOf` gets a copy of what stands beside it, a `$ref`
//! with siblings a copy of its definition. A few hundred bytes can ask for gigabytes that way. Here the same combinations are
//! made of shapes, which are shared and know their size, so that a copy costs a number.

mod reader;
mod shape;

use std::collections::HashMap;

use serde_json::Value;

use super::budget::{Budget, most};
use super::chain::Graph;
use crate::Result;
use reader::Reader;

/// Counts what a schema takes to compile; refuses one that is over a limit.
pub(super) fn weigh(schema: &Value, budget: &mut Budget) -> Result<()> {
    chained(schema, budget)?;
    let mut reader = Reader { root: schema, budget, definitions: HashMap::new(), names: 0 };
    let root = reader.read(schema)?;
    let mut all = root.size();
    for shape in reader.definitions.values().flatten() {
        all = all.saturating_add(shape.size());
    }
    // Every name is looked up among all others.
    let names = reader.names;
    reader.budget.step(all.saturating_add(names.saturating_mul(names) / 2000))
}

/// Counts how deep schemas can be inside one another when references are followed, in whatever order.
fn chained<'a>(schema: &'a Value, budget: &mut Budget) -> Result<()> {
    let mut names: Vec<&'a str> = vec!["#"];
    let mut numbers: HashMap<&'a str, usize> = HashMap::from([("#", 0), ("#/", 0)]);
    let mut graph = Graph::default();
    while let Some(&name) = names.get(graph.depths.len()) {
        let (depth, found) = match at(schema, name) {
            Some(definition) => nested(definition, budget)?,
            None => (0, Vec::new()),
        };
        let number = |name: &'a str| {
            *numbers.entry(name).or_insert_with(|| {
                names.push(name);
                names.len() - 1
            })
        };
        graph.names.push(found.into_iter().map(number).collect());
        graph.depths.push(depth);
    }
    let what = "levels of schemas inside one another, references followed";
    most("chain", what, graph.longest().depth, budget.limits.chain)
}

/// How deep a schema is and the references inside it, without a call for each level.
fn nested<'a>(schema: &'a Value, budget: &mut Budget) -> Result<(usize, Vec<&'a str>)> {
    let (mut open, mut deepest, mut names) = (vec![(schema, 1)], 0, Vec::new());
    while let Some((value, depth)) = open.pop() {
        budget.step(1)?;
        most("depth", "levels of nesting", depth, budget.limits.depth)?;
        deepest = deepest.max(depth);
        match value {
            Value::Array(values) => open.extend(values.iter().map(|value| (value, depth + 1))),
            Value::Object(map) => {
                names.extend(map.get("$ref").and_then(Value::as_str));
                open.extend(map.values().map(|value| (value, depth + 1)));
            }
            _ => {}
        }
    }
    Ok((deepest, names))
}

/// Counts bytes without a call for each level.
pub(super) fn bytes(schema: &Value, budget: &mut Budget) -> Result<()> {
    let mut open = vec![schema];
    while let Some(value) = open.pop() {
        let mut bytes = 1;
        match value {
            Value::String(text) => bytes += text.len(),
            Value::Array(values) => open.extend(values),
            Value::Object(map) => {
                bytes += map.keys().map(String::len).sum::<usize>();
                open.extend(map.values());
            }
            _ => {}
        }
        budget.bytes(bytes)?;
    }
    budget.check()
}

/// What a reference inside the document means; the compiler takes no others.
pub(super) fn at<'a>(root: &'a Value, name: &str) -> Option<&'a Value> {
    if name == "#" || name == "#/" {
        return Some(root);
    }
    name.strip_prefix("#/")?.split('/').try_fold(root, |value, part| match value {
        Value::Array(values) => values.get(part.parse::<usize>().ok()?),
        value => value.get(part),
    })
}
