//! `/api/embed` and the older `/api/embeddings`: the requests and the answers.

use std::time::Duration;

use crane_sdk::generate::GenerationConfig;
use serde::Serialize;
use serde_json::Value;

use super::Common;
use crate::server::wire::fields::wrong_type;
use crate::server::wire::{ApiError, Fields, PromptInput};

/// The most texts of a request.
const MOST: usize = 2048;

/// Texts whose vectors are wanted.
#[derive(Debug)]
pub struct OllamaEmbed {
    /// The texts; none where the model is only to be loaded.
    pub inputs: Vec<PromptInput>,
    /// Whether texts that are too long are cut.
    pub truncate: bool,
    /// How many numbers a vector must have.
    pub dimensions: Option<u64>,
    /// The shared options.
    pub common: Common,
}

impl OllamaEmbed {
    /// Reads a request; the names of unknown fields come with it if `lenient`.
    ///
    /// # Errors
    /// The field that cannot act.
    pub fn read(mut fields: Fields, lenient: bool) -> Result<(Self, Vec<String>), ApiError> {
        let text = |(index, value)| match value {
            Value::String(text) => Ok(PromptInput::Text(text)),
            other => Err(wrong_type(format_args!("input[{index}]"), "a string", &other)),
        };
        let inputs = match fields.take("input") {
            None => Vec::new(),
            Some(Value::String(text)) if text.is_empty() => Vec::new(),
            Some(Value::String(text)) => vec![PromptInput::Text(text)],
            Some(Value::Array(list)) if list.len() > MOST => {
                let reason = format_args!("has {} texts; at most {MOST} are taken", list.len());
                return Err(ApiError::value("input", reason));
            }
            Some(Value::Array(list)) => {
                list.into_iter().enumerate().map(text).collect::<Result<_, _>>()?
            }
            Some(other) => {
                return Err(wrong_type("input", "a string or a list of strings", &other));
            }
        };
        let truncate = fields.boolean("truncate")?.unwrap_or(true);
        let dimensions = fields.integer("dimensions", 0..=u64::MAX)?.filter(|count| *count > 0);
        let mut common = options(&mut fields, lenient)?;
        let mut unknown = std::mem::take(&mut common.unknown);
        unknown.extend(fields.finish(lenient)?);
        Ok((Self { inputs, truncate, dimensions, common }, unknown))
    }
}

/// A text whose vector is wanted, as the older endpoint asks for it.
#[derive(Debug)]
pub struct OllamaEmbedding {
    /// The text; nothing where the model is only to be loaded.
    pub prompt: String,
    /// The shared options.
    pub common: Common,
}

impl OllamaEmbedding {
    /// Reads a request; the names of unknown fields come with it if `lenient`.
    ///
    /// # Errors
    /// The field that cannot act.
    pub fn read(mut fields: Fields, lenient: bool) -> Result<(Self, Vec<String>), ApiError> {
        let prompt = fields.string("prompt")?.unwrap_or_default();
        let mut common = options(&mut fields, lenient)?;
        let mut unknown = std::mem::take(&mut common.unknown);
        unknown.extend(fields.finish(lenient)?);
        Ok((Self { prompt, common }, unknown))
    }
}

/// Takes `options` and `keep_alive`. How tokens are chosen is nothing to a vector: what is given of it has no effect.
fn options(fields: &mut Fields, lenient: bool) -> Result<Common, ApiError> {
    let given = fields.copy("options");
    let mut common = Common::options(fields, &GenerationConfig::default(), lenient)?;
    let given = given.iter().filter_map(Value::as_object).flatten();
    let acts = |name: &String, value: &Value| !value.is_null() && name != "num_ctx";
    let idle = given.filter(|(name, value)| acts(name, value));
    common.idle = idle.map(|(name, _)| format!("options.{name}")).collect();
    Ok(common)
}

/// Vectors of texts. They are written as they are: as values of JSON the numbers would take twenty times the memory.
#[derive(Debug, Serialize)]
pub struct Embeddings<'a> {
    /// The model as it was asked for.
    pub model: &'a str,
    /// A vector for each text.
    pub embeddings: &'a [Vec<f32>],
    /// Nanoseconds.
    pub total_duration: u64,
    /// Nanoseconds until the model was there.
    pub load_duration: u64,
    /// Tokens of all texts.
    pub prompt_eval_count: usize,
}

/// Nanoseconds, as Ollama's API counts time.
pub fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The answer of the older endpoint.
#[derive(Debug, Serialize)]
pub struct OneEmbedding<'a> {
    /// The vector of the text.
    pub embedding: &'a [f32],
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_are_read_and_what_has_no_effect_is_told() {
        let read = |body: Value| {
            let fields = Fields::parse(body.to_string().as_bytes()).unwrap();
            OllamaEmbed::read(fields, false).map(|(request, _)| request)
        };
        for (input, count) in [
            (json!(null), 0),
            (json!(""), 0),
            (json!([]), 0),
            (json!("a"), 1),
            (json!(["a", "b"]), 2),
        ] {
            assert_eq!(read(json!({ "input": input })).unwrap().inputs.len(), count, "{input}");
        }
        let request = read(json!({ "input": "a", "dimensions": 0, "options": { "temperature": 0.1,
            "num_ctx": 99, "top_p": null } }));
        let request = request.unwrap();
        assert_eq!((request.truncate, request.dimensions), (true, None));
        assert_eq!(
            (request.common.idle, request.common.num_ctx),
            (vec!["options.temperature".to_owned()], Some(99))
        );
        for (body, name) in [
            (json!({ "input": 3 }), "input"),
            (json!({ "input": ["a", 3] }), "input[1]"),
            (json!({ "input": "a", "truncate": "no" }), "truncate"),
            (json!({ "input": "a", "options": { "warmth": 1 } }), "options.warmth"),
            (json!({ "input": "a", "encoding": 1 }), "encoding"),
        ] {
            assert_eq!(read(body).unwrap_err().json()["error"]["param"], name);
        }
    }
}
