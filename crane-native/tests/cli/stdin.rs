//! Text on stdin: beside a prompt, with marks of its encoding, and from a pipe that stays open.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use serde_json::Value;

use super::fixture::{ids, model};
use super::support::{Home, finish};

fn prompt(home: &Home, words: &[&str], stdin: &[u8]) -> Vec<u32> {
    let model = model("qwen2_tied");
    let arguments = [&["run", "--json", "--temp", "0", "-n", "1", "-m", &model], words].concat();
    let answer = home.run_with(&arguments, stdin).ok();
    ids(&serde_json::from_str::<Value>(&answer).unwrap()["prompt_ids"])
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn what_is_piped_in_beside_a_prompt_comes_after_it() {
    let home = Home::new();
    for raw in [&[][..], &["--raw"]] {
        let of = |word: &str, stdin: &[u8]| prompt(&home, &[raw, &[word]].concat(), stdin);
        let both = of("Which day?\n\nOn Tuesday,\n at two.", b"");
        for stdin in [
            &b"On Tuesday,\n at two."[..],
            b"On Tuesday,\n at two.\n",
            b"On Tuesday,\n at two.\r\n",
            b"\xef\xbb\xbfOn Tuesday,\n at two.\n",
            &wide("\u{feff}On Tuesday,\n at two.\n"),
        ] {
            assert_eq!(of("Which day?", stdin), both, "{stdin:?}");
        }
        let alone = of("Which day?", b"");
        assert!(alone.len() < both.len());
        for stdin in [&b"\n"[..], b" \r\n\t\n", b"\xef\xbb\xbf", b"\xff\xfe"] {
            assert_eq!(of("Which day?", stdin), alone, "{stdin:?}");
        }
        // Without a prompt the text is the prompt.
        assert_eq!(of("-", b"\xef\xbb\xbfWhich day?\n"), alone);
    }
}

#[test]
fn text_on_stdin_that_is_none_is_refused_with_its_place() {
    let home = Home::new();
    let model = model("qwen2_tied");
    for word in ["Summarise:", "-"] {
        let arguments = ["run", "-m", &model, word];
        home.run_with(arguments, b"caf\xe9 noir")
            .fails(2, &["stdin is not UTF-8", "byte 3 is 0xE9"]);
    }
}

#[test]
fn waiting_for_a_pipe_that_stays_open_is_said() {
    let home = Home::new();
    let model = model("qwen2_tied");
    let arguments = ["run", "-q", "--temp", "0", "-n", "1", "-m", &model, "Which day?"];
    let mut crane = home.crane(arguments);
    let mut child = crane.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"12345").unwrap();
    let mut said = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut said).unwrap();
    assert!(said.contains("waiting for the end of stdin (5 bytes so far)"), "{said}");
    assert!(said.contains("< /dev/null"), "{said}");
    drop(stdin);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    finish(child).ok();
    assert_eq!(rest, "");
}

#[test]
fn files_of_text_may_begin_with_a_mark() {
    let home = Home::new();
    let model = model("qwen2_tied");
    let messages = r#"[{"role": "user", "content": "Hello"}]"#;
    let grammar = "start: \"yes\" | \"no\"\n";
    let schema = r#"{"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"], "additionalProperties": false}"#;
    for (option, text, words) in [
        ("--messages", messages, &[][..]),
        ("--grammar", grammar, &["Hello"]),
        ("--json-schema", schema, &["Hello"]),
    ] {
        let run = |name: &str, bytes: Vec<u8>| {
            let file = home.file(name, bytes).display().to_string();
            let options = ["run", "-q", "--temp", "0", "-n", "4", "-m", &model, option, &file];
            home.run([&options[..], words].concat()).ok()
        };
        let plain = run("plain", text.into());
        assert_eq!(run("marked", format!("\u{feff}{text}").into()), plain, "{option}");
        assert_eq!(run("wide", wide(&format!("\u{feff}{text}"))), plain, "{option}");
        let latin = home.file("latin", b"\"caf\xe9\"").display().to_string();
        let refused = home.run([&["run", "-m", &model, option, &latin][..], words].concat());
        refused.fails(2, &["latin", "byte 4 is 0xE9"]);
    }
    // In a chat a line that is no text is said, and the chat goes on.
    let arguments = ["chat", "-m", &model, "--temp", "0", "-n", "1"];
    let said = home.run_with(arguments, b"\xef\xbb\xbf/set temp 0\ncaf\xe9\nhi\n");
    assert!(said.stderr.contains("line 2 of stdin is not UTF-8"), "{}", said.stderr);
    said.ok();
}
