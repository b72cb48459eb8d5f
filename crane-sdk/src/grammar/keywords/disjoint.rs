//! Whether schemas exclude one another, so that one of them is any of them.

use serde_json::Value;

use super::references::target;

/// Comparisons of one `oneOf`; what takes more is not known.
const MOST: usize = 20_000;
/// References and combinations that are followed.
const DEEPEST: usize = 24;

/// Compares schemas of one document.
pub(super) struct Disjoint<'a> {
    root: &'a Value,
    steps: usize,
}

impl<'a> Disjoint<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        Self { root, steps: 0 }
    }

    /// Whether no value is of two of the schemas.
    pub(super) fn all(&mut self, options: &[Value]) -> bool {
        options.iter().enumerate().all(|(index, one)| {
            options.iter().skip(index + 1).all(|other| self.apart(one, other, 0))
        })
    }

    fn apart(&mut self, a: &Value, b: &Value, depth: usize) -> bool {
        self.steps += 1;
        if self.steps > MOST || depth > DEEPEST {
            return false;
        }
        if a == &Value::Bool(false) || b == &Value::Bool(false) {
            return true;
        }
        if let (Some(one), Some(other)) = (values(a), values(b)) {
            return one.iter().all(|value| !other.iter().any(|other| same(value, other)));
        }
        if self.kinds(a, depth) & self.kinds(b, depth) == 0 {
            return true;
        }
        for (one, other) in [(a, b), (b, a)] {
            if let Some(inner) =
                one.get("$ref").and_then(Value::as_str).and_then(|name| target(self.root, name))
                && self.apart(inner, other, depth + 1)
            {
                return true;
            }
            let list = |keyword: &str| one.get(keyword).and_then(Value::as_array);
            for keyword in ["anyOf", "oneOf"] {
                if let Some(list) = list(keyword).filter(|list| !list.is_empty())
                    && list.iter().all(|inner| self.apart(inner, other, depth + 1))
                {
                    return true;
                }
            }
            if list("allOf")
                .is_some_and(|list| list.iter().any(|inner| self.apart(inner, other, depth + 1)))
            {
                return true;
            }
        }
        // Objects that need a property which differs.
        const OBJECT: u8 = 1 << 6;
        if self.kinds(a, depth) & self.kinds(b, depth) != OBJECT {
            return false;
        }
        let names = |schema: &Value| -> Vec<String> {
            let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
            names.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        names(a).iter().chain(&names(b)).any(|name| match (property(a, name), property(b, name)) {
            (Some(one), Some(other)) => self.apart(one, other, depth + 1),
            _ => false,
        })
    }

    /// The types that a schema has, as bits: whole numbers and others apart.
    fn kinds(&mut self, schema: &Value, depth: usize) -> u8 {
        self.steps += 1;
        if self.steps > MOST || depth > DEEPEST {
            return u8::MAX;
        }
        let bit = |name: &str| match name {
            "null" => 1,
            "boolean" => 2,
            "integer" => 4,
            "number" => 4 | 8,
            "string" => 16,
            "array" => 32,
            "object" => 64,
            _ => u8::MAX,
        };
        let mut kinds = match schema.get("type") {
            Some(Value::String(name)) => bit(name),
            Some(Value::Array(names)) => {
                names.iter().filter_map(Value::as_str).fold(0, |kinds, name| kinds | bit(name))
            }
            _ => u8::MAX,
        };
        if let Some(values) = values(schema) {
            let of = |value: &&Value| match value {
                Value::Null => 1,
                Value::Bool(_) => 2,
                Value::Number(number)
                    if number.as_f64().is_some_and(|number| number.fract() == 0.0) =>
                {
                    4
                }
                Value::Number(_) => 8,
                Value::String(_) => 16,
                Value::Array(_) => 32,
                Value::Object(_) => 64,
            };
            kinds &= values.iter().map(of).fold(0, |kinds, kind| kinds | kind);
        }
        if let Some(inner) =
            schema.get("$ref").and_then(Value::as_str).and_then(|name| target(self.root, name))
        {
            kinds &= self.kinds(inner, depth + 1);
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(list) = schema.get(keyword).and_then(Value::as_array) {
                kinds &= list.iter().fold(0, |kinds, inner| kinds | self.kinds(inner, depth + 1));
            }
        }
        for inner in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            kinds &= self.kinds(inner, depth + 1);
        }
        kinds
    }
}

/// The values of an enumeration or a constant.
fn values(schema: &Value) -> Option<Vec<&Value>> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(value), _) => Some(vec![value]),
        (None, Some(Value::Array(values))) => Some(values.iter().collect()),
        _ => None,
    }
}

/// What a property must be; a schema without it may close itself to it.
fn property<'v>(schema: &'v Value, name: &str) -> Option<&'v Value> {
    let named = schema.get("properties").and_then(|properties| properties.get(name));
    let open = schema.get("patternProperties").is_some();
    named.or_else(|| schema.get("additionalProperties").filter(|_| !open))
}

fn same(a: &Value, b: &Value) -> bool {
    a == b || a.is_number() && a.as_f64() == b.as_f64()
}
