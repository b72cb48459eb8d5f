//! The byte order mark that some editors write at the beginning of a UTF-8 file.

/// A text's bytes without the byte order mark of UTF-8 that may stand before them.
///
/// ```
/// use crane_sdk::source::without_bom;
/// assert_eq!(without_bom(b"\xef\xbb\xbf{}"), b"{}");
/// assert_eq!(without_bom(b"{}"), b"{}");
/// ```
pub fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}
