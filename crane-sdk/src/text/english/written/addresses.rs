//! Addresses of mail and of the web, paths, names of files, hashtags.

use super::super::number_words::plain;
use super::numerals::each;

/// An address as it is read to somebody who writes it down; `None` if the word is none.
pub(super) fn say(word: &str) -> Option<String> {
    if let Some(tag) = word.strip_prefix('#').filter(|tag| tag.starts_with(char::is_alphabetic)) {
        return Some(format!("hashtag {tag}"));
    }
    if let Some(letter) = word.strip_suffix('#').filter(|word| word.len() == 1) {
        return Some(format!("{letter} sharp"));
    }
    if is_plain_mail(word) {
        return None;
    }
    let word = word.strip_prefix('<').map_or(word, |word| word.trim_end_matches('>'));
    let lower = word.get(..8.min(word.len())).unwrap_or_default().to_lowercase();
    let scheme =
        ["https://", "http://", "ftp://", "mailto:"].iter().find(|s| lower.starts_with(**s));
    let address = word.get(scheme.map_or(0, |scheme| scheme.len())..)?;
    let known = scheme.is_some() || lower.starts_with("www.");
    if address.is_empty() || !(known || is_mail(word) || is_path(word) || is_dotted(word)) {
        return None;
    }
    Some(spelled(address))
}

fn is_mail(word: &str) -> bool {
    word.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && host.contains('.') && !host.contains('@') && !host.starts_with('.')
    })
}

/// "foo@bar.com": recorded readings of the published front end name no point in it, and voices were trained on them.
fn is_plain_mail(word: &str) -> bool {
    let letters = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase());
    let host = word.split_once('@').filter(|(name, _)| letters(name));
    host.and_then(|(_, host)| host.strip_suffix(".com")).is_some_and(letters)
}

fn is_path(word: &str) -> bool {
    let letters = word.contains(|c: char| c.is_ascii_alphabetic());
    let starts = ["/", "./", "../", "~/"].iter().any(|start| word.starts_with(start));
    letters
        && (starts
            || word.contains('\\')
            || (word.contains('/')
                && (word.matches('/').count() > 2 || word.split('/').any(is_dotted))))
}

/// "main.rs", "example.com", but neither "e.g" nor an end of a sentence without a space.
fn is_dotted(word: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    let Some((_, last)) = word.rsplit_once('.') else { return false };
    word.split('.').all(part)
        && word.split('.').any(|part| part.len() > 2)
        && last.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        && last.contains(|c: char| c.is_ascii_alphabetic())
        && !word.starts_with(|c: char| c.is_ascii_digit() && last.len() < 2)
        && word
            .split('.')
            .next()
            .is_some_and(|first| first.contains(|c: char| c.is_ascii_alphabetic()))
}

fn spelled(address: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut rest = address;
    while let Some(first) = rest.chars().next() {
        let kind = |c: char| if c.is_ascii_digit() { 1 } else { u8::from(!c.is_alphabetic()) * 2 };
        if kind(first) == 2 {
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            let name = match first {
                '.' => "dot",
                '@' => "at",
                '/' => "slash",
                '\\' => "backslash",
                '-' => "dash",
                '_' => "underscore",
                '?' => "question mark",
                '=' => "equals",
                '&' => "and",
                '#' => "hash",
                '%' => "percent",
                '~' => "tilde",
                '+' => "plus",
                ':' => "colon",
                ',' => "comma",
                _ => continue,
            };
            // A slash at the end says nothing.
            if !(rest.is_empty() && first == '/') {
                out.push(name.to_owned());
            }
            continue;
        }
        let end = rest.find(|c| kind(c) != kind(first)).unwrap_or(rest.len());
        let (run, tail) = rest.split_at(end);
        rest = tail;
        let after_dot = out.last().is_some_and(|last| last == "dot");
        let last = !tail.starts_with(|c: char| c.is_alphanumeric() || "-_.".contains(c));
        out.push(match kind(first) {
            1 if run.starts_with('0') || run.len() > 4 => each(run),
            1 if run.len() == 4 => run.to_owned(),
            1 => run.parse().map_or_else(|_| each(run), plain),
            _ if is_spelled(run, after_dot && last) => run.to_uppercase(),
            _ => run.to_owned(),
        });
    }
    out.join(" ")
}

/// Whether letters are named one by one: "pdf", "js", and countries.
fn is_spelled(run: &str, ends: bool) -> bool {
    let vowels = run.to_lowercase().contains(['a', 'e', 'i', 'o', 'u'])
        || (run.ends_with('y') && run != "py");
    (run.len() <= 4 && !vowels) || (ends && run.len() == 2 && !["me", "co", "to"].contains(&run))
}
