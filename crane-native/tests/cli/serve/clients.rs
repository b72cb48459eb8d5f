//! What common clients send with every request, and how conversations end.

use serde_json::{Value, json};

use super::client::Server;
use super::{CHAT, TEXT, chat, said};
use crate::fixture;
use crate::support::Home;

const RESPONSES: &str = "/v1/responses";
const MESSAGES: &str = "/v1/messages";
const TEMPLATE: &str = "/apply-template";

fn prompt(server: &Server, body: Value) -> String {
    server.post(TEMPLATE, body).ok()["prompt"].as_str().unwrap().to_owned()
}

#[test]
fn a_last_message_of_the_assistant_is_gone_on_with_in_every_dialect() {
    let server = Server::fixture(&["--ctx", "512"]);
    let messages = json!([{ "role": "user", "content": "Count" }, { "role": "assistant", "content": "1, 2," }]);
    let open = prompt(&server, json!({ "messages": messages }));
    assert!(open.ends_with("<|im_start|>assistant\n1, 2,"), "{open}");
    let options = json!({ "temperature": 0, "max_tokens": 6, "ignore_eos": true });
    let with = |body: Value| {
        let mut all = options.clone();
        all.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        all
    };
    let expected = server.post(TEXT, with(json!({ "prompt": open }))).ok();
    let expected = expected["choices"][0]["text"].as_str().unwrap().to_owned();
    assert_eq!(said(&server.post(CHAT, with(json!({ "messages": messages }))).ok()), expected);
    let answer = server.post(MESSAGES, with(json!({ "messages": messages }))).ok();
    assert_eq!(answer["content"][0]["text"], expected);
    let mut body = with(json!({ "input": messages, "max_output_tokens": 6 }));
    body.as_object_mut().unwrap().remove("max_tokens");
    let answer = server.post(RESPONSES, body).ok();
    assert_eq!(answer["output"][0]["content"][0]["text"], expected);
    let vllm = json!({ "messages": messages, "add_generation_prompt": false, "continue_final_message": true });
    assert_eq!(said(&server.post(CHAT, with(vllm)).ok()), expected);

    let closed = "1, 2,<|im_end|>\n<|im_start|>assistant\n";
    let new = json!({ "messages": messages, "add_generation_prompt": true });
    assert!(prompt(&server, new.clone()).ends_with(closed));
    assert_ne!(said(&server.post(CHAT, with(new)).ok()), expected);
    let both = json!({ "messages": messages, "add_generation_prompt": true, "continue_final_message": true });
    server.post(CHAT, both).refused(400, Some("continue_final_message"), Some("invalid_value"));

    // With what is there already the reply has the form; what is no beginning of one is told.
    let schema =
        json!({ "type": "array", "items": { "enum": [1, 2] }, "minItems": 2, "maxItems": 2 });
    let form = json!({ "type": "json_schema", "json_schema": { "schema": schema } });
    let list = |begin: &str| {
        let messages = json!([{ "role": "user", "content": "Count" }, { "role": "assistant", "content": begin }]);
        json!({ "messages": messages, "response_format": form })
    };
    let text = said(&server.post(CHAT, list("[2, ")).ok());
    assert!(["1]", "2]"].contains(&text.as_str()), "{text}");
    let param = Some("response_format.json_schema.schema");
    let told = server.post(CHAT, list("Here: ")).refused(400, param, Some("invalid_value"));
    assert!(told.contains("add_generation_prompt"), "{told}");
}

#[test]
fn fields_of_the_published_schemas_are_known_at_every_level() {
    let server = Server::fixture(&["--ctx", "512"]);
    let breakpoint = json!({ "mode": "explicit" });
    let messages = json!([
        { "role": "system", "content": "Be brief.", "name": "rules" },
        { "role": "user", "content": [
            { "type": "text", "text": "2+2?", "prompt_cache_breakpoint": breakpoint, "cache_control": { "type": "ephemeral" } }
        ], "name": "bob", "id": "m1" },
        { "role": "assistant", "content": "4", "refusal": null, "audio": null, "tool_calls": [], "function_call": null,
          "annotations": [{ "type": "url_citation" }], "name": "bot" },
        { "role": "user", "content": "Why?", "tool_calls": [] },
        { "role": "assistant", "content": null, "refusal": "I would rather not." },
        { "role": "assistant", "content": [{ "type": "refusal", "refusal": "No." }, { "type": "text", "text": "Sorry." }] },
        { "role": "user", "content": "x" },
    ]);
    let text = prompt(&server, json!({ "messages": messages }));
    for part in ["Be brief.", "2+2?", "I would rather not.", "No.Sorry."] {
        assert!(text.contains(part), "{text}");
    }
    let input = json!([
        { "type": "message", "id": "i", "status": "completed", "role": "user", "phase": null,
          "content": [{ "type": "input_text", "text": "Hi", "prompt_cache_breakpoint": breakpoint }] },
        { "type": "reasoning", "id": "r", "summary": [{ "type": "summary_text", "text": "hm" }], "encrypted_content": "x" },
        { "type": "message", "role": "assistant", "phase": "final_answer", "content": [
            { "type": "output_text", "text": "Ho", "annotations": [], "logprobs": [] }, { "type": "refusal", "refusal": "No." }] },
        { "role": "user", "content": "x" },
    ]);
    let body = json!({ "input": input, "max_output_tokens": 1, "prompt_cache_key": "k",
        "prompt_cache_retention": "24h", "reasoning": { "effort": "none" } });
    server.post(RESPONSES, body).ok();
    let messages = json!([
        { "role": "user", "content": "Hi" },
        { "role": "assistant", "content": [
            { "type": "thinking", "thinking": "hm", "signature": "s" }, { "type": "redacted_thinking", "data": "x" },
            { "type": "text", "text": "Ho", "citations": null, "cache_control": null }] },
        { "role": "user", "content": "x" },
    ]);
    server.post(MESSAGES, json!({ "messages": messages, "max_tokens": 1 })).ok();
    // What a role does not have is told.
    let calls =
        json!([{ "id": "c", "type": "function", "function": { "name": "f", "arguments": "{}" } }]);
    let body = json!({ "messages": [{ "role": "user", "content": "x", "tool_calls": calls }] });
    server.post(CHAT, body).refused(400, Some("messages[0].tool_calls"), Some("invalid_value"));
}

#[test]
fn unknown_fields_at_every_level_reach_the_template_or_are_ignored_once() {
    let home = Home::new();
    let folder = fixture::copy("qwen2_tied", &home.path().join("model"));
    let model = folder.display().to_string();
    let template = "{% for m in messages %}[{{ m.role }}{{ m.reasoning_content }}] {{ m.content }}{% endfor %}";
    let messages = |more: Value| {
        let mut last = json!({ "role": "user", "content": "x" });
        last.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "messages": [{ "role": "assistant", "content": "4", "reasoning_content": "sum" }, last] })
    };
    let strict = Server::of(&model, &["--ctx", "128", "--chat-template", template]);
    assert_eq!(prompt(&strict, messages(json!({}))), "[assistantsum] 4[user] x");
    let unknown = Some("unknown_parameter");
    strict.post(TEMPLATE, messages(json!({ "mood": 1 }))).refused(
        400,
        Some("messages[1].mood"),
        unknown,
    );
    let tool = json!({ "type": "function", "function": { "name": "f" }, "odd": 1 });
    let body = json!({ "messages": [{ "role": "user", "content": "x" }], "tools": [tool] });
    strict.post(TEMPLATE, &body).refused(400, Some("tools[0].odd"), unknown);

    let lenient = Server::of(&model, &["--ctx", "128", "--lenient"]);
    for _ in 0..2 {
        let part =
            json!({ "content": [{ "type": "text", "text": "x", "colour": "red" }], "mood": 1 });
        assert!(prompt(&lenient, messages(part)).contains("4<|im_end|>"));
    }
    let fields = json!({ "store": true, "reasoning_effort": "high", "stream": true, "max_tokens": 1,
        "stream_options": { "include_usage": true, "odd": 1 }, "response_format": { "type": "text", "odd": 1 } });
    lenient.chunks(CHAT, &chat("Hello", &fields));
    // What would be another answer is refused all the same.
    let other = json!({ "functions": [{}] });
    lenient.post(CHAT, chat("x", &other)).refused(
        400,
        Some("functions"),
        Some("unsupported_parameter"),
    );
    lenient.terminate();
    let stderr = lenient.ended().stderr;
    for name in [
        "messages[].reasoning_content",
        "messages[].mood",
        "messages[].content[].colour",
        " store,",
        "reasoning_effort",
        "stream_options.odd",
        "response_format.odd",
    ] {
        assert_eq!(stderr.matches(name).count(), 1, "{name}: {stderr}");
    }
}

#[test]
fn what_clients_always_send_is_answered() {
    let server = Server::fixture(&["--ctx", "256"]);
    for fields in [
        // Open WebUI, LiteLLM
        json!({ "seed": -1, "top_k": -1, "repeat_last_n": -1, "stop": "", "max_tokens": -1, "min_p": 0 }),
        // The Vercel AI SDK, LangChain
        json!({ "parallel_tool_calls": false, "tool_choice": "auto", "prompt_cache_key": "k", "user": "u" }),
        // Continue, Cline
        json!({ "reasoning_effort": "none", "stop": ["", "\n\n"], "repeat_last_n": 0, "repeat_penalty": 1.3 }),
    ] {
        let mut fields = fields;
        if fields["max_tokens"].is_null() {
            fields["max_tokens"] = 2.into();
        }
        server.post(CHAT, chat("Hello", &fields)).ok();
    }
    let ask = |fields: Value| {
        let mut body = json!({ "temperature": 2, "max_tokens": 16, "ignore_eos": true });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        said(&server.post(CHAT, chat("Hello", &body)).ok())
    };
    assert_ne!(ask(json!({ "seed": -1 })), ask(json!({ "seed": -1 })));
    assert_eq!(ask(json!({ "seed": -5 })), ask(json!({ "seed": -5 })));
    let off = json!({ "seed": 5, "repeat_penalty": 9, "repeat_last_n": 0 });
    assert_eq!(ask(off), ask(json!({ "seed": 5 })));
    let all = json!({ "seed": 5, "repeat_penalty": 9, "repeat_last_n": -1 });
    assert_ne!(ask(all), ask(json!({ "seed": 5 })));
    let high = json!({ "reasoning_effort": "high" });
    let told = server.post(CHAT, chat("x", &high)).refused(
        400,
        Some("reasoning_effort"),
        Some("unsupported_parameter"),
    );
    assert!(told.contains("template"), "{told}");
}
