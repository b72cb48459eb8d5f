//! Grammars in Lark's notation.

use crane_sdk::grammar::Grammar;
use serde_json::{Map, Value, json};

fn grammar(start: &str, count: usize, line: impl Fn(usize) -> String) -> Grammar {
    let lines: String = (0..count).map(line).collect();
    Grammar::Lark(format!("{start}\n{lines}"))
}

/// Rules that each name the next.
pub fn chain(count: usize) -> Grammar {
    let line = |n| match n + 1 == count {
        true => format!("r{n}: \"a\"\n"),
        false => format!("r{n}: r{}\n", n + 1),
    };
    grammar("start: r0", count, line)
}

/// Terminals that each name the next.
pub fn terminals(count: usize) -> Grammar {
    let line = |n| match n + 1 == count {
        true => format!("T{n}: \"a\"\n"),
        false => format!("T{n}: \"x\" T{} | \"y\"\n", n + 1),
    };
    grammar("start: T0", count, line)
}

/// The same, in what a terminal is not.
pub fn complement(count: usize) -> Grammar {
    let Grammar::Lark(text) = terminals(count) else { unreachable!() };
    Grammar::Lark(text.replace("start: T0", "start: T\nT: /[a-z]*/ & ~T0"))
}

/// Rules that each name the next inside nine brackets.
pub fn brackets(count: usize) -> Grammar {
    let line = |n| match n + 1 == count {
        true => format!("r{n}: \"a\"\n"),
        false => format!("r{n}: (((((((((\"x\" r{})))))))))\n", n + 1),
    };
    grammar("start: r0", count, line)
}

/// Terminals that each name the next twice.
pub fn doubling(count: usize) -> Grammar {
    let line = |n| match n + 1 == count {
        true => format!("T{n}: \"a\"\n"),
        false => format!("T{n}: T{} \"b\" T{}\n", n + 1, n + 1),
    };
    grammar("start: T0", count, line)
}

/// A choice of strings, each of which is a terminal.
pub fn strings(count: usize) -> Grammar {
    let strings: Vec<String> = (0..count).map(|n| format!("\"w{n}\"")).collect();
    Grammar::Lark(format!("start: {}\n", strings.join(" | ")))
}

/// Rules that may be empty because the next may.
pub fn empty(count: usize) -> Grammar {
    let line = |n| match n + 1 == count {
        true => format!("r{n}: \"a\"?\n"),
        false => format!("r{n}: r{} r{}\n", n + 1, n + 1),
    };
    grammar("start: r0", count, line)
}

/// So many expressions that must all fit.
pub fn joined(count: usize) -> Grammar {
    let one = |n| format!("/(.|\\n)*[a-{}](.|\\n)*/", (b'b' + n as u8 % 24) as char);
    let all: Vec<String> = (0..count).map(one).collect();
    Grammar::Lark(format!("start: A\nA: {}\n", all.join(" & ")))
}

/// Two expressions that each remember so many letters.
pub fn counted(count: usize) -> Grammar {
    Grammar::Lark(format!("start: A\nA: /(.|\\n)*a.{{{count}}}/ & /(.|\\n)*b.{{{count}}}c/\n"))
}

/// Any part of a string.
pub fn parts(count: usize) -> Grammar {
    let text: String = (0..count).map(|n| (b'a' + (n * n % 26) as u8) as char).collect();
    Grammar::Lark(format!("start: %regex {{\"substring_chars\": {}}}\n", json!(text)))
}

/// Grammars inside one another.
pub fn nested(count: usize) -> Grammar {
    let (open, close) = ("start: %lark {\n".repeat(count), "}\n".repeat(count));
    Grammar::Lark(format!("{open}start: \"a\"\n{close}"))
}

/// Conditions inside one another.
pub fn conditions(count: usize) -> Grammar {
    let (open, close) = ("not(".repeat(count), ")".repeat(count));
    Grammar::Lark(format!("start: r::0\nr::_: \"a\" %if {open}eq(_, 1){close}\n"))
}

/// Rules that each name the next, and the last the first.
pub fn circle(count: usize) -> Grammar {
    let line = |n| format!("r{n}: \"x{n}\" r{}? | \"y\"\n", (n + 1) % count);
    grammar("start: r0", count, line)
}

/// Repeats of repeats.
pub fn repeats(count: usize) -> Grammar {
    Grammar::Lark(format!(
        "start: ((\"a\" | \"b\"){{0,{count}}} \"c\"){{{count}}}\nT: /x/~{count}\n"
    ))
}

/// Expressions that are skipped.
pub fn ignored(count: usize) -> Grammar {
    grammar("start: \"a\"", count, |n| format!("%ignore /{}x*/\n", "[a-z]".repeat(n % 7 + 1)))
}

/// Calls of so many tools with so many fields, each of which is one of so many values.
pub fn tools(count: usize, fields: usize, values: usize) -> Grammar {
    let names: Vec<String> = (0..count).map(|n| format!("t{n}")).collect();
    let line = |tool| {
        let field = |n| {
            let values: Vec<String> =
                (0..values).map(|value| format!("{tool}-{n}-{value}")).collect();
            (format!("p{n}"), json!({ "type": "string", "enum": values }))
        };
        let properties: Map<String, Value> = (0..fields).map(field).collect();
        let schema = json!({ "type": "object", "properties": properties });
        format!("t{tool}: \"{{\\\"name\\\": \\\"f{tool}\\\"\" %json {schema} \"}}\"\n")
    };
    grammar(&format!("start: {}", names.join(" | ")), count, line)
}
