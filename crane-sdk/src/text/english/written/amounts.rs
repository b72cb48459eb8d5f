//! Amounts: numbers with signs, money of many countries, magnitudes, units, ranges and rates.

use super::super::number_words::plain;
use super::numerals::each;
use super::{Said, Units, Word, next};

/// A currency: its sign or code, one of it, many, and its hundredth part.
struct Currency(&'static str, &'static str, &'static str, [&'static str; 2]);

const CENT: [&str; 2] = ["cent", "cents"];
const NONE: [&str; 2] = ["", ""];
/// Longer signs stand before those that they end in.
const CURRENCIES: [Currency; 41] = [
    Currency("US$", "US dollar", "US dollars", CENT),
    Currency("CA$", "Canadian dollar", "Canadian dollars", CENT),
    Currency("C$", "Canadian dollar", "Canadian dollars", CENT),
    Currency("AU$", "Australian dollar", "Australian dollars", CENT),
    Currency("A$", "Australian dollar", "Australian dollars", CENT),
    Currency("NZ$", "New Zealand dollar", "New Zealand dollars", CENT),
    Currency("HK$", "Hong Kong dollar", "Hong Kong dollars", CENT),
    Currency("S$", "Singapore dollar", "Singapore dollars", CENT),
    Currency("R$", "real", "reais", ["centavo", "centavos"]),
    Currency("$", "dollar", "dollars", CENT),
    Currency("£", "pound", "pounds", ["penny", "pence"]),
    Currency("€", "euro", "euros", CENT),
    Currency("¥", "yen", "yen", NONE),
    Currency("₹", "rupee", "rupees", ["paisa", "paise"]),
    Currency("₩", "won", "won", NONE),
    Currency("₽", "ruble", "rubles", ["kopek", "kopeks"]),
    Currency("₪", "shekel", "shekels", NONE),
    Currency("₺", "lira", "lira", NONE),
    Currency("₴", "hryvnia", "hryvnias", NONE),
    Currency("₦", "naira", "naira", NONE),
    Currency("₱", "peso", "pesos", ["centavo", "centavos"]),
    Currency("₫", "dong", "dong", NONE),
    Currency("฿", "baht", "baht", NONE),
    Currency("Rs", "rupee", "rupees", ["paisa", "paise"]),
    Currency("USD", "US dollar", "US dollars", CENT),
    Currency("EUR", "euro", "euros", CENT),
    Currency("GBP", "British pound", "British pounds", ["penny", "pence"]),
    Currency("JPY", "yen", "yen", NONE),
    Currency("CNY", "yuan", "yuan", NONE),
    Currency("INR", "rupee", "rupees", ["paisa", "paise"]),
    Currency("KRW", "won", "won", NONE),
    Currency("CHF", "Swiss franc", "Swiss francs", NONE),
    Currency("AUD", "Australian dollar", "Australian dollars", CENT),
    Currency("CAD", "Canadian dollar", "Canadian dollars", CENT),
    Currency("NZD", "New Zealand dollar", "New Zealand dollars", CENT),
    Currency("SEK", "Swedish krona", "Swedish krona", NONE),
    Currency("PLN", "zloty", "zloty", NONE),
    Currency("zł", "zloty", "zloty", NONE),
    Currency("BRL", "real", "reais", ["centavo", "centavos"]),
    Currency("MXN", "Mexican peso", "Mexican pesos", ["centavo", "centavos"]),
    Currency("ZAR", "rand", "rand", CENT),
];
const SIGNS: [(&str, &str); 12] = [
    ("<=", "less than or equal to"),
    (">=", "greater than or equal to"),
    ("-", "minus"),
    ("−", "minus"),
    ("+", "plus"),
    ("±", "plus or minus"),
    ("~", "about"),
    ("≈", "approximately"),
    ("≤", "less than or equal to"),
    ("≥", "greater than or equal to"),
    ("<", "less than"),
    (">", "greater than"),
];
const MAGNITUDES: [(&str, &str); 17] = [
    ("trillion", "trillion"),
    ("billion", "billion"),
    ("million", "million"),
    ("thousand", "thousand"),
    ("trn", "trillion"),
    ("tn", "trillion"),
    ("bln", "billion"),
    ("bn", "billion"),
    ("mln", "million"),
    ("mn", "million"),
    ("K", "thousand"),
    ("k", "thousand"),
    ("M", "million"),
    ("m", "million"),
    ("B", "billion"),
    ("b", "billion"),
    ("T", "trillion"),
];
/// Units that `normalize.json` lacks: as they are written, one, many.
const UNITS: [(&str, &str, &str); 46] = [
    ("%", "percent", "percent"),
    ("°C", "degree Celsius", "degrees Celsius"),
    ("℃", "degree Celsius", "degrees Celsius"),
    ("°F", "degree Fahrenheit", "degrees Fahrenheit"),
    ("℉", "degree Fahrenheit", "degrees Fahrenheit"),
    ("°", "degree", "degrees"),
    ("g", "gram", "grams"),
    ("t", "ton", "tons"),
    ("m", "meter", "meters"),
    ("m²", "square meter", "square meters"),
    ("m2", "square meter", "square meters"),
    ("m³", "cubic meter", "cubic meters"),
    ("km²", "square kilometer", "square kilometers"),
    ("cm²", "square centimeter", "square centimeters"),
    ("cm³", "cubic centimeter", "cubic centimeters"),
    ("m/s", "meter per second", "meters per second"),
    ("l", "liter", "liters"),
    ("L", "liter", "liters"),
    ("mL", "milliliter", "milliliters"),
    ("cl", "centiliter", "centiliters"),
    ("gal", "gallon", "gallons"),
    ("ha", "hectare", "hectares"),
    ("h", "hour", "hours"),
    ("s", "second", "seconds"),
    ("ns", "nanosecond", "nanoseconds"),
    ("V", "volt", "volts"),
    ("mV", "millivolt", "millivolts"),
    ("kV", "kilovolt", "kilovolts"),
    ("W", "watt", "watts"),
    ("mA", "milliamp", "milliamps"),
    ("Wh", "watt hour", "watt hours"),
    ("J", "joule", "joules"),
    ("kJ", "kilojoule", "kilojoules"),
    ("cal", "calorie", "calories"),
    ("kcal", "kilocalorie", "kilocalories"),
    ("Pa", "pascal", "pascals"),
    ("kPa", "kilopascal", "kilopascals"),
    ("hPa", "hectopascal", "hectopascals"),
    ("psi", "pounds per square inch", "pounds per square inch"),
    ("rpm", "revolutions per minute", "revolutions per minute"),
    ("bpm", "beats per minute", "beats per minute"),
    ("dB", "decibel", "decibels"),
    ("px", "pixel", "pixels"),
    ("tsp", "teaspoon", "teaspoons"),
    ("tbsp", "tablespoon", "tablespoons"),
    ("kbps", "kilobits per second", "kilobits per second"),
];
/// What a rate is for.
const RATES: [(&str, &str); 10] = [
    ("mo", "month"),
    ("yr", "year"),
    ("y", "year"),
    ("wk", "week"),
    ("d", "day"),
    ("h", "hour"),
    ("hr", "hour"),
    ("min", "minute"),
    ("s", "second"),
    ("kg", "kilogram"),
];

/// A number with what belongs to it.
#[derive(Clone, Copy, Default)]
struct Amount<'a> {
    sign: &'static str,
    currency: Option<&'static Currency>,
    whole: &'a str,
    fraction: Option<&'a str>,
    magnitude: &'static str,
}

/// An amount or a range of two that the published rules say wrongly; `None` for every other word.
pub(super) fn say(rest: &[Word<'_>], units: &Units) -> Said {
    let word = rest.first()?;
    let mut used = 1;
    // "CHF 5"
    let code = CURRENCIES.iter().find(|currency| currency.0 == word.core && currency.0.len() > 1);
    let core = match (code, next(rest)) {
        (Some(_), Some(next)) => {
            used = 2;
            next.core
        }
        (Some(_), None) => return None,
        _ => word.core,
    };
    let (mut first, mut tail) = amount(core, code)?;
    let mut second = None;
    if let Some(after) = tail.strip_prefix(['-', '–', '—'])
        && let Some((to, after)) = amount(after, None)
    {
        // A telephone, or a month of a year.
        let is_code = (first.whole.len(), to.whole.len()) == (3, 4) || to.whole.starts_with('0');
        if first.currency.or(to.currency).is_none() && to.fraction.is_none() && is_code {
            return None;
        }
        second = Some(to);
        tail = after;
    }
    let last_of = |used: usize| rest.get(used - 1).copied().unwrap_or_default();
    let follows = |used: usize| {
        let next = rest.get(used)?;
        last_of(used).joins(next).then_some(next.core)
    };
    // What counts it: in the same word or the next.
    let plain_unit = |text: &str| units.get(text).map(|[one, many]| (one.as_str(), many.as_str()));
    let own_unit =
        |text: &str| UNITS.iter().find(|unit| unit.0 == text).map(|unit| (unit.1, unit.2));
    let mut unit = None;
    let mut odd = first.is_odd(core) || second.is_some();
    if tail.is_empty() && first.currency.or(second.and_then(|second| second.currency)).is_some() {
        let name = follows(used)
            .and_then(|next| MAGNITUDES.iter().find(|name| name.0 == next && next.len() > 1));
        if let Some((_, name)) = name {
            match &mut second {
                Some(second) => second.magnitude = name,
                None => first.magnitude = name,
            }
            used += 1;
        }
    }
    let (head, mut rate) = match tail.split_once('/') {
        Some((head, rate)) if own_unit(tail).is_none() && plain_unit(tail).is_none() => {
            (head, Some(rate))
        }
        _ => (tail, None),
    };
    if !head.is_empty() {
        let code = CURRENCIES.iter().find(|currency| currency.0 == head);
        if let Some(code) = code.filter(|_| first.currency.is_none()) {
            first.currency = Some(code);
            odd = true;
        } else if head == "%" {
            unit = own_unit(head);
        } else {
            unit = plain_unit(head).or_else(|| own_unit(head));
            unit?;
            odd |= plain_unit(head).is_none() && !head.starts_with('°');
        }
    } else if first.currency.is_none()
        && second.is_none_or(|second| second.currency.is_none())
        && rate.is_none()
    {
        let next = follows(used).unwrap_or_default();
        if let Some(code) = CURRENCIES.iter().find(|currency| currency.0 == next) {
            first.currency = Some(code);
            odd = true;
            used += 1;
        } else if let Some((name, per)) = next.split_once('/')
            && own_unit(next).is_none()
            && plain_unit(next).is_none()
            && let Some(found) = plain_unit(name).or_else(|| own_unit(name))
        {
            unit = Some(found);
            rate = Some(per);
            used += 1;
        } else if let Some(found) =
            own_unit(next).filter(|_| next.len() > 1 || !"sth".contains(next))
        {
            unit = Some(found);
            odd |= next != "%" && !next.starts_with('°');
            used += 1;
        } else if odd && let Some(found) = plain_unit(next) {
            unit = Some(found);
            used += 1;
        }
    }
    odd |= rate.is_some_and(|rate| !rate.is_empty());
    if !odd || rate.is_some_and(|rate| !rate.chars().all(char::is_alphabetic) || rate.is_empty()) {
        return None;
    }
    let currency = first.currency.or(second.and_then(|second| second.currency));
    let mut said = Vec::new();
    match second {
        None => said.push(first.with_currency(currency)),
        Some(second) => {
            said.push(first.number(currency.is_some() || unit.is_some()));
            said.push("to".to_owned());
            said.push(second.number(currency.is_some() || unit.is_some()));
            said.extend(currency.map(|currency| currency.2.to_owned()));
        }
    }
    if let Some((one, many)) = unit {
        let single = second.is_none() && first.is_one();
        said.push(if single { one } else { many }.to_owned());
    }
    if let Some(rate) = rate {
        let name = RATES.iter().find(|name| name.0 == rate).map_or(rate, |name| name.1);
        said.push(format!("per {name}"));
    }
    Some((said.join(" "), used))
}

/// The amount at the start of a text, and what follows it.
fn amount<'a>(text: &'a str, currency: Option<&'static Currency>) -> Option<(Amount<'a>, &'a str)> {
    let mut amount = Amount { currency, ..Amount::default() };
    let mut rest = text;
    let sign = |rest: &mut &'a str| {
        let (sign, name) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign))?;
        *rest = rest.strip_prefix(sign)?;
        Some(*name)
    };
    amount.sign = sign(&mut rest).unwrap_or_default();
    if currency.is_none()
        && let Some(found) = CURRENCIES.iter().find(|currency| rest.starts_with(currency.0))
    {
        amount.currency = Some(found);
        rest = rest.strip_prefix(found.0)?;
        rest = if found.0 == "Rs" { rest.trim_start_matches('.') } else { rest };
        if amount.sign.is_empty() {
            amount.sign = sign(&mut rest).unwrap_or_default();
        }
    }
    let count = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let mut end = count(rest);
    if (1..4).contains(&end) {
        while let Some(group) = rest.get(end..).and_then(|rest| rest.strip_prefix(',')) {
            if count(group) != 3 {
                break;
            }
            end += 4;
        }
    }
    amount.whole = rest.get(..end)?;
    rest = rest.get(end..)?;
    if let Some(digits) = rest.strip_prefix('.') {
        let length = count(digits);
        if length > 0 {
            amount.fraction = digits.get(..length);
            rest = digits.get(length..)?;
        }
    }
    if (amount.whole.is_empty() && amount.fraction.is_none())
        || rest.starts_with(['.', ','])
        || amount.whole.len() > 30
    {
        return None;
    }
    for (short, name) in MAGNITUDES {
        let after =
            rest.strip_prefix(short).filter(|after| !after.starts_with(char::is_alphanumeric));
        // "5m" is five meters, "5T" is no trillion, unless it is money.
        let clear = amount.currency.is_some() || !matches!(short, "m" | "b" | "T" | "B");
        if let Some(after) = after.filter(|after| clear && !after.starts_with(['²', '³'])) {
            amount.magnitude = name;
            rest = after;
            break;
        }
    }
    Some((amount, rest))
}

impl Amount<'_> {
    /// Whether the published rules say it otherwise than it is written. `word` is all of what is written.
    fn is_odd(&self, word: &str) -> bool {
        let cents = self.fraction.map_or(2, str::len);
        let foreign = self.currency.is_some_and(|currency| !matches!(currency.0, "$" | "£" | "€"));
        let money = self.currency.is_some()
            && (cents != 2
                || !self.magnitude.is_empty()
                || foreign
                || (self.fraction == Some("01") && word.starts_with('£')));
        let digits = self.whole.len() > 1 && self.whole.starts_with('0');
        !self.sign.is_empty() && self.sign != "plus"
            || self.sign == "plus" && self.currency.is_some()
            || self.whole.is_empty()
            || digits
            || money
            || !self.magnitude.is_empty()
    }

    fn is_one(&self) -> bool {
        self.whole == "1" && self.fraction.is_none() && self.magnitude.is_empty()
    }

    /// Sign, number and magnitude. Four digits that count nothing may be a year, which the lexicon reads.
    fn number(&self, counts: bool) -> String {
        let whole = self.whole.replace(',', "");
        let mut said = match self.fraction {
            _ if whole.is_empty() => "point".to_owned(),
            None if !counts
                && self.whole.len() == 4
                && self.sign.is_empty()
                && !whole.starts_with('0') =>
            {
                whole
            }
            None if whole.len() > 1 && whole.starts_with('0') => each(&whole),
            None => whole.parse().map_or_else(|_| each(&whole), plain),
            Some(_) => whole.parse().map_or_else(|_| each(&whole), plain) + " point",
        };
        if let Some(fraction) = self.fraction {
            said.push(' ');
            said.push_str(&each(fraction));
        }
        let parts = [self.sign, &said, self.magnitude];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }

    fn with_currency(&self, currency: Option<&Currency>) -> String {
        let Some(Currency(_, one, many, [cent, cents])) = currency else {
            return self.number(false);
        };
        let small = self
            .fraction
            .filter(|digits| digits.len() == 2 && !cent.is_empty() && self.magnitude.is_empty());
        let Some(small) = small.and_then(|digits| digits.parse::<u128>().ok()) else {
            return format!("{} {}", self.number(true), if self.is_one() { one } else { many });
        };
        let large = Amount {
            fraction: None,
            whole: if self.whole.is_empty() { "0" } else { self.whole },
            ..*self
        };
        let unit = if large.is_one() { one } else { many };
        let part = if small == 1 { cent } else { cents };
        match (large.whole, small) {
            (_, 0) => format!("{} {unit}", large.number(true)),
            ("0", _) => {
                format!("{} {part}", Amount { whole: "", fraction: None, ..*self }.sign_and(small))
            }
            _ => format!("{} {unit} and {} {part}", large.number(true), plain(small)),
        }
    }

    fn sign_and(&self, number: u128) -> String {
        format!("{} {}", self.sign, plain(number)).trim().to_owned()
    }
}
