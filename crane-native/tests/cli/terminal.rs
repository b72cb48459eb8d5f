//! Texts of strangers on a terminal: names, errors and replies do not act on it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::fixture::{copy, model};
use super::support::{Home, Outcome, finish};

/// Clears the screen, sets a title, begins an order of writing and a line that looks like another message.
const HOSTILE: &str = "x\u{1b}[2J\u{1b}]0;t\u{7}\u{9b}31m\u{202e}\nerror: forged\r";

/// Demands that nothing of a text would act on a terminal, and that no line of it begins like a message of its own.
#[track_caller]
fn harmless(text: &str) {
    let acts = |c: &char| {
        (c.is_control() && !matches!(c, '\n' | '\t')) || matches!(c, '\u{202a}'..='\u{202e}')
    };
    assert_eq!(text.chars().find(acts), None, "{text:?}");
    assert!(!text.lines().any(|line| line.starts_with("error: forged")), "{text}");
}

/// Renames a tensor of a safetensors file.
fn rename_tensor(file: &Path, from: &str, to: &str) {
    let bytes = fs::read(file).unwrap();
    let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
    let (head, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut head: Value = serde_json::from_slice(head).unwrap();
    let tensors = head.as_object_mut().unwrap();
    let tensor = tensors.remove(from).unwrap();
    tensors.insert(to.to_owned(), tensor);
    let head = head.to_string().into_bytes();
    fs::write(file, [&(head.len() as u64).to_le_bytes()[..], &head, data].concat()).unwrap();
}

#[test]
fn names_of_tensors_are_shown_and_do_not_act() {
    let home = Home::new();
    let folder = copy("qwen2_tied", home.path());
    rename_tensor(&folder.join("model.safetensors"), "model.norm.weight", HOSTILE);
    let folder = folder.display().to_string();
    let listed = home.run(["show", &folder, "--tensors"]).ok();
    harmless(&listed);
    assert!(
        listed.contains("x\\x1b[2J\\x1b]0;t\\x07\\x9b31m\\u{202e}\\nerror: forged\\r"),
        "{listed}"
    );
    let said = home.run(["run", "-m", &folder, "hi"]);
    harmless(&said.stderr);
    // For programs the name is exact.
    let listed = home.run(["show", &folder, "--tensors", "--json"]).ok();
    harmless(&listed);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let tensors = listed["tensors"].as_array().unwrap();
    assert!(tensors.iter().any(|tensor| tensor["name"] == HOSTILE), "{tensors:?}");
}

#[test]
fn errors_of_templates_and_names_of_files_do_not_act() {
    let home = Home::new();
    let folder = copy("qwen2_tied", home.path());
    let file = folder.join("tokenizer_config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    config["chat_template"] = json!(format!("{{{{ raise_exception('{HOSTILE}') }}}}"));
    fs::write(&file, config.to_string()).unwrap();
    let said = home.run(["run".as_ref(), "-m".as_ref(), folder.as_os_str(), "hi".as_ref()]);
    assert!(said.stderr.contains("\\x1b[2J"), "{}", said.stderr);
    harmless(&said.stderr);
    said.fails(3, &["template"]);
    let renamed = home.path().join(HOSTILE);
    fs::rename(folder, &renamed).unwrap();
    let said = home.run([
        "run".as_ref(),
        "-v".as_ref(),
        "-m".as_ref(),
        renamed.as_os_str(),
        "hi".as_ref(),
    ]);
    harmless(&said.stderr);
    harmless(&home.run(["show".as_ref(), renamed.as_os_str()]).stdout);
}

/// A grammar that leaves the model nothing but an escape sequence to say.
fn reply(home: &Home, terminal: bool) -> Outcome {
    let grammar = home.file("g.lark", "start: /\\x1b\\[31mred/");
    let grammar = grammar.display().to_string();
    let model = model("qwen2_tied");
    let words = ["run", "-q", "-m", &model, "--grammar", &grammar, "hi"];
    let mut command = home.crane(words);
    if terminal {
        let line: Vec<String> = std::iter::once(env!("CARGO_BIN_EXE_crane"))
            .chain(words)
            .map(|word| format!("'{word}'"))
            .collect();
        command = home.program("script", ["-qec", &line.join(" "), "/dev/null"]);
    }
    finish(command.spawn().unwrap())
}

#[test]
fn a_reply_acts_on_no_terminal_and_is_whole_in_a_pipe() {
    let home = Home::new();
    assert_eq!(reply(&home, false).ok(), "\u{1b}[31mred\n");
    let script = Command::new("script").arg("--version").stdout(Stdio::null()).status();
    if !script.is_ok_and(|status| status.success()) {
        return println!("skipped: there is no script, which gives a program a terminal");
    }
    let shown = reply(&home, true).ok();
    assert!(shown.contains("\\x1b[31mred"), "{shown:?}");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}

#[cfg(feature = "server")]
#[test]
fn a_request_writes_no_line_of_the_log_but_its_own() {
    use super::serve::client::Server;
    let server = Server::fixture(&["--ctx", "128", "--lenient"]);
    let long = "y".repeat(100_000);
    let mut body = json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 1 });
    body[HOSTILE] = json!(1);
    body[&long] = json!(1);
    server.post("/v1/chat/completions", body).ok();
    server.terminate();
    let said = server.ended().stderr;
    harmless(&said);
    let lines: Vec<&str> =
        said.lines().filter(|line| line.contains("fields without effect")).collect();
    let [line] = &lines[..] else { panic!("{said}") };
    assert!(line.contains("forged") && line.contains("more characters"), "{line}");
    assert!(line.len() < 5_000, "{}", line.len());
}
