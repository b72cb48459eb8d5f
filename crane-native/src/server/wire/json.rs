//! How much a JSON text holds, known before it is parsed.

use super::ApiError;

/// The most values of a body: each takes a hundred bytes or so once it is parsed.
const MOST_VALUES: usize = 1_000_000;
/// An object takes the memory of so many values.
const OBJECT: usize = 8;
/// The deepest nesting that the parser follows.
const MOST_DEPTH: usize = 127;

/// About how many values a JSON text has, an object counted as several. Strings may hold JSON, too (the arguments of calls): what
/// looks like values there is counted, but is no reason to refuse the text.
///
/// # Errors
/// That it has too many, or is nested too deeply.
///
/// ```
/// use crane_native::server::wire::json_values;
///
/// assert_eq!(json_values(br#"[1, "2", {}]"#).unwrap(), 12);
/// assert!(json_values("[".repeat(200).as_bytes()).is_err());
/// ```
pub fn json_values(text: &[u8]) -> Result<usize, ApiError> {
    let (mut values, mut quoted, mut depth) = (1usize, 0usize, 0usize);
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        b',' | b'[' => quoted += 1,
                        b'{' => quoted += OBJECT,
                        _ => {}
                    }
                }
            }
            b',' => values += 1,
            b'[' | b'{' => {
                values += if *byte == b'{' { OBJECT } else { 1 };
                depth += 1;
                if depth > MOST_DEPTH {
                    let message = format_args!(
                        "the JSON is nested too deeply: at most {MOST_DEPTH} lists and objects inside each other are read"
                    );
                    return Err(ApiError::invalid(message));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if values > MOST_VALUES {
            let message = format_args!(
                "the JSON holds too many values: at most {MOST_VALUES} are read, an object counted as {OBJECT}"
            );
            return Err(ApiError::invalid(message));
        }
    }
    Ok(values + quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_wherever_they_are() {
        for (text, values) in [
            ("", 1),
            ("7", 1),
            ("[1, 2, 3]", 4),
            (r#"["a,b,\",[{", "c"]"#, 15),
            (r#"{"a": [1, {"b": 2}], "c": 3}"#, 20),
            (r#""unfinished \"#, 1),
        ] {
            assert_eq!(json_values(text.as_bytes()).unwrap(), values, "{text}");
        }
    }

    #[test]
    fn both_limits_are_told_and_what_is_below_them_is_read() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        let parses = |text: &str| serde_json::from_str::<serde_json::Value>(text).is_ok();
        assert!(json_values(deep(MOST_DEPTH).as_bytes()).is_ok() && parses(&deep(MOST_DEPTH)));
        let error = json_values(deep(MOST_DEPTH + 1).as_bytes()).unwrap_err();
        assert!(error.json().to_string().contains("127"), "{error:?}");
        let wide = |values: usize| "0,".repeat(values - 1) + "0";
        assert_eq!(json_values(wide(MOST_VALUES).as_bytes()).unwrap(), MOST_VALUES);
        assert_eq!(json_values(wide(MOST_VALUES + 1).as_bytes()).unwrap_err().status, 400);
        assert!(json_values(format!("\"{}\"", wide(MOST_VALUES + 1)).as_bytes()).is_ok());
        assert!(json_values("{".repeat(120).repeat(2000).as_bytes()).is_err());
    }
}
