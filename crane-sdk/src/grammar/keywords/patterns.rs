//! Patterns: those that the lexer cannot follow, with what is left of them without looking around.

use llguidance::derivre::RegexBuilder;
use llguidance::regex_to_lark;
use serde_json::{Map, Value};

use super::Walk;
use crate::grammar::assemble::caught;

/// Longer ones are the compiler's to refuse.
const LONGEST: usize = 16 << 10;

impl Walk<'_> {
    /// Keeps a pattern as far as the lexer can follow it.
    pub(super) fn patterns(&mut self, map: &mut Map<String, Value>, path: &str) {
        if let Some(pattern) = map.get("pattern").and_then(Value::as_str).map(str::to_owned)
            && !is_followed(&pattern)
        {
            self.leave_out("pattern", path, reason(&pattern));
            match without_assertions(&pattern).filter(|rest| is_followed(rest)) {
                Some(rest) => drop(map.insert("pattern".to_owned(), rest.into())),
                None => drop(map.shift_remove("pattern")),
            }
        }
        let Some(Value::Object(patterns)) = map.get_mut("patternProperties") else { return };
        let bad: Vec<String> =
            patterns.keys().filter(|pattern| !is_followed(pattern)).cloned().collect();
        if let Some(first) = bad.first() {
            self.leave_out("patternProperties", path, reason(first));
            bad.iter().for_each(|pattern| drop(patterns.shift_remove(pattern)));
            if patterns.is_empty() {
                map.shift_remove("patternProperties");
            }
            // Their names are no longer apart from the others'.
            map.shift_remove("additionalProperties");
        }
    }
}

fn reason(pattern: &str) -> String {
    let shown: String = pattern.chars().take(60).collect();
    format!("the regular expression {shown:?} looks around or back, or is none")
}

/// Whether the lexer can follow a pattern.
pub(super) fn is_followed(pattern: &str) -> bool {
    pattern.len() > LONGEST
        || caught(|| RegexBuilder::new().mk_regex_for_serach(&regex_to_lark(pattern, "dw"))).is_ok()
}

/// A pattern without lookaround and word boundaries, which fits more texts and each that the whole one fits.
fn without_assertions(pattern: &str) -> Option<String> {
    let bytes = pattern.as_bytes();
    let (mut kept, mut at, mut class) = (Vec::with_capacity(bytes.len()), 0, false);
    while let Some(&byte) = bytes.get(at) {
        let rest = bytes.get(at..)?;
        if byte == b'\\' {
            if class || !matches!(rest.get(1), Some(b'b' | b'B')) {
                kept.extend(rest.get(..2)?);
            }
            at += 2;
            continue;
        }
        let looks = [b"(?=".as_slice(), b"(?!", b"(?<=", b"(?<!"];
        if !class && looks.iter().any(|start| rest.starts_with(start)) {
            at += group(rest)?;
            continue;
        }
        match byte {
            b'[' => class = true,
            b']' => class = false,
            _ => {}
        }
        kept.push(byte);
        at += 1;
    }
    String::from_utf8(kept).ok()
}

/// The length of the group that begins here.
fn group(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut at, mut class) = (0usize, 0, false);
    loop {
        match *bytes.get(at)? {
            b'\\' => at += 1,
            b'[' => class = true,
            b']' => class = false,
            b'(' if !class => depth += 1,
            b')' if !class => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}
