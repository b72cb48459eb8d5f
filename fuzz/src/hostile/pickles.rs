//! PyTorch checkpoints whose archives and pickles lie.

use super::build::Built;
use super::{Case, single};

const FILE: &str = "pytorch_model.bin";

/// An archive of stored members.
pub fn archive(members: &[(&str, &[u8])]) -> Built {
    let (mut out, mut directory) = (Built::default(), Vec::new());
    for (name, body) in members {
        directory.push((out.bytes.len() as u64, *name, body.len() as u64));
        out = out.number("local-magic", 4, 0x0403_4b50).raw(&[0; 14]);
        out = out.number("packed", 4, body.len() as u64).number("stored", 4, body.len() as u64);
        out = out.number("name-length", 2, name.len() as u64).number("extra-length", 2, 0);
        out = out.raw(name.as_bytes()).raw(body);
    }
    let start = out.bytes.len() as u64;
    for (at, name, len) in directory {
        out = out.number("entry-magic", 4, 0x0201_4b50).raw(&[0; 4]).number("flags", 2, 0);
        out = out.number("method", 2, 0).raw(&[0; 8]);
        out = out.number("entry-packed", 4, len).number("entry-stored", 4, len);
        out = out.number("entry-name-length", 2, name.len() as u64);
        out = out.number("entry-extra-length", 2, 0).number("comment-length", 2, 0).raw(&[0; 8]);
        out = out.number("local-header", 4, at).raw(name.as_bytes());
    }
    let len = out.bytes.len() as u64 - start;
    out = out.number("end-magic", 4, 0x0605_4b50).raw(&[0; 8]);
    out.number("directory-length", 4, len).number("directory-start", 4, start).raw(&[0; 2])
}

fn of_pickle(pickle: &[u8]) -> Vec<u8> {
    archive(&[("m/data.pkl", pickle), ("m/data/0", &[0; 64])]).bytes
}

fn unicode(text: &str) -> Vec<u8> {
    [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// What makes a tensor of the storage `0` once `name` is on the stack.
fn tensor(shape: &[u8], strides: &[u8]) -> Vec<u8> {
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n((".as_slice(),
        &unicode("storage"),
        b"ctorch\nFloatStorage\n",
        &unicode("0"),
        &unicode("cpu"),
        b"K\x10tQK\x00",
        shape,
        strides,
        b"\x89)tR",
    ]
    .concat()
}

fn sound() -> Vec<u8> {
    let tensor = tensor(b"K\x02K\x03\x86", b"K\x03K\x01\x86");
    [b"\x80\x02}q\x00(".as_slice(), &unicode("w"), &tensor, b"u."].concat()
}

pub fn all() -> Vec<Case> {
    let mut out = Vec::new();
    let mut add = |what: &str, bytes: Vec<u8>| out.push(single("torch", what, FILE, bytes));
    let pickle = sound();
    let whole =
        archive(&[("m/data.pkl", &pickle), ("m/data/0", &[0; 64]), ("m/byteorder", b"little")]);
    whole.lies().into_iter().for_each(|(what, bytes)| add(&what, bytes));
    for at in 0..pickle.len() {
        for byte in [b'.', b'(', b'h', 0xff] {
            let mut changed = pickle.clone();
            changed.iter_mut().skip(at).take(1).for_each(|place| *place = byte);
            add(&format!("pickle-{at}-is-{byte:#x}"), of_pickle(&changed));
        }
    }
    let size = 1_500_000;
    let repeat =
        |what: &[u8]| [b"\x80\x02}".as_slice(), &what.repeat(size / what.len()), b"."].concat();
    for (what, part) in [
        ("dictionaries", b"}".as_slice()),
        ("lists", b"]"),
        ("nothings", b"N"),
        ("marks", b"("),
        ("numbers", b"K\x01"),
        ("empty-texts", b"\x8c\x00"),
        ("memos", b"\x94"),
        ("recalls", b"q\x00h\x00"),
        ("pairs-of-two", b"q\x00h\x00\x86"),
        ("nested-tuples", b"\x85"),
        ("doubled-tuples", b"q\x00h\x00\x86q\x00"),
        ("tripled-tuples", b"q\x00h\x00h\x00\x87q\x00"),
        ("appends-to-itself", b"]q\x01h\x01a"),
        ("globals", b"ca\nb\n"),
        ("ordered-dicts", b"ccollections\nOrderedDict\n)R"),
        ("entries-of-itself", b"q\x00h\x00h\x00s"),
    ] {
        add(what, of_pickle(&repeat(part)));
    }
    for index in [1u32 << 10, 1 << 20, u32::MAX] {
        let put = [b"\x80\x02}r".as_slice(), &index.to_le_bytes(), b"."].concat();
        add(&format!("memo-number-{index}"), of_pickle(&put));
    }
    let long = "a".repeat(size / 2);
    let recalls = |head: Vec<u8>, part: &[u8], times: usize| {
        of_pickle(&[b"\x80\x02".as_slice(), &head, &part.repeat(times), b"."].concat())
    };
    // A long text that every step copies would be a copy of the file for each five bytes of it.
    let text = [unicode(&long).as_slice(), b"q\x01"].concat();
    add("long-global", recalls(text.clone(), b"h\x01h\x01\x93", size / 10));
    let kind = [unicode("storage").as_slice(), b"q\x02ctorch\nFloatStorage\nq\x03"].concat();
    let storages = [text.as_slice(), &kind].concat();
    add("long-storage", recalls(storages, b"(h\x02h\x03h\x01h\x02K\x01tQ", size / 24));
    // One long shape of all tensors.
    let shape = [b"(".as_slice(), &b"K\x01".repeat(size / 4), b"tq\x04"].concat();
    let one = tensor(b"h\x04", b"h\x04");
    let parts = [b"}q\x00(".as_slice(), &unicode("w"), &one, b"q\x05"].concat();
    let table: Vec<u8> = (0..size / 24)
        .flat_map(|i| [unicode(&format!("{i}")).as_slice(), b"h\x05"].concat())
        .collect();
    add("one-long-shape", of_pickle(&[&b"\x80\x02"[..], &shape, &parts, &table, b"u."].concat()));
    let parts = |name: &str, count: usize, tensor: &[u8]| -> Vec<u8> {
        let names =
            (0..count).flat_map(|i| [unicode(&format!("{name}{i}")).as_slice(), b"h\x05"].concat());
        let head = [b"\x80\x02}q\x00(".as_slice(), &unicode("w"), tensor, b"q\x05"].concat();
        of_pickle(&[head, names.collect(), b"u.".to_vec()].concat())
    };
    let two = tensor(b"K\x02K\x03\x86", b"K\x03K\x01\x86");
    add("many-names-of-one-tensor", parts("", size / 12, &two));
    let name = [b"\x80\x02}q\x00(".as_slice(), &unicode(&long), b"q\x06", &two, b"q\x05"].concat();
    let same = [name, b"h\x06h\x05".repeat(size / 8), b"u.".to_vec()].concat();
    add("one-long-name", of_pickle(&same));
    for (what, members) in [
        ("no-table", vec![("m/data/0", &[0u8; 8][..])]),
        ("a-table-alone", vec![("data.pkl", pickle.as_slice())]),
        ("the-other-order", vec![("m/data.pkl", pickle.as_slice()), ("m/byteorder", b"big")]),
        ("a-member-twice", vec![("m/data.pkl", pickle.as_slice()), ("m/data.pkl", &pickle)]),
    ] {
        add(what, archive(&members).bytes);
    }
    let names: Vec<String> = (0..60_000).map(|i| format!("m/data/{i}")).collect();
    let mut many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &[][..])).collect();
    many.push(("m/data.pkl", &pickle));
    add("many-members", archive(&many).bytes);
    out
}
