//! Wheels that are made to fill memory.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crane_native::wheel::WheelSource;
use crane_sdk::Error;
use crane_sdk::source::Source;
use zip::write::SimpleFileOptions;

use crate::noise;

fn wheel(folder: &Path, members: &[(&str, &[u8])]) -> PathBuf {
    let path = folder.join("m.whl");
    let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
    for (name, bytes) in members {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
    path
}

#[test]
fn a_member_that_unpacks_to_a_hundred_times_its_size_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = b"a line that a vocabulary might repeat\n".repeat(1_000);
    let path = wheel(
        folder.path(),
        &[
            ("m/config.json", b"{}"),
            ("m/zeros.bin", &vec![0; 8 << 20]),
            ("m/repeated.txt", &b"0123456789".repeat(1 << 20)),
            ("m/short.txt", &text),
            ("m/weights.bin", &noise(300_000, 3)),
        ],
    );
    let source = WheelSource::open(path).unwrap();
    for bomb in ["zeros.bin", "repeated.txt"] {
        let error = source.open(bomb).unwrap_err();
        assert!(matches!(error, Error::InvalidFile { .. }), "{error}");
        assert!(error.to_string().contains("more than 100 times as many"), "{error}");
    }
    assert_eq!(&*source.open("short.txt").unwrap().read_all().unwrap(), &text[..]);
    assert_eq!(source.open("weights.bin").unwrap().len(), 300_000);
}

#[test]
fn a_list_of_members_without_an_end_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..20_001).map(|i| format!("m/{i}")).collect();
    let mut members: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &b""[..])).collect();
    members[0].0 = "m/config.json";
    let error = WheelSource::open(wheel(folder.path(), &members)).unwrap_err();
    assert!(error.to_string().contains("20001 members, and at most 20000"), "{error}");
    members.pop();
    assert_eq!(
        WheelSource::open(wheel(folder.path(), &members)).unwrap().files().unwrap().len(),
        20_000
    );
}

#[cfg(unix)]
#[test]
fn a_pipe_is_no_wheel() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.whl");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let error = WheelSource::open(&path).unwrap_err();
    assert!(error.to_string().contains("pipe"), "{error}");
}
