//! Methods that Python's strings, lists and dicts have and templates call.

use minijinja::value::{Kwargs, Tuple, Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat;

use super::meter;

/// What an item of a list takes, in bytes.
const VALUE: usize = 32;

/// Calls a method on a value: those below, whose results must be Python's to the letter, and those
/// of minijinja's own compatibility layer.
pub(super) fn call_method(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    meter::tick()?;
    for arg in args {
        meter::inside(state, arg)?;
    }
    let own = match value.kind() {
        ValueKind::String => {
            string_method(state, value.as_str().unwrap_or_default(), method, args)?
        }
        ValueKind::Seq => list_method(state, value, method, args)?,
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
pub(super) fn trim(
    state: &mut State<'_, '_>,
    value: &Value,
    chars: Option<&str>,
) -> Result<String, Error> {
    meter::inside(state, value)?;
    // Jinja writes whatever it trims as text first.
    let text = value.to_string();
    Ok(strip_both(&text, chars, true, true).to_owned())
}

/// The `wordcount` filter: runs of letters, digits and `_`.
pub(super) fn wordcount(state: &mut State<'_, '_>, value: &Value) -> Result<usize, Error> {
    meter::inside(state, value)?;
    let text = value.to_string();
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    Ok(words.filter(|word| !word.is_empty()).count())
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

fn string_method(
    state: &State<'_, '_>,
    text: &str,
    method: &str,
    args: &[Value],
) -> Result<Option<Value>, Error> {
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
            let parts = match sep {
                Some(sep) if !sep.is_empty() => text.matches(sep).count(),
                _ => text.chars().filter(|character| is_space(*character)).count(),
            };
            meter::bytes(state, parts.saturating_mul(VALUE))?;
            split(text, sep, max.unwrap_or(-1), method == "rsplit")?
        }
        "splitlines" => {
            let (keep, kwargs): (Option<bool>, Kwargs) = from_args(args)?;
            let keep = if keep.is_none() { kwargs.get::<Option<bool>>("keepends")? } else { keep };
            kwargs.assert_all_used()?;
            let breaks = text.chars().filter(|character| is_space(*character)).count();
            meter::bytes(state, breaks.saturating_mul(VALUE))?;
            split_lines(text, keep.unwrap_or(false))
        }
        "replace" => replace(state, text, args)?,
        "join" => join(state, text, args)?,
        "format" => {
            charge_format(state, text, args)?;
            return Ok(None);
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

fn list_method(
    state: &State<'_, '_>,
    list: &Value,
    method: &str,
    args: &[Value],
) -> Result<Option<Value>, Error> {
    match method {
        "index" => {
            let (item,): (&Value,) = from_args(args)?;
            for (at, other) in list.try_iter()?.enumerate() {
                meter::items(state, 1)?;
                meter::inside(state, item)?;
                if other == *item {
                    return Ok(Some(at.into()));
                }
            }
            Err(invalid("the item is not in the list"))
        }
        "count" => {
            let (item,): (&Value,) = from_args(args)?;
            let mut count = 0;
            for other in list.try_iter()? {
                meter::items(state, 1)?;
                meter::inside(state, item)?;
                count += usize::from(other == *item);
            }
            Ok(Some(count.into()))
        }
        "copy" => {
            let () = from_args(args)?;
            Ok(Some(list.clone()))
        }
        _ => Ok(None),
    }
}

/// `str.replace(old, new, count=-1)`, paid for before it is made.
fn replace(state: &State<'_, '_>, text: &str, args: &[Value]) -> Result<Value, Error> {
    let (old, new, count): (&str, &str, Option<i64>) = from_args(args)?;
    let most = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
    let found = text.matches(old).take(most).count();
    let grown = found.saturating_mul(new.len()).saturating_add(text.len());
    meter::bytes(state, grown)?;
    Ok(text.replacen(old, new, found).into())
}

/// `str.join(items)`, paid for item by item.
fn join(state: &State<'_, '_>, text: &str, args: &[Value]) -> Result<Value, Error> {
    let (items,): (&Value,) = from_args(args)?;
    let mut out = String::new();
    for (index, item) in items.try_iter()?.enumerate() {
        let before = out.len();
        meter::items(state, 1)?;
        meter::inside(state, &item)?;
        if index > 0 {
            out.push_str(text);
        }
        match item.as_str() {
            Some(item) => out.push_str(item),
            None => out.push_str(&item.to_string()),
        }
        meter::bytes(state, out.len() - before)?;
    }
    Ok(out.into())
}

/// Pays for the most that `str.format(..)` can write: every field the longest argument, every number a width.
fn charge_format(state: &State<'_, '_>, text: &str, args: &[Value]) -> Result<(), Error> {
    let fields = text.matches('{').count();
    let longest = args.iter().map(|arg| match arg.as_str() {
        Some(arg) => arg.len(),
        None => arg.to_string().len(),
    });
    let longest = longest.max().unwrap_or_default();
    let mut most = text.len().saturating_add(fields.saturating_mul(longest));
    for number in text.split(|character: char| !character.is_ascii_digit()) {
        if number.is_empty() {
            continue;
        }
        let width = number.parse().unwrap_or(usize::MAX);
        padding("", width)?;
        most = most.saturating_add(width);
    }
    meter::bytes(state, most)
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
    let trim = |text| if from_end { strip_end(text) } else { strip_start(text) };
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

/// `str.rstrip()`.
pub(super) fn strip_end(text: &str) -> &str {
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
