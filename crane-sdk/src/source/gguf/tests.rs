//! Heads that lie: about counts, types, texts and where tensors begin.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::source::MemorySource;

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn pair(key: &str, tag: u32, value: &[u8]) -> Vec<u8> {
    [text(key).as_slice(), &tag.to_le_bytes(), value].concat()
}

fn array(tag: u32, len: u64, elements: &[u8]) -> Vec<u8> {
    [&tag.to_le_bytes()[..], &len.to_le_bytes(), elements].concat()
}

/// A tensor of f32 numbers.
fn tensor(name: &str, len: u64, offset: u64) -> Vec<u8> {
    let (one, f32s) = (1u32.to_le_bytes(), 0u32.to_le_bytes());
    [text(name).as_slice(), &one, &len.to_le_bytes(), &f32s, &offset.to_le_bytes()].concat()
}

fn parse(pairs: &[Vec<u8>], tensors: &[Vec<u8>], data: usize) -> Result<Gguf> {
    let counts = [tensors.len() as u64, pairs.len() as u64].map(u64::to_le_bytes).concat();
    let mut bytes = [b"GGUF".as_slice(), &3u32.to_le_bytes(), &counts].concat();
    bytes.extend([pairs.concat(), tensors.concat()].concat());
    bytes.resize(bytes.len().next_multiple_of(32) + data, 0);
    Gguf::parse(MemorySource::new("m").with("m.gguf", bytes).open("m.gguf")?)
}

#[test]
fn integers_of_every_width_are_widened() {
    let found = parse(
        &[
            pair("a", 9, &array(0, 2, &[1, 0xff])),
            pair("b", 9, &array(1, 2, &[1, 0xff])),
            pair("c", 9, &array(3, 1, &[0xfe, 0xff])),
            pair("d", 9, &array(4, 1, &[0xfe, 0xff, 0xff, 0xff])),
            pair("e", 9, &array(5, 1, &[0xfe, 0xff, 0xff, 0xff])),
            pair("f", 9, &array(10, 1, &7u64.to_le_bytes())),
        ],
        &[],
        0,
    )
    .unwrap();
    for (key, expected) in [
        ("a", vec![1, 255]),
        ("b", vec![1, -1]),
        ("c", vec![-2]),
        ("d", vec![0xffff_fffe]),
        ("e", vec![-2]),
        ("f", vec![7]),
    ] {
        let found = found.metadata().integers(key).unwrap();
        assert_eq!(found.iter().collect::<Vec<i64>>(), expected, "{key}");
        assert_eq!(found.get(expected.len()), None);
    }
}

#[test]
fn what_cannot_be_is_named() {
    let plain = |key: &str| pair(key, 7, &[1]);
    let long = "k".repeat(70_000);
    let many: Vec<Vec<u8>> = (0..=MAX_PAIRS).map(|i| plain(&i.to_string())).collect();
    for (pairs, part) in [
        (vec![plain("a"), plain("a")], "metadata has a twice"),
        (vec![plain(&long)], "65535 are the most"),
        (many, "65536 are the most that are read"),
        (vec![pair("a", 9, &array(9, 1, &array(9, 1, &[])))], "nested array"),
        (vec![pair("a", 9, &array(10, 1, &[0xff; 8]))], "18446744073709551615 is too large"),
        (vec![pair("a", 9, &array(8, 1 << 60, &[]))], "claims 1152921504606846976"),
        (vec![pair("a", 9, &array(8, (1 << 21) + 1, &vec![0; (8 << 21) + 8]))], "2097152 texts"),
        (vec![pair("a", 13, &[0; 8])], "type 13"),
    ] {
        let refusal = parse(&pairs, &[], 0).unwrap_err().to_string();
        assert!(refusal.contains(part) && refusal.contains("m.gguf"), "{part}: {refusal}");
    }
}

#[test]
fn tensors_that_share_bytes_are_refused() {
    let sound = [tensor("b", 8, 32), tensor("a", 8, 0), tensor("none", 0, 32)];
    assert_eq!(parse(&[], &sound, 64).unwrap().tensors().iter().count(), 3);
    for tensors in [
        [tensor("a", 8, 0), tensor("b", 8, 0)],
        [tensor("a", 16, 0), tensor("b", 8, 32)],
        [tensor("b", 1, 60), tensor("a", 16, 0)],
    ] {
        let refusal = parse(&[], &tensors, 128).unwrap_err().to_string();
        assert!(refusal.contains("before the end of another"), "{refusal}");
    }
}
