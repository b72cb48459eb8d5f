//! Text to words as spaCy's English tokenizer cuts it: special cases, then prefixes and suffixes peeled off, then infixes.

use std::collections::HashMap;

use super::READING;
use super::pattern::{Pattern, one_of};
use super::sentences::in_parts;
use crate::Result;
use crate::generate::CancelToken;

const LETTER: &str = r"[^\W\d_]";
const LOWER: &str = "a-zß-öø-ÿ";
const UPPER: &str = "A-ZÀ-ÖØ-Þ";
const QUOTES: &str = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉";
const MARKS: &str = "…,:;!?¿¡()[]{}<>_#*&。？！，、；：～·";
const ICONS: &str = "™®©°§¶†‡•";
const CURRENCIES: &str = "$ £ € ¥ ฿ US$ C$ A$ ₽ ₹ ₩ ₪ ₺ ₴ ₦ ₫ ₱ ₲ ₵ ₸ ₼ ₾ ₿";
const UNITS: &str = "km km² km³ m m² m³ dm dm² dm³ cm cm² cm³ mm mm² mm³ ha µm nm yd in ft kg g mg µg t lb oz m/s km/h \
                     kmh mph hPa Pa mbar mb MB kb KB gb GB tb TB T G M K %";
/// The most characters that are taken apart together: what that takes is bounded.
const MOST_CHARACTERS: usize = 100;

/// The rules of `tokenizer_exceptions.json` and of the language.
#[derive(Debug)]
pub(super) struct WordSplitter {
    /// Texts that are cut in a way of their own: contractions, "Mr.", "10am".
    special: HashMap<String, Vec<String>>,
    /// Bytes of the longest of them.
    longest: usize,
    infix: Pattern,
    address: Pattern,
}

impl WordSplitter {
    pub(super) fn new(special: HashMap<String, Vec<String>>) -> Result<Self> {
        let each = |set: &str| {
            let sign = |c: char| fancy_regex::escape(c.encode_utf8(&mut [0; 4])).into_owned();
            set.chars().map(sign).collect::<Vec<_>>().join("|")
        };
        let icons = each(ICONS);
        // Inside a class, only these have a meaning of their own.
        let class = |set: &str| {
            let escape = |c: char| {
                if "[]{}()*&#.?^-\\~".contains(c) { format!("\\{c}") } else { c.to_string() }
            };
            set.chars().map(escape).collect::<String>()
        };
        let quote_class = class(QUOTES);
        let infix = format!(
            r"\.\.+|…|{icons}|(?<=[0-9])[+\-\*^](?=[0-9-])|(?<=[{LOWER}{quote_class}])\.(?=[{UPPER}{quote_class}])|(?<={LETTER}),(?={LETTER})|(?<=[^\W_])(?:-|–|—|--|---|——|~)(?={LETTER})|(?<=[^\W_])[:<>=/](?={LETTER})"
        );
        let domains = one_of([
            "com", "org", "net", "edu", "gov", "io", "co", "uk", "de", "fr", "info", "biz", "us",
            "ca", "au", "tv", "me", "ly", "ai",
        ]);
        let address = format!(
            r"(?i)^(?:(?:https?|ftp)://|www\.)\S+$|^[\w.+-]+@[\w-]+(?:\.[\w-]+)+$|^(?:[\w-]+\.)+(?:{domains})(?:/\S*)?$"
        );
        Ok(Self {
            longest: special.keys().map(String::len).max().unwrap_or_default(),
            special,
            infix: Pattern::new(&infix)?,
            address: Pattern::new(&address)?,
        })
    }

    /// The words of a text, each with whether a space follows.
    pub(super) fn split(&self, text: &str, cancel: &CancelToken) -> Result<Vec<(String, bool)>> {
        let mut words = Vec::new();
        let ends_in_space = text.ends_with(char::is_whitespace);
        let mut chunks = text.split_whitespace().peekable();
        while let Some(chunk) = chunks.next() {
            let spaced = chunks.peek().is_some() || ends_in_space;
            let mut pieces = Vec::new();
            for part in in_parts(chunk, MOST_CHARACTERS) {
                pieces.append(&mut self.split_chunk(part, cancel)?);
            }
            let last = pieces.pop();
            words.extend(pieces.into_iter().map(|piece| (piece, false)));
            words.extend(last.map(|piece| (piece, spaced)));
        }
        Ok(words)
    }

    fn special(&self, text: &str) -> Option<&Vec<String>> {
        if text.len() > self.longest { None } else { self.special.get(text) }
    }

    fn split_chunk(&self, chunk: &str, cancel: &CancelToken) -> Result<Vec<String>> {
        cancel.check(READING)?;
        if let Some(pieces) = self.special(chunk) {
            return Ok(pieces.clone());
        }
        let (mut pieces, mut tail): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        let mut core = chunk;
        while !core.is_empty() && self.special(core).is_none() {
            let cut = prefix_length(core);
            let (prefix, after) = core.split_at(cut);
            if cut > 0 && self.special(after).is_some() {
                pieces.push(prefix.to_owned());
                core = after;
                break;
            }
            let length = suffix_length(after);
            let (before, suffix) = core.split_at(core.len() - length);
            if length > 0 && self.special(before).is_some() {
                tail.push(suffix.to_owned());
                core = before;
                break;
            }
            if cut == 0 && length == 0 {
                break;
            }
            if cut > 0 {
                pieces.push(prefix.to_owned());
            }
            if length > 0 {
                tail.push(suffix.to_owned());
            }
            core = core.get(cut..core.len() - length).unwrap_or_default();
        }
        if let Some(special) = self.special(core) {
            pieces.extend(special.iter().cloned());
        } else if self.address.is_match(core)? {
            pieces.push(core.to_owned());
        } else if !core.is_empty() {
            let mut start = 0;
            for (from, to) in self.infix.find_all(core)? {
                if from == 0 || from == to {
                    continue;
                }
                if from > start {
                    pieces.push(core.get(start..from).unwrap_or_default().to_owned());
                }
                pieces.push(core.get(from..to).unwrap_or_default().to_owned());
                start = to;
            }
            if start < core.len() {
                pieces.push(core.get(start..).unwrap_or_default().to_owned());
            }
        }
        pieces.extend(tail.into_iter().rev());
        Ok(self.rejoin(pieces))
    }

    /// Neighbours that spell a special case are one again: "Sept" and "." are "Sept.".
    fn rejoin(&self, pieces: Vec<String>) -> Vec<String> {
        if pieces.len() < 2 {
            return pieces;
        }
        let mut out = Vec::new();
        let mut at = 0;
        while at < pieces.len() {
            let joined = [3, 2].into_iter().find_map(|count| {
                let special = self.special(&pieces.get(at..at + count)?.concat())?;
                Some((count, special))
            });
            match joined {
                Some((count, special)) => {
                    out.extend(special.iter().cloned());
                    at += count;
                }
                None => {
                    out.extend(pieces.get(at).cloned());
                    at += 1;
                }
            }
        }
        out
    }
}

/// The bytes of the prefix that is cut off first.
fn prefix_length(text: &str) -> usize {
    let Some(first) = text.chars().next() else { return 0 };
    let rest = text.get(first.len_utf8()..).unwrap_or_default();
    let alone = "§%=—–".contains(first)
        || (first == '+' && !rest.starts_with(|c: char| c.is_ascii_digit()))
        || is_sign(first);
    if alone {
        return first.len_utf8();
    }
    let dots = text.len() - text.trim_start_matches('.').len();
    if dots > 1 {
        return dots;
    }
    let currency = CURRENCIES.split(' ').find(|sign| text.starts_with(sign));
    currency.map_or(0, str::len)
}

/// The bytes of the suffix that is cut off first: the longest.
fn suffix_length(text: &str) -> usize {
    let Some(last) = text.chars().next_back() else { return 0 };
    let ends = |sign: &&str| {
        let before = text.strip_suffix(sign);
        before.is_some_and(|before| before.ends_with(|c: char| c.is_ascii_digit()))
    };
    let longest = |signs: &str| signs.split(' ').filter(ends).map(str::len).max();
    let dots = text.len() - text.trim_end_matches('.').len();
    let clitic = ["'s", "'S", "’s", "’S"].iter().find(|clitic| text.ends_with(**clitic));
    let stop = dots == 1 && text.strip_suffix('.').is_some_and(takes_stop);
    [
        (is_sign(last) || "—–".contains(last)).then(|| last.len_utf8()),
        (dots > 1).then_some(dots),
        clitic.map(|clitic| clitic.len()),
        ends(&"+").then_some(1),
        stop.then_some(1),
        longest(CURRENCIES),
        longest(UNITS),
    ]
    .into_iter()
    .flatten()
    .max()
    .unwrap_or_default()
}

/// Whether a period after this text is none of its own.
fn takes_stop(text: &str) -> bool {
    let mut chars = text.chars().rev();
    let Some(last) = chars.next() else { return false };
    let before = chars.next();
    last.is_ascii_digit()
        || is_lower(last)
        || "%²-+".contains(last)
        || is_quote_or_mark(last)
        || ("FCK".contains(last) && before == Some('°'))
        || (is_upper(last) && before.is_some_and(is_upper))
}

fn is_lower(c: char) -> bool {
    matches!(c, 'a'..='z' | 'ß'..='ö' | 'ø'..='ÿ')
}

fn is_upper(c: char) -> bool {
    matches!(c, 'A'..='Z' | 'À'..='Ö' | 'Ø'..='Þ')
}

fn is_quote_or_mark(c: char) -> bool {
    MARKS.contains(c) || QUOTES.contains(c)
}

fn is_sign(c: char) -> bool {
    is_quote_or_mark(c) || ICONS.contains(c)
}
