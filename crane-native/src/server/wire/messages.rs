//! A conversation, and whether the model's template lets the model read all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crane_sdk::generate::CancelToken;
use crane_sdk::text::{ChatTemplate, Content, Message, RenderOptions, RenderedChat, Tokenizer};
use serde_json::{Map, Value};

use super::ApiError;
use super::ending::Ending;
use super::fields::{Fields, placeless, unknown, wrong_type};
use super::past_calls::{older_call, tool_calls};
use super::thinking::Effort;
use crate::server::lengths::go_on;

/// The speakers of OpenAI's API; `function` is the older name of `tool`.
const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];
/// The most messages of a conversation.
const MOST: usize = 8192;
/// The most variables that a request gives to the template, and the most names of further fields in its messages.
const MOST_EXTRA: usize = 64;
/// What the assistant thought before: templates leave it out, as a rule.
pub(super) const THOUGHTS: &str = "reasoning_content";

/// What a chat template is given.
#[derive(Debug, Default)]
pub struct Conversation {
    /// What was said.
    pub messages: Vec<Message>,
    /// The tools that the template shows to the model.
    pub tools: Option<Vec<Value>>,
    /// The template's further variables.
    pub extra: Map<String, Value>,
    /// The request's field that holds the messages, for errors.
    pub param: &'static str,
    /// How the prompt ends.
    pub ending: Ending,
    /// How much the model should think.
    pub effort: Option<Effort>,
    /// Where messages have fields that only a template may know: their numbers, and their places in the request.
    pub further: Vec<(usize, String)>,
    /// Whether fields that nobody knows are ignored.
    pub lenient: bool,
}

/// A conversation as the model reads it.
#[derive(Debug)]
pub struct Rendered {
    /// The prompt.
    pub chat: RenderedChat,
    /// The names of fields that had no effect.
    pub ignored: Vec<String>,
    /// The text that the reply goes on with, if it does.
    pub goes_on: Option<String>,
}

impl Conversation {
    /// Of these messages, with the fields that all dialects share: `chat_template_kwargs`, and those of `Ending`.
    ///
    /// # Errors
    /// That there is no message, or that a field has the wrong type.
    pub fn new(
        fields: &mut Fields,
        messages: Vec<Message>,
        further: Vec<(usize, String)>,
        param: &'static str,
    ) -> Result<Self, ApiError> {
        if messages.is_empty() {
            return Err(ApiError::value(param, "says nothing: there is nothing to answer"));
        }
        Ok(Self {
            messages,
            tools: None,
            extra: fields.object("chat_template_kwargs")?.unwrap_or_default(),
            param,
            ending: Ending::take(fields)?,
            effort: None,
            further,
            lenient: fields.is_lenient(),
        })
    }

    /// Takes `messages` and what says how they are rendered.
    ///
    /// # Errors
    /// What is wrong with a message, by its place.
    pub fn take(fields: &mut Fields) -> Result<Self, ApiError> {
        let list = match fields.required("messages")? {
            Value::Array(list) => list,
            other => return Err(wrong_type("messages", "a list", &other)),
        };
        if list.is_empty() {
            return Err(ApiError::value("messages", "is empty: there is nothing to answer"));
        }
        check_count("messages", list.len())?;
        let (mut messages, mut further) = (Vec::new(), Vec::new());
        for (index, value) in list.into_iter().enumerate() {
            let path = format!("messages[{index}]");
            let message = message(fields, &path, value)?;
            if !message.extra.is_empty() {
                further.push((index, path));
            }
            messages.push(message);
        }
        Self::new(fields, messages, further, "messages")
    }

    /// Writes the conversation as a prompt, for which the template has so much time; with a tokenizer, the control tokens that
    /// messages spell out count for nothing.
    ///
    /// # Errors
    /// The template's own words, or what of the conversation it would leave out; that it was cancelled, which nobody reads.
    pub fn render(
        &self,
        template: &ChatTemplate,
        guard: Option<&Tokenizer>,
        time_limit: Duration,
        cancel: &CancelToken,
    ) -> Result<Rendered, ApiError> {
        if self.extra.len() > MOST_EXTRA {
            let count = self.extra.len();
            let reason = format_args!("has {count} variables; at most {MOST_EXTRA} are taken");
            return Err(ApiError::value("chat_template_kwargs", reason));
        }
        let known = |name: &str| template.texts().any(|(_, text)| text.contains(name));
        if let Some(name) = self.extra.keys().find(|name| !known(name)) {
            let param = format_args!("chat_template_kwargs.{name}");
            return Err(ApiError::value(param, "the model's chat template does not read it"));
        }
        let mut messages = self.messages.clone();
        let mut ignored = self.leave_to_the_template(&mut messages, template, cancel)?;
        if !known("developer") {
            // OpenAI's newer name of the same speaker.
            let developers = messages.iter_mut().filter(|message| message.role == "developer");
            developers.for_each(|message| message.role = "system".to_owned());
        }
        let mut extra = self.extra.clone();
        if let Some(effort) = &self.effort {
            ignored.extend(effort.tell(&mut extra, known, self.lenient)?);
        }
        let (add_generation_prompt, continue_final_message) = self.ending.of(&mut messages)?;
        let options = RenderOptions {
            add_generation_prompt,
            continue_final_message,
            tools: self.tools.clone(),
            extra,
            time_limit,
            interrupt: Some(cancel.interrupt()),
            ..RenderOptions::default()
        };
        let chat = match guard {
            Some(tokenizer) => template.render_guarded(&messages, &options, tokenizer),
            None => template.render(&messages, &options).map(RenderedChat::trusted),
        };
        let chat = chat.map_err(|error| {
            // The library's option is the server's flag.
            let error = ApiError::from(error).renamed("messages", self.param);
            error.told_as("RenderOptions::time_limit", "--template-timeout")
        })?;
        let names =
            check_rendered(&messages, &chat.text, cancel).map_err(|error| match self.param {
                "messages" => error,
                // Its items are no messages one for one.
                param => error.about(param),
            })?;
        if names {
            ignored.insert("messages[].name, which the chat template leaves out".to_owned());
        }
        check_tools(self.tools.as_deref().unwrap_or_default(), &chat.text)?;
        let goes_on = messages.last().filter(|_| continue_final_message).map(Message::text);
        Ok(Rendered { chat, ignored: ignored.into_iter().collect(), goes_on })
    }

    /// Leaves those further fields in messages that the template reads, and tells the names of the others.
    fn leave_to_the_template(
        &self,
        messages: &mut [Message],
        template: &ChatTemplate,
        cancel: &CancelToken,
    ) -> Result<BTreeSet<String>, ApiError> {
        let (mut ignored, mut read) = (BTreeSet::new(), BTreeMap::new());
        for (index, path) in &self.further {
            go_on(cancel)?;
            let Some(message) = messages.get_mut(*index) else { continue };
            for name in message.extra.keys() {
                if read.len() == MOST_EXTRA && !read.contains_key(name) {
                    let reason = format_args!(
                        "is one of more than {MOST_EXTRA} fields that this server does not know"
                    );
                    return Err(ApiError::value(format_args!("{path}.{name}"), reason));
                }
                let reads = read.entry(name.clone()).or_insert_with(|| reads(template, name));
                if *reads {
                    continue;
                }
                if !self.lenient {
                    return Err(unknown(format_args!("{path}.{name}")));
                }
                if self.lenient {
                    ignored.insert(placeless(&format!("{path}.{name}")));
                }
            }
            message.extra.retain(|name, _| read.get(name).copied().unwrap_or(false));
        }
        Ok(ignored)
    }
}

/// Whether a template's text names a field of this name, as `message.name` or `message['name']`.
fn reads(template: &ChatTemplate, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    template.texts().any(|(_, text)| {
        text.match_indices(name).any(|(at, _)| {
            let (before, rest) = text.split_at(at);
            let after = rest.get(name.len()..).and_then(|rest| rest.chars().next());
            let named = before.ends_with(['.', '\'', '"']);
            named && !name.is_empty() && !after.is_some_and(is_word)
        })
    })
}

/// Refuses a conversation of which the template has left something out: the model would answer another one. Tells whether it has
/// left out a speaker's name, which few templates write.
///
/// # Errors
/// The place of what is missing.
fn check_rendered(
    messages: &[Message],
    text: &str,
    cancel: &CancelToken,
) -> Result<bool, ApiError> {
    let mut unnamed = false;
    // Templates keep the order, as a rule: what comes next is looked for behind what was found last, so that many messages
    // take no longer than the text has bytes.
    let mut place = 0;
    let mut holds = |part: &str| {
        let mut find = |part: &str| {
            let rest = text.get(place..).unwrap_or_default();
            match rest.find(part) {
                Some(found) => {
                    place += found + part.len();
                    true
                }
                None => text.contains(part),
            }
        };
        find(part) || {
            let json = serde_json::to_string(part).unwrap_or_default();
            find(json.trim_matches('"'))
        }
    };
    for (index, message) in messages.iter().enumerate() {
        go_on(cancel)?;
        let missing = |field: &str| {
            let param = format!("messages[{index}].{field}");
            let reason = format_args!(
                "the model's chat template leaves it out of a message of role {:?}",
                message.role
            );
            Err(ApiError::unsupported(param, reason))
        };
        // Templates cut the thoughts out of what the assistant said before: that is as they should.
        let said = message.text();
        if message.role != "assistant" && !holds(said.trim()) {
            return missing("content");
        }
        unnamed |= message.name.as_deref().is_some_and(|name| !holds(name));
        let calls = message.tool_calls.iter().flatten();
        let mut names = calls.filter_map(|call| call["function"]["name"].as_str());
        if names.any(|name| !holds(name)) {
            return missing("tool_calls");
        }
    }
    Ok(unnamed)
}

/// Refuses a conversation of too many messages, before they are read.
///
/// # Errors
/// The field that holds them.
pub(super) fn check_count(param: &str, messages: usize) -> Result<(), ApiError> {
    if messages > MOST {
        let reason = format_args!("has {messages} messages; at most {MOST} are taken");
        return Err(ApiError::value(param, reason));
    }
    Ok(())
}

/// Refuses tools that the template does not show to the model.
///
/// # Errors
/// The field `tools`.
fn check_tools(tools: &[Value], text: &str) -> Result<(), ApiError> {
    let mut names = tools.iter().filter_map(|tool| tool["function"]["name"].as_str());
    match names.find(|name| !text.contains(name)) {
        None => Ok(()),
        Some(_) => {
            let reason = "the model's chat template does not show tools to the model";
            Err(ApiError::unsupported("tools", reason))
        }
    }
}

/// A message; what of it this server does not know is in `extra`.
fn message(parent: &Fields, path: &str, value: Value) -> Result<Message, ApiError> {
    let mut fields = parent.within(path, value)?;
    let mut role = fields.role()?;
    if role == "function" {
        role = "tool".to_owned();
    }
    let mut message = Message::new(role, "");
    message.name = fields.string("name")?;
    let content_name = fields.name("content");
    // A template may print null, and leave out what is not there.
    let is_null = fields.is_null("content");
    let content = fields.take("content");
    let mut content = content
        .map(|value| content_of(&fields, &content_name, value, &["text", "refusal"]))
        .transpose()?;
    if message.role == "assistant" {
        message.tool_calls = tool_calls(&mut fields)?;
        if let Some(call) = fields.take("function_call") {
            let name = fields.name("function_call");
            message.tool_calls = Some(vec![older_call(&fields, &name, call)?]);
        }
        // What an answer said in the place of its text.
        if let Some(refusal) = fields.string("refusal")? {
            content.get_or_insert(refusal);
        }
        fields.wish("audio", "the model reads text; send what was said as content")?;
        // What an answer says about its text.
        fields.take("annotations");
        // One that was given up before its first word.
        content = content.or_else(|| message.tool_calls.is_none().then(String::new));
    }
    if message.role == "tool" {
        message.tool_call_id = fields.string("tool_call_id")?;
    }
    message.content = match content {
        Some(text) => Some(Content::Text(text)),
        None if message.tool_calls.is_some() => is_null.then_some(Content::Null),
        // An answer that was cut before it said anything, and a tool that returns nothing.
        None if matches!(message.role.as_str(), "assistant" | "tool") => {
            Some(Content::Text(String::new()))
        }
        None => {
            return Err(ApiError::field(content_name, "missing_required_parameter", "is missing"));
        }
    };
    untold(&mut fields)?;
    // Calls of those who make none: only as many as none.
    if let Some(calls) = fields.take("tool_calls")
        && calls.as_array().is_none_or(|calls| !calls.is_empty())
    {
        let reason = format_args!("a message of role {:?} makes none", message.role);
        return Err(ApiError::value(fields.name("tool_calls"), reason));
    }
    message.extra = fields.rest();
    Ok(message)
}

/// Takes what needs no telling: marks of where a prompt is to be cached, since every prompt's beginning is looked for, and names
/// that a client gives to what it sends.
///
/// # Errors
/// That one is of the wrong type.
pub(super) fn untold(fields: &mut Fields) -> Result<(), ApiError> {
    fields.object("cache_control")?;
    fields.object("prompt_cache_breakpoint")?;
    fields.string("id")?;
    Ok(())
}

impl Fields {
    /// Takes the role of a message.
    ///
    /// # Errors
    /// That it is none of OpenAI's.
    pub(super) fn role(&mut self) -> Result<String, ApiError> {
        match self.required("role")? {
            Value::String(role) if ROLES.contains(&role.as_str()) => Ok(role),
            Value::String(role) => {
                let reason = format!("is {role:?}; it is one of {}", ROLES.join(", "));
                Err(ApiError::value(self.name("role"), reason))
            }
            other => Err(wrong_type(self.name("role"), "a string", &other)),
        }
    }
}

/// A text, or text parts of these types in one; a refusal is what was said, too.
///
/// # Errors
/// The place of what is no text.
pub(super) fn content_of(
    parent: &Fields,
    path: &str,
    value: Value,
    types: &[&str],
) -> Result<String, ApiError> {
    match value {
        Value::String(text) => Ok(text),
        Value::Array(parts) => {
            let part = |(index, value)| {
                let mut part = parent.within(format_args!("{path}[{index}]"), value)?;
                let kind = part.string("type")?;
                let Some(kind) = kind.filter(|kind| types.contains(&kind.as_str())) else {
                    let texts: Vec<&str> =
                        types.iter().copied().filter(|kind| *kind != "refusal").collect();
                    let reason = format_args!(
                        "this model reads text: the type of a part is {}",
                        texts.join(" or ")
                    );
                    return Err(ApiError::unsupported(part.name("type"), reason));
                };
                let text = match kind.as_str() {
                    "refusal" => part.required_string("refusal")?,
                    _ => part.required_string("text")?,
                };
                // What an answer's part says beside its text.
                part.take("annotations");
                part.take("logprobs");
                untold(&mut part)?;
                part.finish(false)?;
                Ok(text)
            };
            parts.into_iter().enumerate().map(part).collect()
        }
        other => Err(wrong_type(path, "a string or a list of parts", &other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn read(json: &str) -> Result<Conversation, ApiError> {
        Conversation::take(&mut Fields::parse(json.as_bytes())?)
    }

    fn param(error: ApiError) -> String {
        error.json()["error"]["param"].as_str().unwrap_or_default().to_owned()
    }

    #[test]
    fn mistakes_are_named_by_their_place() {
        for (messages, place) in [
            ("[]", "messages"),
            ("{}", "messages"),
            ("[3]", "messages[0]"),
            (r#"[{"content": "x"}]"#, "messages[0].role"),
            (r#"[{"role": "bot", "content": "x"}]"#, "messages[0].role"),
            (r#"[{"role": "user"}]"#, "messages[0].content"),
            (r#"[{"role": "user", "content": 5}]"#, "messages[0].content"),
            (
                r#"[{"role": "user", "content": [{"type": "image_url"}]}]"#,
                "messages[0].content[0].type",
            ),
            (r#"[{"role": "user", "content": [{"type": "text"}]}]"#, "messages[0].content[0].text"),
            (
                r#"[{"role": "user", "content": [{"type": "text", "text": "x", "colour": 1}]}]"#,
                "messages[0].content[0].colour",
            ),
            (r#"[{"role": "user", "content": "x", "tool_calls": [{}]}]"#, "messages[0].tool_calls"),
            (
                r#"[{"role": "assistant", "tool_calls": [{}]}]"#,
                "messages[0].tool_calls[0].function.name",
            ),
        ] {
            let error = read(&format!(r#"{{"messages": {messages}}}"#)).unwrap_err();
            assert_eq!(
                (error.status.as_u16(), param(error)),
                (400, place.to_owned()),
                "{messages}"
            );
        }
    }

    #[test]
    fn an_answer_can_be_sent_back_as_it_came() {
        let answer = r#"{"messages": [{"role": "assistant", "content": "Hi", "refusal": null,
            "annotations": [], "audio": null, "tool_calls": null}]}"#;
        assert_eq!(read(answer).unwrap().messages[0].text(), "Hi");
    }

    #[test]
    fn thousands_of_messages_are_checked_in_one_pass() {
        let all = ChatTemplate::new(
            "{% for m in messages %}{{ m.content }}{% endfor %}",
            crane_sdk::text::SpecialTokens::new(),
        )
        .unwrap();
        let messages: Vec<Value> = (0..MOST)
            .map(|index| serde_json::json!({ "role": "user", "content": format!("<{index}> {}", "x".repeat(200)) }))
            .collect();
        let of =
            |messages: &[Value]| read(&serde_json::json!({ "messages": messages }).to_string());
        let text = of(&messages)
            .unwrap()
            .render(&all, None, SECOND, &CancelToken::new())
            .unwrap()
            .chat
            .text;
        assert!(text.len() > MOST * 200);
        let more = [messages.as_slice(), &messages[..1]].concat();
        assert_eq!(param(of(&more).unwrap_err()), "messages");
        let cancelled = CancelToken::new();
        cancelled.cancel();
        assert_eq!(
            of(&messages).unwrap().render(&all, None, SECOND, &cancelled).unwrap_err().status,
            500
        );
    }

    #[test]
    fn a_template_may_change_the_order() {
        let systems_first = "{% for m in messages if m.role == 'system' %}{{ m.content }}{% endfor %}\
                             {% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}";
        let template =
            ChatTemplate::new(systems_first, crane_sdk::text::SpecialTokens::new()).unwrap();
        let json = r#"{"messages": [{"role": "user", "content": "one"}, {"role": "system", "content": "two"},
            {"role": "user", "content": "three"}]}"#;
        let text = read(json)
            .unwrap()
            .render(&template, None, SECOND, &CancelToken::new())
            .unwrap()
            .chat
            .text;
        assert_eq!(text, "twoonethree");
    }

    #[test]
    fn what_a_template_leaves_out_is_refused() {
        let template = "{% for m in messages %}{% if m.role != 'tool' %}{{ m.content }}{% endif %}{% endfor %}";
        let template = ChatTemplate::new(template, crane_sdk::text::SpecialTokens::new()).unwrap();
        let render = |messages: &str| {
            read(&format!(r#"{{"messages": {messages}}}"#)).unwrap().render(
                &template,
                None,
                SECOND,
                &CancelToken::new(),
            )
        };
        assert_eq!(render(r#"[{"role": "developer", "content": "x"}]"#).unwrap().chat.text, "x");
        let lost = render(r#"[{"role": "tool", "content": "42"}]"#).unwrap_err();
        assert_eq!(param(lost), "messages[0].content");
        // Few templates write who speaks: that is told to the one who runs the server.
        let named = render(r#"[{"role": "user", "content": "x", "name": "Ann"}]"#).unwrap();
        assert!(named.ignored[0].starts_with("messages[].name"));
        let json = r#"{"messages": [{"role": "user", "content": "x"}], "chat_template_kwargs": {"tone": 1}}"#;
        let lost =
            read(json).unwrap().render(&template, None, SECOND, &CancelToken::new()).unwrap_err();
        assert_eq!(param(lost), "chat_template_kwargs.tone");
    }
}
