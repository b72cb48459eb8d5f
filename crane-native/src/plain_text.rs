//! Text that users write: in UTF-8, with or without a byte order mark, or in the UTF-16 of Windows' own tools.

use std::fs;
use std::path::Path;

use crane_sdk::source::without_bom;

/// The text of bytes.
///
/// # Errors
/// A sentence without a subject, which says where the bytes are no text and what to do.
pub(crate) fn decode(bytes: Vec<u8>) -> Result<String, String> {
    let wide = |pair: fn([u8; 2]) -> u16| -> Result<String, String> {
        let units = bytes.chunks(2).skip(1);
        let units: Option<Vec<u16>> = units.map(|unit| Some(pair(unit.try_into().ok()?))).collect();
        let text = units.and_then(|units| String::from_utf16(&units).ok());
        text.ok_or_else(|| {
            "begins as UTF-16 text and is none; write it as UTF-8 (iconv -t UTF-8)".to_owned()
        })
    };
    match bytes.as_slice() {
        [0xFF, 0xFE, ..] => return wide(u16::from_le_bytes),
        [0xFE, 0xFF, ..] => return wide(u16::from_be_bytes),
        _ => {}
    }
    let marked = bytes.len() - without_bom(&bytes).len();
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let byte = error.as_bytes().get(at).copied().unwrap_or_default();
        format!(
            "is not UTF-8 text: byte {at} is 0x{byte:02X}; convert it (iconv -f LATIN1 -t UTF-8, if it is Latin-1)"
        )
    })?;
    Ok(if marked > 0 { text.get(marked..).unwrap_or_default().to_owned() } else { text })
}

/// The text of a file or of a pipe that has a path.
///
/// # Errors
/// A sentence that names the path.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    let name = path.display();
    let bytes = fs::read(path).map_err(|error| format!("cannot read {name}: {error}"))?;
    decode(bytes).map_err(|reason| format!("{name} {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_text_with_or_without_a_mark() {
        let wide = |text: &str, pair: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(pair).collect()
        };
        for text in ["", "Grüße, 世界 🙂\r\n", "{}"] {
            let marked = format!("\u{feff}{text}");
            for bytes in [
                text.as_bytes().to_vec(),
                marked.as_bytes().to_vec(),
                wide(&marked, u16::to_le_bytes),
                wide(&marked, u16::to_be_bytes),
            ] {
                assert_eq!(decode(bytes.clone()).as_deref(), Ok(text), "{bytes:?}");
            }
        }
        // A second mark, or one further on, is the text's own.
        assert_eq!(decode("\u{feff}\u{feff}a\u{feff}".into()).unwrap(), "\u{feff}a\u{feff}");
    }

    #[test]
    fn what_is_no_text_is_said_with_its_place() {
        for (bytes, said) in [
            (&b"caf\xe9"[..], "byte 3 is 0xE9"),
            (b"\xef\xbb\xbfa\xff", "byte 4 is 0xFF"),
            (b"\xff\xfea", "UTF-16"),
            (b"\xfe\xff\xd8\x00", "UTF-16"),
        ] {
            let error = decode(bytes.to_vec()).unwrap_err();
            assert!(error.contains(said), "{bytes:?}: {error}");
        }
    }
}
