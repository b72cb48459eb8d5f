//! `crane tokenize`: ids of the reference, one text or many lines.

use super::fixture::{ids, model, values};
use super::support::Home;

#[test]
fn ids_are_those_of_the_reference() {
    let home = Home::new();
    let model = model("qwen2_tied");
    let cases = values("qwen2_tied")["text_token_ids"].as_object().unwrap().clone();
    let mut lines = String::new();
    let mut expected = String::new();
    for (text, want) in &cases {
        let list = home.run(["tokenize", &model, text]).ok();
        assert_eq!(list, format!("{}\n", serde_json::to_string(&ids(want)).unwrap()), "{text:?}");
        lines += &format!("{}\n", serde_json::to_string(text).unwrap());
        expected += &format!("{}\n", serde_json::to_string(&ids(want)).unwrap());
    }
    for arguments in
        [&["tokenize", "--json", &model] as &[&str], &["tokenize", "-m", &model, "--json"]]
    {
        assert_eq!(home.run_with(arguments, &lines).ok(), expected);
    }
}

#[test]
fn special_tokens_are_parsed_and_added_only_on_request() {
    let home = Home::new();
    let model = model("llama32");
    let text = values("llama32")["texts"][0].as_str().unwrap().to_owned();
    let list = |flags: &[&str], text: &str| -> Vec<u32> {
        let stdout = home.run([&["tokenize", &model, text], flags].concat()).ok();
        serde_json::from_str(&stdout).unwrap()
    };
    let plain = list(&[], &text);
    let with_bos = list(&["--add-special"], &text);
    assert_eq!(with_bos[0], 380);
    assert_eq!(with_bos[1..], plain[..]);
    assert_eq!(list(&[], &format!("<|begin_of_text|>{text}")), with_bos);
}

#[test]
fn text_comes_from_stdin_too() {
    let home = Home::new();
    let model = model("qwen2_tied");
    let expected = home.run(["tokenize", &model, "Hello"]).ok();
    assert_eq!(home.run_with(["tokenize", &model, "-"], "Hello\n").ok(), expected);
    assert_eq!(home.run_with(["tokenize", "-m", &model], "Hello").ok(), expected);
    assert_eq!(home.run(["tokenize", "-m", &model, "Hello"]).ok(), expected);
    assert_eq!(home.run(["tokenize", "-m", &model, ""]).ok(), "[]\n");
}

#[test]
fn a_line_that_is_no_json_string_is_named() {
    let home = Home::new();
    let model = model("qwen2_tied");
    let outcome = home.run_with(["tokenize", "--json", &model], "\"a\"\nplain\n");
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("line 2"), "{}", outcome.stderr);
}
