//! The date for templates that tell the model what day it is.

use jiff::Zoned;
use jiff::fmt::strtime::{self, BrokenDownTime, PosixCustom};

/// The local time, formatted as Python's `datetime.now().strftime(format)`.
///
/// # Errors
/// A sentence if the format is not one.
pub(super) fn now(format: &str) -> Result<String, String> {
    at(format, &local())
}

#[cfg(not(target_arch = "wasm32"))]
fn local() -> Zoned {
    Zoned::now()
}

/// A browser says how far the clock is from UTC today; all the world's time zones would be 50 KB more to fetch.
#[cfg(target_arch = "wasm32")]
fn local() -> Zoned {
    use jiff::Timestamp;
    use jiff::tz::{Offset, TimeZone};

    let seconds = js_sys::Date::new_0().get_timezone_offset() * -60.0;
    let zone = Offset::from_seconds(seconds as i32).map_or(TimeZone::UTC, TimeZone::fixed);
    Timestamp::now().to_zoned(zone)
}

fn at(format: &str, time: &Zoned) -> Result<String, String> {
    let config = strtime::Config::new().custom(PosixCustom::new());
    BrokenDownTime::from(time)
        .to_string_with_config(&config, plain(format))
        .map_err(|error| format!("strftime_now({format:?}): {error}"))
}

/// The format without what has no meaning here: the modifiers `E` and `O`, which ask for the era and the digits of a locale.
/// Microseconds have six digits, as in Python.
fn plain(format: &str) -> String {
    let mut out = String::with_capacity(format.len());
    let mut characters = format.chars().peekable();
    while let Some(character) = characters.next() {
        out.push(character);
        if character != '%' {
            continue;
        }
        let begin = out.len();
        while let Some(flag) =
            characters.next_if(|c| matches!(c, '-' | '_' | '^' | '#' | '0'..='9'))
        {
            out.push(flag);
        }
        while characters.next_if(|c| matches!(c, 'E' | 'O')).is_some() {}
        match characters.next() {
            Some('f') if out.len() == begin => out.push_str("6f"),
            Some(conversion) => out.push(conversion),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_as_python_does() {
        let time: Zoned = "2024-07-06T05:04:03.000045[UTC]".parse().unwrap();
        for (format, expected) in [
            ("%d %b %Y", "06 Jul 2024"),
            ("%Y-%m-%d", "2024-07-06"),
            ("%A, %B %d, %Y", "Saturday, July 06, 2024"),
            ("%c | %x | %X | %r", "Sat Jul  6 05:04:03 2024 | 07/06/24 | 05:04:03 | 05:04:03 AM"),
            ("%D %F %R %T %e %h %C", "07/06/24 2024-07-06 05:04 05:04:03  6 Jul 20"),
            ("%G-W%V-%u %g %U %W %w", "2024-W27-6 24 26 27 6"),
            ("%s %z %Z %f%n%t|%k %l %P", "1720242243 +0000 UTC 000045\n\t| 5  5 am"),
            ("%Ey %Od %OH %-OI %EC", "24 06 05 5 20"),
            ("%a %-d %y %I:%M:%S %p %j %H %%", "Sat 6 24 05:04:03 AM 188 05 %"),
        ] {
            assert_eq!(at(format, &time).unwrap(), expected);
        }
        assert!(at("%Ö", &time).unwrap_err().contains("%Ö"));
        assert_eq!(now("%Y").unwrap().len(), 4);
    }
}
