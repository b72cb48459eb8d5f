//! Numbers as English words: cardinals, ordinals, years, decimals.

pub(super) const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] =
    ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
/// Powers of a thousand; with the last one every `u128` has a name.
const SCALES: [&str; 13] = [
    "",
    "thousand",
    "million",
    "billion",
    "trillion",
    "quadrillion",
    "quintillion",
    "sextillion",
    "septillion",
    "octillion",
    "nonillion",
    "decillion",
    "undecillion",
];

/// "one thousand, two hundred and thirty-four".
pub(super) fn cardinal(number: u128) -> String {
    if number < 1000 {
        return below_thousand(number as usize);
    }
    let mut groups = Vec::new();
    let (mut rest, mut scale) = (number, 0);
    while rest > 0 {
        let group = (rest % 1000) as usize;
        if group > 0 {
            let words = below_thousand(group);
            let name = SCALES.get(scale).copied().unwrap_or_default();
            groups.push(if scale == 0 { words } else { format!("{words} {name}") });
        }
        rest /= 1000;
        scale += 1;
    }
    let last = groups.remove(0);
    groups.reverse();
    if groups.is_empty() {
        return last;
    }
    // A last group of one word is joined with "and": one thousand and one.
    let joint = if last.contains(' ') { ", " } else { " and " };
    format!("{}{joint}{last}", groups.join(", "))
}

/// "one thousand two hundred thirty four": as it is spoken, each word by itself.
pub(super) fn plain(number: u128) -> String {
    cardinal(number).replace(" and ", " ").replace(", ", " ").replace('-', " ")
}

fn below_thousand(number: usize) -> String {
    let (hundreds, rest) = (number / 100, number % 100);
    let word = |list: &[&'static str], at: usize| list.get(at).copied().unwrap_or_default();
    let small = match rest {
        0..20 => word(&ONES, rest).to_owned(),
        _ if rest % 10 == 0 => word(&TENS, rest / 10).to_owned(),
        _ => format!("{}-{}", word(&TENS, rest / 10), word(&ONES, rest % 10)),
    };
    match (hundreds, rest) {
        (0, _) => small,
        (_, 0) => format!("{} hundred", word(&ONES, hundreds)),
        _ => format!("{} hundred and {small}", word(&ONES, hundreds)),
    }
}

/// "twenty-third", "one hundred and first".
pub(super) fn ordinal(number: u128) -> String {
    let words = cardinal(number);
    let cut = words.rfind([' ', '-']).map_or(0, |at| at + 1);
    let (head, last) = words.split_at(cut);
    let last = match last {
        "one" => "first".to_owned(),
        "two" => "second".to_owned(),
        "three" => "third".to_owned(),
        "five" => "fifth".to_owned(),
        "eight" => "eighth".to_owned(),
        "nine" => "ninth".to_owned(),
        "twelve" => "twelfth".to_owned(),
        word => match word.strip_suffix('y') {
            Some(stem) => format!("{stem}ieth"),
            None => format!("{word}th"),
        },
    };
    format!("{head}{last}")
}

/// "nineteen oh-five", "two thousand and five", "twenty ten".
pub(super) fn year(number: u128) -> String {
    let (high, low) = (number / 100, number % 100);
    if high == 0 || high >= 100 || (high % 10 == 0 && low < 10) {
        return cardinal(number);
    }
    let low = match low {
        0 => "hundred".to_owned(),
        1..10 => format!("oh-{}", cardinal(low)),
        _ => cardinal(low),
    };
    format!("{} {low}", cardinal(high))
}

/// "three point one four" of "3.14"; a zero at the end is read, since "2.0" is no "2". `None` if the whole part is too long to have
/// a name.
pub(super) fn decimal(digits: &str) -> Option<String> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut words = cardinal(whole);
    if !fraction.is_empty() {
        words.push_str(" point");
        for digit in fraction.chars() {
            words.push(' ');
            words.push_str(ONES.get(digit.to_digit(10)? as usize)?);
        }
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_names() {
        assert_eq!(cardinal(0), "zero");
        assert_eq!(cardinal(1001), "one thousand and one");
        assert_eq!(cardinal(1234), "one thousand, two hundred and thirty-four");
        assert_eq!(cardinal(2_000_000), "two million");
        assert!(cardinal(u128::MAX).starts_with("three hundred and forty undecillion"));
        assert_eq!(plain(1234), "one thousand two hundred thirty four");
        assert_eq!(ordinal(23), "twenty-third");
        assert_eq!(ordinal(20), "twentieth");
        assert_eq!(ordinal(101), "one hundred and first");
        assert_eq!(ordinal(1000), "one thousandth");
        assert_eq!(year(1905), "nineteen oh-five");
        assert_eq!(year(2005), "two thousand and five");
        assert_eq!(year(2010), "twenty ten");
        assert_eq!(year(1900), "nineteen hundred");
        assert_eq!(decimal("3.140").as_deref(), Some("three point one four zero"));
        assert_eq!(decimal(".5").as_deref(), Some("zero point five"));
        assert_eq!(decimal(&"9".repeat(60)), None);
    }
}
