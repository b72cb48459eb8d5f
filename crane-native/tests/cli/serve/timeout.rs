//! Requests that take too long, wherever they spend their time.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::Server;
use super::{CHAT, chat};
use crate::fixture;
use crate::reference::weights;

/// How long a test's requests may take.
const LIMIT: Duration = Duration::from_secs(2);

fn endless(stream: bool) -> Value {
    chat("Go on", &json!({ "max_tokens": 32000, "ignore_eos": true, "stream": stream }))
}

/// What takes about as long as it may.
#[track_caller]
fn about_the_limit<T>(work: impl FnOnce() -> T) -> T {
    about(LIMIT, work)
}

#[track_caller]
fn about<T>(limit: Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    let took = start.elapsed();
    assert!(took >= limit - Duration::from_millis(100), "{took:?}");
    assert!(took < 4 * limit, "{took:?}");
    done
}

#[test]
fn a_request_that_takes_too_long_is_given_up() {
    let server = Server::fixture(&["--ctx", "32768", "--parallel", "1", "--timeout", "2"]);
    let late = || server.post(CHAT, endless(false)).refused(504, None, Some("timeout"));
    assert!(about_the_limit(late).contains("--timeout"));
    server.wait_for_running(0);

    // A stream ends with an error.
    let lines = about_the_limit(|| server.lines(CHAT, &endless(true)).collect::<Vec<_>>());
    assert!(lines.len() > 10);
    let last: Value =
        serde_json::from_str(lines.last().unwrap().trim_start_matches("data: ")).unwrap();
    assert_eq!(
        (&last["error"]["code"], &last["error"]["type"]),
        (&json!("timeout"), &json!("timeout_error"))
    );
    server.wait_for_running(0);

    // Who has waited in the queue is given up there, and both at the same time.
    thread::scope(|scope| {
        let asked: Vec<_> = (0..2).map(|_| scope.spawn(|| about_the_limit(late))).collect();
        asked.into_iter().for_each(|asked| drop(asked.join().unwrap()));
    });
    server.wait_for_running(0);
    assert_eq!(server.get("/health").ok()["waiting"], 0);

    let mut message = endless(false);
    message["messages"] = json!([{ "role": "user", "content": "Go on" }]);
    let told = server.post("/v1/messages", &message);
    assert_eq!((told.status, &told.json["error"]["type"]), (504, &json!("timeout_error")));
    message["stream"] = true.into();
    let last = server.lines("/v1/messages", &message).last().unwrap();
    assert!(last.contains("timeout_error"), "{last}");

    let mut metrics = Server::agent().get(server.url("/metrics")).call().unwrap();
    let metrics = metrics.body_mut().read_to_string().unwrap();
    for line in [
        "crane_requests_timed_out_total{path=\"/v1/chat/completions\"} 4",
        "crane_requests_timed_out_total{path=\"/v1/messages\"} 2",
    ] {
        assert!(metrics.lines().any(|told| told == line), "{line}: {metrics}");
    }
    // What is fast enough is answered.
    server.post(CHAT, chat("Hi", &json!({ "max_tokens": 4 }))).ok();
}

#[test]
fn who_waits_for_a_model_is_given_up_too() {
    let models = ["qwen2_tied", "qwen2_untied_sharded"].map(fixture::model);
    let arguments = ["--ctx", "32768", "--max-loaded", "1", "--timeout", "2"];
    let server = Server::several(&models, &arguments);
    let mut body = endless(true);
    body["model"] = "qwen2_tied".into();
    let mut lines = server.lines(CHAT, &body);
    lines.next().unwrap();
    thread::sleep(Duration::from_secs(1));
    body["model"] = "qwen2_untied_sharded".into();
    // It gets the place of the other one when that is given up, and a second of its own.
    let late = server.lines(CHAT, &body);
    assert!(late.last().unwrap().contains("timeout"));
    assert!(lines.last().unwrap().contains("timeout"));
}

#[test]
fn sound_that_takes_too_long_is_cut() {
    let Some(voice) = weights("hibari/hibari.onnx") else { return };
    let voice = voice.parent().unwrap().to_str().unwrap().to_owned();
    let server = Server::fixture(&["--ctx", "128", "--timeout", "1", "--speech", &voice]);
    let limit = Duration::from_secs(1);
    let text = "This goes on and on. ".repeat(190);
    let say = |format: &str| {
        let body = json!({ "input": text, "speed": 0.5, "response_format": format });
        Server::agent().post(server.url("/v1/audio/speech")).send(body.to_string()).unwrap()
    };
    let cut = about(limit, || {
        let mut answer = say("pcm");
        assert_eq!(answer.status(), 200);
        std::io::copy(&mut answer.body_mut().as_reader(), &mut std::io::sink())
    });
    assert!(cut.is_err());
    // Nobody speaks any longer, so that the next text has its whole time.
    let mut whole = about(limit, || say("flac"));
    assert_eq!(whole.status(), 504);
    assert!(whole.body_mut().read_to_string().unwrap().contains("timeout"));
}
