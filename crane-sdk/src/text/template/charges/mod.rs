//! Makes a template pay for what its operators do.
//!
//! The engine counts steps and the bytes of the strings that it makes. It does not see what an operator does with a
//! list or a dict: `x + x` flattens both, and `~`, `==` and keys write, compare or hash all that is inside, which sixty nested
//! pairs (`[x, x]`) make endless. The engine's operators cannot be replaced, so the template's text is: an operand that may
//! be a container goes through a filter that counts what is in it. Every other value passes as it is.
//!
//! So does what becomes a part of a list or a dict: a value that a loop nests ever deeper would overflow the stack of what prints
//! or drops it, which in a browser is no larger than the page's.

use super::tags::{Kind, Token, raw_end, tag};

/// The filter that counts all that is inside a value, and refuses what nests too deep or holds a namespace.
pub(super) const DEEP: &str = "_charged";
/// The filter that counts the items of a list.
pub(super) const FLAT: &str = "_charged_items";
/// The filter of what a namespace is given, which no namespace may be: one that holds itself is never let go of.
pub(super) const HELD: &str = "_held";

/// Deepest nesting of an expression.
const MAX_DEPTH: usize = 150;
/// Most operators in a row. The engine folds constants anew at each of them, in time that grows with the square of the row, and
/// its tree is as deep as the row is long.
const MAX_ROW: usize = 256;

/// Filters that look at no more than the items of what they are given, or count for themselves.
const SHALLOW_FILTERS: [&str; 20] = [
    "length",
    "count",
    "first",
    "last",
    "list",
    "reverse",
    "default",
    "d",
    "attr",
    "abs",
    "int",
    "float",
    "bool",
    "round",
    "tojson",
    "trim",
    "wordcount",
    DEEP,
    FLAT,
    HELD,
];
/// Tests that look at the kind of a value or at a scalar.
const SHALLOW_TESTS: [&str; 24] = [
    "defined",
    "undefined",
    "none",
    "None",
    "boolean",
    "true",
    "false",
    "integer",
    "int",
    "float",
    "number",
    "string",
    "mapping",
    "iterable",
    "sequence",
    "odd",
    "even",
    "divisibleby",
    "safe",
    "escaped",
    "callable",
    "filter",
    "test",
    "sameas",
];
const KEYWORDS: [&str; 8] = ["and", "or", "not", "in", "is", "if", "else", "recursive"];

/// The template with its charges, line for line.
///
/// # Errors
/// A sentence with the line if a tag is not closed, has a character that no expression has, or nests too deep.
pub(super) fn insert(template: &str) -> Result<String, String> {
    let (mut insertions, mut branches) = (Vec::new(), Vec::new());
    let mut at = 0;
    while let Some(found) = template.get(at..).and_then(|rest| rest.find('{')) {
        let open = at + found;
        let rest = template.get(open..).unwrap_or_default();
        at = if rest.starts_with("{#") {
            rest.find("#}").map_or(template.len(), |end| open + end + 2)
        } else if let Some(end) = raw_end(rest) {
            open + end
        } else if rest.starts_with("{{") || rest.starts_with("{%") {
            let line = || template.get(..open).unwrap_or_default().matches('\n').count() + 1;
            let is_block = rest.starts_with("{%");
            tag(template, open + 2, is_block)
                .and_then(|(tokens, end)| {
                    if is_block {
                        count_branches(&mut branches, &tokens)?;
                    }
                    let insertions = &mut insertions;
                    let reader = Reader { tokens: &tokens, at: 0, depth: 0, insertions };
                    reader.statement(is_block).map(|()| end)
                })
                .map_err(|reason| format!("line {}: {reason}", line()))?
        } else {
            open + 1
        };
    }
    // Insertions at one place stay in the order in which they were found: what is inside closes first.
    insertions.sort_by_key(|(at, _)| *at);
    let extra: usize = insertions.iter().map(|(_, text): &(usize, String)| text.len()).sum();
    let mut out = String::with_capacity(template.len() + extra);
    let mut from = 0;
    for (at, text) in &insertions {
        out.push_str(template.get(from..*at).unwrap_or_default());
        out.push_str(text);
        from = *at;
    }
    out.push_str(template.get(from..).unwrap_or_default());
    Ok(out)
}

/// Counts the branches of each `if` that is open: the engine reads them as one inside the other.
fn count_branches(open: &mut Vec<usize>, tokens: &[Token<'_>]) -> Result<(), String> {
    match tokens.first().map(|token| token.text) {
        Some("if") => open.push(0),
        Some("endif") => drop(open.pop()),
        Some("elif") => {
            if let Some(count) = open.last_mut() {
                *count += 1;
                if *count > MAX_ROW {
                    return Err(format!("an if has more than {MAX_ROW} branches"));
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// What an operand is, as far as its text tells.
#[derive(Clone, Copy)]
struct Operand {
    start: usize,
    end: usize,
    /// A string, a number, or nothing: never a container.
    scalar: bool,
    text: bool,
}

/// A reader of expressions that knows where operands begin and end, and nothing of their meaning.
struct Reader<'a, 't> {
    tokens: &'a [Token<'t>],
    at: usize,
    depth: usize,
    insertions: &'a mut Vec<(usize, String)>,
}

impl Reader<'_, '_> {
    fn statement(mut self, is_block: bool) -> Result<(), String> {
        if is_block {
            let is_loop = self.is("for");
            let is_set = self.is("set");
            self.at += 1;
            if is_set {
                self.assignment()?;
            } else if is_loop {
                // The names before the first `in`, which is no operator.
                while self.peek().is_some_and(|text| text != "in") {
                    self.at += 1;
                }
            }
        }
        while self.at < self.tokens.len() {
            let before = self.at;
            self.expression()?;
            if self.at == before {
                self.at += 1;
            }
        }
        Ok(())
    }

    /// `x = value` or `ns.x = value`; `set` alone begins a block.
    fn assignment(&mut self) -> Result<(), String> {
        let mut to_namespace = false;
        while self.peek().is_some_and(|text| text != "=" && text != "|") {
            to_namespace |= self.is(".");
            self.at += 1;
        }
        if !self.eat("=") {
            return Ok(());
        }
        let value = self.expression()?;
        if self.is(",") {
            self.wrap(value, DEEP);
        } else if to_namespace {
            self.wrap(value, HELD);
        }
        while self.eat(",") {
            let value = self.expression()?;
            self.wrap(value, DEEP);
        }
        Ok(())
    }

    fn peek(&self) -> Option<&str> {
        self.tokens.get(self.at).map(|token| token.text)
    }

    fn is(&self, text: &str) -> bool {
        // The text of a string is never a sign.
        self.tokens.get(self.at).is_some_and(|token| token.kind != Kind::Text && token.text == text)
    }

    fn eat(&mut self, text: &str) -> bool {
        let is = self.is(text);
        self.at += usize::from(is);
        is
    }

    /// The end of the token before this one.
    fn end(&self) -> usize {
        self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map_or(0, |token| token.end)
    }

    /// Counts one more operator of a row.
    fn another(row: &mut usize) -> Result<(), String> {
        *row += 1;
        match *row > MAX_ROW {
            true => Err(format!("an expression has more than {MAX_ROW} operators in a row")),
            false => Ok(()),
        }
    }

    fn start(&self) -> usize {
        self.tokens.get(self.at).map_or(usize::MAX, |token| token.start)
    }

    fn wrap(&mut self, operand: Operand, filter: &str) {
        if !operand.scalar && operand.start < operand.end {
            self.insertions.push((operand.start, "(".to_owned()));
            self.insertions.push((operand.end, format!(")|{filter}")));
        }
    }

    /// `a if b else c`.
    fn expression(&mut self) -> Result<Operand, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("an expression nests deeper than {MAX_DEPTH}"));
        }
        let start = self.start();
        let mut operand = self.logic()?;
        let mut row = 0;
        while self.eat("if") {
            Self::another(&mut row)?;
            self.logic()?;
            if self.eat("else") {
                self.expression()?;
            }
            operand = Operand { start, end: self.end(), scalar: false, text: false };
        }
        self.depth -= 1;
        Ok(operand)
    }

    /// `a and not b or c`.
    fn logic(&mut self) -> Result<Operand, String> {
        let (mut operand, mut row) = (self.comparison()?, 0);
        while self.eat("and") || self.eat("or") {
            Self::another(&mut row)?;
            let right = self.comparison()?;
            operand = Operand { end: right.end, scalar: false, text: false, ..operand };
        }
        Ok(operand)
    }

    /// `a == b`, `a not in b`.
    fn comparison(&mut self) -> Result<Operand, String> {
        let mut row = 0;
        while self.eat("not") {
            Self::another(&mut row)?;
        }
        let mut left = self.sum()?;
        loop {
            let membership = if self.is("not") {
                let follows = self.tokens.get(self.at + 1).is_some_and(|token| token.text == "in");
                if !follows {
                    return Ok(left);
                }
                self.at += 2;
                true
            } else if self.eat("in") {
                true
            } else if ["==", "!=", "<", "<=", ">", ">="].iter().any(|sign| self.is(sign)) {
                self.at += 1;
                false
            } else {
                return Ok(left);
            };
            Self::another(&mut row)?;
            let right = self.sum()?;
            // With a scalar on one side nothing inside the other is looked at.
            if membership || !right.scalar {
                self.wrap(left, DEEP);
            }
            left = Operand { scalar: false, text: false, ..right };
        }
    }

    /// `a + b - c`.
    fn sum(&mut self) -> Result<Operand, String> {
        let (mut left, mut row) = (self.joined()?, 0);
        loop {
            let adds = self.is("+");
            if !adds && !self.is("-") {
                return Ok(left);
            }
            self.at += 1;
            Self::another(&mut row)?;
            let right = self.joined()?;
            // What is added to a string is one.
            if adds && !left.text && !right.text {
                self.wrap(left, FLAT);
                self.wrap(right, FLAT);
            }
            left = Operand {
                start: left.start,
                end: right.end,
                scalar: left.text || right.text,
                text: left.text || right.text,
            };
        }
    }

    /// `a ~ b`.
    fn joined(&mut self) -> Result<Operand, String> {
        let first = self.product()?;
        let mut last = first;
        let (mut joins, mut row) = (false, 0);
        while self.eat("~") {
            Self::another(&mut row)?;
            if !std::mem::replace(&mut joins, true) {
                self.wrap(first, DEEP);
            }
            last = self.product()?;
            self.wrap(last, DEEP);
        }
        Ok(Operand {
            start: first.start,
            end: last.end,
            scalar: joins || first.scalar,
            text: joins || first.text,
        })
    }

    /// `a * b`, `a ** b`.
    fn product(&mut self) -> Result<Operand, String> {
        let (mut operand, mut row) = (self.unary()?, 0);
        while ["*", "/", "//", "%", "**"].iter().any(|sign| self.is(sign)) {
            self.at += 1;
            Self::another(&mut row)?;
            let right = self.unary()?;
            operand = Operand { end: right.end, scalar: false, text: false, ..operand };
        }
        Ok(operand)
    }

    fn unary(&mut self) -> Result<Operand, String> {
        let start = self.start();
        let mut signs = 0;
        while self.eat("-") || self.eat("+") || self.eat("not") {
            Self::another(&mut signs)?;
        }
        let operand = self.postfix()?;
        Ok(if signs == 0 { operand } else { Operand { start, ..operand } })
    }

    /// `a.b[c](d) | e is f`.
    fn postfix(&mut self) -> Result<Operand, String> {
        let Some(first) = self.tokens.get(self.at).copied() else {
            return Ok(Operand { start: 0, end: 0, scalar: true, text: false });
        };
        let mut scalar = true;
        let mut text = false;
        let mut name = first.text;
        match (first.kind, first.text) {
            (Kind::Text, _) => {
                self.at += 1;
                text = true;
            }
            (Kind::Number, _) => self.at += 1,
            (Kind::Name, word) if KEYWORDS.contains(&word) => {
                return Ok(Operand { start: 0, end: 0, scalar: true, text: false });
            }
            (Kind::Name, word) => {
                self.at += 1;
                scalar = matches!(word, "true" | "false" | "none" | "True" | "False" | "None");
            }
            (_, "(") => {
                self.at += 1;
                self.group()?;
                scalar = false;
            }
            (_, "[") => {
                self.at += 1;
                self.list("]", Some(DEEP))?;
                scalar = false;
            }
            (_, "{") => {
                self.at += 1;
                self.list("}", Some(DEEP))?;
                scalar = false;
            }
            _ => return Ok(Operand { start: 0, end: 0, scalar: true, text: false }),
        }
        let mut row = 0;
        loop {
            Self::another(&mut row)?;
            if self.eat(".") {
                name = self.tokens.get(self.at).map_or("", |token| token.text);
                self.at += 1;
            } else if self.eat("[") {
                self.list("]", Some(DEEP))?;
            } else if self.eat("(") {
                // `loop.changed` compares what it is given with what it was given before; the others keep it.
                let keeps = matches!(name, "changed" | "dict" | "namespace");
                self.list(")", keeps.then_some(DEEP))?;
            } else if self.is("|") {
                let end = self.end();
                self.at += 1;
                let shallow = self.word().is_some_and(|name| SHALLOW_FILTERS.contains(&name));
                if !shallow && !scalar {
                    self.insertions.push((end, format!("|{DEEP}")));
                }
                self.names();
                if self.eat("(") {
                    self.list(")", (!shallow).then_some(DEEP))?;
                }
            } else if self.is("is") {
                let end = self.end();
                self.at += 1;
                self.eat("not");
                let shallow = self.word().is_some_and(|name| SHALLOW_TESTS.contains(&name));
                if !shallow {
                    self.insertions.push((end, format!("|{DEEP}")));
                }
                self.names();
                if self.eat("(") {
                    self.list(")", (!shallow).then_some(DEEP))?;
                } else if self.tokens.get(self.at).is_some_and(|token| {
                    token.kind != Kind::Sign && !KEYWORDS.contains(&token.text)
                        || matches!(token.text, "[" | "{")
                }) {
                    // An argument without parentheses.
                    let argument = self.postfix()?;
                    if !shallow {
                        self.wrap(argument, DEEP);
                    }
                }
            } else {
                return Ok(Operand { start: first.start, end: self.end(), scalar, text });
            }
            (scalar, text) = (false, false);
        }
    }

    fn word(&self) -> Option<&str> {
        let token = self.tokens.get(self.at).filter(|token| token.kind == Kind::Name)?;
        // A dotted name is none that is known.
        let dotted = self.tokens.get(self.at + 1).is_some_and(|token| token.text == ".");
        (!dotted).then_some(token.text)
    }

    fn names(&mut self) {
        self.at += 1;
        while self.is(".") {
            self.at += 2;
        }
    }

    /// An expression in parentheses, or with commas the items of a tuple.
    fn group(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("an expression nests deeper than {MAX_DEPTH}"));
        }
        let mut items = Vec::new();
        let mut is_tuple = false;
        while self.at < self.tokens.len() && !self.eat(")") {
            let before = self.at;
            if self.eat(",") {
                is_tuple = true;
                continue;
            }
            items.push(self.expression()?);
            self.at += usize::from(self.at == before);
        }
        if is_tuple {
            items.into_iter().for_each(|item| self.wrap(item, DEEP));
        }
        self.depth -= 1;
        Ok(())
    }

    /// What stands in brackets up to `close`: arguments, items, pairs or the bounds of a slice.
    fn list(&mut self, close: &str, filter: Option<&str>) -> Result<(), String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("an expression nests deeper than {MAX_DEPTH}"));
        }
        while self.at < self.tokens.len() && !self.eat(close) {
            if self.eat(",") || self.eat(":") || self.eat("=") || self.eat("*") || self.eat("**") {
                continue;
            }
            let before = self.at;
            let operand = self.expression()?;
            if self.at == before {
                self.at += 1;
                continue;
            }
            let is_key = close == "}" && self.is(":");
            let is_name = close == ")" && self.is("=");
            let is_bound = close == "]" && filter.is_some() && self.is(":");
            if is_key {
                self.wrap(operand, DEEP);
            } else if let (Some(filter), false, false) = (filter, is_name, is_bound) {
                self.wrap(operand, filter);
            }
        }
        self.depth -= 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
