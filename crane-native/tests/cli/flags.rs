//! Every flag of `crane run` acts: it changes what is sampled, or where the reply ends.

use serde_json::Value;

use super::fixture::{ids, model};
use super::support::{Home, finish};

struct Bench {
    home: Home,
    model: String,
}

impl Bench {
    fn new() -> Self {
        Bench { home: Home::new(), model: model("qwen2_tied") }
    }

    fn answer(&self, flags: &[&str]) -> Value {
        let arguments = ["run", "--json", "--ignore-eos", &self.model, "Hello, world!"];
        serde_json::from_str(&self.home.run([&arguments, flags].concat()).ok()).unwrap()
    }

    fn output(&self, flags: &[&str]) -> Vec<u32> {
        ids(&self.answer(&[flags, &["-n", "24"]].concat())["output_ids"])
    }
}

#[test]
fn flags_of_a_draw_change_what_is_drawn() {
    let bench = Bench::new();
    let greedy = bench.output(&["--temp", "0"]);
    let hot = ["--temp", "3", "--seed", "7"];
    let drawn = bench.output(&hot);
    assert_ne!(drawn, greedy);
    assert_eq!(bench.output(&hot), drawn, "a seed repeats");
    assert_ne!(bench.output(&["--temp", "3", "--seed", "8"]), drawn, "another seed does not");
    for narrow in [["--top-k", "1"], ["--top-p", "0"], ["--min-p", "1"]] {
        assert_eq!(bench.output(&[&hot[..], &narrow].concat()), greedy, "{narrow:?}");
    }
    for other in [["--top-k", "5"], ["--top-p", "0.3"], ["--min-p", "0.5"], ["--typical-p", "0.1"]]
    {
        assert_ne!(bench.output(&[&hot[..], &other].concat()), drawn, "{other:?}");
    }
}

#[test]
fn flags_of_the_scores_change_the_best_token() {
    let bench = Bench::new();
    let greedy = bench.output(&["--temp", "0"]);
    for flags in
        [["--repeat-penalty", "50"], ["--presence-penalty", "50"], ["--frequency-penalty", "50"]]
    {
        let penalised = bench.output(&[&["--temp", "0"], &flags[..]].concat());
        assert_ne!(penalised, greedy, "{flags:?}");
        let narrow = ["--temp", "0", "--repeat-last-n", "1"];
        assert_ne!(bench.output(&[&narrow, &flags[..]].concat()), penalised, "{flags:?}");
    }
    let ban = format!("{}=-inf", greedy[0]);
    assert_ne!(bench.output(&["--temp", "0", "--logit-bias", &ban])[0], greedy[0]);
    let want = bench.output(&["--temp", "0", "--logit-bias", "5=1000"]);
    assert!(want.iter().all(|&id| id == 5), "{want:?}");
    bench
        .home
        .run(["run", &bench.model, "x", "--logit-bias", "999999=1"])
        .fails(2, &["--logit-bias", "999999"]);
}

#[test]
fn minus_one_and_nothing_mean_what_they_mean_elsewhere() {
    let bench = Bench::new();
    let hot = ["--temp", "3"];
    let with = |flags: &[&str]| bench.output(&[&hot[..], flags].concat());
    assert_ne!(with(&["--seed", "-1"]), with(&["--seed", "-1"]), "-1 is a new seed each time");
    assert_eq!(with(&["--seed", "-2"]), with(&["--seed", "-2"]), "-2 is a seed like any");
    let seeded = |flags: &[&str]| with(&[&["--seed", "7"], flags].concat());
    let plain = seeded(&[]);
    for nothing in [["--top-k", "-1"], ["--top-k", "0"], ["--stop", ""]] {
        assert_eq!(seeded(&nothing), plain, "{nothing:?}");
    }
    let penalised = seeded(&["--repeat-penalty", "5"]);
    assert_ne!(penalised, plain);
    assert_eq!(seeded(&["--repeat-penalty", "5", "--repeat-last-n", "0"]), plain);
    assert_eq!(seeded(&["--repeat-penalty", "5", "--repeat-last-n", "-1"]), penalised);
    // To the end of the context.
    let full = bench.answer(&["--temp", "0", "-n", "-1", "-c", "64"]);
    let tokens = ids(&full["prompt_ids"]).len() + ids(&full["output_ids"]).len();
    assert!((60..=66).contains(&tokens), "{tokens}");
}

#[test]
fn a_reply_goes_on_with_what_the_assistant_said_last() {
    let bench = Bench::new();
    let chat = |last: &str| {
        let messages = format!(r#"[{{"role": "user", "content": "Count"}}, {last}]"#);
        bench.home.file("chat.json", messages).display().to_string()
    };
    let run = |file: &str, flags: &[&str]| -> Value {
        let arguments = ["run", "--json", &bench.model, "--messages", file, "-n", "4"];
        serde_json::from_str(&bench.home.run([&arguments, flags].concat()).ok()).unwrap()
    };
    let ids_of = |text: &str| -> Vec<u32> {
        serde_json::from_str(&bench.home.run(["tokenize", &bench.model, text]).ok()).unwrap()
    };
    let said = chat(r#"{"role": "assistant", "content": "1, 2,"}"#);
    let open = "<|im_start|>user\nCount<|im_end|>\n<|im_start|>assistant\n";
    let ends = |answer: &Value, text: &str| ids(&answer["prompt_ids"]).ends_with(&ids_of(text));
    assert!(ends(&run(&said, &[]), &format!("{open}1, 2,")));
    let closed = format!("{open}1, 2,<|im_end|>\n<|im_start|>assistant\n");
    assert!(ends(&run(&said, &["--add-generation-prompt"]), &closed));
    let empty = chat(r#"{"role": "assistant", "content": ""}"#);
    assert!(ends(&run(&empty, &[]), open));
    // With what is there already it has the form.
    let list = chat(r#"{"role": "assistant", "content": "[1, "}"#);
    let schema = r#"{"type": "array", "items": {"enum": [1, 2]}, "minItems": 2, "maxItems": 2}"#;
    let text = run(&list, &["--json-schema", schema])["text"].as_str().unwrap().to_owned();
    assert!(["1]", "2]"].contains(&text.as_str()), "{text}");
    let said = chat(r#"{"role": "assistant", "content": "1, 2,"}"#);
    let other = ["run", &bench.model, "--messages", &said, "--json-schema", schema];
    bench.home.run(other).fails(2, &["--json-schema", "--add-generation-prompt"]);
}

#[test]
fn another_chat_template_takes_the_place_of_the_models() {
    let bench = Bench::new();
    let template = "{% for m in messages %}({{ m.content }}){% endfor %}";
    let ids_of = |text: &str| -> Vec<u32> {
        serde_json::from_str(&bench.home.run(["tokenize", &bench.model, text]).ok()).unwrap()
    };
    let file = bench.home.file("t.jinja", format!("\u{feff}{template}")).display().to_string();
    for flags in [["--chat-template", template], ["--chat-template-file", &file]] {
        let answer = bench.answer(&[&flags[..], &["-n", "1"]].concat());
        assert_eq!(ids(&answer["prompt_ids"]), ids_of("(Hello, world!)"), "{flags:?}");
    }
    let broken = ["run", &bench.model, "x", "--chat-template", "{% if %}"];
    bench.home.run(broken).fails(2, &["--chat-template"]);
}

#[test]
fn a_reply_ends_where_it_is_told_to() {
    let bench = Bench::new();
    let free = bench.answer(&["--temp", "0", "-n", "24"]);
    assert_eq!(free["finish_reason"], "length");
    let short = bench.answer(&["--temp", "0", "-n", "3"]);
    assert_eq!(ids(&short["output_ids"]), ids(&free["output_ids"])[..3]);

    let text = free["text"].as_str().unwrap();
    let stop: String = text.chars().skip(4).take(2).collect();
    let stopped =
        bench.answer(&["--temp", "0", "-n", "24", "--stop", "never said", "--stop", &stop]);
    assert_eq!(stopped["finish_reason"], "stop");
    assert_eq!(stopped["text"], text[..text.find(&stop).unwrap()]);

    // Without --ignore-eos, the end-of-sequence token ends the reply: make it the likeliest.
    let arguments = [
        "run",
        "--json",
        &bench.model,
        "Hello",
        "--temp",
        "0",
        "--logit-bias",
        "402=1000",
        "-n",
        "9",
    ];
    let ended: Value = serde_json::from_str(&bench.home.run(arguments).ok()).unwrap();
    assert_eq!(
        (&ended["finish_reason"], ids(&ended["output_ids"])),
        (&Value::from("eos"), vec![402])
    );
    assert_eq!(ended["text"], "");
}

#[test]
fn a_prompt_that_does_not_fit_is_an_error_or_cut_as_asked() {
    let bench = Bench::new();
    let long = "word ".repeat(200);
    let arguments = [
        "run",
        "--json",
        &bench.model,
        &long,
        "-c",
        "128",
        "-n",
        "8",
        "--ignore-eos",
        "--temp",
        "0",
    ];
    bench.home.run(arguments).fails(2, &["128", "--context-policy"]);
    for policy in ["truncate-oldest", "shift"] {
        let outcome = bench.home.run([&arguments[..], &["--context-policy", policy]].concat());
        assert!(outcome.stderr.contains("dropped"), "{}", outcome.stderr);
        let answer: Value = serde_json::from_str(&outcome.ok()).unwrap();
        assert!(answer["dropped_tokens"].as_u64().unwrap() > 100, "{answer}");
        assert_eq!(ids(&answer["output_ids"]).len(), 8);
    }
}

#[test]
fn a_full_context_keeps_the_system_prompt_and_the_token_that_begins_texts() {
    let bench = Bench::new();
    let long = "word ".repeat(200);
    let system = "<|im_start|>system\nBe brief.<|im_end|>\n";
    let system = bench.home.run(["tokenize", &bench.model, system]).ok();
    let system: Vec<u32> = serde_json::from_str(&system).unwrap();
    for policy in ["truncate-oldest", "shift"] {
        let limits = ["-n", "8", "--context-policy", policy];
        let answer = |arguments: &[&str]| -> Value {
            let stdout = bench.home.run([&["run", "--json"], arguments, &limits].concat()).ok();
            serde_json::from_str(&stdout).unwrap()
        };
        let chat = answer(&[&bench.model, &long, "--system", "Be brief.", "-c", "96"]);
        let (prompt, read) = (ids(&chat["prompt_ids"]), ids(&chat["evaluated_ids"]));
        assert_eq!(read[..system.len()], system, "{policy}");
        assert_eq!(read.len() as u64, chat["stats"]["prompt_tokens"].as_u64().unwrap());
        assert!(prompt.ends_with(&read[system.len()..]), "{policy}");
        assert!(read.len() < 96 && prompt.len() > 96);

        let raw = answer(&[&model("llama32"), &long, "--raw", "-c", "64"]);
        assert_eq!(ids(&raw["evaluated_ids"])[0], 380, "{policy}");
    }
    let crowded = ["run", &bench.model, "x", "--context-policy", "shift", "-c", "20", "--system"];
    bench.home.run([&crowded[..], &[&long]].concat()).fails(2, &["system prompt", "--ctx"]);
}

#[test]
fn weights_load_in_the_type_that_is_asked_for() {
    let bench = Bench::new();
    let plain = bench.output(&["--temp", "0"]);
    for flags in [
        ["--dtype", "bf16"],
        ["--dtype", "f16"],
        ["--quant", "q8_0"],
        ["--quant", "q4_0"],
        ["-t", "1"],
        ["--device", "cpu"],
    ] {
        let outcome = bench.home.run(
            [&["run", "--verbose", &bench.model, "Hello", "-n", "4", "--temp", "0"], &flags[..]]
                .concat(),
        );
        let wanted = flags[1].to_lowercase();
        let said = outcome.stderr.to_lowercase();
        assert!(said.contains(&wanted), "{flags:?}: {said}");
        outcome.ok();
    }
    assert_eq!(bench.output(&["--temp", "0", "-t", "1"]), plain);
}

#[test]
fn environment_twins_act() {
    let bench = Bench::new();
    let run = |vars: &[(&str, &str)], flags: &[&str]| -> Value {
        let mut command = bench.home.crane([&["run", "--json", "Hello, world!"], flags].concat());
        command
            .envs(vars.iter().copied())
            .env("CRANE_MODEL", &bench.model)
            .env("CRANE_IGNORE_EOS", "1");
        serde_json::from_str(&finish(command.spawn().unwrap()).ok()).unwrap()
    };
    let twins = [("CRANE_TEMP", "0"), ("CRANE_MAX_TOKENS", "5")];
    let answer = run(&twins, &[]);
    assert_eq!(ids(&answer["output_ids"]), bench.output(&["--temp", "0"])[..5]);
    let answer = run(&twins, &["-n", "2"]);
    assert_eq!(ids(&answer["output_ids"]).len(), 2, "a flag wins over its twin");
}

#[test]
fn flags_that_cannot_act_are_named() {
    let bench = Bench::new();
    let outcome =
        bench.home.run(["run", &bench.model, "x", "-n", "1", "--temp", "0", "--top-k", "5"]);
    assert!(outcome.stderr.contains("--top-k does nothing"), "{}", outcome.stderr);
    outcome.ok();
    let two = ["run", &bench.model, "x", "-n", "1", "--temp", "0", "--top-k", "5", "--seed", "1"];
    let outcome = bench.home.run(two);
    assert!(outcome.stderr.contains("--top-k and --seed do nothing"), "{}", outcome.stderr);
    for device in ["cuda", "metal"] {
        let outcome = bench.home.run(["run", &bench.model, "x", "-n", "1", "--device", device]);
        if outcome.code != Some(0) {
            outcome.fails(2, &[device]);
        }
    }
}

#[test]
fn a_reply_has_the_form_that_was_asked_for() {
    let bench = Bench::new();
    let schema = r#"{"type": "array", "items": {"enum": [1, 2]}, "minItems": 3, "maxItems": 3}"#;
    let file = bench.home.file("schema.json", schema).display().to_string();
    for given in [schema, &file] {
        let answer = bench.answer(&["--temp", "1", "--seed", "3", "--json-schema", given]);
        let list: Vec<u8> = serde_json::from_str(answer["text"].as_str().unwrap()).unwrap();
        assert!(list.len() == 3 && list.iter().all(|n| [1, 2].contains(n)), "{list:?}");
        assert_eq!(answer["finish_reason"], "complete");
    }
    let lark = bench.home.file("form.lark", "start: \"yes\" | \"no\"").display().to_string();
    let text = bench.answer(&["--grammar", &lark])["text"].as_str().unwrap().to_owned();
    assert!(["yes", "no"].contains(&text.as_str()), "{text}");

    let run = |flags: &[&str]| bench.home.run([&["run", &bench.model, "x"], flags].concat());
    run(&["--json-schema", "missing.json"]).fails(2, &["--json-schema", "missing.json"]);
    run(&["--json-schema", "{"]).fails(2, &["--json-schema", "not JSON"]);
    run(&["--json-schema", r#"{"type": "odd"}"#]).fails(2, &["--json-schema", "odd"]);
    run(&["--grammar", &lark, "--json-schema", "{}"]).fails(2, &["--grammar", "--json-schema"]);
}
