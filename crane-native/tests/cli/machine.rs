//! Commands that need no model: completions, doctor, an empty cache.

use super::support::Home;

#[test]
fn completions_are_printed_for_every_shell() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = home.run(["completions", shell]).ok();
        assert!(
            script.contains("tokenize") && script.contains("--temp") | script.contains("temp"),
            "{shell}"
        );
    }
}

#[test]
fn doctor_says_what_it_found() {
    let home = Home::new();
    for (arguments, network) in
        [(&["doctor"] as &[&str], "127.0.0.1:9"), (&["doctor", "--offline"], "offline")]
    {
        let report = home.run(arguments).ok();
        let cache = home.path().display().to_string();
        for part in ["crane 0.", "cpu", "memory", "device", network, &cache, "next"] {
            assert!(report.to_lowercase().contains(&part.to_lowercase()), "{part}: {report}");
        }
    }
}

#[test]
fn an_empty_cache_is_said_to_be_empty() {
    let home = Home::new();
    assert_eq!(home.run(["list", "--json"]).ok().trim(), "[]");
    let outcome = home.run(["list"]);
    assert!(outcome.stderr.contains("crane pull"), "{}", outcome.stderr);
    assert_eq!(outcome.ok(), "");
    home.run(["rm", "-y", "nobody/nothing"]).fails(3, &["nobody/nothing", "crane list"]);
}

#[test]
fn offline_and_without_network_a_missing_model_is_said_to_be_missing() {
    let home = Home::new();
    home.run(["run", "--offline", "nobody/nothing", "hello"])
        .fails(3, &["nobody/nothing", "offline"]);
    home.run(["run", "nobody/nothing", "hello"]).fails(3, &["cannot reach 127.0.0.1:9"]);
    home.run(["pull", "nobody/nothing"]).fails(3, &["cannot reach 127.0.0.1:9"]);
    home.run(["run", "--offline", "hello"]).fails(3, &["--offline"]);
    home.run(["show", "/no/such/folder"]).fails(3, &["folder", "/no/such"]);
    home.run(["run", "-m", "missing.gguf", "hello"]).fails(3, &["missing.gguf"]);
}
