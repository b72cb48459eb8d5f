//! Writing to reading: times, dates, money, units, abbreviations, Roman numerals, fractions and symbols become words.
//!
//! Plain numbers stay: the lexicon reads them, since a year, a price and a count of the same digits sound different.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::READING;
use super::number_words::{cardinal, ordinal};
use super::pattern::{Found, Pattern, one_of};
use crate::Result;
use crate::generate::CancelToken;

/// The most bytes that a pattern is given: those with several repetitions take the square of it.
const MOST_BYTES: usize = 240;
/// A number with its thousands and decimals.
const NUMBER: &str = r"\d+(?:,\d{3})*(?:\.\d+)?";
const MAGNITUDE: &str = r"hundred|thousand|million|billion|trillion|[kKmMbB]\b";
const ROMAN: &str = "((?=[IVXLC])M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3}))";
const NOT_IN_WORD: &str = r"(?<![\w.])";

/// The words of `normalize.json`.
#[derive(Debug, Deserialize)]
struct Words {
    months: Map<String, Value>,
    titles: BTreeMap<String, String>,
    abbreviations: BTreeMap<String, String>,
    units: BTreeMap<String, [String; 2]>,
    /// In the order in which they are replaced.
    symbols: Map<String, Value>,
    currency: BTreeMap<String, [String; 2]>,
    roman_cardinal: Vec<String>,
    roman_ordinal: Vec<String>,
}

/// The normalisation of English text.
#[derive(Debug)]
pub(super) struct Normalizer {
    words: Words,
    spaces: Pattern,
    time: Pattern,
    date_iso: Pattern,
    date_us: Pattern,
    big_money: Pattern,
    cents: Pattern,
    currency: Pattern,
    degrees: Pattern,
    unit: Pattern,
    month_day: Pattern,
    day_month: Pattern,
    title: Pattern,
    abbreviation: Pattern,
    number_sign: Pattern,
    hash: Pattern,
    roman_cardinal: Pattern,
    roman_ordinal: Pattern,
    phone: Pattern,
    fraction: Pattern,
    range: Pattern,
    plus: Pattern,
    symbols: Vec<(Pattern, String)>,
    space_before_mark: Pattern,
}

impl Normalizer {
    /// The rules with the words of `normalize.json`; an error of serde's if the file is of another form.
    pub(super) fn new(json: &[u8]) -> Result<std::result::Result<Self, serde_json::Error>> {
        let words: Words = match serde_json::from_slice(json) {
            Ok(words) => words,
            Err(error) => return Ok(Err(error)),
        };
        let keys = |map: &BTreeMap<String, String>| one_of(map.keys().map(String::as_str));
        let units = one_of(words.units.keys().map(String::as_str));
        let roman = |before: &[String]| {
            let before = one_of(before.iter().map(String::as_str));
            Pattern::new(&format!(r"\b({before}) {ROMAN}\b(?![.'’]\w)"))
        };
        let mut months: Vec<String> = vec!["Sept".to_owned()];
        for (short, name) in &words.months {
            months.push(capitalized(short));
            months.extend(name.as_str().map(str::to_owned));
        }
        let months = one_of(months.iter().map(String::as_str));
        let mut symbols = Vec::new();
        for (symbol, word) in &words.symbols {
            let escaped = fancy_regex::escape(symbol);
            let pattern = match symbol.as_str() {
                "=" | "<" | ">" | "~" => format!(r"(?<=\S) ?{escaped} ?(?=\S)"),
                _ => escaped.into_owned(),
            };
            let word = word.as_str().filter(|word| !word.is_empty());
            symbols.push((
                Pattern::new(&pattern)?,
                word.map_or(" ".to_owned(), |word| format!(" {word} ")),
            ));
        }
        Ok(Ok(Self {
            spaces: Pattern::new(r"\s+")?,
            time: Pattern::new(
                r"\b(\d{1,2}):(\d{2})(?::(\d{2}))?(?:\s?([AaPp])\.?[Mm]\.?(?![A-Za-z]))?(?!\d)",
            )?,
            date_iso: Pattern::new(r"\b(\d{4})-(\d{2})-(\d{2})\b")?,
            date_us: Pattern::new(r"\b(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})\b")?,
            big_money: Pattern::new(&format!(r"([$£€])({NUMBER})\s?({MAGNITUDE})"))?,
            cents: Pattern::new(&format!(r"{NOT_IN_WORD}({NUMBER})\s?¢"))?,
            currency: Pattern::new(&format!(
                r"(?<!\w)([¥₹₩]|Rs\.?|USD|EUR|GBP)\s?({NUMBER})(?:\s?({MAGNITUDE}))?"
            ))?,
            degrees: Pattern::new(&format!(r"{NOT_IN_WORD}(-?{NUMBER})\s?°\s?([CF])?(?!\w)"))?,
            unit: Pattern::new(&format!(r"{NOT_IN_WORD}(-?{NUMBER})\s?({units})(?!\w)"))?,
            month_day: Pattern::new(&format!(
                r"\b({months})\.? (\d{{1,2}})(?:st|nd|rd|th)?\b(?![\d:%])(,? \d{{4}}\b)?"
            ))?,
            day_month: Pattern::new(&format!(r"\b(the )?(\d{{1,2}}) (?:of )?({months})\b\.?"))?,
            title: Pattern::new(&format!(r"\b({})\.? (?=[A-Z])", keys(&words.titles)))?,
            abbreviation: Pattern::new(&format!(
                r"{NOT_IN_WORD}({})(?!\w)",
                keys(&words.abbreviations)
            ))?,
            number_sign: Pattern::new(r"\b(No|Nos)\. ?(?=\d)")?,
            hash: Pattern::new(r"(?<![\w&])#(?=\d)")?,
            roman_cardinal: roman(&words.roman_cardinal)?,
            roman_ordinal: roman(&words.roman_ordinal)?,
            phone: Pattern::new(r"(?<![\w.\-])(?:\d{3}-)?\d{3}-\d{4}(?![\w.\-])")?,
            fraction: Pattern::new(r"(?<![\w./])(\d{1,2})/(\d{1,2})(?![\w./])")?,
            range: Pattern::new(r"(?<![\w.\-])(\d{1,4})\s?[-–]\s?(\d{1,4})(?![\w.\-%])")?,
            plus: Pattern::new(r"(?<![\w+])\+(?=\d)")?,
            symbols,
            space_before_mark: Pattern::new(" +([,.;:!?])")?,
            words,
        }))
    }

    /// Whether a period after this word does not end a sentence.
    pub(super) fn is_title(&self, word: &str) -> bool {
        self.words.titles.contains_key(word)
    }

    /// The units of `normalize.json`.
    pub(super) fn units(&self) -> &BTreeMap<String, [String; 2]> {
        &self.words.units
    }

    /// A sentence as it is read.
    pub(super) fn normalize(&self, text: &str, cancel: &CancelToken) -> Result<String> {
        let mut out = String::with_capacity(text.len());
        for window in windows(text) {
            cancel.check(READING)?;
            let words = self.window(window)?;
            if !out.is_empty() && !words.is_empty() {
                out.push(' ');
            }
            out.push_str(&words);
        }
        Ok(out)
    }

    /// A part of a sentence that is short enough for the patterns.
    fn window(&self, text: &str) -> Result<String> {
        let words = &self.words;
        let text = self.single_spaces(text)?.replace('’', "'").replace('‒', "-").replace('―', "—");
        let text = self.time.replace(&text, |found| time(found, &text))?;
        let text = self
            .date_iso
            .replace(&text, |found| date(found.part(1), found.number(2)?, found.number(3)?))?;
        let text = self.date_us.replace(&text, american_date)?;
        let text = self.big_money.replace(&text, |found| self.money(found))?;
        let text =
            self.cents.replace(&text, |found| counted(found.part(1), words.currency.get("¢")?))?;
        let text = self.currency.replace(&text, |found| self.money(found))?;
        let text = self.degrees.replace(&text, degrees)?;
        let text = self
            .unit
            .replace(&text, |found| counted(found.part(1), words.units.get(found.part(2))?))?;
        let text = self.month_day.replace(&text, |found| {
            let day = found.number(2).filter(|day| (1..=31).contains(day))?;
            Some(format!("{} {}{}", self.month(found.part(1))?, ordinal(day), found.part(3)))
        })?;
        let text = self.day_month.replace(&text, |found| {
            let day = found.number(2).filter(|day| (1..=31).contains(day))?;
            Some(format!("the {} of {}", ordinal(day), self.month(found.part(3))?))
        })?;
        let text = self
            .title
            .replace(&text, |found| Some(format!("{} ", words.titles.get(found.part(1))?)))?;
        let text = self.abbreviation.replace(&text, |found| {
            let word = words.abbreviations.get(found.part(1))?;
            let ends = found.range().1 == text.len() && found.part(1).ends_with('.');
            Some(format!("{word}{}", if ends { "." } else { "" }))
        })?;
        let text = self.number_sign.replace(&text, |found| {
            Some(if found.part(1) == "No" { "Number " } else { "Numbers " }.to_owned())
        })?;
        let text = self.hash.replace(&text, |_| Some("number ".to_owned()))?;
        let text = self
            .roman_cardinal
            .replace(&text, |found| Some(format!("{} {}", found.part(1), roman(found.part(2)))))?;
        let text = self.roman_ordinal.replace(&text, |found| {
            Some(format!("{} the {}", found.part(1), ordinal(roman(found.part(2)))))
        })?;
        let text = self.phone.replace(&text, |found| {
            let signs = found
                .part(0)
                .chars()
                .map(|c| if c == '-' { ", ".to_owned() } else { c.to_string() });
            Some(signs.collect::<Vec<_>>().join(" "))
        })?;
        let text = self.fraction.replace(&text, fraction)?;
        let text = self
            .range
            .replace(&text, |found| Some(format!("{} to {}", found.part(1), found.part(2))))?;
        let mut text = self.plus.replace(&text, |_| Some("plus ".to_owned()))?;
        for (symbol, word) in &self.symbols {
            text = symbol.replace(&text, |_| Some(word.clone()))?;
        }
        let text = self.single_spaces(&text)?;
        Ok(self
            .space_before_mark
            .replace(&text, |found| Some(found.part(1).to_owned()))?
            .trim()
            .to_owned())
    }

    fn single_spaces(&self, text: &str) -> Result<String> {
        Ok(self.spaces.replace(text, |_| Some(" ".to_owned()))?.trim().to_owned())
    }

    fn month(&self, written: &str) -> Option<&str> {
        let short: String = written.to_lowercase().chars().take(3).collect();
        self.words.months.get(&short)?.as_str()
    }

    /// Sign, number and perhaps a magnitude: "5 million dollars".
    fn money(&self, found: &Found<'_>) -> Option<String> {
        let units = self.words.currency.get(found.part(1).trim_end_matches('.'))?;
        let magnitude = match found.part(3) {
            "" => return counted(found.part(2), units),
            "k" | "K" => "thousand",
            "m" | "M" => "million",
            "b" | "B" => "billion",
            word => word,
        };
        Some(format!("{} {magnitude} {}", found.part(2), units[1]))
    }
}

/// A sentence in parts of at most [`MOST_BYTES`], cut where a pattern would hardly reach across: after a mark, else between
/// two words of small letters, else at a space or, of an endless word, anywhere.
fn windows(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while rest.len() > MOST_BYTES {
        let window = rest.get(..rest.floor_char_boundary(MOST_BYTES)).unwrap_or_default();
        let from = window.floor_char_boundary(MOST_BYTES / 2);
        let later = window.get(from..).unwrap_or_default();
        let at_space = |good: &dyn Fn(&str, &str) -> bool| {
            let mut spaces = later.rmatch_indices(' ').map(|(at, _)| from + at);
            spaces.find(|at| {
                good(
                    window.get(..*at).unwrap_or_default(),
                    window.get(*at + 1..).unwrap_or_default(),
                )
            })
        };
        let small = |text: &str, end: bool| {
            let c = if end { text.chars().next_back() } else { text.chars().next() };
            c.is_some_and(char::is_lowercase)
        };
        let cut = at_space(&|before, _| before.ends_with([',', ';', ':', '—']))
            .or_else(|| at_space(&|before, after| small(before, true) && small(after, false)))
            .or_else(|| at_space(&|_, _| true))
            .unwrap_or(window.len());
        let (window, after) = rest.split_at(cut);
        found.push(window);
        rest = after;
    }
    found.push(rest);
    found
}

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// A number with its unit, singular or plural.
fn counted(number: &str, [one, many]: &[String; 2]) -> Option<String> {
    let single = matches!(number.replace(',', "").as_str(), "1" | "1.0" | "-1");
    Some(format!("{number} {}", if single { one } else { many }))
}

fn time(found: &Found<'_>, text: &str) -> Option<String> {
    let (hour, minute) = (found.number(1)?, found.number(2)?);
    let (second, half) = (found.number(3), found.part(4));
    if hour > 24 || minute > 59 || second.is_some_and(|second| second > 59) {
        return None;
    }
    let mut words = cardinal(hour);
    match minute {
        0 if half.is_empty() && second.is_none() => words.push_str(" o'clock"),
        0 => {}
        1..10 => words.push_str(&format!(" oh {}", cardinal(minute))),
        _ => words.push_str(&format!(" {}", cardinal(minute))),
    }
    if let Some(second) = second {
        let unit = if second == 1 { "second" } else { "seconds" };
        words.push_str(&format!(" and {} {unit}", cardinal(second)));
    }
    if !half.is_empty() {
        // With periods the lexicon spells the letters; one that ends the sentence serves both.
        let dotted = text.get(found.range().1..).is_some_and(|rest| rest.starts_with('.'));
        words.push_str(&format!(" {}.M{}", half.to_uppercase(), if dotted { "" } else { "." }));
    }
    Some(words)
}

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

fn date(year: &str, month: u128, day: u128) -> Option<String> {
    let name = MONTHS.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    let year = if year.is_empty() { String::new() } else { format!(", {year}") };
    (1..=31).contains(&day).then(|| format!("{name} {}{year}", ordinal(day)))
}

/// Month first, unless only day first makes a date.
fn american_date(found: &Found<'_>) -> Option<String> {
    let (first, second) = (found.number(1)?, found.number(2)?);
    let year = match found.part(3) {
        short if short.len() == 2 => {
            format!("{}{short}", if found.number(3)? > 30 { "19" } else { "20" })
        }
        year => year.to_owned(),
    };
    if first <= 12 { date(&year, first, second) } else { date(&year, second, first) }
}

fn degrees(found: &Found<'_>) -> Option<String> {
    let words = counted(found.part(1), &["degree".to_owned(), "degrees".to_owned()])?;
    Some(match found.part(2) {
        "C" => words + " Celsius",
        "F" => words + " Fahrenheit",
        _ => words,
    })
}

/// Proper fractions down to tenths; else a date without a year, else the sign itself.
fn fraction(found: &Found<'_>) -> Option<String> {
    let (above, below) = (found.number(1)?, found.number(2)?);
    if (1..below).contains(&above) && below <= 10 {
        return Some(match (above, below) {
            (1, 2) => "one half".to_owned(),
            (_, 2) => format!("{above} halves"),
            (1, 4) => "1 quarter".to_owned(),
            (_, 4) => format!("{above} quarters"),
            (1, _) => format!("1 {}", ordinal(below)),
            _ => format!("{above} {}s", ordinal(below)),
        });
    }
    if (1..=12).contains(&above) && (1..=31).contains(&below) {
        return date("", above, below);
    }
    Some(format!("{above} slash {below}"))
}

/// The value of a well-formed Roman numeral.
pub(super) fn roman(numeral: &str) -> u128 {
    let value = |c: char| match c {
        'I' => 1,
        'V' => 5,
        'X' => 10,
        'L' => 50,
        'C' => 100,
        'D' => 500,
        _ => 1000,
    };
    let (mut total, mut greatest) = (0, 0);
    for value in numeral.chars().rev().map(value) {
        if value < greatest {
            total -= value;
        } else {
            total += value;
            greatest = value;
        }
    }
    total
}
