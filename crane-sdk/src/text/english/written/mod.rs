//! What is written otherwise than it is said, as words, where the published rules say something else or nothing: Markdown,
//! rows of signs, addresses, numbers with signs, zeros, points or units of their own, amounts of money, ranges.
//!
//! One pass from left to right over the words between spaces, each looked at together with the few that follow it.

mod addresses;
mod amounts;
mod markup;
mod numerals;

use std::collections::BTreeMap;

/// The most bytes of a word of many parts that is looked up as one.
const MOST_OF_WORD: usize = 60;

/// Singular and plural of what a number counts.
pub(super) type Units = BTreeMap<String, [String; 2]>;

/// A word between spaces with the marks around it.
#[derive(Debug, Clone, Copy, Default)]
struct Word<'a> {
    open: &'a str,
    core: &'a str,
    close: &'a str,
}

/// The words of a rule, and how many written words they stand for.
type Said = Option<(String, usize)>;

/// A sentence with what is written as it is said. What the rules of `normalize.json` and the lexicon read well is left to
/// them.
pub(super) fn say(sentence: &str, units: &Units) -> String {
    let text = markup::strip(sentence);
    let words: Vec<Word<'_>> = text.split_whitespace().map(Word::new).collect();
    let equation = text.contains('=');
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let before = at.checked_sub(1).and_then(|at| words.get(at)).copied().unwrap_or_default();
        let earlier = at.checked_sub(2).and_then(|at| words.get(at)).copied().unwrap_or_default();
        let rest = words.get(at..).unwrap_or_default();
        if !out.is_empty() {
            out.push(' ');
        }
        let mut ends_abbreviation = false;
        let said = if word.core.contains("](/") {
            None
        } else {
            None.or_else(|| numerals::phone(rest))
                .or_else(|| addresses::say(word.core).map(|said| (said, 1)))
                .or_else(|| numerals::digits(rest, before.core, earlier.core))
                .or_else(|| numerals::points(word.core).map(|said| (said, 1)))
                .or_else(|| numerals::equation(word.core, equation).map(|said| (said, 1)))
                .or_else(|| amounts::say(rest, units))
                .or_else(|| numerals::other(rest))
                .or_else(|| {
                    let said = abbreviation(rest);
                    ends_abbreviation =
                        said.is_some() && word.close == "." && !word.core.contains('.');
                    said
                })
                .or_else(|| letter(rest, before.core))
                .or_else(|| operator(rest, before.core, equation))
        };
        match said {
            Some((said, used)) => {
                let last = rest.get(used.saturating_sub(1)).unwrap_or(word);
                // The brackets of "(555) 123-4567" and the sign of inches are said with it.
                let close = if said.ends_with(" inches") {
                    last.close.trim_start_matches(['"', '”'])
                } else {
                    last.close
                };
                out.push_str(if used > 1 && word.close == ")" { "" } else { word.open });
                out.push_str(&said);
                out.push_str(if ends_abbreviation { "" } else { close });
                at += used.max(1);
            }
            None => {
                out.push_str(word.open);
                if word.core.len() > MOST_OF_WORD && !word.core.contains("](/") {
                    signs(&apart(word.core), &mut out);
                } else {
                    signs(word.core, &mut out);
                }
                out.push_str(word.close);
                at += 1;
            }
        }
    }
    out
}

impl<'a> Word<'a> {
    fn new(text: &'a str) -> Self {
        if text.contains("](/") {
            return Self { core: text, ..Self::default() };
        }
        let opens = |c: char| "([{\"'“‘«*_`".contains(c);
        let closes = |c: char| ".,;:!?…)]}\"'”’»*_`".contains(c);
        let core = text.trim_start_matches(opens);
        let (open, after) = text.split_at(text.len() - core.len());
        let core = after.trim_end_matches(closes);
        let (core, close) = after.split_at(core.len());
        // Marks of emphasis are not said. A word of nothing but marks is left as it is.
        let is_emphasis = |c: char| "*_`".contains(c);
        if core.is_empty() {
            return Self { core: text, ..Self::default() };
        }
        Self {
            open: open.trim_end_matches(is_emphasis),
            core,
            close: close.trim_start_matches(is_emphasis),
        }
    }

    /// Whether nothing stands between this and the next word.
    fn joins(&self, next: &Word<'_>) -> bool {
        self.close.is_empty() && next.open.is_empty()
    }
}

/// The word after the first, if no mark stands between them.
fn next<'a>(rest: &[Word<'a>]) -> Option<Word<'a>> {
    let (first, next) = (rest.first()?, rest.get(1)?);
    first.joins(next).then_some(*next)
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Abbreviations that are something else before a number.
const ABBREVIATIONS: [(&str, &str); 27] = [
    ("no", "number"),
    ("nos", "numbers"),
    ("fig", "figure"),
    ("figs", "figures"),
    ("vol", "volume"),
    ("vols", "volumes"),
    ("eq", "equation"),
    ("sec", "section"),
    ("p", "page"),
    ("pp", "pages"),
    ("ch", "chapter"),
    ("art", "article"),
    ("para", "paragraph"),
    ("ver", "version"),
    ("v", "version"),
    ("ext", "extension"),
    ("rm", "room"),
    ("apt", "apartment"),
    ("ca", "circa"),
    ("approx", "approximately"),
    ("max", "maximum"),
    ("min", "minimum"),
    ("avg", "average"),
    ("tab", "table"),
    ("app", "appendix"),
    ("op", "opus"),
    ("tel", "telephone"),
];

/// "Fig. 3", "No.5".
fn abbreviation(rest: &[Word<'_>]) -> Said {
    let word = rest.first()?;
    let (short, number) = match word.core.split_once('.') {
        Some((short, number)) if number.starts_with(|c: char| c.is_ascii_digit()) => {
            (short, number)
        }
        None if word.close == "." => {
            let next = rest.get(1)?;
            (next.open.is_empty() && next.core.starts_with(|c: char| c.is_ascii_digit()))
                .then_some((word.core, ""))?
        }
        _ => return None,
    };
    let lower = short.to_lowercase();
    let (_, long) = ABBREVIATIONS.iter().find(|(short, _)| *short == lower)?;
    // The number is read with what follows it: the period goes with the abbreviation, which is then a word of its own.
    let number = if number.is_empty() { String::new() } else { format!(" {number}") };
    Some((format!("{long}{number}"), 1))
}

/// What letters name: "vitamin A is", where "A" is no article.
const LETTERED: &str = " vitamin plan grade section letter type group hepatitis option exhibit team class point step part \
     row column note key appendix figure table level category block building gate unit ";

fn letter(rest: &[Word<'_>], before: &str) -> Said {
    let named =
        rest.first()?.core == "A" && LETTERED.contains(&format!(" {} ", before.to_lowercase()));
    named.then(|| ("[A](/ˈA/)".to_owned(), 1))
}

/// A sign that stands alone between two words.
fn operator(rest: &[Word<'_>], before: &str, equation: bool) -> Said {
    let (word, next) = (rest.first()?, rest.get(1)?);
    let number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let numbers = number(before) && number(next.core);
    let said = match word.core {
        "-" | "–" if numbers && equation => "minus",
        "−" => "minus",
        "*" | "x" if numbers => "times",
        "/" if numbers => "divided by",
        "<=" => "is less than or equal to",
        ">=" => "is greater than or equal to",
        "!=" | "≠" => "is not equal to",
        "==" => "equals",
        "->" | "=>" => "to",
        _ => return None,
    };
    Some((said.to_owned(), 1))
}

/// A word that is none, so long is it: letters and numbers by themselves, without what joins them.
fn apart(word: &str) -> String {
    let kind = |c: char| match c {
        c if c.is_ascii_digit() => 1,
        c if c.is_alphabetic() => 2,
        _ => 3,
    };
    let mut out = String::with_capacity(2 * word.len());
    let mut before = 0;
    for c in word.chars() {
        if "-/_'’.\\".contains(c) {
            before = 0;
            out.push(' ');
            continue;
        }
        if before != 0 && before != kind(c) {
            out.push(' ');
        }
        before = kind(c);
        out.push(c);
    }
    out
}

/// Signs within a word that nothing else has read.
fn signs(word: &str, out: &mut String) {
    for c in word.chars() {
        let said = match c {
            '≤' => "less than or equal to",
            '≥' => "greater than or equal to",
            '≠' => "not equal to",
            '≈' => "approximately",
            '−' => "minus",
            '√' => "square root of",
            '∞' => "infinity",
            '⋅' | '∙' => "times",
            '∑' => "sum of",
            '‰' => "per mille",
            '⇒' => "implies",
            '✓' => "check",
            '⅓' => "one third",
            '⅔' => "two thirds",
            '⅕' => "one fifth",
            '⅛' => "one eighth",
            '⅜' => "three eighths",
            '⅝' => "five eighths",
            '⅞' => "seven eighths",
            '\u{ff01}'..='\u{ff5e}' => {
                out.extend(char::from_u32(u32::from(c) - 0xfee0));
                continue;
            }
            c => {
                out.push(c);
                continue;
            }
        };
        out.push(' ');
        out.push_str(said);
        out.push(' ');
    }
}
