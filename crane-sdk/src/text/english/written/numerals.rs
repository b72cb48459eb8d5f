//! Numbers that are read digit by digit, by groups or by points: PINs, telephones, versions, addresses of machines, dates.

use super::super::number_words::{ONES, ordinal, plain};
use super::{Said, Word, all_digits, next};

/// Digits one by one.
pub(super) fn each(digits: &str) -> String {
    let digit = |c: char| ONES.get(c.to_digit(10)? as usize).copied();
    digits.chars().filter_map(digit).collect::<Vec<_>>().join(" ")
}

/// Groups of digits, with a pause between them.
fn groups<'a>(groups: impl IntoIterator<Item = &'a str>) -> String {
    groups.into_iter().filter(|group| !group.is_empty()).map(each).collect::<Vec<_>>().join(", ")
}

/// Words before digits that name no amount.
const CODES: &str = " pin zip code passcode postcode otp extension flight isbn call dial ";

/// Zeros in front, digits without end, cards, and what is called a code.
pub(super) fn digits(rest: &[Word<'_>], before: &str, earlier: &str) -> Said {
    let word = rest.first()?;
    if word.core.contains(',') && is_list(word.core) {
        let parts = word.core.split(',').filter(|part| !part.is_empty());
        let said = parts.map(|part| {
            if part.starts_with('0') && part.len() > 1 { each(part) } else { part.to_owned() }
        });
        return Some((said.collect::<Vec<_>>().join(", "), 1));
    }
    if !all_digits(word.core) {
        return None;
    }
    let four = |word: &Word<'_>| word.core.len() == 4 && all_digits(word.core);
    let card = rest.get(..4).filter(|card| card.iter().all(four));
    if let Some(card) =
        card.filter(|card| card.windows(2).all(|two| matches!(two, [a, b] if a.joins(b))))
    {
        return Some((groups(card.iter().map(|word| word.core)), 4));
    }
    let is_code =
        |word: &str| word.len() < 12 && CODES.contains(&format!(" {} ", word.to_lowercase()));
    let state =
        before.len() == 2 && before.chars().all(|c| c.is_ascii_uppercase()) && word.core.len() == 5;
    let code = is_code(before) || (before == "is" && is_code(earlier)) || state;
    let zeros = word.core.len() > 1 && word.core.starts_with('0');
    (zeros || word.core.len() > 15 || (code && word.core.len() > 2)).then(|| (each(word.core), 1))
}

/// Whether numbers with commas are no thousands of one.
fn is_list(text: &str) -> bool {
    let parts = || text.split(',').filter(|part| !part.is_empty());
    let thousands = parts().skip(1).all(|part| part.len() == 3) && parts().count() < 7;
    let first = text.split(',').next().unwrap_or_default();
    parts().all(all_digits)
        && parts().count() > 1
        && !(thousands && first.len() < 4 && first != "0")
}

/// Telephones and other numbers of several groups.
pub(super) fn phone(rest: &[Word<'_>]) -> Said {
    let word = rest.first()?;
    let grouped = |text: &str, most: usize| {
        text.split('-').all(|group| all_digits(group) && group.len() <= most)
    };
    if word.open == "(" && word.close == ")" && all_digits(word.core) && word.core.len() == 3 {
        let next = rest.get(1).filter(|next| next.core.contains('-') && grouped(next.core, 4))?;
        let said = groups(std::iter::once(word.core).chain(next.core.split('-')));
        return Some((said, 2));
    }
    if let Some(number) =
        word.core.strip_prefix('+').filter(|number| number.len() > 6 || rest.len() > 2)
    {
        let mut parts: Vec<&str> = number.split('-').collect();
        let mut used = 1;
        while used < 7
            && let (Some(last), Some(next)) = (rest.get(used - 1), rest.get(used))
            && last.close.is_empty()
            && matches!((next.open, next.close), ("", _) | ("(", ")"))
            && grouped(next.core, 8)
        {
            parts.extend(next.core.split('-'));
            used += 1;
        }
        let count: usize = parts.iter().map(|part| part.len()).sum();
        return (parts.iter().all(|part| all_digits(part)) && (7..=15).contains(&count))
            .then(|| (format!("plus {}", groups(parts)), used));
    }
    let lengths: Vec<usize> = word.core.splitn(8, '-').map(str::len).collect();
    let date = lengths == [4, 2, 2];
    (lengths.len() > 2
        && lengths.len() < 8
        && !date
        && lengths != [3, 3, 4]
        && grouped(word.core, 8))
    .then(|| (groups(word.core.split('-')), 1))
}

/// Versions, addresses of machines, dates with points.
pub(super) fn points(word: &str) -> Option<String> {
    let versioned =
        word.strip_prefix(['v', 'V']).filter(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let text = versioned.unwrap_or(word);
    let (numbers, tail) = text.split_once(['-', ':', '/']).unwrap_or((text, ""));
    let sign = text.get(numbers.len()..).unwrap_or_default().chars().next();
    let parts: Vec<&str> = numbers.split('.').collect();
    let is_long = parts.len() > 2 && parts.len() <= 8;
    if !parts.iter().all(|part| all_digits(part) && part.len() <= 8)
        || !(is_long || versioned.is_some())
    {
        return None;
    }
    let values: Vec<u128> = parts.iter().filter_map(|part| part.parse().ok()).collect();
    let (joint, is_machine) = match (parts.as_slice(), values.as_slice()) {
        ([_, _, year], [day, month @ 1..=12, _])
            if versioned.is_none() && year.len() == 4 && (1..=31).contains(day) =>
        {
            let name = super::super::normalize::MONTHS.get(usize::try_from(*month).ok()? - 1)?;
            return tail.is_empty().then(|| format!("{name} {}, {year}", ordinal(*day)));
        }
        ([a, b, c], _) if a.len() == 3 && b.len() == 3 && c.len() == 4 => {
            return tail.is_empty().then(|| groups(parts.iter().copied()));
        }
        ([_, _, _, _], values)
            if versioned.is_none() && values.iter().all(|value| *value < 256) =>
        {
            ("dot", true)
        }
        _ => ("point", false),
    };
    let number = |part: &&str| {
        if part.len() > 1 && part.starts_with('0') || part.len() > 4 {
            each(part)
        } else {
            part.parse().map_or_else(|_| each(part), plain)
        }
    };
    let mut said = parts.iter().map(number).collect::<Vec<_>>().join(&format!(" {joint} "));
    if versioned.is_some() {
        said.insert_str(0, "version ");
    }
    match sign {
        Some(':' | '/') if is_machine && all_digits(tail) => {
            let name = if sign == Some(':') { "port" } else { "slash" };
            said.push_str(&format!(" {name} {}", tail.parse().map_or_else(|_| each(tail), plain)));
        }
        Some('-') if !tail.is_empty() => {
            said.push_str(&format!(" {}", tail.replace(['.', '-'], " ")))
        }
        Some(_) => return None,
        None => {}
    }
    Some(said)
}

/// "2+3=5", "6/2=3", "2*3", "1e-5".
pub(super) fn equation(word: &str, equation: bool) -> Option<String> {
    if let Some((number, power)) = word.split_once(['e', 'E'])
        && number.starts_with(|c: char| c.is_ascii_digit())
        && number.chars().all(|c| c.is_ascii_digit() || c == '.')
        && all_digits(power.trim_start_matches(['-', '+', '−']))
    {
        let minus = if power.starts_with(['-', '−']) { "minus " } else { "" };
        let power = power.trim_start_matches(['-', '+', '−']);
        return Some(format!("{number} times 10 to the power of {minus}{power}"));
    }
    let is_part = |c: char| c.is_ascii_digit() || ".+-−–*/×÷=^()".contains(c);
    let sums = word.contains('*') || (equation && word.contains(['+', '-', '−', '–', '/', '=']));
    let inner = word.starts_with(|c: char| c.is_ascii_digit() || c == '(')
        && word.ends_with(|c: char| c.is_ascii_digit() || c == ')');
    if !sums || !inner || !word.chars().all(is_part) {
        return None;
    }
    let mut said = String::new();
    for c in word.chars() {
        let name = match c {
            '+' => "plus",
            '-' | '−' | '–' => "minus",
            '*' | '×' => "times",
            '/' | '÷' => "divided by",
            '=' => "equals",
            '^' => "to the power of",
            '(' | ')' => "",
            c => {
                said.push(c);
                continue;
            }
        };
        said.push_str(&format!(" {name} "));
    }
    Some(said.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Mixed fractions, ratios, hours, heights, centuries.
pub(super) fn other(rest: &[Word<'_>]) -> Said {
    let word = rest.first()?;
    if all_digits(word.core)
        && let Some(next) = next(rest)
        && let Some((above, below)) = next.core.split_once('/')
        && let (Ok(above), Ok(below)) = (above.parse::<u128>(), below.parse::<u128>())
        && (1..below).contains(&above)
        && below < 100
    {
        return Some((format!("{} and {}", word.core, fraction(above, below)), 2));
    }
    let halves = [
        ('½', "a half"),
        ('¼', "a quarter"),
        ('¾', "three quarters"),
        ('⅓', "a third"),
        ('⅔', "two thirds"),
    ];
    for (sign, name) in halves {
        if let Some(whole) = word.core.strip_suffix(sign).filter(|whole| all_digits(whole)) {
            return Some((format!("{whole} and {name}"), 1));
        }
    }
    if let Some((one, two)) = word.core.split_once(':')
        && all_digits(one)
        && all_digits(two)
        && (two.len() == 1 || one.len() > 2)
    {
        return Some((format!("{one} to {two}"), 1));
    }
    if let Some((from, to)) = word.core.split_once(['-', '–']) {
        let hour = |text: &str| {
            let text = text.to_lowercase();
            let number = text.trim_end_matches("am").trim_end_matches("pm");
            let has = number.len() < text.len() || number.contains(':');
            let clock = number.split(':').all(|part| all_digits(part) && part.len() < 3);
            (clock, has)
        };
        let ((a, first), (b, second)) = (hour(from), hour(to));
        if a && b && (first || second) {
            return Some((format!("{from} to {to}"), 1));
        }
    }
    if let Some((feet, inches)) = word.core.split_once('\'')
        && all_digits(feet)
        && all_digits(inches)
        && word.close.starts_with(['"', '”'])
    {
        return Some((format!("{feet} feet {inches} inches"), 1));
    }
    if word.core.len() > 1 && word.core.chars().all(|c| "IVX".contains(c)) {
        let next = next(rest).filter(|next| next.core.to_lowercase().starts_with("centur"))?;
        return Some((
            format!("{} {}", ordinal(super::super::normalize::roman(word.core)), next.core),
            2,
        ));
    }
    match word.core {
        "24/7" => Some(("24 7".to_owned(), 1)),
        "50/50" | "50-50" => Some(("50 50".to_owned(), 1)),
        _ => None,
    }
}

fn fraction(above: u128, below: u128) -> String {
    match (above, below) {
        (1, 2) => "a half".to_owned(),
        (1, 4) => "a quarter".to_owned(),
        (_, 4) => format!("{} quarters", plain(above)),
        (1, _) => format!("one {}", ordinal(below)),
        _ => format!("{} {}s", plain(above), ordinal(below)),
    }
}
