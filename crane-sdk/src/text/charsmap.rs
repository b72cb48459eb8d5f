//! SentencePiece's table of character replacements, checked before the library walks it without looking.
//!
//! The bytes are the size of a double-array trie, its units of 32 bits, and the replacements, each ended by a zero byte.
//! A unit is a node (bits 0-7 its label, bit 8 whether a value follows, bits 10-30 the offset of its children, shifted by
//! 8 if bit 9 is set) or, with bit 31, a value: where a replacement begins.

/// Longest replacement that is believed: the longest of Unicode's NFKC has 33 bytes.
const MAX_REPLACEMENT: usize = 1024;

/// Reads the base64 of a table.
///
/// # Errors
/// A sentence that says what is cut off or points outside the table.
pub(super) fn read(base64: &str) -> Result<Vec<u8>, String> {
    let bytes = decode(base64).ok_or("precompiled_charsmap is not base64")?;
    check(&bytes).map_err(|reason| format!("precompiled_charsmap: {reason}"))?;
    Ok(bytes)
}

fn check(bytes: &[u8]) -> Result<(), String> {
    let word = |bytes: &[u8]| Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize);
    let size = bytes.get(..4).and_then(word).ok_or("it has less than 4 bytes")?;
    let have = bytes.len() - 4;
    let trie = bytes.get(4..).and_then(|rest| rest.get(..size / 4 * 4));
    let trie = trie.ok_or_else(|| format!("its trie should have {size} bytes, {have} are left"))?;
    let texts = bytes.get(4 + trie.len()..).unwrap_or_default();
    let texts = std::str::from_utf8(texts).map_err(|error| format!("its replacements: {error}"))?;
    let units: Vec<usize> = trie.chunks_exact(4).filter_map(word).collect();
    if units.is_empty() {
        return Err("its trie is empty".to_owned());
    }
    let longest = texts.split('\0').map(str::len).max().unwrap_or_default();
    if longest > MAX_REPLACEMENT {
        return Err(format!("a replacement has {longest} bytes, more than {MAX_REPLACEMENT}"));
    }
    for (at, unit) in units.iter().enumerate() {
        // The first unit is the root whatever its bits; no label leads to another with bit 31.
        if at > 0 && unit >> 31 == 1 {
            continue;
        }
        let children = at ^ ((unit >> 10) << ((unit & (1 << 9)) >> 6));
        // The children of a node are where its offset is changed by a byte of the text.
        let last = children | 0xFF;
        if last >= units.len() {
            return Err(format!(
                "unit {at} of its trie points outside ({last} of {})",
                units.len()
            ));
        }
        if unit >> 8 & 1 == 1 {
            let value = units.get(children).map_or(0, |unit| unit & 0x7FFF_FFFF);
            if !texts.is_char_boundary(value) {
                return Err(format!(
                    "unit {at} of its trie names replacement {value}, the texts have {} bytes",
                    texts.len()
                ));
            }
        }
    }
    Ok(())
}

/// Standard base64 with padding; `None` if it is not.
fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0u32, 0u32);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A trie that replaces `a` by `text`.
    fn table(text: &str) -> Vec<u8> {
        let mut units = vec![0u32; 512];
        units[0] = 256 << 10;
        let node = 256 ^ usize::from(b'a');
        units[node] = u32::from(b'a') | 1 << 8;
        units[node] |= 1 << 10;
        units[node ^ 1] = 1 << 31;
        let mut bytes = 2048u32.to_le_bytes().to_vec();
        bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        bytes.extend(text.as_bytes());
        bytes.push(0);
        bytes
    }

    /// What passes the check never makes the library panic, and lies that would are told.
    #[test]
    fn tables_that_lie_are_refused() {
        let sound = table("xyz");
        check(&sound).unwrap();
        let text = "abc aa \u{e4} \u{10ffff}";
        let of = |bytes: &[u8]| tokenizers::normalizers::Precompiled::from(bytes).unwrap();
        assert_eq!(of(&sound).normalize_string("cab"), "cxyzb");
        for length in 0..sound.len() {
            let cut = &sound[..length];
            if check(cut).is_ok() {
                of(cut).normalize_string(text);
            }
        }
        assert!(check(&sound[..100]).unwrap_err().contains("are left"));
        assert!(check(&table(&"x".repeat(2000))).unwrap_err().contains("2000 bytes"));
        let (mut seed, mut refused) = (1u64, 0);
        let mut next = |bound: usize| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as usize % bound
        };
        let places: Vec<usize> =
            (0..sound.len()).filter(|&at| sound[at] != 0).chain(0..8).chain(2040..2056).collect();
        for _ in 0..3000 {
            let mut bytes = sound.clone();
            for _ in 0..1 + next(3) {
                let at = places[next(places.len())];
                bytes[at] ^= 1 << next(8);
            }
            match check(&bytes) {
                Ok(()) => drop(of(&bytes).normalize_string(text)),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 100, "{refused}");
    }

    #[test]
    fn base64_is_read() {
        assert_eq!(decode("aGkh").unwrap(), b"hi!");
        assert_eq!(decode("aGk=").unwrap(), b"hi");
        assert_eq!(decode("").unwrap(), b"");
        for bad in ["a", "a===", "!!!!", "aGk"] {
            assert!(decode(bad).is_none(), "{bad}");
        }
    }
}
