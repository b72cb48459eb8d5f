//! Reads a Lark grammar the way its compiler does, and counts what that takes, before the compiler is let near it.
//!
//! The compiler follows rules by calling itself, so a chain of rules is a pile of stack frames; and it writes terminals out where
//! others name them, so a chain of doublings is exponential. Here definitions are parts in a row,
//! followed without recursion.

use std::collections::HashMap;

use serde_json::Value;

use super::budget::{Budget, most};
use super::chain::Graph;
use super::lark_tokens::{Token, Tokens};
use super::schema;
use crate::{Error, Result};

/// Searches among alternatives that a grammar may cause.
const SEARCHES: usize = 500_000_000;
/// Ways in which terminals that are joined with `&` can go on together; the lexer tries each.
const WAYS: u64 = 100_000;

/// What a definition is made of.
#[derive(Debug, Clone, Copy)]
enum Part<'a> {
    Open,
    Close,
    Bar,
    And,
    /// A string, a regular expression or something else without names, and how large it is.
    Piece(u64),
    Name(&'a str),
}

/// The definitions of a grammar, or of one inside it.
#[derive(Default)]
struct Scope<'a> {
    definitions: HashMap<&'a str, Vec<Part<'a>>>,
    ignored: Vec<Part<'a>>,
}

/// What is in a grammar and those inside it.
#[derive(Default)]
struct Count {
    /// Rules, terminals, strings and regular expressions.
    parts: usize,
    /// Grammars and schemas inside.
    grammars: usize,
}

/// Counts what a grammar takes to compile; refuses one that is over a limit.
pub(super) fn weigh(text: &str, budget: &mut Budget) -> Result<()> {
    budget.bytes(text.len())?;
    let mut tokens = Tokens::new(text);
    let mut count = Count::default();
    read(&mut tokens, budget, &mut count, 1)?;
    // Each string and terminal is looked for among all.
    let parts = count.parts as u64;
    budget.step(parts.saturating_mul(parts) / 2000)
}

/// Reads definitions up to the end, or to the brace that closes a grammar inside one.
fn read<'a>(
    tokens: &mut Tokens<'a>,
    budget: &mut Budget,
    count: &mut Count,
    depth: usize,
) -> Result<()> {
    let mut scope = Scope::default();
    loop {
        match tokens.next()? {
            None => break,
            Some(Token::Punctuation('}')) if depth > 1 => break,
            Some(Token::Newline) => {}
            Some(Token::Name(name)) => {
                let body = line(tokens, budget, count, depth)?;
                scope.definitions.insert(name, body.parts);
                if body.closed {
                    break;
                }
            }
            Some(Token::Keyword("%override")) => {}
            Some(Token::Keyword("%ignore")) => {
                let body = line(tokens, budget, count, depth)?;
                scope.ignored.push(Part::Open);
                scope.ignored.extend(body.parts);
                scope.ignored.push(Part::Close);
                if body.closed {
                    break;
                }
            }
            Some(_) => {
                if line(tokens, budget, count, depth)?.closed {
                    break;
                }
            }
        }
    }
    most("rules", PARTS, count.parts, budget.limits.rules)?;
    let what = "grammars and schemas inside the grammar";
    most("grammars", what, count.grammars, budget.limits.grammars)?;
    scope.follow(budget)
}

const PARTS: &str = "rules, terminals, strings and regular expressions";

/// The rest of an item.
struct Body<'a> {
    parts: Vec<Part<'a>>,
    /// Whether the brace came that closes the grammar around it.
    closed: bool,
}

/// Reads to the end of an item: the end of a line that no `|` goes on.
fn line<'a>(
    tokens: &mut Tokens<'a>,
    budget: &mut Budget,
    count: &mut Count,
    depth: usize,
) -> Result<Body<'a>> {
    let (mut parts, mut open) = (Vec::new(), 0usize);
    count.parts += 1;
    let closed = loop {
        budget.step(1)?;
        let Some(token) = tokens.next()? else { break false };
        let part = match token {
            Token::Newline => match tokens.goes_on() {
                true => continue,
                false => break false,
            },
            Token::Punctuation('(' | '[' | '{') => {
                open += 1;
                let depth = depth.saturating_add(open);
                most("depth", "levels of brackets", depth, budget.limits.depth)?;
                Part::Open
            }
            Token::Punctuation(')' | ']' | '}') => {
                if open == 0 {
                    break true;
                }
                open -= 1;
                Part::Close
            }
            Token::Punctuation('|') => Part::Bar,
            Token::Punctuation('&') => Part::And,
            Token::Punctuation(_) => continue,
            Token::Name(name) => Part::Name(name),
            Token::Text(text) => Part::Piece(1 + text.len() as u64 / 4),
            Token::Pattern(text) => {
                budget.pattern(text)?;
                Part::Piece(text.len() as u64)
            }
            Token::Json("%json", value) => {
                count.grammars += 1;
                schema::weigh(&value, budget)?;
                Part::Piece(1)
            }
            Token::Json(_, value) => Part::Piece(pieces(&value, budget)?),
            Token::Keyword("%lark") => {
                most("depth", "levels of grammars", depth + open + 1, budget.limits.depth)?;
                count.grammars += 1;
                tokens.next()?;
                read(tokens, budget, count, depth + open + 1)?;
                Part::Piece(1)
            }
            Token::Keyword(_) => continue,
            Token::Other => Part::Piece(1),
        };
        count.parts += usize::from(matches!(part, Part::Piece(_)));
        parts.push(part);
    };
    Ok(Body { parts, closed })
}

/// The size of `%regex`, which is compiled to all parts of its strings.
fn pieces(value: &Value, budget: &mut Budget) -> Result<u64> {
    let mut bytes = 0;
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            Value::String(text) => {
                most("pattern_bytes", "bytes in %regex", text.len(), budget.limits.pattern_bytes)?;
                bytes += text.len() as u64;
            }
            Value::Array(values) => open.extend(values),
            Value::Object(map) => open.extend(map.values()),
            _ => {}
        }
        budget.step(1)?;
    }
    budget.step(8 * bytes)?;
    Ok(1 + bytes)
}

impl<'a> Scope<'a> {
    /// Follows all definitions: how long a chain of them can get, and how large terminals become.
    fn follow(&self, budget: &mut Budget) -> Result<()> {
        let numbers: HashMap<&str, usize> =
            self.definitions.keys().enumerate().map(|(number, name)| (*name, number)).collect();
        let bodies: Vec<(&str, &[Part])> =
            self.definitions.iter().map(|(name, parts)| (*name, parts.as_slice())).collect();
        let mut graph = Graph::default();
        let mut alternatives = Vec::with_capacity(bodies.len());
        for (_, parts) in &bodies {
            budget.step(parts.len() as u64)?;
            let (mut brackets, mut deepest, mut names) = (0usize, 0, Vec::new());
            for part in *parts {
                match part {
                    Part::Open => brackets += 1,
                    Part::Close => brackets = brackets.saturating_sub(1),
                    Part::Name(name) => names.extend(numbers.get(name)),
                    Part::Bar | Part::And | Part::Piece(_) => {}
                }
                deepest = deepest.max(brackets);
            }
            graph.depths.push(1 + deepest);
            graph.names.push(names);
            alternatives.push(1 + parts.iter().filter(|part| matches!(part, Part::Bar)).count());
        }
        check_alternatives(&graph, &alternatives)?;
        let longest = graph.longest();
        let what = "rules that refer to one another in a chain or a circle, with their brackets";
        most("chain", what, longest.depth, budget.limits.chain)?;
        budget.row(longest.depth);

        let mut sizes: HashMap<&str, u64> = HashMap::new();
        for &number in &longest.order {
            if let Some(&(name, parts)) = bodies.get(number) {
                let size = size(parts, &sizes)?;
                budget.step(size)?;
                sizes.insert(name, size);
            }
        }
        budget.step(size(&self.ignored, &sizes)?)
    }
}

/// Refuses rules of so many alternatives that name one another that the library would search for what may come next for long:
/// wherever a rule is named it looks up each of its alternatives among all that may come there.
fn check_alternatives(graph: &Graph, alternatives: &[usize]) -> Result<()> {
    let of = |name: &usize| alternatives.get(*name).copied().unwrap_or(0);
    let named: usize = graph.names.iter().flatten().map(of).sum();
    let all: usize = alternatives.iter().sum();
    let searches = named.saturating_mul(all);
    if searches <= SEARCHES {
        return Ok(());
    }
    let reason = format_args!(
        "has rules of {all} alternatives in all, {named} counted wherever a rule is named: their product is {searches}, and \
         at most {SEARCHES} is taken; write fewer alternatives that name rules"
    );
    Err(Error::argument("grammar", reason))
}

/// Rules have small letters; terminals, which are written out where they are named, have large ones.
fn is_rule(name: &str) -> bool {
    name.trim_start_matches('_').starts_with(|c: char| c.is_ascii_lowercase())
}

/// How large a definition is once terminals are written out: the sum of what stands in a row, the product of what `&` joins.
fn size(parts: &[Part], sizes: &HashMap<&str, u64>) -> Result<u64> {
    let mut open = vec![Sum::default()];
    for part in parts {
        let Some(sum) = open.last_mut() else { break };
        match part {
            Part::Piece(size) => sum.row = sum.row.saturating_add(*size),
            Part::Name(name) => {
                let size = if is_rule(name) { 1 } else { sizes.get(name).copied().unwrap_or(1) };
                sum.row = sum.row.saturating_add(size);
            }
            Part::And => sum.and()?,
            Part::Bar => sum.bar()?,
            Part::Open => open.push(Sum::default()),
            Part::Close => {
                sum.bar()?;
                let size = sum.options;
                open.pop();
                if let Some(sum) = open.last_mut() {
                    sum.row = sum.row.saturating_add(size);
                }
            }
        }
    }
    let mut size = 0u64;
    for sum in &mut open {
        sum.bar()?;
        size = size.saturating_add(sum.options);
    }
    Ok(size)
}

/// The size of what stands between brackets.
#[derive(Clone, Copy)]
struct Sum {
    /// Of the options that are read.
    options: u64,
    /// Of what `&` has joined in this one.
    joined: u64,
    /// Of the row behind that.
    row: u64,
}

impl Default for Sum {
    fn default() -> Self {
        Self { options: 0, joined: 1, row: 0 }
    }
}

impl Sum {
    fn and(&mut self) -> Result<()> {
        self.joined = self.joined.saturating_mul(self.row.max(1));
        self.row = 0;
        few(self.joined)
    }

    fn bar(&mut self) -> Result<()> {
        let option = self.joined.saturating_mul(self.row);
        if self.joined > 1 {
            few(option)?;
        }
        self.options = self.options.saturating_add(option);
        (self.joined, self.row) = (1, 0);
        Ok(())
    }
}

fn few(ways: u64) -> Result<()> {
    if ways <= WAYS {
        return Ok(());
    }
    let reason = format_args!(
        "joins terminals with & that can go on in {ways} ways together, and at most {WAYS} are taken; make them smaller"
    );
    Err(Error::argument("grammar", reason))
}
