//! Text to words as spaCy's English tokenizer cuts it: special cases, then prefixes and suffixes peeled off, then infixes.

use std::collections::HashMap;

use super::READING;
use super::pattern::{Pattern, one_of};
use crate::Result;
use crate::generate::CancelToken;

const LETTER: &str = r"[^\W\d_]";
const LOWER: &str = "a-zß-öø-ÿ";
const UPPER: &str = "A-ZÀ-ÖØ-Þ";
const QUOTES: &str = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉";
const MARKS: &str = "…,:;!?¿¡()[]{}<>_#*&。？！，、；：～·";
const ICONS: &str = "™®©°§¶†‡•";
const CURRENCIES: &str = r"\$|£|€|¥|฿|US\$|C\$|A\$|₽|₹|₩|₪|₺|₴|₦|₫|₱|₲|₵|₸|₼|₾|₿";
const UNITS: &str = "km|km²|km³|m|m²|m³|dm|dm²|dm³|cm|cm²|cm³|mm|mm²|mm³|ha|µm|nm|yd|in|ft|kg|g|mg|µg|t|lb|oz|m/s|km/h\
                     |kmh|mph|hPa|Pa|mbar|mb|MB|kb|KB|gb|GB|tb|TB|T|G|M|K|%";

/// The rules of `tokenizer_exceptions.json` and of the language.
#[derive(Debug)]
pub(super) struct WordSplitter {
    /// Texts that are cut in a way of their own: contractions, "Mr.", "10am".
    special: HashMap<String, Vec<String>>,
    prefix: Pattern,
    suffix: Pattern,
    infix: Pattern,
    address: Pattern,
}

impl WordSplitter {
    pub(super) fn new(special: HashMap<String, Vec<String>>) -> Result<Self> {
        let each = |set: &str| {
            let sign = |c: char| fancy_regex::escape(c.encode_utf8(&mut [0; 4])).into_owned();
            set.chars().map(sign).collect::<Vec<_>>().join("|")
        };
        let (marks, quotes, icons) = (each(MARKS), each(QUOTES), each(ICONS));
        // Inside a class, only these have a meaning of their own.
        let class = |set: &str| {
            let escape = |c: char| {
                if "[]{}()*&#.?^-\\~".contains(c) { format!("\\{c}") } else { c.to_string() }
            };
            set.chars().map(escape).collect::<String>()
        };
        let (mark_class, quote_class) = (class(MARKS), class(QUOTES));
        let prefix =
            format!(r"^(?:§|%|=|—|–|\+(?![0-9])|{marks}|\.\.+|{quotes}|{CURRENCIES}|{icons})");
        let suffix = format!(
            r"(?:{marks}|\.\.+|{quotes}|{icons}|'s|'S|’s|’S|—|–|(?<=[0-9])\+|(?<=°[FfCcKk])\.|(?<=[0-9])(?:{CURRENCIES})|(?<=[0-9])(?:{UNITS})|(?<=[0-9{LOWER}%²\-\+{mark_class}{quote_class}])\.|(?<=[{UPPER}][{UPPER}])\.)$"
        );
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
            special,
            prefix: Pattern::new(&prefix)?,
            suffix: Pattern::new(&suffix)?,
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
            let mut pieces = self.split_chunk(chunk, cancel)?;
            let last = pieces.pop();
            words.extend(pieces.into_iter().map(|piece| (piece, false)));
            words.extend(last.map(|piece| (piece, spaced)));
        }
        Ok(words)
    }

    fn split_chunk(&self, chunk: &str, cancel: &CancelToken) -> Result<Vec<String>> {
        cancel.check(READING)?;
        if let Some(pieces) = self.special.get(chunk) {
            return Ok(pieces.clone());
        }
        let (mut pieces, mut tail): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        let mut core = chunk;
        while !core.is_empty() && !self.special.contains_key(core) {
            cancel.check(READING)?;
            let cut = self.prefix.find(core)?.map_or(0, |(_, end)| end);
            let (prefix, after) = core.split_at(cut);
            if cut > 0 && self.special.contains_key(after) {
                pieces.push(prefix.to_owned());
                core = after;
                break;
            }
            let length = self.suffix.find(after)?.map_or(0, |(start, end)| end - start);
            let (before, suffix) = core.split_at(core.len() - length);
            if length > 0 && self.special.contains_key(before) {
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
        if let Some(special) = self.special.get(core) {
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
                let special = self.special.get(&pieces.get(at..at + count)?.concat())?;
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
