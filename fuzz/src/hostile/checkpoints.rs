//! Safetensors whose headers and indexes lie.

use super::build::{Built, numbers_replaced};
use super::{Case, fixture, single};

const FILE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const ODD: [&str; 9] =
    ["0", "-1", "1.5", "1e99", "18446744073709551615", "\"1\"", "null", "[]", "1048576"];

/// A file of a header and so many bytes.
pub fn file(header: &str, data: usize) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), &vec![0; data]].concat()
}

const SOUND: &str = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,4],"data_offsets":[0,32]},"b":{"dtype":"BF16","shape":[3],"data_offsets":[32,38]}}"#;

pub fn all() -> Vec<Case> {
    let mut out = Vec::new();
    let mut add = |what: &str, bytes: Vec<u8>| out.push(single("safetensors", what, FILE, bytes));
    let built = Built::default().number("header", 8, SOUND.len() as u64).raw(SOUND.as_bytes());
    built.padded(1, 38).lies().into_iter().for_each(|(what, bytes)| add(&what, bytes));
    for (what, header) in numbers_replaced(SOUND, &ODD) {
        add(&what, file(&header, 38));
    }
    for end in (0..SOUND.len()).step_by(7) {
        add(&format!("header-cut-at-{end}"), file(SOUND.get(..end).unwrap_or_default(), 38));
    }
    for (what, header) in [
        ("a-name-twice", SOUND.replace("\"b\"", "\"a\"")),
        ("an-unknown-type", SOUND.replace("F32", "F33")),
        ("dimensions", SOUND.replace("[2,4]", &format!("[2,4{}]", ",1".repeat(4 << 20)))),
        ("depth", format!("{}{}", "{\"a\":".repeat(100_000), "}".repeat(100_000))),
        ("depth-of-metadata", SOUND.replace("\"pt\"", &"[".repeat(1 << 20))),
        ("a-long-name", SOUND.replace("\"a\"", &format!("\"{}\"", "a".repeat(8 << 20)))),
        ("spaces", format!("{SOUND}{}", " ".repeat(8 << 20))),
        ("metadata", SOUND.replace("\"pt\"", &format!("\"{}\"", "x".repeat(8 << 20)))),
    ] {
        add(what, file(&header, 38));
    }
    for count in [100_000, 250_000, 1_000_000] {
        let entry = |i: usize| {
            format!(
                "\"{i}\":{{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[{},{}]}}",
                4 * i,
                4 * i + 4
            )
        };
        let header = (0..count).map(entry).collect::<Vec<_>>().join(",");
        add(&format!("{count}-tensors"), file(&format!("{{{header}}}"), 4 * count));
        let empty =
            |i: usize| format!("\"{i}\":{{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
        let header = (0..count).map(empty).collect::<Vec<_>>().join(",");
        add(&format!("{count}-empty-tensors"), file(&format!("{{{header}}}"), 0));
    }
    out.extend(indexes());
    out
}

fn indexes() -> Vec<Case> {
    let mut out = Vec::new();
    let mut add = |what: &str, index: String| {
        let files = [(INDEX, index.into_bytes()), ("a.safetensors", file(SOUND, 38))];
        let files = files.map(|(name, bytes)| (name.to_owned(), bytes)).to_vec();
        out.push((format!("safetensors/index-{what}"), files));
    };
    let sound =
        r#"{"metadata":{"total_size":38},"weight_map":{"a":"a.safetensors","b":"a.safetensors"}}"#;
    add("sound", sound.to_owned());
    for end in (0..sound.len()).step_by(5) {
        add(&format!("cut-at-{end}"), sound.get(..end).unwrap_or_default().to_owned());
    }
    for (what, from, to) in [
        ("a-missing-shard", "\"b\":\"a.", "\"b\":\"b."),
        ("a-missing-tensor", "\"b\"", "\"c\""),
        ("above", "\"a.safetensors\"", "\"../a.safetensors\""),
        ("root", "\"a.safetensors\"", "\"/etc/passwd\""),
        ("itself", "\"a.safetensors\"", "\"model.safetensors.index.json\""),
        ("a-number", "\"a.safetensors\"", "7"),
        ("a-list", "{\"a\":\"a.safetensors\",\"b\":\"a.safetensors\"}", "[]"),
    ] {
        add(what, sound.replace(from, to));
    }
    for count in [5_000, 250_000, 500_000] {
        let many = |shard: &dyn Fn(usize) -> usize| {
            let entry = |i: usize| format!("\"{i}\":\"{}\"", shard(i));
            let map = (0..count).map(entry).collect::<Vec<_>>().join(",");
            format!("{{\"weight_map\":{{{map}}}}}")
        };
        add(&format!("{count}-shards"), many(&|i| i));
        add(&format!("{count}-tensors"), many(&|_| 0));
    }
    add("depth", format!("{{\"weight_map\":{}", "{\"a\":".repeat(100_000)));
    out
}

/// A copy of the tiny model whose tensor has other bytes from `at` on.
pub fn tiny_with(tensor: &str, at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = fixture("qwen2_tied/model.safetensors");
    let header = bytes.first_chunk().map_or(0, |length| u64::from_le_bytes(*length) as usize);
    let text = String::from_utf8_lossy(bytes.get(8..8 + header).unwrap_or_default()).into_owned();
    let place = text.split_once(&format!("\"{tensor}\"")).map_or("", |(_, rest)| rest);
    let start = place.split_once("\"data_offsets\":[").map_or("", |(_, rest)| rest);
    let start: usize = start.split(',').next().and_then(|start| start.parse().ok()).unwrap_or(0);
    let places = bytes.iter_mut().skip(8 + header + start + at);
    places.zip(value).for_each(|(to, from)| *to = *from);
    bytes
}
