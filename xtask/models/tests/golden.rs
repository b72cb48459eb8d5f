//! The golden comparison as a command.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

#[test]
fn a_folder_that_cannot_be_read_does_not_hide_the_others() {
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crane-sdk/tests/fixtures/qwen2_tied");
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask-models"));
    let output = command.args(["golden", "/no/such/folder", fixture]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("/no/such/folder: FAILED: "), "{text}");
    assert!(text.contains("qwen2_tied: passed"), "{text}");
    assert!(text.ends_with("1 passed, 1 failed\n"), "{text}");
}
