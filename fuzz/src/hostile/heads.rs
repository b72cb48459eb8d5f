//! GGUF files whose heads lie.

use super::build::Built;
use super::{Case, single};

const FILE: &str = "model.gguf";

fn text(built: Built, name: &str, text: &str) -> Built {
    built.number(name, 8, text.len() as u64).raw(text.as_bytes())
}

fn head(tensors: u64, pairs: u64) -> Built {
    let magic = Built::default().raw(b"GGUF").number("version", 4, 3);
    magic.number("tensors", 8, tensors).number("pairs", 8, pairs)
}

fn key(built: Built, name: &str, kind: u64) -> Built {
    text(built, "key-length", name).number("type", 4, kind)
}

fn array(built: Built, name: &str, kind: u64, len: u64) -> Built {
    key(built, name, 9).number("element-type", 4, kind).number("elements", 8, len)
}

fn tensor(built: Built, name: &str, shape: &[u64], kind: u64, offset: u64) -> Built {
    let mut built = text(built, "name-length", name).number("dimensions", 4, shape.len() as u64);
    for length in shape {
        built = built.number("length", 8, *length);
    }
    built.number("tensor-type", 4, kind).number("offset", 8, offset)
}

/// A little of everything, all of it sound.
fn sound() -> Built {
    let mut built = head(3, 8);
    built = text(key(built, "general.architecture", 8), "text-length", "qwen2");
    built = key(built, "general.alignment", 4).number("alignment", 4, 32);
    built = key(built, "qwen2.embedding_length", 4).number("width", 4, 32);
    built = key(built, "qwen2.rope.freq_base", 6).number("base", 4, 0x461c_4000);
    built = key(built, "split.count", 2).number("splits", 2, 1);
    built = array(built, "a.bytes", 0, 16).raw(&[7; 16]);
    built = array(built, "a.texts", 8, 2);
    built = text(text(built, "text-length", "one"), "text-length", "two");
    built = array(built, "a.floats", 6, 2).raw(&[0; 8]);
    built = tensor(built, "token_embd.weight", &[32, 4], 0, 0);
    built = tensor(built, "blk.0.attn_q.weight", &[32, 2], 8, 512);
    built = tensor(built, "output_norm.weight", &[32], 0, 608);
    built.padded(32, 800)
}

pub fn all() -> Vec<Case> {
    let lies = sound().lies().into_iter().map(|(what, bytes)| single("gguf", &what, FILE, bytes));
    lies.chain(bombs()).collect()
}

/// Files that ask for far more than they have.
fn bombs() -> Vec<Case> {
    let mut out = Vec::new();
    let mut add = |what: &str, built: Built| {
        out.push(single("gguf", what, FILE, built.padded(32, 64).bytes));
    };
    for (kind, width) in [(0, 1), (1, 1), (2, 2), (3, 2), (4, 4), (6, 4), (7, 1), (10, 8), (12, 8)]
    {
        let len = 24 << 20;
        let data = vec![1; len];
        let what = format!("array-of-type-{kind}");
        add(&what, array(head(0, 1), "a", kind, (len / width) as u64).raw(&data));
    }
    for count in [1 << 16, 1 << 20, 2 << 20, 3 << 20] {
        let what = format!("{count}-empty-texts");
        add(&what, array(head(0, 1), "a", 8, count).raw(&vec![0; 8 * count as usize]));
    }
    let one = [1u64.to_le_bytes().as_slice(), b"x"].concat();
    add("texts-of-a-letter", array(head(0, 1), "a", 8, 1 << 20).raw(&one.repeat(1 << 20)));
    for count in [60_000u64, 70_000, 1 << 20] {
        let mut pairs = Built::default();
        for index in 0..count {
            let name = format!("{index:07}");
            let length = (name.len() as u64).to_le_bytes();
            pairs = pairs.raw(&length).raw(name.as_bytes()).raw(&7u32.to_le_bytes()).raw(&[1]);
        }
        add(&format!("{count}-pairs"), head(0, count).raw(&pairs.bytes));
    }
    for count in [100_000u64, 300_000] {
        let mut tensors = Built::default();
        for index in 0..count {
            let name = format!("{index:07}");
            let length = (name.len() as u64).to_le_bytes();
            tensors = tensors.raw(&length).raw(name.as_bytes()).raw(&1u32.to_le_bytes());
            tensors = tensors.raw(&0u64.to_le_bytes()).raw(&0u32.to_le_bytes());
            tensors = tensors.raw(&0u64.to_le_bytes());
        }
        add(&format!("{count}-empty-tensors"), head(count, 0).raw(&tensors.bytes));
    }
    for depth in [2usize, 100, 100_000] {
        let mut nested = key(head(0, 1), "a", 9);
        for _ in 0..depth {
            nested = nested.raw(&9u32.to_le_bytes()).raw(&1u64.to_le_bytes());
        }
        add(&format!("arrays-{depth}-deep"), nested);
    }
    for (what, shapes) in [
        ("tensors-at-one-place", [([4u64, 4], 0), ([4, 4], 0)]),
        ("tensors-that-overlap", [([4, 8], 0), ([4, 4], 64)]),
        ("a-shape-that-overflows", [([u64::MAX, 2], 0), ([4, 4], 64)]),
        ("a-shape-of-nothing", [([0, u64::MAX], 0), ([0, 0], 0)]),
        ("an-offset-that-overflows", [([4, 4], u64::MAX - 31), ([4, 4], 0)]),
        ("a-tensor-behind-the-end", [([4, 4], 1 << 40), ([4, 4], 0)]),
    ] {
        let mut built = head(2, 0);
        for (index, (shape, offset)) in shapes.iter().enumerate() {
            built = tensor(built, &format!("t{index}"), shape, 0, *offset);
        }
        add(what, built.padded(32, 256));
    }
    for (what, alignment) in [("none", 0), ("three", 3), ("huge", 1 << 31)] {
        let built = key(head(1, 1), "general.alignment", 4).number("alignment", 4, alignment);
        add(&format!("alignment-{what}"), tensor(built, "t", &[4], 0, 0));
    }
    let twice = key(key(head(0, 2), "a", 7).raw(&[1]), "a", 7).raw(&[0]);
    add("a-key-twice", twice);
    for splits in [0u64, 2, 65_535] {
        let built = key(head(0, 1), "split.count", 2).number("splits", 2, splits);
        add(&format!("one-of-{splits}"), built);
    }
    out
}
