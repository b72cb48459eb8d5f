//! Many connections, slow ones, and those that say nothing.

use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{Connection, Server};
use super::{CHAT, TEXT, chat};
use crate::fixture;
use crate::support::Home;

fn is_healthy(connection: &mut Connection) -> bool {
    connection.ask("GET /health", &[], "") && connection.answer().0 == 200
}

#[track_caller]
fn wait_until(happens: impl Fn() -> bool) {
    let start = Instant::now();
    while !happens() {
        assert!(start.elapsed() < Duration::from_secs(60), "it does not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_longest_idle_connection_makes_room_for_a_new_one() {
    let server = Server::fixture(&["--ctx", "32768", "--max-connections", "8"]);
    // One that is at work stays, however old it is.
    let body = chat("Go", &json!({ "max_tokens": 30000, "ignore_eos": true, "stream": true }));
    let mut lines = server.lines(CHAT, &body);
    lines.next().unwrap();
    let mut silent: Vec<Connection> = Vec::new();
    for index in 0..40 {
        let mut connection = server.connect();
        if index % 3 == 0 {
            connection.say("GET /health HTTP/1.1\r\nhost: loc");
        } else if index % 3 == 1 {
            assert!(is_healthy(&mut connection));
        }
        silent.push(connection);
    }
    assert!(is_healthy(&mut server.connect()));
    let open = || silent.iter().filter(|connection| !connection.is_over()).count();
    wait_until(|| open() < 8);
    // The youngest are those that stay.
    assert!(silent[..30].iter().all(Connection::is_over) && open() >= 5, "{}", open());
    assert!(lines.next().unwrap().starts_with("data: {"));
}

#[cfg(target_os = "linux")]
#[test]
fn who_has_many_connections_closes_none_of_others() {
    let server = Server::fixture(&["--ctx", "128", "--max-connections", "6"]);
    let mut other = server.connect_from("127.0.0.2");
    assert!(is_healthy(&mut other));
    let many: Vec<Connection> = (0..30).map(|_| server.connect()).collect();
    assert!(is_healthy(&mut server.connect()));
    wait_until(|| many.iter().filter(|connection| !connection.is_over()).count() < 6);
    assert!(is_healthy(&mut other));
}

#[test]
fn a_client_that_keeps_the_server_waiting_is_left() {
    let server = Server::fixture(&["--ctx", "128", "--read-timeout", "1", "--idle-timeout", "1"]);
    let start = Instant::now();
    let mut silent = server.connect();
    let mut head = server.connect();
    head.say("GET /health HTTP/1.1\r\nhost: loc");
    let mut idle = server.connect();
    assert!(is_healthy(&mut idle));
    let mut next = server.connect();
    assert!(is_healthy(&mut next));
    next.say("GET /hea");
    for connection in [&mut silent, &mut head, &mut idle, &mut next] {
        assert_eq!(connection.rest(), "");
    }
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
    // Bytes that drip do not put it off.
    let mut slow = server.connect();
    while !slow.is_over() {
        slow.say("x");
        std::thread::sleep(Duration::from_millis(100));
        assert!(start.elapsed() < Duration::from_secs(60));
    }
    // Of a body, what is missing is told.
    for path in [TEXT, "/tokenize"] {
        let mut body = server.connect();
        body.ask(&format!("POST {path}"), &["content-length: 100"], "");
        body.say("{\"prompt\": ");
        let (status, head, told) = body.answer();
        assert!(status == 408 && told.contains("body_timeout"), "{status} {told}");
        assert!(
            told.contains("--read-timeout") && head.contains("connection: close"),
            "{head}{told}"
        );
    }
    // One that comes slowly is read to its end.
    let mut body = server.connect();
    let text = r#"{"content": "Hello"}"#;
    body.ask("POST /tokenize", &[&format!("content-length: {}", text.len())], "");
    for byte in text.as_bytes().chunks(4) {
        std::thread::sleep(Duration::from_millis(400));
        body.say(byte);
    }
    assert_eq!(body.answer().0, 200);
}

#[test]
fn clients_that_say_nothing_do_not_put_off_the_end() {
    let server = Server::fixture(&["--ctx", "128", "--drain", "200"]);
    let mut silent = server.connect();
    let mut head = server.connect();
    head.say("GET /health HTTP/1.1\r\nhost: loc");
    let mut idle = server.connect();
    assert!(is_healthy(&mut idle));
    let mut body = server.connect();
    body.ask(&format!("POST {TEXT}"), &["content-length: 100"], "");
    // Accepted after the others.
    assert!(is_healthy(&mut server.connect()));
    let start = Instant::now();
    server.terminate();
    assert_eq!(server.ended().code, Some(0));
    // The limits of time are 30 s and more.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    for connection in [&mut silent, &mut head, &mut idle, &mut body] {
        assert_eq!(connection.rest(), "");
    }
}

/// A server that may open so many files, as a soft and as a hard limit.
#[cfg(target_os = "linux")]
fn limited(soft: u32, hard: u32, arguments: &[&str]) -> Server {
    let home = Home::new();
    let script = format!("ulimit -Sn {soft}; ulimit -Hn {hard}; exec \"$@\"");
    let model = fixture::model("qwen2_tied");
    let command = ["-c", &script, "bash", env!("CARGO_BIN_EXE_crane"), "serve", &model];
    let serve = ["--port", "0", "--ctx", "128"];
    Server::spawned(home.program("bash", [&command[..], &serve, arguments].concat()), home)
}

#[cfg(target_os = "linux")]
#[test]
fn connections_are_as_many_as_files_can_be_opened() {
    // The soft limit is raised.
    let server = limited(80, 400, &["--max-connections", "200"]);
    let mut many: Vec<Connection> = (0..150).map(|_| server.connect()).collect();
    assert!(many.iter_mut().all(is_healthy));

    let server = limited(80, 120, &["--max-connections", "200"]);
    let many: Vec<Connection> = (0..150).map(|_| server.connect()).collect();
    assert!(is_healthy(&mut server.connect()));
    drop(many);
    server.terminate();
    let told = server.ended().stderr;
    assert!(told.contains("120 files") && told.contains("--max-connections"), "{told}");
    assert!(!told.contains("could not be taken"), "{told}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_that_runs_out_of_files_says_so_and_goes_on() {
    let server = limited(400, 400, &["--max-connections", "200"]);
    let id = server.id().to_string();
    let limit = ["--pid", &id, "--nofile=40:40"];
    let Ok(status) = std::process::Command::new("prlimit").args(limit).status() else { return };
    assert!(status.success());
    let many: Vec<Connection> = (0..100).map(|_| server.connect()).collect();
    assert!(is_healthy(&mut server.connect()));
    drop(many);
    server.terminate();
    let told = server.ended().stderr;
    // However often it happens.
    assert_eq!(told.matches("could not be taken").count(), 1, "{told}");
}
