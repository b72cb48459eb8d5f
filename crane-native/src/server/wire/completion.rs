//! `/v1/completions`: the request, the answer, and the chunks of a streamed answer.

use std::sync::Arc;

use crane_sdk::generate::{GenerationConfig, Output, PieceLogprobs};
use crane_sdk::sample::TokenLogprob;
use crane_sdk::text::Tokenizer;
use serde_json::{Map, Value, json};

use super::fields::{Neutral, wrong_type};
use super::{ApiError, Asked, Chosen, Fields, Frame, Head, Shape, Told, Usage, finish_reason};

/// What a text is gone on with where nothing says how long, as in OpenAI's API.
const DEFAULT_TOKENS: usize = 16;

/// Fields of OpenAI's API that ask for what is not done here.
pub(super) const NOT_DONE: &[Neutral] = &[
    Neutral {
        name: "suffix",
        values: &["\"\""],
        reason: "text is not filled in; only gone on with",
    },
    Neutral { name: "best_of", values: &["1"], reason: "replies are not ranked; take n" },
];

/// What is to be gone on with.
#[derive(Debug, Clone, PartialEq)]
pub enum PromptInput {
    /// A text.
    Text(String),
    /// Tokens.
    Ids(Vec<u32>),
}

/// What is asked for.
#[derive(Debug)]
pub struct CompletionRequest {
    /// The texts, each with `asked.n` replies.
    pub prompts: Vec<PromptInput>,
    /// Whether the replies begin with the prompt.
    pub echo: bool,
    /// Whether no token of a reply is wanted.
    pub alone: bool,
    /// The shared options.
    pub asked: Asked,
}

impl CompletionRequest {
    /// Reads a request; the names of unknown fields come with it if `lenient`.
    ///
    /// # Errors
    /// The field that cannot act.
    pub fn read(
        mut fields: Fields,
        defaults: &GenerationConfig,
        lenient: bool,
    ) -> Result<(Self, Vec<String>), ApiError> {
        let prompts = inputs("prompt", fields.required("prompt")?)?;
        let mut asked = Asked::take(&mut fields, defaults)?;
        let echo = fields.boolean("echo")?.unwrap_or(false);
        // Who asks about the prompt alone wants no token of a reply.
        let least = if echo { 0 } else { 1 };
        asked.at_most(Some(fields.limit("max_tokens", least)?.unwrap_or(Some(DEFAULT_TOKENS))));
        asked.config.logprobs = fields.integer("logprobs", 0..=20)?.map(|top| top as usize);
        asked.tells_end = echo && asked.config.logprobs.is_some();
        let alone = asked.config.max_new_tokens == Some(0);
        if alone {
            if asked.stream {
                let reason = "does not go with max_tokens: 0; there is nothing to stream";
                return Err(ApiError::value("stream", reason));
            }
            asked.config.max_new_tokens = Some(1);
        }
        fields.only_neutral(NOT_DONE)?;
        let unknown = fields.finish(lenient)?;
        Ok((Self { prompts, echo, alone, asked }, unknown))
    }
}

/// A text, texts, tokens, or several texts' tokens.
///
/// # Errors
/// The place of what is none.
pub(super) fn inputs(param: &str, value: Value) -> Result<Vec<PromptInput>, ApiError> {
    let wanted = "a string, a list of strings, a list of token ids or a list of such lists";
    let list = match value {
        Value::String(text) => return Ok(vec![PromptInput::Text(text)]),
        Value::Array(list) if list.is_empty() => {
            return Err(ApiError::value(param, "is an empty list: there is nothing to read"));
        }
        Value::Array(list) => list,
        other => return Err(wrong_type(param, wanted, &other)),
    };
    if list.iter().all(Value::is_number) {
        return Ok(vec![PromptInput::Ids(ids(param, &list)?)]);
    }
    let one = |(index, value)| {
        let path = format!("{param}[{index}]");
        match value {
            Value::String(text) => Ok(PromptInput::Text(text)),
            Value::Array(list) => ids(&path, &list).map(PromptInput::Ids),
            other => Err(wrong_type(path, "a string or a list of token ids", &other)),
        }
    };
    list.into_iter().enumerate().map(one).collect()
}

/// A list of token ids.
///
/// # Errors
/// The place of what is none.
pub(super) fn ids(path: &str, list: &[Value]) -> Result<Vec<u32>, ApiError> {
    let id = |(index, value): (usize, &Value)| {
        value.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| {
            ApiError::value(format_args!("{path}[{index}]"), format_args!("{value} is no token id"))
        })
    };
    list.iter().enumerate().map(id).collect()
}

/// A prompt as an answer repeats it.
#[derive(Debug, Default)]
pub struct Echo {
    /// Its text; empty if it is not repeated.
    pub text: String,
    /// Its tokens, each with how likely it was, if log-probabilities were asked for.
    pub tokens: Vec<(u32, Option<PieceLogprobs>)>,
    /// How many of the first tokens the text does not show: the one that begins texts, where it was added.
    pub hidden: usize,
}

/// The most log-probabilities of prompts that one answer tells.
const MOST_SCORES: usize = 500_000;

impl Echo {
    /// Refuses to tell more log-probabilities of prompts than an answer holds: of so many tokens, each with the `top` likeliest.
    ///
    /// # Errors
    /// The field `prompt`.
    pub fn check(tokens: usize, top: usize) -> Result<usize, ApiError> {
        let scores = tokens.saturating_mul(top + 1);
        if scores > MOST_SCORES {
            let reason = format_args!(
                "with echo and logprobs the answer would tell {scores} log-probabilities, and at most {MOST_SCORES} are told; \
                 send fewer prompts at a time, or a smaller logprobs"
            );
            return Err(ApiError::value("prompt", reason));
        }
        Ok(scores)
    }
}

/// Writes completions.
#[derive(Debug)]
pub struct CompletionShape {
    head: Head,
    tokenizer: Arc<Tokenizer>,
    logprobs: bool,
    include_usage: bool,
    /// What each reply begins with: its prompt, if it is echoed.
    begins: Vec<Arc<Echo>>,
    /// Characters of each reply that were told.
    told: Vec<usize>,
}

impl CompletionShape {
    /// For these options; `begins` is what each reply begins with.
    pub fn new(
        head: Head,
        tokenizer: Arc<Tokenizer>,
        asked: &Asked,
        begins: Vec<Arc<Echo>>,
    ) -> Self {
        Self {
            head,
            tokenizer,
            logprobs: asked.config.logprobs.is_some(),
            include_usage: asked.include_usage,
            told: vec![0; begins.len()],
            begins,
        }
    }

    fn body(&self, choices: Vec<Value>) -> Value {
        json!({
            "id": self.head.id,
            "object": "text_completion",
            "created": self.head.created,
            "model": self.head.model,
            "choices": choices,
        })
    }

    /// Part of a reply; its beginning, if there is something that it begins with.
    fn choice(
        &mut self,
        index: usize,
        begin: Option<&Echo>,
        mut told: Told,
        finish: Option<&str>,
    ) -> Value {
        let logprobs = self.logprobs(index, begin, &told);
        if let Some(begin) = begin {
            told.text.insert_str(0, &begin.text);
        }
        if let Some(count) = self.told.get_mut(index) {
            *count += told.text.chars().count();
        }
        json!({ "index": index, "text": told.text, "logprobs": logprobs, "finish_reason": finish })
    }

    fn chunk(
        &mut self,
        index: usize,
        begin: Option<&Echo>,
        told: Told,
        finish: Option<&str>,
    ) -> Frame {
        let choice = self.choice(index, begin, told, finish);
        let mut chunk = self.body(vec![choice]);
        if self.include_usage {
            chunk["usage"] = Value::Null;
        }
        chunk.into()
    }

    fn logprobs(&self, index: usize, begin: Option<&Echo>, told: &Told) -> Value {
        if !self.logprobs {
            return Value::Null;
        }
        let mut lists = Lists::new(&self.tokenizer, self.told.get(index).copied().unwrap_or(0));
        if let Some(begin) = begin {
            for (index, (id, scored)) in begin.tokens.iter().enumerate() {
                let top = scored.as_ref().map(|scored| scored.top.as_slice());
                let logprob = scored.as_ref().map(|scored| scored.logprob);
                lists.push(*id, logprob, top, index < begin.hidden);
            }
            lists.offset = begin.text.chars().count();
        }
        for Chosen { id, logprob, top } in &told.tokens {
            lists.push(*id, Some(*logprob), Some(top), false);
        }
        lists.json()
    }

    /// The answer where no token of a reply is wanted.
    pub fn prompts_alone(&mut self, usage: Usage) -> Value {
        let begins = self.begins.clone();
        let choices = begins.iter().enumerate();
        let choices = choices
            .map(|(index, begin)| self.choice(index, Some(begin), Told::default(), Some("length")));
        let choices = choices.collect();
        let mut body = self.body(choices);
        body["usage"] = json!(usage);
        body
    }
}

/// Tokens and what is told of each, in the lists of OpenAI's completions.
struct Lists<'a> {
    tokenizer: &'a Tokenizer,
    /// Characters before the next token.
    offset: usize,
    tokens: Vec<String>,
    logprobs: Vec<Option<f32>>,
    tops: Vec<Option<Map<String, Value>>>,
    offsets: Vec<usize>,
}

impl<'a> Lists<'a> {
    fn new(tokenizer: &'a Tokenizer, offset: usize) -> Self {
        let (tokens, logprobs, tops, offsets) = Default::default();
        Self { tokenizer, offset, tokens, logprobs, tops, offsets }
    }

    fn spell(&self, id: u32) -> String {
        String::from_utf8_lossy(&self.tokenizer.token_bytes(id)).into_owned()
    }

    fn push(&mut self, id: u32, logprob: Option<f32>, top: Option<&[TokenLogprob]>, hidden: bool) {
        let token = self.spell(id);
        self.offsets.push(self.offset);
        if !hidden {
            self.offset += token.chars().count();
        }
        self.tokens.push(token);
        self.logprobs.push(logprob);
        let best = top.map(|top| {
            let mut best = Map::new();
            for other in top {
                // Of tokens that are spelt alike the likeliest counts.
                best.entry(self.spell(other.id)).or_insert_with(|| json!(other.logprob));
            }
            best
        });
        self.tops.push(best);
    }

    fn json(self) -> Value {
        json!({
            "tokens": self.tokens,
            "token_logprobs": self.logprobs,
            "top_logprobs": self.tops,
            "text_offset": self.offsets,
        })
    }
}

impl Shape for CompletionShape {
    fn started(&mut self, index: usize, _cached: usize) -> Vec<Frame> {
        let begin = self.begins.get(index).cloned();
        match begin.filter(|begin| !begin.text.is_empty() || !begin.tokens.is_empty()) {
            Some(begin) => vec![self.chunk(index, Some(&begin), Told::default(), None)],
            None => Vec::new(),
        }
    }

    fn told(&mut self, index: usize, told: Told) -> Vec<Frame> {
        vec![self.chunk(index, None, told, None)]
    }

    fn ended(&mut self, index: usize, output: &Output) -> Vec<Frame> {
        vec![self.chunk(index, None, Told::default(), Some(finish_reason(output)))]
    }

    fn finished(&mut self, usage: Usage) -> Vec<Frame> {
        let mut chunk = self.body(Vec::new());
        chunk["usage"] = json!(usage);
        Vec::from_iter(self.include_usage.then_some(chunk.into()))
    }

    fn whole(&mut self, replies: Vec<(Told, Box<Output>)>, usage: Usage) -> Value {
        let mut choices = Vec::new();
        for (index, (told, output)) in replies.into_iter().enumerate() {
            let begin = self.begins.get(index).cloned();
            choices.push(self.choice(index, begin.as_deref(), told, Some(finish_reason(&output))));
        }
        let mut body = self.body(choices);
        body["usage"] = json!(usage);
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_have_four_forms() {
        let text = |text: &str| PromptInput::Text(text.to_owned());
        for (json, wanted) in [
            (r#""a""#, vec![text("a")]),
            (r#"["a", "b"]"#, vec![text("a"), text("b")]),
            ("[1, 2]", vec![PromptInput::Ids(vec![1, 2])]),
            ("[[1], [2, 3]]", vec![PromptInput::Ids(vec![1]), PromptInput::Ids(vec![2, 3])]),
        ] {
            assert_eq!(
                inputs("prompt", serde_json::from_str(json).unwrap()).unwrap(),
                wanted,
                "{json}"
            );
        }
        for json in ["[]", "3", "{}", "[1, \"a\"]", "[-1]", "[1.5]", "[[\"a\"]]", "[true]"] {
            assert!(inputs("prompt", serde_json::from_str(json).unwrap()).is_err(), "{json}");
        }
    }
}
