//! Pages in a browser that ask, and names that lead here.

use serde_json::{Value, json};

use super::client::Server;
use super::{CHAT, TEXT, chat};

const JSON: &str = "content-type: application/json";

/// The status of an answer, and the code of its error.
fn ask(server: &Server, line: &str, headers: &[&str], body: &str) -> (u16, Option<String>) {
    let mut connection = server.connect();
    connection.ask(line, headers, body);
    let (status, _, body) = connection.answer();
    let json: Value = serde_json::from_str(&body).unwrap_or_default();
    (status, json["error"]["code"].as_str().map(str::to_owned))
}

fn question() -> String {
    chat("Hi", &json!({ "max_tokens": 1 })).to_string()
}

#[test]
fn a_page_of_another_origin_reaches_no_model() {
    let server = Server::fixture(&["--ctx", "128"]);
    let own = format!("origin: http://{}", server.host());
    let chat = format!("POST {CHAT}");
    let text = "content-type: text/plain";
    let origin = Some("origin_not_allowed".to_owned());
    for (headers, expected) in [
        (&["origin: https://evil.example", text] as &[&str], (403, origin.clone())),
        (&["origin: https://evil.example", JSON], (403, origin.clone())),
        (&["origin: null", JSON], (403, origin.clone())),
        (&["sec-fetch-site: cross-site", JSON], (403, origin.clone())),
        (&[&own, text], (403, Some("content_type_not_allowed".to_owned()))),
        (&[&own, JSON, "sec-fetch-site: same-origin"], (200, None)),
        // No browser says these.
        (&["content-type: application/x-www-form-urlencoded"], (200, None)),
        (&[], (200, None)),
    ] {
        assert_eq!(ask(&server, &chat, headers, &question()), expected, "{headers:?}");
    }
    // Every route is behind it, and one that is none, and each refuses in its own words.
    for line in
        ["GET /health", "GET /v1/models", "GET /openapi.json", "GET /nowhere", "POST /health"]
    {
        let told = ask(&server, line, &["origin: https://evil.example"], "");
        assert_eq!(told, (403, origin.clone()), "{line}");
    }
    let mut connection = server.connect();
    connection.ask("POST /v1/messages", &["origin: null", JSON], "{}");
    let (status, _, body) = connection.answer();
    assert!(
        status == 403 && body.contains("permission_error") && body.starts_with("{\"type\""),
        "{body}"
    );
    // A link to the documentation works from anywhere.
    let link =
        ["sec-fetch-site: cross-site", "sec-fetch-mode: navigate", "sec-fetch-dest: document"];
    assert_eq!(ask(&server, "GET /docs", &link, "").0, 200);
    assert_eq!(ask(&server, "GET /v1/models", &link, "").0, 403);
}

#[test]
fn a_name_that_leads_here_is_refused_unless_it_is_allowed() {
    let server = Server::fixture(&["--ctx", "128", "--allowed-hosts", "chat.example,*.lan"]);
    let port = server.host().rsplit(':').next().unwrap().to_owned();
    for (host, expected) in [
        (format!("localhost:{port}"), 200),
        ("127.0.0.1".to_owned(), 200),
        ("chat.example".to_owned(), 200),
        (format!("box.lan:{port}"), 200),
        (format!("rebind.example:{port}"), 403),
        ("localhost.rebind.example".to_owned(), 403),
        (String::new(), 403),
    ] {
        for line in ["GET /v1/models", "GET /health", "GET /metrics", "GET /docs"] {
            let (status, _) = ask(&server, line, &[&format!("host: {host}")], "");
            assert_eq!(status, expected, "{line} {host}");
        }
    }
    // Old programs name no host.
    let mut connection = server.connect();
    connection.say("GET /health HTTP/1.0\r\n\r\n");
    assert!(connection.rest().starts_with("HTTP/1.0 200"));
}

#[test]
fn a_page_that_is_named_may_ask_with_a_preflight() {
    let server =
        Server::fixture(&["--ctx", "128", "--cors", "https://a.example,http://localhost:3000"]);
    let preflight = |origin: &str| {
        let mut connection = server.connect();
        let wishes =
            ["access-control-request-method: POST", "access-control-request-headers: content-type"];
        let origin = format!("origin: {origin}");
        let headers = [&wishes[..], &[origin.as_str()]].concat();
        connection.ask(&format!("OPTIONS {CHAT}"), &headers, "");
        connection.answer()
    };
    for origin in ["https://a.example", "http://localhost:3000"] {
        let (status, head, _) = preflight(origin);
        assert_eq!(status, 200);
        assert!(head.contains(&format!("access-control-allow-origin: {origin}\r\n")), "{head}");
        assert!(head.contains("access-control-allow-headers: content-type"), "{head}");
        let asked = [&format!("origin: {origin}"), JSON, "sec-fetch-site: cross-site"];
        assert_eq!(ask(&server, &format!("POST {CHAT}"), &asked, &question()).0, 200);
        let plain = [&format!("origin: {origin}"), "content-type: text/plain"];
        assert_eq!(ask(&server, &format!("POST {CHAT}"), &plain, &question()).0, 403);
    }
    let (status, head, _) = preflight("https://b.example");
    assert_eq!((status, head.contains("access-control-allow-origin")), (403, false), "{head}");

    let all = Server::fixture(&["--ctx", "128", "--cors", "https://a.example,*"]);
    for origin in ["origin: https://b.example", "origin: null"] {
        assert_eq!(ask(&all, &format!("POST {CHAT}"), &[origin, JSON], &question()).0, 200);
    }
}

#[test]
fn a_refusal_names_the_scheme_of_a_key() {
    let server = Server::fixture(&["--ctx", "128", "--api-key", "sesame"]);
    let mut connection = server.connect();
    connection.ask("GET /v1/models", &[], "");
    let (status, head, _) = connection.answer();
    assert_eq!(status, 401);
    assert!(head.contains("www-authenticate: bearer\r\n"), "{head}");
}

#[test]
fn what_is_too_large_is_refused_before_it_is_sent() {
    let server = Server::fixture(&["--ctx", "128", "--max-body", "1"]);
    let code = "body_too_large";
    for (path, length) in [(TEXT, (1u64 << 20) + 1), (TEXT, 1 << 60), ("/v1/audio/speech", 1 << 18)]
    {
        let mut connection = server.connect();
        let length = format!("content-length: {length}");
        connection.ask(&format!("POST {path}"), &[&length, "expect: 100-continue"], "");
        let (status, head, body) = connection.answer();
        assert!(status == 413 && body.contains(code), "{path} {length}: {status} {body}");
        // The rest would be read as the next request.
        assert!(head.contains("connection: close\r\n"), "{head}");
        assert_eq!(connection.rest(), "");
    }
    // Whoever does not say how much comes is stopped where it is too much, and learns why though it goes on sending.
    let mut connection = server.connect();
    connection.ask(&format!("POST {TEXT}"), &["transfer-encoding: chunked"], "");
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..64 {
        if !connection.say(&chunk) {
            break;
        }
    }
    let (status, _, body) = connection.answer();
    assert!(status == 413 && body.contains(code), "{status} {body}");
}
