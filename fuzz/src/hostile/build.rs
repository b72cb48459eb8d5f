//! Bytes with the places of their fields, and copies of them in which one field lies.

/// A file under construction that remembers where its numbers are.
#[derive(Clone, Default)]
pub struct Built {
    pub bytes: Vec<u8>,
    /// Each number's name, place and width in bytes.
    fields: Vec<(String, usize, usize)>,
}

impl Built {
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// A little-endian number of `width` bytes.
    pub fn number(mut self, name: &str, width: usize, value: u64) -> Self {
        self.fields.push((name.to_owned(), self.bytes.len(), width));
        self.bytes.extend(value.to_le_bytes().into_iter().take(width));
        self
    }

    /// Zeros up to a multiple of `to`, then `more` of them.
    pub fn padded(mut self, to: usize, more: usize) -> Self {
        let len = self.bytes.len().next_multiple_of(to) + more;
        self.bytes.resize(len, 0);
        self
    }

    /// Copies in which one number is another one, and copies that end before it or within it.
    pub fn lies(&self) -> Vec<(String, Vec<u8>)> {
        let mut out = Vec::new();
        for (index, (name, at, width)) in self.fields.iter().enumerate() {
            let name = format!("{index}-{name}");
            let mut old = [0; 8];
            let stored = self.bytes.get(*at..at + width).unwrap_or_default();
            old.iter_mut().zip(stored).for_each(|(to, from)| *to = *from);
            let old = u64::from_le_bytes(old);
            let most = u64::MAX >> (64 - 8 * width);
            let values = [0, old.wrapping_add(1), old.wrapping_sub(1), 1 << 20, most / 2 + 1, most];
            for value in values.into_iter().filter(|value| *value & most != old) {
                let mut bytes = self.bytes.clone();
                let places = bytes.iter_mut().skip(*at).take(*width);
                places.zip(value.to_le_bytes()).for_each(|(to, from)| *to = from);
                out.push((format!("{name}-is-{}", value & most), bytes));
            }
            for end in [*at, at + width / 2] {
                let cut = self.bytes.get(..end).unwrap_or_default().to_vec();
                out.push((format!("{name}-cut-at-{end}"), cut));
            }
        }
        out
    }
}

/// Copies of a text in which each number in turn is something else.
pub fn numbers_replaced(text: &str, values: &[&str]) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut rest = text;
    let mut at = 0;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let number = rest.get(start..).unwrap_or_default();
        let len = number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len());
        let before = text.get(..at + start).unwrap_or_default();
        let after = text.get(at + start + len..).unwrap_or_default();
        // Not the digits of a name.
        if !before.ends_with(|c: char| c.is_alphabetic() || c == '_' || c == '-') {
            for value in values {
                let name =
                    format!("number-at-{}-is-{}", at + start, value.get(..12).unwrap_or(value));
                out.push((name, format!("{before}{value}{after}")));
            }
        }
        at += start + len;
        rest = rest.get(start + len..).unwrap_or_default();
    }
    out
}

/// A gzip stream of `times` times 258 equal bytes after `head`, made of one repeated match: thirteen bits for each.
pub fn gzip_of_repeats(head: &[u8], byte: u8, times: usize, tail: &[u8]) -> Vec<u8> {
    let mut bits = Bits::default();
    // The last block, with the fixed codes of RFC 1951.
    bits.low_first(1, 1);
    bits.low_first(1, 2);
    head.iter().chain([&byte]).for_each(|byte| bits.literal(*byte));
    for _ in 0..times {
        // Length 258 is code 285, distance 1 is code 0.
        bits.high_first(0b1100_0101, 8);
        bits.high_first(0, 5);
    }
    tail.iter().for_each(|byte| bits.literal(*byte));
    bits.high_first(0, 7);
    let unpacked = head.iter().copied().chain(std::iter::repeat_n(byte, 1 + 258 * times));
    let unpacked = unpacked.chain(tail.iter().copied());
    let step = |crc: u32| (0..8).fold(crc, |crc, _| crc >> 1 ^ (0xedb8_8320 * (crc & 1)));
    let steps: Vec<u32> = (0..256).map(step).collect();
    let (mut crc, mut len) = (u32::MAX, 0u32);
    for byte in unpacked {
        let at = (crc ^ u32::from(byte)) & 0xff;
        crc = crc >> 8 ^ steps.get(at as usize).copied().unwrap_or_default();
        len = len.wrapping_add(1);
    }
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    out.extend(bits.bytes);
    out.extend((!crc).to_le_bytes());
    out.extend(len.to_le_bytes());
    out
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: usize,
}

impl Bits {
    fn low_first(&mut self, value: u32, count: usize) {
        for bit in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> bit & 1) as u8) << (self.used % 8);
            }
            self.used += 1;
        }
    }

    fn high_first(&mut self, value: u32, count: usize) {
        (0..count).rev().for_each(|bit| self.low_first(value >> bit & 1, 1));
    }

    fn literal(&mut self, byte: u8) {
        match byte {
            0..=143 => self.high_first(0x30 + u32::from(byte), 8),
            144.. => self.high_first(0x190 + u32::from(byte) - 144, 9),
        }
    }
}
