//! Mistakes on the command line end with exit code 2 and a word on what to do.

use super::support::Home;

#[test]
fn help_names_every_command_and_exit_code() {
    let help = Home::new().run(["--help"]).ok();
    for word in [
        "run",
        "chat",
        "pull",
        "list",
        "show",
        "rm",
        "bench",
        #[cfg(feature = "server")]
        "serve",
        "doctor",
        "tokenize",
        "perplexity",
        "completions",
        "130 interrupted",
    ] {
        assert!(help.contains(word), "{word}: {help}");
    }
}

#[test]
fn every_flag_of_a_run_has_an_environment_twin() {
    let help = Home::new().run(["run", "--help"]).ok();
    for twin in [
        "MODEL",
        "OFFLINE",
        "THREADS",
        "DEVICE",
        "DTYPE",
        "QUANT",
        "CTX",
        "MAX_TOKENS",
        "SYSTEM",
        "STOP",
        "IGNORE_EOS",
        "CONTEXT_POLICY",
        "TEMP",
        "TOP_K",
        "TOP_P",
        "MIN_P",
        "TYPICAL_P",
        "REPEAT_PENALTY",
        "REPEAT_LAST_N",
        "PRESENCE_PENALTY",
        "FREQUENCY_PENALTY",
        "SEED",
        "LOGIT_BIAS",
        "RAW",
        "QUIET",
        "VERBOSE",
    ] {
        assert!(help.contains(&format!("[env: CRANE_{twin}=")), "CRANE_{twin}");
    }
}

#[test]
fn mistakes_are_usage_errors() {
    let home = Home::new();
    for (arguments, part) in [
        (&["fly"] as &[&str], "fly"),
        (&["run", "--no-such-flag", "x"], "--no-such-flag"),
        (&["run", "a", "b", "c"], "c"),
        (&["run", "-m", "x", "y", "z"], "-m"),
        (&["run", "--messages", "f.json", "x", "y"], "--messages"),
        (&["run", "--messages", "missing.json"], "missing.json"),
        (&["run", "--raw", "--system", "s", "x"], "--system"),
        (&["run", "--temp", "warm", "x"], "--temp"),
        (&["run", "--temp=-1", "x"], "temp"),
        (&["run", "--top-p", "1.5", "x"], "top-p"),
        (&["run", "--top-k=-3", "x"], "--top-k"),
        (&["run", "--min-p", "2", "x"], "min-p"),
        (&["run", "--typical-p", "0", "x"], "typical-p"),
        (&["run", "--repeat-penalty", "0", "x"], "repeat-penalty"),
        (&["run", "--presence-penalty", "nan", "x"], "presence-penalty"),
        (&["run", "--frequency-penalty", "inf", "x"], "frequency-penalty"),
        (&["run", "--logit-bias", "5", "x"], "ID=BIAS"),
        (&["run", "--logit-bias", "5=inf", "x"], "finite"),
        (&["run", "-c", "0", "x"], "at least 1"),
        (&["run", "-t", "0", "x"], "--threads"),
        (&["run", "-t", "60000", "x"], "from 1 to 256"),
        (&["run", "-t", "-2", "x"], "from 1 to"),
        (&["run", "--temp", "-1", "x"], "temp"),
        (&["run", "--top-k", "-2", "x"], "or -1 for all tokens"),
        (&["run", "--top-p", "-1", "x"], "top-p"),
        (&["run", "--seed", "1.5", "x"], "or -1 for a random one"),
        (&["run", "-n", "0", "x"], "or -1 for no limit"),
        (&["run", "--repeat-last-n", "all", "x"], "or -1 for all tokens"),
        (&["run", "--chat-template", "chat.jinja", "x"], "--chat-template-file reads one"),
        (&["run", "--chat-template-file", "missing.jinja", "x"], "missing.jinja"),
        (&["run", "-n", "-3", "x"], "at least 1"),
        (&["run", "-c", "-1", "x"], "at least 1"),
        (&["run", "--device", "abacus", "x"], "abacus"),
        (&["run", "--dtype", "f8", "x"], "f16"),
        (&["run", "--quant", "q3", "x"], "q8_0"),
        (&["run", "--context-policy", "forget", "x"], "truncate-oldest"),
        (&["run", "-q", "-v", "x"], "--verbose"),
        (&["chat", "-m", "x", "y"], "--model"),
        (&["bench", "-r", "0"], "--repetitions"),
        (&["bench", "-p", "many"], "--n-prompt"),
        (&["tokenize", "--json", "a", "b"], "--json"),
        (&["completions", "abacus"], "abacus"),
        (&["rm"], "MODEL"),
        (&["pull"], "MODEL"),
    ] {
        let outcome = home.run(arguments);
        assert_eq!(outcome.code, Some(2), "{arguments:?}: {}", outcome.stderr);
        outcome.fails(2, &[part]);
    }
}

#[test]
fn a_bad_environment_twin_is_a_usage_error() {
    let home = Home::new();
    for (name, value) in [
        ("CRANE_TEMP", "warm"),
        ("CRANE_TEMP", "-1"),
        ("CRANE_TOP_P", "1.5"),
        ("CRANE_CTX", "-4"),
        ("CRANE_OFFLINE", "maybe"),
        ("CRANE_DEVICE", "abacus"),
        ("CRANE_QUANT", "q3"),
        ("CRANE_LOGIT_BIAS", "5"),
    ] {
        let child = home.crane(["run", "x"]).env(name, value).spawn().unwrap();
        super::support::finish(child).fails(2, &[value, &format!("the variable {name}")]);
    }
    // What the command line says is not blamed on a variable.
    let child = home.crane(["run", "x", "--temp", "hot"]).env("CRANE_TEMP", "0").spawn().unwrap();
    let outcome = super::support::finish(child);
    assert!(!outcome.stderr.contains("CRANE_TEMP"), "{}", outcome.stderr);
}

#[test]
fn an_empty_environment_twin_counts_as_unset() {
    let home = Home::new();
    let model = super::fixture::model("qwen2_tied");
    let help = home.run(["run", "--help"]).ok();
    let twins = help.split("[env: ").skip(1).filter_map(|rest| rest.split_once('='));
    let mut command = home.crane(["run", &model, "Hello", "-n", "1", "--temp", "0"]);
    let mut count = 0;
    for (name, _) in twins {
        command.env(name, "");
        count += 1;
    }
    assert!(count > 20, "{help}");
    let outcome = super::support::finish(command.spawn().unwrap());
    assert!(!outcome.stderr.contains("warning"), "{}", outcome.stderr);
    outcome.ok();
}

#[test]
fn an_empty_prompt_is_a_usage_error() {
    let home = Home::new();
    home.run(["run"]).fails(2, &["prompt"]);
    home.run(["run", ""]).fails(2, &["prompt"]);
    home.run_with(["run", "-"], "\n").fails(2, &["prompt"]);
}

#[test]
fn messages_must_be_a_list_of_messages() {
    let home = Home::new();
    for (text, part) in [
        ("", "JSON"),
        ("{}", "list"),
        ("[]", "empty"),
        (r#"[{"content": "x"}]"#, "role"),
        (r#"[{"role": "user"}]"#, "message 1 is malformed: it has no content"),
        (r#"[{"role": "user", "content": null}]"#, "null"),
        (r#"[{"role": "user", "content": 5}]"#, "not a number"),
        (r#"[{"role": "user", "content": "x"}, {"role": "bot", "content": "y"}]"#, "message 2"),
        (r#"[{"role": "bot", "content": "y"}]"#, "system, developer, user, assistant, tool"),
        (r#"[{"role": "user", "content": ["x"]}]"#, "no type"),
        (r#"[{"role": "user", "content": [{"type": "text"}]}]"#, "no text"),
        (r#"[{"role": "user", "content": [{"type": "image_url"}]}]"#, "image_url"),
        (r#"[{"role": "user", "tool_calls": []}]"#, "no content"),
    ] {
        let file = home.file("messages.json", text);
        home.run(["run".as_ref(), "--messages".as_ref(), file.as_os_str()])
            .fails(2, &["messages.json", part]);
    }
}

#[test]
fn a_mistyped_path_is_a_model_that_is_not_there() {
    let home = Home::new();
    for word in ["missing.gguf", "MISSING.GGUF", "./missing-folder", "../nowhere/m", "~/none"] {
        for command in ["run", "tokenize"] {
            home.run([command, word]).fails(3, &["not found"]);
            home.run_with([command, word], "Hello\n").fails(3, &["not found"]);
        }
    }
}
