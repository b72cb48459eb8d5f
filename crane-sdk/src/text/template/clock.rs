//! The date for templates that tell the model what day it is.

use jiff::Zoned;
use jiff::fmt::strtime;

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
    strtime::format(format, time).map_err(|error| format!("strftime_now({format:?}): {error}"))
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
            ("%a %-d %y %I:%M:%S %p %j %H %%", "Sat 6 24 05:04:03 AM 188 05 %"),
        ] {
            assert_eq!(at(format, &time).unwrap(), expected);
        }
        assert!(at("%Ö", &time).unwrap_err().contains("%Ö"));
        assert_eq!(now("%Y").unwrap().len(), 4);
    }
}
