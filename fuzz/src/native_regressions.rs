//! Inputs that once ended a process, hung it or took its memory, written by small functions: for the native crate's
//! targets. `crane-native/tests/seeds.rs` replays them.

use std::io::{Cursor, Write};

use serde_json::json;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A target's name, what the input is, and its bytes.
pub type Case = (&'static str, &'static str, Vec<u8>);

/// Every case.
pub fn all() -> Vec<Case> {
    [requests(), wheels(), recordings(), answers()].concat()
}

fn requests() -> Vec<Case> {
    let body =
        |what, route: &str, body: String| ("request", what, format!("{route}{body}").into_bytes());
    let nested = |n: usize| format!("{{\"messages\":{}{}}}", "[".repeat(n), "]".repeat(n));
    let messages: Vec<_> = (0..50_000).map(|_| json!({"role": "user", "content": "hi"})).collect();
    let tools: Vec<_> = (0..5_000)
        .map(|i| json!({"type": "function", "function": {"name": format!("f{i}"), "parameters": {}}}))
        .collect();
    let message = json!([{"role": "user", "content": "x"}]);
    let bias: serde_json::Map<_, _> = (0..100_000).map(|id| (id.to_string(), json!(1))).collect();
    vec![
        body("100,000 lists in each other", "0", nested(100_000)),
        body("50,000 messages", "0", json!({ "messages": messages }).to_string()),
        body("5,000 tools", "0", json!({"messages": message, "tools": tools}).to_string()),
        body("100,000 biases", "0", json!({"messages": message, "logit_bias": bias}).to_string()),
        body("a million ids", "8", json!({"tokens": vec![1; 1_000_000]}).to_string()),
        body("a name of a megabyte", "1", format!("{{\"{}\": 1}}", "x".repeat(1 << 20))),
    ]
}

fn wheel(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, bytes) in members {
        archive.start_file(*name, options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn wheels() -> Vec<Case> {
    let many: Vec<(String, Vec<u8>)> =
        (0..10_000).map(|i| (format!("m/{i}"), Vec::new())).collect();
    let mut members: Vec<(&str, Vec<u8>)> =
        many.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    members.truncate(2_000);
    members.push(("m/config.json", b"{}".to_vec()));
    vec![
        ("wheel", "200 MB of zeros", wheel(&[("m/config.json", vec![0; 200 << 20])])),
        ("wheel", "2,000 members", wheel(&members)),
        (
            "wheel",
            "names that lead out",
            wheel(&[("m/config.json", b"{}".to_vec()), ("m/../../x", b"y".to_vec())]),
        ),
    ]
}

/// A wav file of this header and a few bytes of sound.
fn riff(format: u16, channels: u16, rate: u32, bits: u16, announced: u32) -> Vec<u8> {
    let block = channels.wrapping_mul(bits / 8);
    let mut out = b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0".to_vec();
    out.extend([format.to_le_bytes(), channels.to_le_bytes()].concat());
    out.extend([rate.to_le_bytes(), rate.wrapping_mul(u32::from(block)).to_le_bytes()].concat());
    out.extend([block.to_le_bytes(), bits.to_le_bytes()].concat());
    out.extend(b"data");
    out.extend(announced.to_le_bytes());
    out.extend([0xff; 64]);
    out
}

fn recordings() -> Vec<Case> {
    let mut cases = Vec::new();
    for format in [1, 3, 0xfffe, 0] {
        for (channels, rate, bits) in [
            (0, 16_000, 16),
            (1, 0, 16),
            (65_535, 1, 8),
            (2, 8_000, 0),
            (1, 1, 65_535),
            (1, 1, 24),
            (3, 7, 32),
        ] {
            for announced in [0, 63, u32::MAX] {
                let wav = riff(format, channels, rate, bits, announced);
                cases.push(("wav", "a header that lies", wav));
            }
        }
    }
    cases
}

fn answers() -> Vec<Case> {
    let files: Vec<_> =
        (0..20_000).map(|i| json!({"rfilename": format!("m{i}-Q4_K_M.gguf")})).collect();
    let list = json!({"sha": "0".repeat(40), "siblings": files});
    let endless = "HTTP/1.1 200 OK\r\n".to_owned() + &"x: y\r\n".repeat(20_000);
    vec![
        ("hub", "20,000 files", format!("0{list}").into_bytes()),
        ("hub", "lists in each other", format!("0{}", "[".repeat(100_000)).into_bytes()),
        ("hub", "headers without end", format!("1{endless}").into_bytes()),
        ("hub", "a length that cannot be", b"1HTTP/1.1 200 OK\r\netag: \"a\"\r\nx-repo-commit: b\r\ncontent-length: 99999999999999999999\r\n\r\n".to_vec()),
        ("hub", "a redirect to itself", b"1HTTP/1.1 307 T\r\nlocation: \r\ncontent-length: 0\r\n\r\n".to_vec()),
    ]
}
