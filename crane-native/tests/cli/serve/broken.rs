//! A model whose numbers are not finite: each request that meets them is told so, and the server goes on.

use serde_json::json;

use super::client::Server;
use super::{CHAT, TEXT, chat};
use crate::fixture::{copy, overflow};
use crate::support::Home;

#[test]
fn numbers_that_overflow_are_an_error_of_the_request() {
    let home = Home::new();
    let folder = copy("qwen2_tied", home.path());
    overflow(&folder, 2);
    let server = Server::of(&folder.display().to_string(), &["--ctx", "256"]);
    let told = |message: String| {
        assert!(message.contains("layer 2 of the model"), "{message}");
    };
    for _ in 0..2 {
        told(
            server.post(CHAT, chat("Hello", &json!({ "max_tokens": 4 }))).refused(500, None, None),
        );
        let text = json!({ "model": "m", "prompt": [1, 2, 3], "max_tokens": 4, "logprobs": 2 });
        told(server.post(TEXT, text).refused(500, None, None));
        let vector = json!({ "model": "m", "input": "Hello" });
        told(server.post("/v1/embeddings", vector).refused(500, None, None));
    }
    let lines = server.lines(CHAT, &chat("Hello", &json!({ "max_tokens": 4, "stream": true })));
    assert!(lines.last().unwrap().contains("layer 2 of the model"));
    assert_eq!(server.get("/health").json["running"], 0);
}
