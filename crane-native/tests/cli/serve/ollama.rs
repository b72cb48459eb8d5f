//! The same model in the words of Ollama's API.

use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Answer, Server};
use super::{CHAT, TEXT, chat, said, tools};
use crate::fixture;
use crate::support::Home;

const API: &str = "/api/chat";
const GENERATE: &str = "/api/generate";

/// A refusal is one sentence.
#[track_caller]
fn refused(answer: Answer, status: u16, part: &str) {
    let told = answer.json["error"].as_str().unwrap_or_else(|| panic!("{}", answer.json));
    assert!(answer.status == status && told.contains(part), "{}: {told}", answer.status);
    assert_eq!(answer.json.as_object().unwrap().len(), 1, "{}", answer.json);
}

/// The lines of a streamed answer.
fn lines(server: &Server, path: &str, body: &Value) -> Vec<Value> {
    let response = Server::agent().post(server.url(path)).send(body.to_string()).unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let lines = BufReader::new(response.into_body().into_reader()).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

fn joined(lines: &[Value], place: &str) -> String {
    lines.iter().filter_map(|line| line.pointer(place)?.as_str()).collect()
}

/// What a request says, and options with which a noisy model says so many tokens.
fn ask(more: &Value) -> Value {
    let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "Hello" }], "stream": false,
        "options": { "temperature": 0, "num_predict": 12, "ignore_eos": true } });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn a_chat_says_what_a_completion_says() {
    let server = Server::fixture(&["--ctx", "512"]);
    let options = json!({ "max_tokens": 12, "ignore_eos": true, "temperature": 0 });
    let expected = said(&server.post(CHAT, chat("Hello", &options)).ok());

    let answer = server.post(API, ask(&json!({}))).ok();
    assert_eq!((&answer["model"], &answer["done"]), (&json!("m"), &json!(true)));
    assert_eq!(answer["message"], json!({ "role": "assistant", "content": expected }));
    assert_eq!((&answer["done_reason"], &answer["eval_count"]), (&json!("length"), &json!(12)));
    for name in ["total_duration", "load_duration", "prompt_eval_count", "eval_duration"] {
        assert!(answer[name].as_u64().unwrap() > 0, "{name}: {answer}");
    }
    let spent = |name: &str| answer[name].as_u64().unwrap();
    assert!(spent("total_duration") >= spent("eval_duration") + spent("prompt_eval_duration"));
    let time = answer["created_at"].as_str().unwrap();
    assert!(time.len() == 30 && time.starts_with("20") && time.ends_with('Z'), "{time}");

    // Without a word about it an answer comes in lines.
    let mut body = ask(&json!({}));
    body.as_object_mut().unwrap().remove("stream");
    let lines = lines(&server, API, &body);
    let (last, before) = lines.split_last().unwrap();
    assert!(before.len() > 2 && before.iter().all(|line| line["done"] == false), "{lines:?}");
    assert_eq!(joined(before, "/message/content"), expected);
    assert_eq!((&last["done"], &last["message"]["content"]), (&json!(true), &json!("")));
    assert_eq!((&last["eval_count"], &last["done_reason"]), (&json!(12), &json!("length")));

    // What was said can be sent back as it came.
    let more = json!([{ "role": "user", "content": "Hello" }, answer["message"], { "role": "user", "content": "More" }]);
    let again = server.post(API, ask(&json!({ "messages": more }))).ok();
    assert!(again["prompt_eval_count"].as_u64() > answer["prompt_eval_count"].as_u64());
}

#[test]
fn options_act_and_names_have_a_tag_or_none() {
    let server = Server::fixture(&["--ctx", "256", "--alias", "other:latest"]);
    let with = |options: Value| server.post(API, ask(&json!({ "options": options }))).ok();
    let text = |answer: &Value| answer["message"]["content"].as_str().unwrap().to_owned();
    let drawn = |seed: u64| {
        text(&with(
            json!({ "seed": seed, "temperature": 1.5, "num_predict": 20, "ignore_eos": true }),
        ))
    };
    assert_eq!(drawn(7), drawn(7));
    assert_ne!(drawn(7), drawn(8));
    let greedy = json!({ "top_k": 1, "temperature": 2, "num_predict": 12, "ignore_eos": true });
    assert_eq!(text(&with(greedy)), text(&server.post(API, ask(&json!({}))).ok()));
    // To the end of the context.
    let whole =
        with(json!({ "temperature": 0, "num_predict": -1, "ignore_eos": true, "num_ctx": 64 }));
    let tokens = |name: &str| whole[name].as_u64().unwrap();
    assert!(tokens("prompt_eval_count") + tokens("eval_count") >= 256, "{whole}");
    assert_eq!(whole["done_reason"], "length");

    for name in ["m", "m:latest", "qwen2_tied", "qwen2_tied:latest", "other", "other:latest"] {
        let answer = server.post(API, ask(&json!({ "model": name }))).ok();
        assert_eq!(answer["model"], name);
        assert_eq!(server.get(&format!("/v1/models/{name}")).status, 200);
    }
    refused(
        server.post(API, ask(&json!({ "model": "m:small" }))),
        404,
        "there is no model \"m:small\"",
    );
    // Options that change nothing are told to the one who runs the server.
    with(json!({ "num_gpu": 3, "num_ctx": 4096, "num_predict": 1 }));
    server.terminate();
    let told = server.ended().stderr;
    assert!(
        told.contains("options.num_gpu") && told.contains("4096") && told.contains("--ctx"),
        "{told}"
    );
}

#[test]
fn a_reply_has_the_form_that_is_asked_for() {
    let server = Server::fixture(&["--ctx", "512"]);
    let schema = json!({ "type": "object", "properties": { "n": { "enum": [1, 2] } }, "required": ["n"],
        "additionalProperties": false });
    for (path, place) in [(API, "/message/content"), (GENERATE, "/response")] {
        let mut body =
            ask(&json!({ "format": schema, "options": { "temperature": 1, "seed": 3 } }));
        if path == GENERATE {
            body.as_object_mut().unwrap().remove("messages");
            body["prompt"] = "Hello".into();
        }
        let answer = server.post(path, &body).ok();
        let text = answer.pointer(place).unwrap().as_str().unwrap();
        let read: Value = serde_json::from_str(text).unwrap();
        assert!([1, 2].contains(&read["n"].as_u64().unwrap()), "{text}");
        assert_eq!(answer["done_reason"], "stop");
        body["stream"] = true.into();
        assert_eq!(joined(&lines(&server, path, &body), place), text);
    }
    let object =
        json!({ "format": "json", "options": { "temperature": 1, "seed": 1, "num_predict": 300 } });
    let answer = server.post(API, ask(&object)).ok();
    if answer["done_reason"] == "stop" {
        let text = answer["message"]["content"].as_str().unwrap();
        assert!(serde_json::from_str::<Value>(text).unwrap().is_object(), "{text}");
    }
    refused(server.post(API, ask(&json!({ "format": "xml" }))), 400, "'format'");
}

#[test]
fn a_text_is_said_by_the_user_or_gone_on_with() {
    let server = Server::fixture(&["--ctx", "512"]);
    let options = json!({ "temperature": 0, "num_predict": 8, "ignore_eos": true });
    let generate = |more: Value| {
        let mut body =
            json!({ "model": "m", "prompt": "Hello", "stream": false, "options": options });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.post(GENERATE, body)
    };
    let spoken = json!([{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "Hello" }]);
    let as_chat = server.post(API, ask(&json!({ "messages": spoken, "options": options }))).ok();
    let answer = generate(json!({ "system": "Be brief." })).ok();
    assert_eq!(answer["response"], as_chat["message"]["content"]);
    assert_eq!(answer["prompt_eval_count"], as_chat["prompt_eval_count"]);

    // Its tokens go on with the conversation.
    let context = answer["context"].as_array().unwrap();
    let spent = |name: &str| answer[name].as_u64().unwrap();
    assert_eq!(context.len() as u64, spent("prompt_eval_count") + spent("eval_count"));
    let again = generate(json!({ "context": context })).ok();
    assert!(again["prompt_eval_count"].as_u64().unwrap() > context.len() as u64, "{again}");

    let plain = json!({ "prompt": "Hello", "temperature": 0, "max_tokens": 8, "ignore_eos": true });
    let plain = server.post(TEXT, plain).ok();
    let raw = generate(json!({ "raw": true })).ok();
    assert_eq!(raw["response"], plain["choices"][0]["text"]);
    assert!(raw.get("context").is_none(), "{raw}");
    for (more, part) in [
        (json!({ "raw": true, "system": "x" }), "'system'"),
        (json!({ "suffix": "end" }), "'suffix'"),
        (json!({ "template": "{{ .Prompt }}" }), "'template'"),
        (json!({ "images": ["aGk="] }), "no images"),
        (json!({ "context": [99_999_999] }), "context[0]"),
        (json!({ "context": vec![1; 600] }), "context holds 512"),
        (json!({ "prompt": "word ".repeat(2000) }), "context holds 512"),
        (json!({ "warmth": 1 }), "warmth"),
    ] {
        refused(generate(more), 400, part);
    }
}

#[test]
fn log_probabilities_spell_the_reply() {
    let server = Server::fixture(&["--ctx", "256"]);
    let body = ask(&json!({ "logprobs": true, "top_logprobs": 2 }));
    let answer = server.post(API, &body).ok();
    let tokens = answer["logprobs"].as_array().unwrap();
    let bytes = tokens.iter().flat_map(|token| token["bytes"].as_array().unwrap());
    let bytes: Vec<u8> = bytes.map(|byte| byte.as_u64().unwrap() as u8).collect();
    assert_eq!(String::from_utf8_lossy(&bytes), answer["message"]["content"].as_str().unwrap());
    assert!(tokens.iter().all(|token| token["top_logprobs"].as_array().unwrap().len() == 2));
}

#[test]
fn calls_of_tools_are_whole() {
    let home = Home::new();
    let server = tools::server(&home);
    let tool = json!({ "type": "function", "function": { "name": "pick", "description": "Picks.", "parameters": {
        "type": "object", "properties": { "n": { "enum": [1, 2] } }, "required": ["n"], "additionalProperties": false } } });
    let options = json!({ "temperature": 1, "seed": 3 });
    let mut body = ask(&json!({ "tools": [tool], "tool_choice": "required", "options": options }));
    let answer = server.post(API, &body).ok();
    let calls = answer["message"]["tool_calls"].as_array().unwrap();
    for (index, call) in calls.iter().enumerate() {
        assert_eq!(
            (&call["function"]["index"], &call["function"]["name"]),
            (&json!(index), &json!("pick"))
        );
        assert!([1, 2].contains(&call["function"]["arguments"]["n"].as_u64().unwrap()), "{call}");
    }
    assert_eq!(answer["done_reason"], "stop");
    body["stream"] = true.into();
    let lines = lines(&server, API, &body);
    let streamed: Vec<&Value> = lines
        .iter()
        .filter_map(|line| line.pointer("/message/tool_calls")?.as_array())
        .flatten()
        .map(|call| &call["function"])
        .collect();
    assert_eq!(streamed, calls.iter().map(|call| &call["function"]).collect::<Vec<_>>());

    // The result is sent back by the tool's name.
    let history = json!([{ "role": "user", "content": "Hello" }, answer["message"],
        { "role": "tool", "content": "chosen", "tool_name": "pick" }]);
    let body = ask(&json!({ "messages": history, "tools": [tool], "tool_choice": "none" }));
    assert!(server.post(API, body).ok()["message"].get("tool_calls").is_none());
    let plain = Server::fixture(&["--ctx", "512"]);
    refused(plain.post(API, ask(&json!({ "tools": [tool] }))), 400, "'tools'");
}

#[test]
fn thoughts_stand_beside_the_answer() {
    let home = Home::new();
    let folder = fixture::copy("qwen2_tied", home.path());
    let file = folder.join("tokenizer_config.json");
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    config["chat_template"] = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
        <|im_start|>assistant\n{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
        .into();
    std::fs::write(file, config.to_string()).unwrap();
    let server = Server::of(&folder.display().to_string(), &["--ctx", "512"]);
    let say = |text: &str, more: Value| {
        let mut body = ask(&more);
        body["options"] = json!({ "grammar": { "type": "regex", "value": text } });
        body
    };
    let thought = "<think>\nOne\\.\n</think>\n\nTwo\\.";
    for more in [json!({}), json!({ "think": true }), json!({ "think": "high" })] {
        let body = say(thought, more);
        let message = server.post(API, &body).ok()["message"].clone();
        assert_eq!(message, json!({ "role": "assistant", "content": "Two.", "thinking": "One." }));
        let mut body = body;
        body["stream"] = true.into();
        let lines = lines(&server, API, &body);
        assert_eq!(joined(&lines, "/message/thinking"), "One.");
        assert_eq!(joined(&lines, "/message/content"), "Two.");
    }
    // Asked not to, it is not asked what it thinks.
    let message =
        server.post(API, say("Two\\.", json!({ "think": false }))).ok()["message"].clone();
    assert_eq!(message, json!({ "role": "assistant", "content": "Two." }));
    let plain = Server::fixture(&["--ctx", "512"]);
    refused(plain.post(API, ask(&json!({ "think": true }))), 400, "'think'");
    plain.post(API, ask(&json!({ "think": false }))).ok();
}

#[test]
fn vectors_are_those_of_the_other_endpoint() {
    let server = Server::fixture(&["--ctx", "64"]);
    let other = server.post("/v1/embeddings", json!({ "input": ["Hello", "Bye"] })).ok();
    let answer = server.post("/api/embed", json!({ "model": "m", "input": ["Hello", "Bye"] })).ok();
    let same = |index: usize| (&answer["embeddings"][index], &other["data"][index]["embedding"]);
    for index in 0..2 {
        let (one, two) = same(index);
        assert_eq!(one, two);
    }
    assert_eq!(answer["prompt_eval_count"], other["usage"]["prompt_tokens"]);
    let old = server.post("/api/embeddings", json!({ "model": "m", "prompt": "Hello" })).ok();
    assert_eq!(old["embedding"], answer["embeddings"][0]);
    // Long texts are cut unless that is forbidden.
    let long = "word ".repeat(400);
    let cut = server.post("/api/embed", json!({ "input": long })).ok();
    assert_eq!(cut["prompt_eval_count"], 64);
    refused(
        server.post("/api/embed", json!({ "input": long, "truncate": false })),
        400,
        "at most 64",
    );
    for nothing in [json!({}), json!({ "input": "" }), json!({ "input": [] })] {
        assert_eq!(server.post("/api/embed", nothing).ok()["embeddings"], json!([]));
    }
    // A width that the model has not is refused before anything is computed, also where nothing would be.
    for input in [json!("Hello"), json!([]), Value::Null] {
        let wide = json!({ "input": input, "dimensions": 4_294_967_296_u64 });
        refused(server.post("/api/embed", wide), 400, "dimensions");
    }
    assert_eq!(server.post("/api/embeddings", json!({})).ok()["embedding"], json!([]));
    refused(server.post("/api/embed", json!({ "input": [1, 2] })), 400, "input[0]");
}

#[test]
fn models_are_listed_shown_and_kept_as_long_as_was_said() {
    let models = ["qwen2_tied", "bert"].map(fixture::model).to_vec();
    let server = Server::several(&models, &["--ctx", "256", "--alias", "m=qwen2_tied"]);
    let tags = server.get("/api/tags").ok();
    let names: Vec<&Value> =
        tags["models"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["qwen2_tied", "m", "bert"]);
    let tag = &tags["models"][0];
    assert_eq!(
        (&tag["details"]["family"], &tag["details"]["format"]),
        (&json!("qwen2"), &json!("safetensors"))
    );
    assert!(
        tag["size"].as_u64().unwrap() > 1000 && tag["digest"].as_str().unwrap().len() == 64,
        "{tag}"
    );
    assert_eq!(tags["models"][2]["capabilities"], json!(["embedding"]));
    assert_eq!(server.get("/api/ps").ok()["models"], json!([]));
    assert!(server.get("/api/version").ok()["version"].as_str().unwrap().split('.').count() == 3);

    let shown = server.post("/api/show", json!({ "model": "m:latest" })).ok();
    assert!(shown["template"].as_str().unwrap().contains("im_start"), "{shown}");
    assert!(shown["parameters"].as_str().unwrap().contains("num_ctx"), "{shown}");
    let info = &shown["model_info"];
    assert_eq!(info["general.architecture"], "qwen2");
    assert!(info["qwen2.context_length"].as_u64().unwrap() >= 256, "{info}");
    refused(server.post("/api/show", json!({ "model": "other" })), 404, "there is no model");

    // A chat without a word loads the model, and with no time at all it goes.
    let nothing = |more: Value| {
        let mut body = json!({ "model": "m", "messages": [] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.post(API, body).ok()
    };
    let loaded = nothing(json!({}));
    assert_eq!((&loaded["done"], &loaded["done_reason"]), (&json!(true), &json!("load")));
    let running = server.get("/api/ps").ok()["models"][0].clone();
    assert_eq!((&running["name"], &running["context_length"]), (&json!("qwen2_tied"), &json!(256)));
    assert!(running["expires_at"].as_str().unwrap().starts_with("9999"), "{running}");
    nothing(json!({ "keep_alive": "5m" }));
    let soon = server.get("/api/ps").ok()["models"][0]["expires_at"].as_str().unwrap().to_owned();
    assert!(soon.starts_with("20"), "{soon}");
    assert_eq!(nothing(json!({ "keep_alive": 0 }))["done_reason"], "unload");
    let is_gone = || server.get("/api/ps").ok()["models"] == json!([]);
    let start = Instant::now();
    while !is_gone() {
        assert!(start.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
    // The next request brings it back, and another one that says nothing of it keeps it.
    server.post(API, ask(&json!({ "keep_alive": 60 }))).ok();
    server.post(CHAT, chat("Hello", &json!({ "model": "m", "max_tokens": 1 }))).ok();
    assert!(
        server.get("/api/ps").ok()["models"][0]["expires_at"].as_str().unwrap().starts_with("9999")
    );
}

#[test]
fn a_client_that_leaves_frees_its_slot_and_the_server_stays_safe() {
    let options = ["--ctx", "32768", "--parallel", "1", "--api-key", "sesame"];
    let server = Server::fixture(&options);
    let endless =
        ask(&json!({ "stream": true, "options": { "num_predict": 30000, "ignore_eos": true } }));
    let request = Server::agent().post(server.url(API)).header("authorization", "Bearer sesame");
    let response = request.send(endless.to_string()).unwrap();
    let mut reader = BufReader::new(response.into_body().into_reader());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.contains("\"done\":false"), "{line}");
    server.wait_for_running(1);
    drop(reader);
    server.wait_for_running(0);
    refused(server.post(API, ask(&json!({}))), 401, "key");
    refused(server.get("/api/tags"), 401, "key");
    let page = Server::agent().post(server.url(API)).header("origin", "https://elsewhere.example");
    let page = page.header("content-type", "application/json").send("{}").unwrap();
    assert_eq!(page.status(), 403);
    let body = page.into_body().read_to_string().unwrap();
    assert!(body.starts_with("{\"error\":\"pages of the origin"), "{body}");
}

#[test]
fn what_is_late_or_not_there_is_told_in_ollamas_shape() {
    let server = Server::fixture(&["--ctx", "32768", "--timeout", "1"]);
    let options = json!({ "num_predict": 30000, "ignore_eos": true });
    refused(server.post(API, ask(&json!({ "options": options }))), 504, "--timeout");
    let stream = lines(&server, API, &ask(&json!({ "options": options, "stream": true })));
    assert!(stream.last().unwrap()["error"].as_str().unwrap().contains("--timeout"));
    for (path, part) in [
        ("/api/pull", "crane pull"),
        ("/api/blobs/sha256:1", "crane serve"),
        ("/api/other", "/api/chat"),
    ] {
        refused(server.post(path, json!({})), 404, part);
    }
    refused(server.get(API), 405, "takes POST");
    refused(server.post(API, "{"), 400, "not JSON");
    refused(server.post(API, ask(&json!({ "messages": 3 }))), 400, "'messages'");
}
