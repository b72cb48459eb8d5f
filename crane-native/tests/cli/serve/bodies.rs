//! Bodies of requests as they come: with a mark of their encoding, compressed, in another encoding, of another form.

use serde_json::json;

use super::client::{Answer, Server};
use super::{CHAT, chat, said};

/// Posts these bytes, which say that they are encoded so.
fn post(server: &Server, encoding: &str, bytes: &[u8]) -> Answer {
    let request = Server::agent().post(server.url(CHAT)).header("content-type", "application/json");
    let request = match encoding {
        "" => request,
        encoding => request.header("content-encoding", encoding),
    };
    Answer::of(request.send(bytes).unwrap())
}

#[test]
fn a_body_is_json_however_it_is_marked_and_else_it_is_said_what_it_is() {
    let server = Server::fixture(&["--ctx", "256"]);
    let question = chat("Hello", &json!({ "temperature": 0, "max_tokens": 4 })).to_string();
    let plain = said(&post(&server, "", question.as_bytes()).ok());
    let marked = format!("\u{feff}{question}");
    for encoding in ["", "identity"] {
        assert_eq!(said(&post(&server, encoding, marked.as_bytes()).ok()), plain);
    }
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\x02\xff\xab\xae\x05\0C\xbf\xa6\xa3\x02\0\0\0";
    let wide: Vec<u8> = marked.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (encoding, body, status, told) in [
        ("gzip", &gzip[..], 415, "compressed (Content-Encoding: gzip)"),
        ("br", b"{}", 415, "compressed (Content-Encoding: br)"),
        ("", gzip, 400, "compressed (gzip)"),
        ("", &wide, 400, "UTF-16"),
        ("", b"{\"model\": \"caf\xe9\"}", 400, "not UTF-8"),
        ("", b"", 400, "empty"),
        ("", b"model=m", 400, "not JSON"),
    ] {
        let answer = post(&server, encoding, body);
        let code = (status == 415).then_some("unsupported_encoding");
        let message = answer.refused(status, None, code);
        assert!(message.contains(told), "{message}");
    }
    // The range is told in numbers that people read.
    for (field, value, range) in [
        ("repeat_penalty", 0.0, "above 0"),
        ("typical_p", 0.0, "above 0, up to 1"),
        ("top_p", 2.0, "from 0 to 1"),
    ] {
        let answer = server.post(CHAT, chat("Hello", &json!({ field: value })));
        let message = answer.refused(400, Some(field), Some("invalid_value"));
        assert!(message.contains(range), "{message}");
    }
}
