//! The tags of a template (`{{ .. }}`, `{% .. %}`) in words.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Name,
    Text,
    Number,
    Sign,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'t> {
    pub kind: Kind,
    pub text: &'t str,
    /// Bytes of the template.
    pub start: usize,
    pub end: usize,
}

/// The end of a raw block that begins here.
pub(super) fn raw_end(text: &str) -> Option<usize> {
    let inner = text.strip_prefix("{%")?.trim_start_matches(['-', '+']).trim_start();
    let after = inner.strip_prefix("raw")?.trim_start();
    after.trim_start_matches(['-', '+']).strip_prefix("%}")?;
    let mut from = 2;
    while let Some(at) = text.get(from..)?.find("{%").map(|at| from + at) {
        let tag = text.get(at + 2..)?;
        let inner = tag.trim_start_matches(['-', '+']).trim_start();
        if let Some(after) = inner.strip_prefix("endraw") {
            let after = after.trim_start().trim_start_matches(['-', '+']);
            if after.starts_with("%}") {
                return Some(text.len() - after.len() + 2);
            }
        }
        from = at + 2;
    }
    Some(text.len())
}

/// The words of one tag, from after its opening marker, and its end.
pub(super) fn tag(
    template: &str,
    start: usize,
    is_block: bool,
) -> Result<(Vec<Token<'_>>, usize), String> {
    let close = if is_block { "%}" } else { "}}" };
    let mut tokens = Vec::new();
    let mut at = start;
    let mut open = 0i64;
    let mut begins = true;
    loop {
        let rest = template.get(at..).unwrap_or_default();
        let Some(next) = rest.chars().next() else { break };
        if std::mem::take(&mut begins) && matches!(next, '-' | '+') {
            at += 1;
            continue;
        }
        if next.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        if open == 0 {
            let marked = rest.strip_prefix(['-', '+']).is_some_and(|rest| rest.starts_with(close));
            if marked || rest.starts_with(close) {
                at += close.len() + usize::from(marked);
                break;
            }
        }
        let (kind, len) = token(rest)?;
        let text = rest.get(..len).unwrap_or_default();
        match text {
            "(" | "[" | "{" => open += 1,
            ")" | "]" | "}" => open -= 1,
            _ => {}
        }
        tokens.push(Token { kind, text, start: at, end: at + len });
        at += len;
    }
    Ok((tokens, at))
}

fn token(rest: &str) -> Result<(Kind, usize), String> {
    let bytes = rest.as_bytes();
    let run = |is: &dyn Fn(u8) -> bool| bytes.iter().take_while(|byte| is(**byte)).count();
    let Some(first) = bytes.first().copied() else { return Ok((Kind::Sign, 0)) };
    Ok(match first {
        b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
            (Kind::Name, run(&|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
        }
        b'0'..=b'9' => (Kind::Number, run(&|byte| byte.is_ascii_alphanumeric() || byte == b'_')),
        b'\'' | b'"' => {
            let mut escaped = false;
            let end = bytes.iter().skip(1).position(|byte| {
                let ends = *byte == first && !escaped;
                escaped = *byte == b'\\' && !escaped;
                ends
            });
            (Kind::Text, end.map_or(rest.len(), |end| end + 2))
        }
        _ if ["//", "**", "==", "!=", ">=", "<="].iter().any(|sign| rest.starts_with(sign)) => {
            (Kind::Sign, 2)
        }
        b'!'..=b'~' => (Kind::Sign, 1),
        _ => {
            let character = rest.chars().next().unwrap_or_default();
            return Err(format!("the character {character:?} cannot stand in an expression"));
        }
    })
}
