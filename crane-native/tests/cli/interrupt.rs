//! Ctrl-C: the reply stops, what was said stays on stdout, and the exit code is 130.
#![cfg(unix)]

use std::io::Read;
use std::process::{Child, Command};

use super::fixture::model;
use super::support::{Home, finish};

/// A reply without an end.
fn endless(home: &Home, more: &[&str]) -> Child {
    let model = model("qwen2_tied");
    let arguments = [
        "run",
        &model,
        "Hello",
        "--ignore-eos",
        "--context-policy",
        "shift",
        "-c",
        "128",
        "--temp",
        "0",
    ];
    home.crane([&arguments, more].concat()).spawn().unwrap()
}

fn interrupt(child: &Child) {
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn an_interrupted_reply_keeps_what_was_said() {
    let home = Home::new();
    let mut child = endless(&home, &[]);
    let mut first = [0; 8];
    let stdout = child.stdout.as_mut().unwrap();
    stdout.read_exact(&mut first).unwrap();
    interrupt(&child);
    let outcome = finish(child);
    assert_eq!(outcome.code, Some(130), "{}", outcome.stderr);
    assert!(outcome.stdout.ends_with('\n'), "the last line is whole");
    assert!(outcome.stderr.contains("interrupted"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("panicked"));
}

#[test]
fn an_interrupted_json_reply_is_still_json() {
    let home = Home::new();
    let child = endless(&home, &["--json"]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    interrupt(&child);
    let outcome = finish(child);
    assert_eq!(outcome.code, Some(130), "{}", outcome.stderr);
    let answer: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(answer["finish_reason"], "cancelled");
    assert!(!answer["output_ids"].as_array().unwrap().is_empty());
}
