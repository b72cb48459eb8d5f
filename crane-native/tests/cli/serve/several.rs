//! Several models: loaded when they are asked for, unloaded when they are idle or in the way.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::Server;
use super::{CHAT, TEXT, chat, said};
use crate::fixture;
use crate::orpheus;
use crate::reference::weights;
use crate::support::Home;

/// A question to one of the models.
fn ask(model: &str, fields: &Value) -> Value {
    let mut body = chat("Hello", &json!({ "temperature": 0, "ignore_eos": true, "max_tokens": 8 }));
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body["model"] = model.into();
    body
}

fn endless(model: &str) -> Value {
    ask(model, &json!({ "max_tokens": 30000, "stream": true }))
}

/// Where each model is, in the order of the command line.
fn states(server: &Server) -> Vec<String> {
    let health = server.get("/health").ok();
    let state = |model: &Value| model["state"].as_str().unwrap().to_owned();
    health["models"].as_array().unwrap().iter().map(state).collect()
}

fn wait_until(server: &Server, happens: impl Fn() -> bool) {
    let start = Instant::now();
    while !happens() {
        assert!(start.elapsed() < Duration::from_secs(120), "{:?}", server.get("/health"));
        thread::sleep(Duration::from_millis(10));
    }
}

fn fixtures(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| fixture::model(name)).collect()
}

#[test]
fn a_model_is_loaded_when_it_is_asked_for() {
    let models = fixtures(&["qwen2_tied", "qwen2_untied_sharded"]);
    let options = ["--ctx", "256", "--alias", "small=qwen2_tied"];
    let server = Server::several(&models, &options);
    assert_eq!(states(&server), ["unloaded", "unloaded"]);
    server.get("/ready").ok();
    let listed = server.get("/v1/models").ok();
    let ids: Vec<&Value> =
        listed["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(ids, ["qwen2_tied", "small", "qwen2_untied_sharded"]);
    assert_eq!(listed["data"][0]["state"], "unloaded");

    // What is refused loads nothing.
    let missing = Some("missing_required_parameter");
    let mut body = ask("", &json!({}));
    body.as_object_mut().unwrap().remove("model");
    let told = server.post(CHAT, &body).refused(400, Some("model"), missing);
    assert!(told.contains("small") && told.contains("qwen2_untied_sharded"), "{told}");
    let unknown = Some("model_not_found");
    server.post(CHAT, ask("other", &json!({}))).refused(404, Some("model"), unknown);
    let wrong = ask("small", &json!({ "temperature": 9 }));
    server.post(CHAT, wrong).refused(400, Some("temperature"), Some("invalid_value"));
    assert_eq!(states(&server), ["unloaded", "unloaded"]);

    let answer = server.post(CHAT, ask("qwen2_untied_sharded", &json!({}))).ok();
    assert_eq!(answer["model"], "qwen2_untied_sharded");
    assert_eq!(states(&server), ["unloaded", "loaded"]);
    assert_eq!(server.get("/v1/models/qwen2_untied_sharded").ok()["state"], "loaded");
    let answer = server.post(CHAT, ask("small", &json!({}))).ok();
    assert_eq!(answer["model"], "qwen2_tied");
    for model in ["qwen2_tied", "qwen2_untied_sharded"] {
        let alone = Server::of(&fixture::model(model), &["--ctx", "256"]);
        let expected = said(&alone.post(CHAT, ask("m", &json!({}))).ok());
        assert_eq!(said(&server.post(CHAT, ask(model, &json!({}))).ok()), expected, "{model}");
    }
    let mut metrics = Server::agent().get(server.url("/metrics")).call().unwrap();
    let metrics = metrics.body_mut().read_to_string().unwrap();
    for line in [
        "crane_model_loaded{model=\"qwen2_untied_sharded\"} 1",
        "crane_slots{model=\"qwen2_tied\"} 4",
        "crane_replies_total{model=\"qwen2_untied_sharded\",reason=\"length\"} 2",
        "crane_generated_tokens_total{model=\"qwen2_tied\"} 16",
        "crane_model_load_seconds_count{model=\"qwen2_untied_sharded\"} 1",
    ] {
        assert!(metrics.lines().any(|told| told == line), "{line}: {metrics}");
    }
    // A family is described once, however many models it counts.
    assert_eq!(metrics.matches("# TYPE crane_slots ").count(), 1);
    server.terminate();
    let outcome = server.ended();
    for model in ["qwen2_tied", "qwen2_untied_sharded"] {
        assert!(
            outcome.stderr.contains(&format!("{model}: memory: weights")),
            "{}",
            outcome.stderr
        );
    }
}

#[test]
fn the_model_that_has_been_idle_for_longest_makes_room() {
    let models = fixtures(&["qwen2_tied", "qwen2_untied_sharded", "qwen3"]);
    let server = Server::several(&models, &["--ctx", "32768", "--max-loaded", "2", "--preload"]);
    assert_eq!(states(&server), ["loaded", "loaded", "unloaded"]);
    server.post(CHAT, ask("qwen2_untied_sharded", &json!({}))).ok();
    server.post(CHAT, ask("qwen2_tied", &json!({}))).ok();
    server.post(CHAT, ask("qwen3", &json!({}))).ok();
    assert_eq!(states(&server), ["loaded", "unloaded", "loaded"]);

    // Where both are at work, the request waits for the first that ends, and new ones for that model wait behind it.
    let mut old = server.lines(CHAT, &endless("qwen2_tied"));
    old.next().unwrap();
    let mut new = server.lines(CHAT, &endless("qwen3"));
    new.next().unwrap();
    thread::scope(|scope| {
        let waiting = |model: &'static str| {
            let before = server.get("/health").ok()["waiting"].as_u64().unwrap();
            let asked = scope.spawn(|| server.post(CHAT, ask(model, &json!({}))));
            wait_until(&server, || server.get("/health").json["waiting"] == before + 1);
            asked
        };
        let other = waiting("qwen2_untied_sharded");
        let again = waiting("qwen2_tied");
        drop(old);
        other.join().unwrap().ok();
        // That one is idle now, and the first one returns.
        again.join().unwrap().ok();
    });
    assert!(new.next().unwrap().starts_with("data: {"));
    assert_eq!(states(&server), ["loaded", "unloaded", "loaded"]);
}

#[test]
fn a_full_queue_before_a_model_refuses() {
    let models = fixtures(&["qwen2_tied", "qwen2_untied_sharded"]);
    let options = ["--ctx", "32768", "--max-loaded", "1", "--parallel", "1", "--queue", "1"];
    let server = Server::several(&models, &options);
    let mut busy = server.lines(CHAT, &endless("qwen2_tied"));
    busy.next().unwrap();
    thread::scope(|scope| {
        let asked: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| server.post(CHAT, ask("qwen2_untied_sharded", &json!({})))))
            .collect();
        wait_until(&server, || server.get("/health").json["waiting"] == 2);
        let refused = server.post(CHAT, ask("qwen2_untied_sharded", &json!({})));
        assert!(refused.retry_after.is_some_and(|seconds| seconds > 0), "{refused:?}");
        refused.refused(429, None, Some("server_busy"));
        drop(busy);
        asked.into_iter().for_each(|asked| drop(asked.join().unwrap().ok()));
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_model_that_does_not_fit_beside_another_takes_its_place() {
    let home = Home::new();
    let script = format!("ulimit -v {}; exec \"$@\"", 2200 << 10);
    let models = fixtures(&["qwen2_tied", "qwen2_untied_sharded"]);
    // What the slots of each may take: almost a half of what there is.
    let serve = ["serve", &models[0], &models[1], "--port", "0", "--ctx", "32768"];
    let command = ["-c", &script, "bash", env!("CARGO_BIN_EXE_crane")];
    let parallel = ["--parallel", "40"];
    let server =
        Server::spawned(home.program("bash", [&command[..], &serve, &parallel].concat()), home);
    server.post(CHAT, ask("qwen2_tied", &json!({}))).ok();
    assert_eq!(states(&server), ["loaded", "unloaded"]);
    server.post(CHAT, ask("qwen2_untied_sharded", &json!({}))).ok();
    assert_eq!(states(&server), ["unloaded", "loaded"]);
    server.post(CHAT, ask("qwen2_tied", &json!({}))).ok();
    assert_eq!(states(&server), ["loaded", "unloaded"]);
}

#[test]
fn a_model_that_cannot_be_loaded_says_why() {
    let home = Home::new();
    let folder = fixture::copy("qwen2_untied_sharded", home.path());
    let models = [fixture::model("qwen2_tied"), folder.display().to_string()];
    let server = Server::several(&models, &["--ctx", "256"]);
    let file = folder.join("model-00001-of-00003.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let told = server.post(CHAT, ask("qwen2_untied_sharded", &json!({})));
    let told = told.refused(503, None, Some("model_not_loaded"));
    assert!(told.contains("model-00001-of-00003.safetensors"), "{told}");
    let listed = server.get("/v1/models/qwen2_untied_sharded").ok();
    assert_eq!(listed["state"], "failed");
    assert!(listed["reason"].as_str().unwrap().contains("model-00001-of-00003.safetensors"));
    assert_eq!(server.get("/ready").ok()["failed"], json!(["qwen2_untied_sharded"]));
    server.post(CHAT, ask("qwen2_tied", &json!({}))).ok();
    // It is tried anew.
    std::fs::write(&file, &bytes).unwrap();
    server.post(CHAT, ask("qwen2_untied_sharded", &json!({}))).ok();
    assert_eq!(states(&server), ["loaded", "loaded"]);
    assert!(server.get("/ready").ok().get("failed").is_none());
}

/// Copies of a checkpoint, each broken in its own way, with a word of what is said of it.
fn broken(home: &Home) -> Vec<(String, &'static str)> {
    let spoilt = |name: &str, file: &str, bytes: &[u8]| {
        let place = home.path().join(name);
        std::fs::create_dir(&place).unwrap();
        let folder = fixture::copy("qwen2_tied", &place);
        let renamed = place.join(name);
        std::fs::rename(folder, &renamed).unwrap();
        match bytes {
            [] => std::fs::remove_file(renamed.join(file)).unwrap(),
            bytes => std::fs::write(renamed.join(file), bytes).unwrap(),
        }
        renamed.display().to_string()
    };
    let config = br#"{"architectures": ["NoSuchModel"], "model_type": "none", "max_position_embeddings": 64}"#;
    vec![
        (spoilt("no-config", "config.json", &[]), "config.json"),
        (spoilt("bad-config", "config.json", b"{"), "config.json"),
        (spoilt("other-kind", "config.json", config), "NoSuchModel"),
        (spoilt("no-words", "tokenizer.json", &[]), "tokenizer"),
        (spoilt("bad-words", "tokenizer.json", b"[]"), "tokenizer"),
        (spoilt("no-weights", "model.safetensors", &[]), "safetensors"),
        (spoilt("bad-weights", "model.safetensors", b"nonsense"), "safetensors"),
    ]
}

#[test]
fn a_broken_model_does_not_keep_the_others_from_being_served() {
    let home = Home::new();
    let broken = broken(&home);
    let mut models: Vec<String> = broken.iter().map(|(path, _)| path.clone()).collect();
    models.insert(2, fixture::model("qwen2_tied"));
    for preload in [&[] as &[&str], &["--preload"]] {
        let options = ["--ctx", "128", "--alias", "m=qwen2_tied", "--alias", "b=bad-config"];
        let server = Server::several(&models, &[&options, preload].concat());
        server.post(CHAT, ask("m", &json!({}))).ok();
        // One that works needs no name.
        let mut nameless = ask("", &json!({}));
        nameless.as_object_mut().unwrap().remove("model");
        server.post(CHAT, nameless).ok();
        let failed: Vec<Value> =
            broken.iter().map(|(path, _)| path.rsplit('/').next().unwrap().into()).collect();
        assert_eq!(server.get("/ready").ok()["failed"], Value::from(failed.clone()));
        server.get("/health").ok();
        for ((_, part), name) in broken.iter().zip(&failed) {
            let name = name.as_str().unwrap();
            let listed = server.get(&format!("/v1/models/{name}")).ok();
            assert_eq!(listed["state"], "failed", "{name}");
            let reason = listed["reason"].as_str().unwrap();
            assert!(reason.contains(part), "{name}: {reason}");
            let tag = server.get("/api/tags").ok();
            let tags = tag["models"].as_array().unwrap();
            let tag = tags.iter().find(|tag| tag["name"] == name).unwrap();
            assert_eq!((&tag["state"], &tag["reason"]), (&listed["state"], &listed["reason"]));
            for path in [CHAT, "/v1/embeddings", "/v1/audio/speech"] {
                let mut body = ask(name, &json!({}));
                if path != CHAT {
                    body = json!({ "model": name, "input": "Hi." });
                }
                let told = server.post(path, body).refused(503, None, Some("model_not_loaded"));
                assert!(told.contains(part), "{name}: {told}");
            }
            let told = server.post("/api/chat", json!({ "model": name, "messages": [] }));
            assert_eq!(
                (told.status, told.json["error"].as_str().unwrap().contains(part)),
                (503, true)
            );
        }
        let alias = server.post(CHAT, ask("b", &json!({})));
        alias.refused(503, None, Some("model_not_loaded"));
        server.terminate();
        let told = server.ended().stderr;
        assert!(broken.iter().all(|(_, part)| told.contains(part)), "{told}");
    }
}

#[test]
fn a_broken_model_alone_is_an_error_at_the_start() {
    let home = Home::new();
    let broken = broken(&home);
    for (path, part) in &broken {
        let outcome = home.run(["serve", path, "--port", "0"]);
        assert!(outcome.code.is_some_and(|code| [1, 3].contains(&code)), "{outcome:?}");
        assert!(outcome.stderr.contains(part) && outcome.stdout.is_empty(), "{path}: {outcome:?}");
    }
    // So are several that are all broken.
    let all: Vec<&str> = broken.iter().map(|(path, _)| path.as_str()).collect();
    let outcome = home.run([&["serve", "--port", "0", "--preload"], &all[..]].concat());
    assert!(outcome.code.is_some_and(|code| [1, 3].contains(&code)), "{outcome:?}");
    assert!(outcome.stdout.is_empty() && outcome.stderr.contains(broken[0].1), "{outcome:?}");
}

#[test]
fn an_idle_model_gives_its_memory_back() {
    let Some(model) = weights("smollm2-135m-instruct-q4_1.gguf") else { return };
    let options = ["--ctx", "1024", "--keep-alive", "1s"];
    let server = Server::of(model.to_str().unwrap(), &options);
    // One alone is there from the beginning.
    let first = said(&server.post(CHAT, ask("m", &json!({}))).ok());
    let used = server.resident();
    wait_until(&server, || states(&server) == ["unloaded"]);
    let idle = server.resident();
    assert!(used > (100 << 20) && idle + (80 << 20) < used, "{used} bytes, then {idle}");
    server.get("/ready").ok();
    assert_eq!(said(&server.post(CHAT, ask("m", &json!({}))).ok()), first);
    assert_eq!(states(&server), ["loaded"]);
    // Whoever is slow is not idle.
    let body = ask("m", &json!({ "max_tokens": 900, "stream": true }));
    let mut lines = server.lines(CHAT, &body);
    lines.next().unwrap();
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(states(&server), ["loaded"]);
    assert_eq!(lines.last().as_deref(), Some("data: [DONE]"));
    wait_until(&server, || states(&server) == ["unloaded"]);
    println!("memory: {} MB in use, {} MB idle", used / 1_000_000, idle / 1_000_000);
}

#[test]
fn models_answer_side_by_side() {
    let Some(model) = weights("smollm2-135m-instruct-q4_1.gguf") else { return };
    let Some(voice) = weights("hibari/hibari.onnx") else { return };
    let voice = voice.parent().unwrap().display().to_string();
    let home = Home::new();
    let orpheus = home.path().join("orpheus");
    std::fs::create_dir_all(orpheus.join("snac_24khz")).unwrap();
    for (name, bytes) in orpheus::files() {
        std::fs::write(orpheus.join(name), bytes).unwrap();
    }
    let orpheus = orpheus.display().to_string();
    let models = [model.display().to_string(), fixture::model("qwen2_tied"), voice, orpheus];
    let server = Server::several(&models, &["--ctx", "8192", "--alias", "m=qwen2_tied"]);
    let smollm = "smollm2-135m-instruct-q4_1.gguf";
    let question = |model: &str| ask(model, &json!({ "max_tokens": 40 }));
    let alone: Vec<String> =
        [smollm, "m"].map(|model| said(&server.post(CHAT, question(model)).ok())).to_vec();
    assert_eq!(states(&server), ["loaded", "loaded", "unloaded", "unloaded"]);
    // A stream of each goes on while the others answer.
    let mut streams = ["m", smollm].map(|model| server.lines(CHAT, &endless(model)));
    streams.iter_mut().for_each(|stream| drop(stream.next().unwrap()));
    let say = |model: &str, voice: &str| {
        let body =
            json!({ "model": model, "voice": voice, "input": "Hi.", "response_format": "pcm" });
        let request = Server::agent().post(server.url("/v1/audio/speech"));
        let mut answer = request.send(body.to_string()).unwrap();
        assert_eq!(answer.status(), 200, "{model}");
        assert!(answer.body_mut().read_to_vec().unwrap().len() > 4000, "{model}");
    };
    thread::scope(|scope| {
        let asked: Vec<_> = [smollm, "m"]
            .into_iter()
            .map(|model| scope.spawn(move || question(model)))
            .map(|body| scope.spawn(|| server.post(CHAT, body.join().unwrap())))
            .collect();
        let among = asked.into_iter().map(|asked| said(&asked.join().unwrap().ok()));
        assert_eq!(among.collect::<Vec<_>>(), alone);
        scope.spawn(|| say("hibari", "heart"));
        say("orpheus", "tara");
    });
    assert_eq!(states(&server), ["loaded"; 4]);
    streams.iter_mut().for_each(|stream| assert!(stream.next().unwrap().starts_with("data: {")));
    let unknown = Some("model_not_found");
    let speech =
        |model: &str| server.post("/v1/audio/speech", json!({ "model": model, "input": "Hi." }));
    speech("m").refused(404, Some("model"), unknown);
    server.post(CHAT, ask("hibari", &json!({}))).refused(404, Some("model"), unknown);
    server.post("/v1/audio/speech", json!({ "input": "Hi." })).refused(
        400,
        Some("model"),
        Some("missing_required_parameter"),
    );
    let kinds = server.get("/v1/models").ok();
    assert_eq!(kinds["data"][4]["kind"], "speech");
}

#[test]
fn a_voice_alone_is_served_too() {
    let Some(voice) = weights("hibari/hibari.onnx") else { return };
    let server = Server::of(voice.parent().unwrap().to_str().unwrap(), &[]);
    assert_eq!(states(&server), ["loaded"]);
    server.get("/ready").ok();
    let agent = Server::agent();
    let answer = agent.post(server.url("/v1/audio/speech")).send(r#"{"input": "Hi."}"#).unwrap();
    assert_eq!(answer.status(), 200);
    server.post(TEXT, json!({ "prompt": "Hi" })).refused(
        404,
        Some("model"),
        Some("model_not_found"),
    );
}

#[test]
fn models_that_cannot_be_told_apart_are_usage_errors() {
    let home = Home::new();
    let (one, other) = (fixture::model("qwen2_tied"), fixture::model("qwen2_untied_sharded"));
    let copy = fixture::copy("qwen2_tied", home.path()).display().to_string();
    for (arguments, part) in [
        (&[one.as_str(), one.as_str()] as &[&str], "named twice"),
        (&[&one, &other, "--alias", "m"], "m=MODEL"),
        (&[&one, &other, "--alias", "m=qwen3"], "no model qwen3"),
        (&[&one, &other, "--alias", "qwen2_untied_sharded=qwen2_tied"], "taken"),
        (&[&one, &other, "--keep-alive", "soon"], "5m"),
        (&[&one, &other, "--max-loaded", "0"], "at least 1"),
        (&[&one, "/no/such/model"], "/no/such"),
    ] {
        let outcome = home.run([&["serve", "--port", "0"], arguments].concat());
        let code = if part.starts_with('/') { 3 } else { 2 };
        outcome.fails(code, &[part]);
    }
    // Folders of one name are told apart by what was typed.
    let server = Server::several(&[one, copy.clone()], &["--ctx", "128"]);
    server.post(CHAT, ask(&copy, &json!({}))).ok();
    assert_eq!(states(&server), ["unloaded", "loaded"]);
}
