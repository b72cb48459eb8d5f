//! Chat templates against what transformers renders.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod text_models;

use crane_sdk::Error;
use crane_sdk::source::MemorySource;
use crane_sdk::text::{ChatTemplate, Message, RenderOptions, SpecialTokens, Tokenizer};
use serde_json::{Map, Value, json};
use text_models::{dice, fixture, fixture_json, gguf_source};

fn tokens() -> SpecialTokens {
    SpecialTokens::new().with("bos_token", "<s>").with("eos_token", "</s>")
}

fn messages(value: &Value) -> Vec<Message> {
    serde_json::from_value(value.clone()).unwrap()
}

fn render(template: &str, messages: &[Message]) -> crane_sdk::Result<String> {
    ChatTemplate::new(template, tokens())?.render(messages, &RenderOptions::default())
}

#[test]
fn templates_render_as_transformers_renders_them() {
    let fixture = fixture_json("text/templates.json");
    let list = |name: &str| Some(fixture[name].as_array().unwrap().clone());
    let mut failures = Vec::new();
    for case in fixture["cases"].as_array().unwrap() {
        let name = case["template"].as_str().unwrap();
        let text = fixture["templates"][name].as_str().unwrap();
        let messages = messages(&fixture["chats"][case["chat"].as_str().unwrap()]);
        let mut given: Map<String, Value> = case["options"].as_object().unwrap().clone();
        let mut flag = |name: &str| given.remove(name).is_some_and(|value| value == true);
        let options = RenderOptions {
            add_generation_prompt: flag("add_generation_prompt"),
            continue_final_message: flag("continue_final_message"),
            tools: if flag("tools") { list("tools") } else { None },
            documents: if flag("documents") { list("documents") } else { None },
            extra: given,
            ..Default::default()
        };
        let template = ChatTemplate::new(text, tokens()).unwrap();
        let ours = template.render(&messages, &options);
        let same = match (case["text"].as_str(), &ours) {
            (Some(expected), Ok(text)) => text == expected,
            // Where Python itself fails on a type, minijinja may be more lenient.
            (None, _) if case["type"] != "TemplateError" => true,
            (None, Err(Error::Template(message))) => case["error"] == message.as_str(),
            _ => false,
        };
        if !same {
            failures
                .push(format!("{name} {} {}\n  {ours:?}\n  {case}", case["chat"], case["options"]));
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn expressions_mean_what_they_mean_in_python() {
    let fixture = fixture_json("text/templates.json");
    let messages = messages(&fixture["chats"]["single"]);
    let mut failures = Vec::new();
    for case in fixture["expressions"].as_array().unwrap() {
        let template = case[0].as_str().unwrap();
        let ours = render(template, &messages);
        let same = match (case[1].as_str(), &ours) {
            (Some(expected), Ok(text)) => text == expected,
            (None, Err(Error::Template(_))) => true,
            _ => false,
        };
        if !same {
            failures.push(format!("{template}\n  ours   {ours:?}\n  theirs {}", case[1]));
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn fixture_chats_render_to_the_golden_prompts() {
    for name in ["qwen2_tied", "qwen2_untied_sharded", "qwen3"] {
        let source = MemorySource::new(name)
            .with("tokenizer.json", fixture(&format!("{name}/tokenizer.json")))
            .with("tokenizer_config.json", fixture(&format!("{name}/tokenizer_config.json")));
        let template = ChatTemplate::from_source(&source).unwrap().unwrap();
        let tokenizer = Tokenizer::from_source(&source).unwrap();
        let golden = fixture_json(&format!("{name}/golden.json"));
        for chat in ["chat", "chat_default_system"] {
            let chat = &golden["values"][chat];
            let text =
                template.render(&messages(&chat["messages"]), &RenderOptions::default()).unwrap();
            assert_eq!(text, chat["rendered"].as_str().unwrap());
            let ids: Vec<u32> = serde_json::from_value(chat["ids"].clone()).unwrap();
            assert_eq!(tokenizer.encode(&text, false).unwrap(), ids);
        }
    }
    let llama = MemorySource::new("llama32")
        .with("tokenizer_config.json", fixture("llama32/tokenizer_config.json"));
    assert!(ChatTemplate::from_source(&llama).unwrap().is_none());
}

#[test]
fn real_templates_render_the_reference_prompts() {
    for (name, file) in text_models::GGUF {
        let Some(source) = gguf_source(file) else { continue };
        let template = ChatTemplate::from_source(source.as_ref()).unwrap().unwrap();
        for case in fixture_json(&format!("refs/{name}.json"))["cases"].as_array().unwrap() {
            let options = RenderOptions::default();
            let text = template.render(&messages(&case["messages"]), &options).unwrap();
            assert_eq!(text, case["prompt"].as_str().unwrap());
        }
    }
}

#[test]
fn a_template_is_found_wherever_a_checkpoint_keeps_it() {
    let find = |files: &[(&str, &str)]| {
        let source = files.iter().fold(MemorySource::new("m"), |source, (name, text)| {
            source.with(*name, text.as_bytes().to_vec())
        });
        let template = ChatTemplate::from_source(&source)?;
        template.map(|template| template.render(&[], &RenderOptions::default())).transpose()
    };
    let config = r#"{"chat_template": "config{{ bos_token }}", "bos_token": {"content": "<b>"}}"#;
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[("tokenizer_config.json", config)], "config<b>"),
        (&[("tokenizer_config.json", config), ("chat_template.jinja", "file")], "file"),
        (&[("chat_template.json", r#"{"chat_template": "processor"}"#)], "processor"),
        (
            &[
                ("tokenizer_config.json", "{}"),
                ("special_tokens_map.json", r#"{"bos_token": "<m>"}"#),
                ("chat_template.jinja", "{{ bos_token }}"),
            ],
            "<m>",
        ),
        (
            &[(
                "tokenizer_config.json",
                r#"{"chat_template": [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]}"#,
            )],
            "d",
        ),
    ];
    for (files, expected) in cases {
        assert_eq!(find(files).unwrap().as_deref(), Some(expected), "{files:?}");
    }
    assert_eq!(find(&[("config.json", "{}")]).unwrap(), None);
    for (files, expected) in [
        ([("tokenizer_config.json", "[]")], "tokenizer_config.json"),
        ([("tokenizer_config.json", r#"{"chat_template": 3}"#)], "chat_template should be"),
        ([("tokenizer_config.json", r#"{"chat_template": [{"name": "x"}]}"#)], "`template`"),
        ([("chat_template.jinja", "{% if %}")], "chat template:"),
    ] {
        let message = find(&files).unwrap_err().to_string();
        assert!(message.contains(expected), "{message:?} should contain {expected:?}");
    }
}

#[test]
fn named_templates_are_chosen_by_tools_or_by_name() {
    let named = [("default", "d"), ("tool_use", "t"), ("rag", "r")]
        .map(|(name, text)| (name.to_owned(), text.to_owned()));
    let template = ChatTemplate::named(named, SpecialTokens::new()).unwrap();
    let render = |options: RenderOptions| template.render(&[], &options);
    assert_eq!(render(RenderOptions::default()).unwrap(), "d");
    let tools = Some(vec![json!({"type": "function"})]);
    assert_eq!(render(RenderOptions { tools, ..Default::default() }).unwrap(), "t");
    let rag = Some("rag".to_owned());
    assert_eq!(render(RenderOptions { template: rag, ..Default::default() }).unwrap(), "r");
    let none = Some("nope".to_owned());
    let error = render(RenderOptions { template: none, ..Default::default() }).unwrap_err();
    assert!(error.to_string().contains("default, rag, tool_use"), "{error}");
}

#[test]
fn json_texts_become_values() {
    let found = render(
        "{% set v = '{\"a\": [1, {\"b\": \"ü\"}]}' | fromjson %}{{ v.a[0] }}{{ v.a[1].b }}{{ 'null' | fromjson is none }}",
        &[],
    );
    assert_eq!(found.unwrap(), "1üTrue");
    for (template, said) in
        [("{{ '{' | fromjson }}", "not JSON"), ("{{ 3 | fromjson }}", "takes a text")]
    {
        assert!(render(template, &[]).unwrap_err().to_string().contains(said), "{template}");
    }
}

#[test]
fn a_refusal_is_the_templates_own_words() {
    let message = "roles must alternate";
    let template = format!(
        "{{% macro no() %}}{{{{ raise_exception('{message}') }}}}{{% endmacro %}}{{{{ no() }}}}"
    );
    match render(&template, &[]).unwrap_err() {
        Error::Template(text) => assert_eq!(text, message),
        other => panic!("{other}"),
    }
    let error = render("a\nb{{ messages[0].content.nope.nope }}", &[]).unwrap_err().to_string();
    assert!(error.starts_with("chat template: "), "{error}");
    assert!(error.contains(":2"), "the line is named: {error}");
}

#[test]
fn options_that_cannot_act_are_errors() {
    let template = ChatTemplate::new("{{ messages[0].content }}", tokens()).unwrap();
    let user = [Message::user("hi")];
    let both = RenderOptions { continue_final_message: true, ..Default::default() };
    assert!(matches!(template.render(&user, &both), Err(Error::InvalidArgument { .. })));
    let on = RenderOptions {
        continue_final_message: true,
        add_generation_prompt: false,
        ..Default::default()
    };
    assert_eq!(template.render(&user, &on).unwrap(), "hi");
    let nothing = template.render(&[Message::user("")], &on);
    assert!(matches!(nothing, Err(Error::InvalidArgument { .. })), "{nothing:?}");
    // What the text is does not matter: it may occur in the template's own marks.
    let chatml =
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";
    let chatml = ChatTemplate::new(chatml, tokens()).unwrap();
    for text in ["1, 2,", "m", "<|im_end", "end|> ", " so\n"] {
        let chat = [Message::user(text), Message::assistant(text)];
        let expected = format!("<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n{text}");
        assert_eq!(chatml.render(&chat, &on).unwrap(), expected);
    }
    let extra = Map::from_iter([("messages".to_owned(), json!([]))]);
    let error = template.render(&user, &RenderOptions { extra, ..Default::default() });
    assert!(error.unwrap_err().to_string().contains("extra.messages"));
}

/// A template is a stranger's program: none of these may hang, exhaust memory or the stack.
#[test]
fn hostile_templates_are_errors() {
    for template in [
        "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
        "{{ 'x' * 100000000000 }}",
        "{{ 'x'.center(100000000000) }}",
        "{{ 'x'.zfill(99999999) }}",
        "{{ range(1000000000000) | list }}",
        "{{ '%1000000000d' | format(1) }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{{ [1] | tojson(indent=999999999999) ~ raise_exception('still bounded') }}",
        "{% set ns = namespace(v=[]) %}{% for i in range(100000) %}{% set ns.v = [ns.v] %}{% endfor %}{{ ns.v | tojson }}",
        "{% set ns = namespace(v=[]) %}{% for i in range(99999) %}{% set ns.v = [ns.v] %}{% endfor %}{{ ns.v }}{{ raise_exception('after') }}",
        "{% set ns = namespace(v=[]) %}{% for i in range(99999) %}{% set ns.v = [ns.v] %}{% endfor %}{{ ns.v == ns.v }}{{ raise_exception('after') }}",
        "{% set ns = namespace(v={}) %}{% for i in range(9999) %}{% for j in range(9999) %}{% set ns.v = {'a': ns.v} %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(v=[]) %}{% for i in range(9999) %}{% set ns.v = (ns.v, 1) %}{% endfor %}",
        "{% set ns = namespace(v=[]) %}{% for i in range(9999) %}{% set ns.v = ns.v, 1 %}{% endfor %}",
        "{% set ns = namespace(v=[]) %}{% for i in range(9999) %}{% set ns.v = dict(a=ns.v) %}{% endfor %}",
        "{% set ns = namespace(v=[1]) %}{% for i in range(9999) %}{% set ns.v = ns.v|batch(1) %}{% endfor %}",
        "{% set ns = namespace(v=[1]) %}{% for i in range(9999) %}{% set ns.v = ns.v|slice(1)|list %}{% endfor %}",
        "{% set ns = namespace() %}{% set ns.v = ns %}",
        "{% set ns = namespace() %}{% set ns.v = [ns] %}",
        "{% set ns = namespace() %}{% set ns.v = {'a': {'b': ns}} %}",
        "{% set ns = namespace() %}{% set other = namespace(v=ns) %}{% set ns.v = other %}",
        "{% set ns = namespace() %}{% set pair = ns, 1 %}{% set ns.v = pair %}",
        "{% include 'default' %}",
    ] {
        let start = std::time::Instant::now();
        let result = render(template, &[Message::user("hi")]);
        assert!(matches!(result, Err(Error::Template(_))), "{template}: {result:?}");
        assert!(start.elapsed().as_secs() < 20, "{template} took {:?}", start.elapsed());
    }
    let nested = format!("{{{{ {}1{} }}}}", "[".repeat(5000), "]".repeat(5000));
    assert!(render(&nested, &[]).is_err());
}

#[test]
fn long_conversations_fit_the_fuel() {
    let fixture = fixture_json("text/templates.json");
    let mut chat = Vec::new();
    for turn in 0..1000 {
        chat.push(Message::user(format!("Question {turn}? {}", "word ".repeat(200))));
        chat.push(Message::assistant(format!("Answer {turn}. {}", "word ".repeat(200))));
    }
    chat.push(Message::user("Last"));
    for name in ["qwen25_tools", "qwen3", "llama31", "mistral"] {
        let template =
            ChatTemplate::new(fixture["templates"][name].as_str().unwrap(), tokens()).unwrap();
        let start = std::time::Instant::now();
        let text = template.render(&chat, &RenderOptions::default()).unwrap();
        println!("{name}: {} bytes in {:?}", text.len(), start.elapsed());
        assert!(text.contains("Answer 999") && text.len() > 2_000_000);
    }
}

#[test]
fn damaged_templates_never_panic() {
    let fixture = fixture_json("text/templates.json");
    let messages = messages(&fixture["chats"]["tool_call"]);
    let tools = fixture["tools"].as_array().unwrap().clone();
    let texts: Vec<Vec<char>> = ["qwen25_tools", "qwen3", "llama31", "mistral", "macros"]
        .iter()
        .map(|name| fixture["templates"][*name].as_str().unwrap().chars().collect())
        .collect();
    let options = RenderOptions { tools: Some(tools), ..Default::default() };
    let mut next = dice(1);
    let mut rendered = 0;
    for round in 0..2000 {
        let mut text = texts[round % texts.len()].clone();
        for _ in 0..1 + next(3) {
            if text.is_empty() {
                break;
            }
            let at = next(text.len().max(1));
            let end = (at + 1 + next(30)).min(text.len());
            match next(4) {
                0 => {
                    text[at] =
                        ['{', '}', '%', '-', '|', '(', ')', '\'', '.', '9', '[', 'é'][next(12)]
                }
                1 => drop(text.drain(at..end)),
                2 => text.truncate(at + 1),
                _ => {
                    let copy = text[at..end].to_vec();
                    let to = next(text.len());
                    text.splice(to..to, copy);
                }
            }
        }
        let text: String = text.into_iter().collect();
        let result = ChatTemplate::new(&text, tokens())
            .and_then(|template| template.render(&messages, &options));
        rendered += usize::from(result.is_ok());
    }
    assert!(rendered > 100, "{rendered}");
}
