//! What is read of a checkpoint that PyTorch wrote, and of one that was damaged on purpose.

use super::*;
use crate::source::MemorySource;

const PUBLISHED: &[u8] = include_bytes!("../../../tests/fixtures/snac24/pytorch_model.bin");

fn open(bytes: Vec<u8>) -> Result<TorchCheckpoint> {
    TorchCheckpoint::open(&MemorySource::new("m").with(FILE, bytes))
}

/// A pickle in an archive of stored members, `data/0` holding six floats.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let floats: Vec<u8> = (0..6u8).flat_map(|x| f32::from(x).to_le_bytes()).collect();
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, body) in [("m/data.pkl", pickle), ("m/data/0", &floats)] {
        let at = out.len() as u32;
        let (name_len, len) =
            ((name.len() as u16).to_le_bytes(), (body.len() as u32).to_le_bytes());
        out.extend([b"PK\x03\x04".as_slice(), &[0; 14], &len, &len, &name_len, &[0; 2]].concat());
        out.extend([name.as_bytes(), body].concat());
        directory
            .extend([b"PK\x01\x02".as_slice(), &[0; 16], &len, &len, &name_len, &[0; 12]].concat());
        directory.extend([&at.to_le_bytes(), name.as_bytes()].concat());
    }
    let (at, len) = ((out.len() as u32).to_le_bytes(), (directory.len() as u32).to_le_bytes());
    out.extend([directory.as_slice(), b"PK\x05\x06", &[0; 8], &len, &at, &[0; 2]].concat());
    out
}

/// `{"w": tensor}` of the storage `data/0` with an offset, a shape and strides.
fn table(offset: u8, shape: [u8; 2], strides: [u8; 2]) -> Vec<u8> {
    let text = |text: &str| {
        [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
    };
    [
        b"\x80\x02}(".as_slice(),
        &text("w"),
        b"ctorch._utils\n_rebuild_tensor_v2\n((",
        &text("storage"),
        b"ctorch\nFloatStorage\n",
        &text("0"),
        &text("cpu"),
        b"K\x06tQK",
        &[offset, b'K', shape[0], b'K', shape[1], 0x86, b'K', strides[0], b'K', strides[1], 0x86],
        b"\x89)tRu.",
    ]
    .concat()
}

#[test]
fn a_published_file_is_read() {
    let checkpoint = open(PUBLISHED.to_vec()).unwrap();
    let info = checkpoint.tensors().get("quantizer.quantizers.0.codebook.weight").unwrap();
    assert_eq!((info.shape.as_slice(), info.bytes), ([4096, 8].as_slice(), 4096 * 8 * 4));
    let alpha = checkpoint.read("decoder.model.6.alpha").unwrap();
    let values: Vec<f32> =
        alpha.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    // Snake's frequencies are positive.
    assert!(values.len() == 4 && values.iter().all(|x| (0.05..5.0).contains(x)), "{values:?}");
    assert_eq!(checkpoint.tensors().iter().count(), 269);
}

#[test]
fn parts_of_a_storage_are_found() {
    let checkpoint = open(archive(&table(2, [2, 2], [2, 1]))).unwrap();
    let bytes = checkpoint.read("w").unwrap();
    let expected: Vec<u8> = (2..6u8).flat_map(|x| f32::from(x).to_le_bytes()).collect();
    assert_eq!(bytes.as_ref(), expected);
}

#[test]
fn tensors_outside_of_their_storage_or_out_of_order_are_refused() {
    for (table, message) in [
        (table(3, [2, 2], [2, 1]), "do not lie in its storage"),
        (table(0, [2, 3], [1, 2]), "not in order"),
        (table(0, [255, 255], [255, 1]), "do not lie in its storage"),
    ] {
        let error = open(archive(&table)).unwrap_err().to_string();
        assert!(error.contains(message) && error.contains("tensor w"), "{error}");
    }
}

#[test]
fn programs_are_not_run() {
    for (pickle, message) in [
        (b"cos\nsystem\n(X\x02\x00\x00\x00idtR.".as_slice(), "calls os.system"),
        (b"\x80\x02cbuiltins\neval\n)R.", "calls builtins.eval"),
        (b"\x80\x02]].", "does not hold a dictionary"),
        (b"i", "opcode 0x69"),
        (b"R.", "did not put there"),
        (b"h\x07.", "never remembered"),
        (b"}r\xff\xff\xff\xff.", "more than it has bytes"),
        (b"(t", "ends early"),
        (b"X\xff\xff\xff\x7fa", "ends within a string"),
        (b"}(K\x01u.", "no dictionary"),
        (b"", "ends early"),
    ] {
        let error = open(archive(pickle)).unwrap_err().to_string();
        assert!(error.contains(message), "{pickle:?}: {error}");
    }
    // Deep nesting takes no stack.
    let deep = [[b')'].as_slice(), &[0x85; 300_000], b"."].concat();
    assert!(open(archive(&deep)).unwrap_err().to_string().contains("does not hold a dictionary"));
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    for end in (0..PUBLISHED.len()).step_by(4099) {
        assert!(open(PUBLISHED[..end].to_vec()).is_err(), "cut at {end}");
    }
    // A changed byte anywhere outside of the weights: whatever comes of it, reading must not panic.
    let sound = archive(&table(2, [2, 2], [2, 1]));
    for at in 0..sound.len() {
        for change in [1, 0x55, 0x80, 0xff] {
            let mut bytes = sound.clone();
            bytes[at] ^= change;
            if let Ok(checkpoint) = open(bytes) {
                let names: Vec<String> =
                    checkpoint.tensors().iter().map(|(name, _)| name.to_owned()).collect();
                for name in names {
                    checkpoint.read(&name).unwrap();
                }
            }
        }
    }
}
