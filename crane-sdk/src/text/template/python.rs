//! Methods that Python's strings, lists and dicts have and templates call.

use minijinja::value::{Kwargs, Tuple, Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat;

/// Calls a method on a value: those below, whose results must be Python's to the letter, and those
/// of minijinja's own compatibility layer.
pub(super) fn call_method(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let own = match value.kind() {
        ValueKind::String => string_method(value.as_str().unwrap_or_default(), method, args)?,
        ValueKind::Seq => list_method(value, method, args)?,
        ValueKind::Map if method == "copy" => {
            let () = from_args(args)?;
            Some(value.clone())
        }
        _ => None,
    };
    match own {
        Some(result) => Ok(result),
        None => pycompat::unknown_method_callback(state, value, method, args),
    }
}

/// The `trim` filter: `str.strip`.
pub(super) fn trim(value: &Value, chars: Option<&str>) -> String {
    // Jinja writes whatever it trims as text first.
    let text = value.to_string();
    strip_both(&text, chars, true, true).to_owned()
}

/// The `wordcount` filter: runs of letters, digits and `_`.
pub(super) fn wordcount(value: &Value) -> usize {
    let text = value.to_string();
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    words.filter(|word| !word.is_empty()).count()
}

/// `str.strip()`.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `str.lstrip()`.
pub(super) fn strip_start(text: &str) -> &str {
    text.trim_start_matches(is_space)
}

/// Python counts the four information separators as whitespace, Unicode does not.
fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

fn string_method(text: &str, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let result = match method {
        "strip" | "lstrip" | "rstrip" => {
            let (chars,): (Option<&str>,) = from_args(args)?;
            strip_both(text, chars, method != "rstrip", method != "lstrip").into()
        }
        "split" | "rsplit" => {
            let (sep, max, kwargs): (Option<&str>, Option<i64>, Kwargs) = from_args(args)?;
            let sep = if sep.is_none() { kwargs.get::<Option<&str>>("sep")? } else { sep };
            let max = if max.is_none() { kwargs.get::<Option<i64>>("maxsplit")? } else { max };
            kwargs.assert_all_used()?;
            split(text, sep, max.unwrap_or(-1), method == "rsplit")?
        }
        "splitlines" => {
            let (keep, kwargs): (Option<bool>, Kwargs) = from_args(args)?;
            let keep = if keep.is_none() { kwargs.get::<Option<bool>>("keepends")? } else { keep };
            kwargs.assert_all_used()?;
            split_lines(text, keep.unwrap_or(false))
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            text.strip_prefix(prefix).unwrap_or(text).into()
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            text.strip_suffix(suffix).unwrap_or(text).into()
        }
        "partition" => {
            let (sep,): (&str,) = from_args(args)?;
            let (left, right) = text.split_once(sep).unwrap_or((text, ""));
            let found = if left.len() == text.len() { "" } else { sep };
            triple(left, found, right)
        }
        "rpartition" => {
            let (sep,): (&str,) = from_args(args)?;
            let (left, right) = text.rsplit_once(sep).unwrap_or(("", text));
            let found = if right.len() == text.len() { "" } else { sep };
            triple(left, found, right)
        }
        "index" | "rindex" => {
            let (part,): (&str,) = from_args(args)?;
            let at = if method == "index" { text.find(part) } else { text.rfind(part) };
            let at = at.ok_or_else(|| invalid("substring not found"))?;
            text.get(..at).unwrap_or_default().chars().count().into()
        }
        "title" => {
            let () = from_args(args)?;
            title(text).into()
        }
        "swapcase" => {
            let () = from_args(args)?;
            swap_case(text).into()
        }
        "casefold" => {
            let () = from_args(args)?;
            text.to_lowercase().into()
        }
        "isspace" => {
            let () = from_args(args)?;
            (!text.is_empty() && text.chars().all(is_space)).into()
        }
        "zfill" => {
            let (width,): (usize,) = from_args(args)?;
            let (sign, digits) = match text.strip_prefix(['+', '-']) {
                Some(digits) => text.split_at(text.len() - digits.len()),
                None => ("", text),
            };
            let fill = padding(text, width)?;
            format!("{sign}{}{digits}", "0".repeat(fill)).into()
        }
        "ljust" | "rjust" | "center" => {
            let (width, fill): (usize, Option<&str>) = from_args(args)?;
            justify(text, width, fill.unwrap_or(" "), method)?.into()
        }
        _ => return Ok(None),
    };
    Ok(Some(result))
}

fn list_method(list: &Value, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    match method {
        "index" => {
            let (item,): (&Value,) = from_args(args)?;
            let at = list.try_iter()?.position(|other| other == *item);
            at.map(|at| Some(at.into())).ok_or_else(|| invalid("the item is not in the list"))
        }
        "copy" => {
            let () = from_args(args)?;
            Ok(Some(list.clone()))
        }
        _ => Ok(None),
    }
}

fn strip_both<'a>(text: &'a str, chars: Option<&str>, start: bool, end: bool) -> &'a str {
    let stripped = |character| match chars {
        Some(chars) => chars.contains(character),
        None => is_space(character),
    };
    let text = if start { text.trim_start_matches(stripped) } else { text };
    if end { text.trim_end_matches(stripped) } else { text }
}

fn split(text: &str, sep: Option<&str>, max: i64, from_end: bool) -> Result<Value, Error> {
    // A negative limit is none.
    let limit = usize::try_from(max).unwrap_or(usize::MAX);
    let mut parts: Vec<&str> = match sep {
        Some("") => return Err(invalid("empty separator")),
        Some(sep) if from_end => text.rsplitn(limit.saturating_add(1), sep).collect(),
        Some(sep) => text.splitn(limit.saturating_add(1), sep).collect(),
        None => split_words(text, limit, from_end),
    };
    if from_end {
        parts.reverse();
    }
    Ok(parts.into_iter().map(Value::from).collect())
}

/// Splits at runs of whitespace, at most `limit` times; `from_end` gives the last word first.
fn split_words(text: &str, limit: usize, from_end: bool) -> Vec<&str> {
    let trim = |text| if from_end { trim_end(text) } else { strip_start(text) };
    let mut words = Vec::new();
    let mut rest = trim(text);
    while !rest.is_empty() {
        let at = if from_end { rest.rfind(is_space) } else { rest.find(is_space) };
        let Some(at) = at.filter(|_| words.len() < limit) else {
            words.push(rest);
            break;
        };
        let (left, right) = rest.split_at(at);
        words.push(if from_end { strip_start(right) } else { left });
        rest = trim(if from_end { left } else { right });
    }
    words
}

fn trim_end(text: &str) -> &str {
    text.trim_end_matches(is_space)
}

fn split_lines(text: &str, keep: bool) -> Value {
    let is_break = |character| {
        matches!(
            character,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'
                ..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(is_break) {
        let (line, after) = rest.split_at(at);
        let len = if after.starts_with("\r\n") {
            2
        } else {
            after.chars().next().map_or(0, char::len_utf8)
        };
        let kept = rest.get(..at + len).unwrap_or(line);
        lines.push(Value::from(if keep { kept } else { line }));
        rest = after.get(len..).unwrap_or_default();
    }
    if !rest.is_empty() {
        lines.push(Value::from(rest));
    }
    Value::from(lines)
}

fn triple(left: &str, middle: &str, right: &str) -> Value {
    Value::from(Tuple::from([left, middle, right].map(Value::from)))
}

fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for character in text.chars() {
        if inside {
            out.extend(character.to_lowercase());
        } else {
            out.extend(character.to_uppercase());
        }
        inside = character.is_lowercase() || character.is_uppercase();
    }
    out
}

fn swap_case(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_lowercase() {
            out.extend(character.to_uppercase());
        } else {
            out.extend(character.to_lowercase());
        }
    }
    out
}

fn justify(text: &str, width: usize, fill: &str, method: &str) -> Result<String, Error> {
    if fill.chars().count() != 1 {
        return Err(invalid("the fill character must be exactly one character long"));
    }
    let total = padding(text, width)?;
    let left = match method {
        "ljust" => 0,
        "rjust" => total,
        // Python's rule for the odd one out.
        _ => total / 2 + (total & width & 1),
    };
    Ok(format!("{}{text}{}", fill.repeat(left), fill.repeat(total - left)))
}

/// How many characters `text` lacks of `width`, which is bounded: a template is a stranger.
fn padding(text: &str, width: usize) -> Result<usize, Error> {
    if width > 1 << 16 {
        return Err(invalid("the width is too large"));
    }
    Ok(width.saturating_sub(text.chars().count()))
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}
