//! Chats remember, pipelines answer, streamers write.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod generate_support;

use std::io;

use crane_sdk::Error;
use crane_sdk::generate::{CancelToken, FinishReason};
use crane_sdk::pipeline::{
    AutoModelForCausalLM, AutoTokenizer, Chat, Task, TextStreamer, pipeline,
};
use crane_sdk::text::Message;
use generate_support::folder;

fn chat() -> Chat {
    let mut chat = Chat::from_source(&folder("qwen2_tied")).unwrap();
    chat.config.max_new_tokens = Some(6);
    chat.config.ignore_eos = true;
    chat
}

fn roles(chat: &Chat) -> Vec<&str> {
    chat.messages().iter().map(|message| message.role.as_str()).collect()
}

#[test]
fn a_chat_remembers_and_evaluates_what_was_said_once() {
    let mut chat = chat().with_system("Be brief.");
    let first = chat.send("Hello!").unwrap().complete().unwrap();
    assert_eq!(first.ids.len(), 6);
    assert_eq!(roles(&chat), ["system", "user", "assistant"]);
    assert_eq!(chat.messages()[2].text(), first.text);
    assert_eq!(first.stats.cached_tokens, 0);
    let second = chat.send("And now?").unwrap().complete().unwrap();
    assert!(second.stats.cached_tokens >= first.stats.prompt_tokens);

    // The same history in a fresh chat gives the same reply.
    let saved: Vec<Message> = chat.messages()[..4].to_vec();
    let mut fresh = self::chat();
    fresh.set_messages(saved[..3].to_vec());
    let again = fresh.send("And now?").unwrap().complete().unwrap();
    assert_eq!(again.ids, second.ids);
    assert_eq!(fresh.messages(), chat.messages());

    fresh.clear();
    assert_eq!(roles(&fresh), ["system"]);
    fresh.set_system(None);
    assert!(fresh.messages().is_empty());
    fresh.load_json(&chat.to_json().unwrap()).unwrap();
    assert_eq!(fresh.messages(), chat.messages());
    assert!(fresh.load_json("{}").is_err());
    assert_eq!(fresh.messages(), chat.messages());
}

#[test]
fn a_reply_is_kept_as_far_as_it_was_said() {
    let whole = chat().send("Hello!").unwrap().complete().unwrap();

    let mut dropped = chat();
    let mut said = String::new();
    for piece in dropped.send("Hello!").unwrap().take(3) {
        said.push_str(&piece.unwrap().text);
    }
    assert_eq!(roles(&dropped), ["user", "assistant"]);
    let kept = dropped.messages()[1].text();
    assert!(kept.starts_with(&said) && whole.text.starts_with(&said), "{kept:?}");

    let mut cancelled = chat();
    let cancel = CancelToken::new();
    cancel.cancel();
    let reply = cancelled.send_message(Message::user("Hello!"), &cancel).unwrap();
    assert_eq!(reply.complete().unwrap().finish_reason, FinishReason::Cancelled);
    assert_eq!(roles(&cancelled), ["user", "assistant"]);
    assert_eq!(cancelled.messages()[1].text(), "");
    // The next turn goes on.
    let next = cancelled.send("Again?").unwrap().complete().unwrap();
    assert_eq!(next.finish_reason, FinishReason::Length);
}

#[test]
fn what_fails_to_begin_is_not_remembered() {
    let source = folder("qwen2_tied");
    let tokenizer = AutoTokenizer::from_source(&source).unwrap();
    let model = AutoModelForCausalLM::builder(&source).context(16).load().unwrap();
    let config = chat().config;
    let mut small = Chat::new(&model, tokenizer, config).unwrap();
    let error = small.send("This is far too long for so small a window.").unwrap_err();
    assert!(matches!(error, Error::ContextOverflow { context: 16, .. }), "{error}");
    assert!(small.messages().is_empty());
    let refused = AutoModelForCausalLM::builder(&source).context(1 << 30).load().unwrap_err();
    assert!(refused.to_string().starts_with("context:"), "{refused}");

    let mut plain = Chat::from_source(&folder("llama32")).unwrap();
    if plain.tokenizer().chat_template().is_none() {
        assert!(matches!(plain.send("Hi").unwrap_err(), Error::Unsupported { .. }));
        assert!(plain.messages().is_empty());
    }
}

#[test]
fn a_pipeline_takes_text_messages_and_ids() {
    let mut pipe = pipeline(Task::TextGeneration, &folder("qwen2_tied")).unwrap();
    pipe.config.max_new_tokens = Some(5);
    let text = pipe.run("The quick brown fox").unwrap();
    let ids = pipe.tokenizer().encode("The quick brown fox", true).unwrap();
    assert_eq!(pipe.run(ids).unwrap().ids, text.ids);
    let answer = pipe.run(vec![Message::user("Hello!")]).unwrap();
    let chat = self::chat().send("Hello!").unwrap().complete().unwrap();
    let same = answer.ids.len().min(chat.ids.len());
    assert_eq!(answer.ids[..same], chat.ids[..same]);
}

/// Takes a few bytes and then fails, as a pipe that is closed.
struct Closing(usize);

impl io::Write for Closing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_streamer_writes_what_is_said() {
    let mut chat = chat();
    let mut written = Vec::new();
    let mut streamer = TextStreamer::new(&mut written);
    let mut reply = chat.send("Hello!").unwrap();
    streamer.stream(&mut reply).unwrap();
    streamer.finish().unwrap();
    let output = reply.finish();
    assert_eq!(String::from_utf8(written).unwrap(), output.text);

    let mut said = String::new();
    let mut streamer = TextStreamer::from_fn(|text| said.push_str(text));
    streamer.stream(chat.send("More!").unwrap()).unwrap();
    drop(streamer);
    assert_eq!(said, chat.messages()[3].text());

    let mut streamer = TextStreamer::new(Closing(0));
    let mut reply = chat.send("Even more!").unwrap();
    streamer.stream(&mut reply).unwrap();
    let output = reply.finish();
    if !output.text.is_empty() {
        assert_eq!(output.finish_reason, FinishReason::Cancelled);
        assert_eq!(streamer.finish().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
