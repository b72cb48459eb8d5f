//! The English front end's tables, small: a few words, and a network of width 4 for those that are in no dictionary.

use crane_sdk::source::MemorySource;

/// The tables that a stranger may have written.
pub const TABLES: [&str; 7] = [
    "normalize.json",
    "tokenizer_exceptions.json",
    "tagger.json.gz",
    "lexicon_us_gold.json.gz",
    "lexicon_us_silver.json.gz",
    "oov.json",
    "oov.onnx",
];

const NORMALIZE: &str = r#"{
 "months": {"jan": "January", "mar": "March"}, "titles": {"dr": "Doctor"}, "abbreviations": {"e.g.": "for example"},
 "units": {"kg": ["kilogram", "kilograms"]}, "symbols": {"&": "and", "%": "percent"},
 "currency": {"$": ["dollar", "cent"]}, "roman_cardinal": ["chapter"], "roman_ordinal": ["king"]}"#;
const EXCEPTIONS: &str = r#"{"don't": ["do", "n't"], "e.g.": ["e.g."]}"#;
const TAGGER: &str = r#"{"tags": ["NN", "VB", "CD"], "tagdict": {"the": "DT", "hello": "UH"}, "vocab": ["well", "paid"],
 "weights": {"bias": {"NN": 1.0, "VB": 0.5}, "i suffix e": {"VB": 0.5, "CD": -1.0}}}"#;
const GOLD: &str = r#"{"hello": "həlˈO", "the": {"DEFAULT": "ðə", "None": "ði"}, "a": {"DEFAULT": "ˈA", "DT": "ɐ"},
 "well": "wˈɛl", "known": "nˈOn", "dollar": "dˈɑləɹ", "three": "θɹˈi", "doctor": "dˈɑktəɹ", "and": "ænd"}"#;
const SILVER: &str = r#"{"march": "mˈɑɹʧ", "paid": "pˈAd"}"#;
const ALPHABET: &str = r#"{"in": ["a", "b", "c", "d", "e", "n", "o", "t"], "out": ["a", "b", "ə", "n", "t"], "maxlen": 16}"#;

/// The tables' source.
#[must_use]
pub fn source() -> MemorySource {
    let texts = [NORMALIZE, EXCEPTIONS, TAGGER, GOLD, SILVER, ALPHABET];
    let tables = TABLES.into_iter().zip(texts);
    let source = tables.fold(MemorySource::new("tiny"), |source, (name, text)| {
        let bytes = if name.ends_with(".gz") { stored_gzip(text.as_bytes()) } else { text.into() };
        source.with(name, bytes)
    });
    source.with("oov.onnx", speller())
}

/// Bytes as gzip that does not compress (RFC 1951, blocks of kind 0).
#[must_use]
pub fn stored_gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut blocks = bytes.chunks(0xffff).peekable();
    if bytes.is_empty() {
        out.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let len = block.len() as u16;
        out.push(u8::from(blocks.peek().is_none()));
        out.extend(len.to_le_bytes());
        out.extend((!len).to_le_bytes());
        out.extend(block);
    }
    out.extend(crc32(bytes).to_le_bytes());
    out.extend((bytes.len() as u32).to_le_bytes());
    out
}

/// The checksum of gzip and zip.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0xedb8_8320 & (0u32.wrapping_sub(sum & 1)));
        }
    }
    !sum
}

/// The network that spells, as an ONNX file of float tensors: four layers of width 4.
#[must_use]
pub fn speller() -> Vec<u8> {
    const WIDTH: usize = 4;
    let mut graph = Vec::new();
    let mut add = |name: String, shape: &[usize]| graph.extend(field(5, &tensor(&name, shape)));
    add("m.emb.weight".into(), &[9, WIDTH]);
    add("m.pos".into(), &[16, WIDTH]);
    for layer in 0..4 {
        let name = format!("m.layers.{layer}");
        for norm in ["norm1", "norm2"] {
            add(format!("{name}.{norm}.weight"), &[WIDTH]);
            add(format!("{name}.{norm}.bias"), &[WIDTH]);
        }
        for (part, outputs, inputs) in [
            ("self_attn.in_proj_", 3 * WIDTH, WIDTH),
            ("self_attn.out_proj.", WIDTH, WIDTH),
            ("linear1.", 8, WIDTH),
            ("linear2.", WIDTH, 8),
        ] {
            add(format!("{name}.{part}weight"), &[outputs, inputs]);
            add(format!("{name}.{part}bias"), &[outputs]);
        }
    }
    add("m.norm.weight".into(), &[WIDTH]);
    add("m.norm.bias".into(), &[WIDTH]);
    add("m.head.weight".into(), &[24, WIDTH]);
    add("m.head.bias".into(), &[24]);
    [vec![1 << 3, 8], field(7, &graph)].concat()
}

/// A tensor of small numbers that differ.
fn tensor(name: &str, shape: &[usize]) -> Vec<u8> {
    let count: usize = shape.iter().product();
    let values = (0..count).flat_map(|i| ((i * 7 % 11) as f32 / 11.0 - 0.4).to_le_bytes());
    let mut out: Vec<u8> = shape.iter().flat_map(|length| [1 << 3, *length as u8]).collect();
    out.extend([2 << 3, 1]);
    out.extend(field(8, name.as_bytes()));
    out.extend(field(9, &values.collect::<Vec<u8>>()));
    out
}

/// A field of a protocol buffer that holds bytes.
#[must_use]
pub fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut len = bytes.len();
    while len > 127 {
        out.push(len as u8 & 127 | 128);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend(bytes);
    out
}
