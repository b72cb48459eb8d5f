//! Numbers read aloud: counts, ordinals, years, digits one by one, decimals, amounts of money.

use super::Lexicon;
use crate::text::english::number_words::{cardinal, decimal, ordinal, year};

/// The larger and the smaller unit of a currency.
fn units(sign: char) -> Option<[&'static str; 2]> {
    match sign {
        '$' => Some(["dollar", "cent"]),
        '£' => Some(["pound", "pence"]),
        '€' => Some(["euro", "cent"]),
        _ => None,
    }
}

/// Whether the lexicon has words for the currency of a sign.
pub(in crate::text::english) fn is_currency(sign: &str) -> Option<char> {
    let mut chars = sign.chars();
    let sign = chars.next().filter(|_| chars.as_str().is_empty())?;
    units(sign).map(|_| sign)
}

impl Lexicon {
    /// "dollars" of '$'.
    pub(super) fn currency_unit(&self, sign: char) -> Option<String> {
        self.with_s(&format!("{}s", units(sign)?[0]), None, None, None)
    }

    /// The phonemes of a number as [`super::is_number`] takes it. `is_head` says that no letters or digits stand
    /// before it in the same word.
    pub(in crate::text::english) fn number(
        &self,
        word: &str,
        currency: Option<char>,
        is_head: bool,
    ) -> Option<String> {
        let digits = word.trim_end_matches(|c: char| c.is_ascii_lowercase() || c == '\'');
        let ending = word.strip_prefix(digits).unwrap_or_default();
        let mut reading = Reading { lexicon: self, words: Vec::new() };
        let digits = match digits.strip_prefix('-') {
            Some(digits) => {
                reading.words("minus");
                digits
            }
            None => digits,
        };
        let plain = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
        let is_ordinal = matches!(ending, "st" | "nd" | "rd" | "th");
        let whole = digits.replace(',', "");
        let value = whole.parse::<u128>().ok();
        let money = currency.and_then(units);
        let points = digits.matches('.').count();
        match value {
            Some(value) if is_ordinal && plain => reading.words(&ordinal(value)),
            Some(value)
                if plain && digits.len() == 4 && money.is_none() && reading.words.is_empty() =>
            {
                reading.words(&year(value));
            }
            _ if !is_head && points == 0 => reading.digits_in_word(&whole),
            _ if points > 1 || !is_head => {
                for group in whole.split('.').filter(|group| !group.is_empty()) {
                    reading.group(group);
                }
            }
            _ if let Some(units) = money
                && whole.split_once('.').is_none_or(|(_, cents)| cents.len() < 3) =>
            {
                reading.money(&whole, units);
            }
            Some(value) if is_ordinal => reading.words(&ordinal(value)),
            Some(value) => reading.words(&cardinal(value)),
            None => match whole.strip_prefix('.') {
                Some(fraction) => {
                    reading.words("point");
                    reading.each_digit(fraction);
                }
                None => match decimal(&whole) {
                    Some(words) => reading.words(&words),
                    None => reading.each_digit(&whole),
                },
            },
        }
        if reading.words.is_empty() {
            return None;
        }
        let phonemes = reading.words.join(" ");
        match ending {
            "s" | "'s" => self.add_s(&phonemes),
            "ed" | "'d" => self.add_ed(&phonemes),
            "ing" => self.add_ing(&phonemes),
            _ => Some(phonemes),
        }
    }
}

/// Phonemes of words so far.
struct Reading<'a> {
    lexicon: &'a Lexicon,
    words: Vec<String>,
}

impl Reading<'_> {
    fn word(&mut self, word: &str, level: Option<f32>) {
        self.words.extend(self.lexicon.look_up(word, None, level, None));
    }

    /// Number words; "and" is not spoken within them.
    fn words(&mut self, text: &str) {
        for word in text.split(|c: char| !c.is_ascii_lowercase()) {
            if !word.is_empty() && word != "and" {
                self.word(word, (word == "point").then_some(-2.0));
            }
        }
    }

    fn each_digit(&mut self, digits: &str) {
        for digit in digits.chars().filter_map(|c| c.to_digit(10)) {
            self.words(&cardinal(digit.into()));
        }
    }

    fn count(&mut self, digits: &str) {
        match digits.parse() {
            Ok(value) => self.words(&cardinal(value)),
            Err(_) => self.each_digit(digits),
        }
    }

    /// Digits after letters: "B52" is fifty-two, "A101" one-oh-one, "X1000" digit by digit.
    fn digits_in_word(&mut self, digits: &str) {
        // Some numerals of other scripts ("²") have several bytes; they are no digits here and give no words.
        let (first, rest) = digits.split_at(digits.chars().next().map_or(0, char::len_utf8));
        if first == "0" || digits.len() > 3 {
            self.each_digit(digits);
        } else if digits.len() == 3 && rest != "00" {
            self.count(first);
            match rest.strip_prefix('0') {
                Some(last) => {
                    self.word("O", Some(-2.0));
                    self.count(last);
                }
                None => self.count(rest),
            }
        } else if !digits.is_empty() {
            self.count(digits);
        }
    }

    /// A group of a number with several points, such as a version.
    fn group(&mut self, digits: &str) {
        let tail_counts = digits.bytes().skip(1).any(|digit| digit != b'0');
        if digits.starts_with('0') || (digits.len() != 2 && tail_counts) {
            self.each_digit(digits);
        } else {
            self.count(digits);
        }
    }

    fn money(&mut self, amount: &str, units: [&str; 2]) {
        let amounts = amount.split('.').map(|digits| digits.trim_start_matches('0'));
        let amounts: Vec<(&str, &str)> = amounts.zip(units).collect();
        let spoken = match amounts.as_slice() {
            [large, ("", _)] => vec![*large],
            [("", _), small] => vec![*small],
            all => all.to_vec(),
        };
        for (index, (digits, unit)) in spoken.into_iter().enumerate() {
            if index > 0 {
                self.word("and", None);
            }
            self.count(if digits.is_empty() { "0" } else { digits });
            if digits == "1" || unit == "pence" {
                self.word(unit, None);
            } else {
                self.words.extend(self.lexicon.with_s(&format!("{unit}s"), None, None, None));
            }
        }
    }
}
