//! `keep_alive`: how long a model stays in memory once nobody uses it.

use std::time::Duration;

use serde_json::Value;

use crate::server::fleet::Stay;
use crate::server::wire::{ApiError, Fields};

/// Units of a duration, in seconds. The longer names come first where one begins with another.
const UNITS: [(&str, f64); 7] = [
    ("ms", 1e-3),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("ns", 1e-9),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
];

/// Takes `keep_alive`: seconds, or a duration such as `5m`; what is below 0 is for good.
///
/// # Errors
/// That it is neither.
pub(super) fn take(fields: &mut Fields) -> Result<Option<Stay>, ApiError> {
    let Some(value) = fields.take("keep_alive") else { return Ok(None) };
    let seconds = match &value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => seconds(text.trim()),
        _ => None,
    };
    match seconds {
        Some(seconds) if seconds < 0.0 => Ok(Some(Stay::ForGood)),
        // Longer than a clock can tell is for good, too.
        Some(seconds) => {
            Ok(Some(Duration::try_from_secs_f64(seconds).map_or(Stay::ForGood, Stay::For)))
        }
        None => {
            let reason = format_args!(
                "is {value}; it is a number of seconds or a duration such as \"90s\", \"5m\" or \"1h30m\"; 0 lets the \
                 model go at once, and -1 keeps it"
            );
            Err(ApiError::value("keep_alive", reason))
        }
    }
}

/// The seconds of a duration as Go writes it, or of a bare number.
fn seconds(text: &str) -> Option<f64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit() && c != '.');
    if digits(rest).is_none() {
        return rest.parse().ok().map(|number: f64| sign * number);
    }
    let mut sum = 0.0;
    while !rest.is_empty() {
        let (number, unit) = rest.split_at(digits(rest)?);
        let (name, factor) = UNITS.iter().find(|(name, _)| unit.starts_with(name))?;
        sum += number.parse::<f64>().ok()? * factor;
        rest = unit.strip_prefix(name)?;
    }
    Some(sign * sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Option<Stay>, ApiError> {
        take(&mut Fields::parse(format!("{{\"keep_alive\": {json}}}").as_bytes()).unwrap())
    }

    #[test]
    fn durations_are_those_of_go_and_numbers_are_seconds() {
        let stay = |seconds: f64| Some(Stay::For(Duration::from_secs_f64(seconds)));
        for (json, wanted) in [
            ("null", None),
            ("0", stay(0.0)),
            ("\"0\"", stay(0.0)),
            ("90", stay(90.0)),
            ("2.5", stay(2.5)),
            ("\"300\"", stay(300.0)),
            ("\"5m\"", stay(300.0)),
            ("\"1h30m\"", stay(5400.0)),
            ("\"1.5h\"", stay(5400.0)),
            ("\"250ms\"", stay(0.25)),
            ("\"1m0s\"", stay(60.0)),
            ("-1", Some(Stay::ForGood)),
            ("\"-1\"", Some(Stay::ForGood)),
            ("\"-1m\"", Some(Stay::ForGood)),
            ("1e300", Some(Stay::ForGood)),
        ] {
            assert_eq!(read(json).unwrap(), wanted, "{json}");
        }
        for json in
            ["\"soon\"", "\"\"", "\"5 m\"", "\"m\"", "\"5d\"", "\"1..2s\"", "true", "[]", "\".\""]
        {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
