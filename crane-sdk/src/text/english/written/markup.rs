//! Markdown and rows of signs: what marks a line or a word is taken away, the text stays.

/// How many signs in a row are a row.
const ROW: usize = 4;

/// The text of a line of Markdown. `[word](/phonemes/)` stays.
pub(super) fn strip(line: &str) -> String {
    let text = line_text(line.trim());
    links(&rows(text))
}

/// A line without what marks it as a heading, an item, a quotation, a fence or a row of a table.
fn line_text(line: &str) -> &str {
    let mut text = line;
    if text.starts_with("```") || text.starts_with("~~~") {
        return "";
    }
    while let Some(rest) = text.strip_prefix("> ") {
        text = rest.trim_start();
    }
    let heading = text.trim_start_matches('#');
    if heading.starts_with(' ') && text.len() - heading.len() <= 6 {
        text = heading.trim().trim_end_matches('#');
    }
    if let Some(rest) = ["- ", "* ", "+ ", "• "].iter().find_map(|mark| text.strip_prefix(mark)) {
        text = rest.trim_start();
        text = ["[ ] ", "[x] ", "[X] "]
            .iter()
            .find_map(|box_| text.strip_prefix(box_))
            .unwrap_or(text);
    }
    let rule = |c: char| "-=*_|:+ ".contains(c);
    if text.len() > 2 && text.chars().all(rule) {
        return "";
    }
    let cells = text.strip_prefix('|').map(|text| text.trim_end().trim_end_matches('|'));
    cells.unwrap_or(text).trim()
}

/// Rows of one sign: dots are an ellipsis, three marks of exclamation are enough, lines are not said.
fn rows(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after = rest.trim_start_matches(first);
        let (row, tail) = rest.split_at(rest.len() - after.len());
        rest = tail;
        let count = row.len() / first.len_utf8();
        if count < ROW || first.is_alphanumeric() || first.is_whitespace() {
            out.push_str(if row == "~~" { "" } else { row });
        } else {
            match first {
                '.' | '…' => out.push('…'),
                '!' | '?' => out.extend([first; 3]),
                ',' | ';' | ':' | '"' | '\'' | '(' | ')' => out.push(first),
                _ => out.push(' '),
            }
        }
    }
    out
}

/// Links and pictures as their text.
fn links(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("](") {
        let (head, tail) = rest.split_at(at);
        let target = tail.get(2..).unwrap_or_default();
        let phonemes = target.strip_prefix('/').and_then(|target| target.split_once("/)"));
        let is_sound = phonemes.is_some_and(|(sounds, _)| {
            !sounds.contains(['/', ')'])
                && (!sounds.is_ascii() || !sounds.contains(['o', 'c', 'e', '.']))
        });
        let (open, end) = (head.rfind('['), target.find(')'));
        match (open, end) {
            (Some(open), Some(end)) if is_sound => {
                let (before, word) = head.split_at(open);
                out.push_str(before);
                out.push_str(word);
                out.push_str(tail.get(..end + 3).unwrap_or_default());
                rest = target.get(end + 1..).unwrap_or_default();
            }
            (Some(open), Some(end)) => {
                let (before, word) = head.split_at(open);
                out.push_str(before.strip_suffix('!').unwrap_or(before));
                out.push_str(word.get(1..).unwrap_or_default());
                rest = target.get(end + 1..).unwrap_or_default();
            }
            // What is no link is said as it is.
            (_, None) => break,
            _ => {
                out.push_str(head);
                out.push_str("](");
                rest = target;
            }
        }
    }
    out.push_str(rest);
    out
}
