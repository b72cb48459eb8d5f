//! Models at paths with odd characters.

#![cfg(unix)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use super::fixture::{copy, model};
use super::support::Home;

#[test]
fn a_folder_may_have_any_name() {
    let home = Home::new();
    let plain = model("qwen2_tied");
    let tokens = |path: &OsStr| {
        let words = ["tokenize".as_ref(), "-m".as_ref(), path, "Hello".as_ref()];
        home.run(words).ok()
    };
    let expected = tokens(plain.as_ref());
    let names: [&[u8]; 7] =
        [b"a:b", b"a@b", b"a b", b"C:\\models\\a", b"a%20b", b"caf\xe9 \xff", "世界".as_bytes()];
    for name in names {
        let folder = home.path().join(OsStr::from_bytes(name));
        fs::rename(copy("qwen2_tied", home.path()), &folder).unwrap();
        assert_eq!(tokens(folder.as_os_str()), expected, "{folder:?}");
        // By position, from the environment, and as an address.
        let words = ["tokenize".as_ref(), folder.as_os_str(), "Hello".as_ref()];
        assert_eq!(home.run(words).ok(), expected, "{folder:?}");
        let mut crane = home.crane(["tokenize", "Hello"]);
        let child = crane.env("CRANE_MODEL", &folder).spawn().unwrap();
        assert_eq!(super::support::finish(child).ok(), expected, "{folder:?}");
        let escaped: String = name.iter().map(|byte| format!("%{byte:02x}")).collect();
        let address = format!("file://{}/{escaped}", home.path().display());
        assert_eq!(tokens(address.as_ref()), expected, "{address}");
        // A word that is not there is refused by its name.
        fs::remove_dir_all(&folder).unwrap();
        home.run(["tokenize", "-m", &address, "Hello"]).fails(3, &["not found"]);
    }
}

#[test]
fn a_file_may_have_any_name() {
    let home = Home::new();
    // Whatever lies there is opened; this is no model, and that is told of the file.
    let names: [&[u8]; 6] =
        [b"a:Q4_0.gguf", b"a\\b.gguf", b"a b@c.gguf", b"\xff.gguf", b"a:b", b"\xfe"];
    for name in names {
        let file = home.path().join(OsStr::from_bytes(name));
        fs::write(&file, b"GGUF\x63\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0").unwrap();
        let said = home.run(["show".as_ref(), file.as_os_str()]);
        let shown = String::from_utf8_lossy(name).replace('\\', "\\\\");
        assert!(said.stderr.contains("version 99 is unknown"), "{shown}: {}", said.stderr);
        said.fails(3, &[]);
    }
}
