//! `/v1/completions`: the request, the answer, and the chunks of a streamed answer.

use std::sync::Arc;

use crane_sdk::generate::{GenerationConfig, Output};
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
        asked.config.max_new_tokens = Some(fields.count("max_tokens")?.unwrap_or(DEFAULT_TOKENS));
        asked.config.logprobs = fields.integer("logprobs", 0..=20)?.map(|top| top as usize);
        let echo = fields.boolean("echo")?.unwrap_or(false);
        if echo && asked.config.logprobs.is_some() {
            let reason = "does not go with logprobs: those of a prompt are not computed";
            return Err(ApiError::unsupported("echo", reason));
        }
        fields.only_neutral(NOT_DONE)?;
        let unknown = fields.finish(lenient)?;
        Ok((Self { prompts, echo, asked }, unknown))
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

/// Writes completions.
#[derive(Debug)]
pub struct CompletionShape {
    head: Head,
    tokenizer: Arc<Tokenizer>,
    logprobs: bool,
    include_usage: bool,
    /// What each reply begins with: its prompt, if it is echoed.
    begins: Vec<String>,
    /// Characters of each reply that were told.
    told: Vec<usize>,
}

impl CompletionShape {
    /// For these options; `begins` is what each reply begins with.
    pub fn new(head: Head, tokenizer: Arc<Tokenizer>, asked: &Asked, begins: Vec<String>) -> Self {
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

    fn choice(&mut self, index: usize, told: Told, finish: Option<&str>) -> Value {
        let logprobs = self.logprobs(index, &told);
        if let Some(count) = self.told.get_mut(index) {
            *count += told.text.chars().count();
        }
        json!({ "index": index, "text": told.text, "logprobs": logprobs, "finish_reason": finish })
    }

    fn chunk(&mut self, index: usize, told: Told, finish: Option<&str>) -> Frame {
        let choice = self.choice(index, told, finish);
        let mut chunk = self.body(vec![choice]);
        if self.include_usage {
            chunk["usage"] = Value::Null;
        }
        chunk.into()
    }

    fn logprobs(&self, index: usize, told: &Told) -> Value {
        if !self.logprobs {
            return Value::Null;
        }
        let spell = |id: u32| String::from_utf8_lossy(&self.tokenizer.token_bytes(id)).into_owned();
        let mut offset = self.told.get(index).copied().unwrap_or(0);
        let (mut tokens, mut values, mut tops, mut offsets) = (vec![], vec![], vec![], vec![]);
        for Chosen { id, logprob, top } in &told.tokens {
            let token = spell(*id);
            offsets.push(offset);
            offset += token.chars().count();
            tokens.push(token);
            values.push(*logprob);
            let best = top.iter().map(|other| (spell(other.id), json!(other.logprob)));
            tops.push(best.collect::<Map<String, Value>>());
        }
        json!({ "tokens": tokens, "token_logprobs": values, "top_logprobs": tops, "text_offset": offsets })
    }
}

impl Shape for CompletionShape {
    fn started(&mut self, index: usize, _cached: usize) -> Vec<Frame> {
        match self.begins.get(index).filter(|text| !text.is_empty()).cloned() {
            Some(text) => vec![self.chunk(index, Told { text, tokens: Vec::new() }, None)],
            None => Vec::new(),
        }
    }

    fn told(&mut self, index: usize, told: Told) -> Vec<Frame> {
        vec![self.chunk(index, told, None)]
    }

    fn ended(&mut self, index: usize, output: &Output) -> Vec<Frame> {
        vec![self.chunk(index, Told::default(), Some(finish_reason(output)))]
    }

    fn finished(&mut self, usage: Usage) -> Vec<Frame> {
        let mut chunk = self.body(Vec::new());
        chunk["usage"] = json!(usage);
        Vec::from_iter(self.include_usage.then_some(chunk.into()))
    }

    fn whole(&mut self, replies: Vec<(Told, Box<Output>)>, usage: Usage) -> Value {
        let mut choices = Vec::new();
        for (index, (mut told, output)) in replies.into_iter().enumerate() {
            if let Some(begin) = self.begins.get(index) {
                told.text.insert_str(0, begin);
            }
            choices.push(self.choice(index, told, Some(finish_reason(&output))));
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
