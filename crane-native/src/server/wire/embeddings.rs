//! `/v1/embeddings`: the request and the answer.

use base64::Engine as _;
use crane_sdk::generate::Pooling;
use serde::Serialize;

use super::completion::inputs;
use super::{ApiError, Fields, PromptInput};

/// The most texts of a request, as in OpenAI's API.
const MOST: usize = 2048;

/// Texts whose vectors are wanted.
#[derive(Debug, PartialEq)]
pub struct EmbeddingRequest {
    /// The texts.
    pub inputs: Vec<PromptInput>,
    /// How a text's hidden states become one vector, if not as the model's authors say.
    pub pooling: Option<Pooling>,
    /// Whether texts that are too long are cut.
    pub truncate: bool,
    /// Whether vectors are written in base 64: little-endian f32.
    pub base64: bool,
    /// How many numbers a vector must have.
    pub dimensions: Option<u64>,
}

impl EmbeddingRequest {
    /// Reads a request; the names of unknown fields come with it if `lenient`.
    ///
    /// # Errors
    /// The field that cannot act.
    pub fn read(mut fields: Fields, lenient: bool) -> Result<(Self, Vec<String>), ApiError> {
        let inputs = inputs("input", fields.required("input")?)?;
        if inputs.len() > MOST {
            let reason = format_args!("has {} texts; at most {MOST} are taken", inputs.len());
            return Err(ApiError::value("input", reason));
        }
        let base64 = match fields.string("encoding_format")?.as_deref() {
            None | Some("float") => false,
            Some("base64") => true,
            Some(other) => {
                let reason = format_args!("is {other:?}; it is float or base64");
                return Err(ApiError::value("encoding_format", reason));
            }
        };
        let pooling = match fields.string("pooling")?.as_deref() {
            None => None,
            Some("mean") => Some(Pooling::Mean),
            Some("last") => Some(Pooling::Last),
            Some("cls") => Some(Pooling::Cls),
            Some(other) => {
                let reason = format_args!("is {other:?}; it is mean, last or cls");
                return Err(ApiError::value("pooling", reason));
            }
        };
        let truncate = fields.boolean("truncate")?.unwrap_or(false);
        let dimensions = fields.integer("dimensions", 1..=u64::MAX)?;
        // Embeddings take no slot and wait for no turn.
        fields.string("user")?;
        let unknown = fields.finish(lenient)?;
        Ok((Self { inputs, pooling, truncate, base64, dimensions }, unknown))
    }

    /// Refuses vectors of another width than was asked for: a model's are whole or nothing. Where the model's files do
    /// not say the width, its first vector does.
    ///
    /// # Errors
    /// The field `dimensions`.
    pub fn check(dimensions: Option<u64>, width: Option<usize>) -> Result<(), ApiError> {
        match dimensions.zip(width).filter(|&(wanted, width)| wanted != width as u64) {
            None => Ok(()),
            Some((wanted, width)) => {
                let reason = format_args!("is {wanted}; this model's vectors have {width} numbers");
                Err(ApiError::value("dimensions", reason))
            }
        }
    }

    fn item<'a>(&self, index: usize, vector: &'a [f32]) -> Item<'a> {
        let embedding = match self.base64 {
            true => {
                let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
                Embedding::Base64(base64::engine::general_purpose::STANDARD.encode(bytes))
            }
            false => Embedding::Numbers(vector),
        };
        Item { object: "embedding", index, embedding }
    }

    /// The answer, as JSON.
    ///
    /// # Errors
    /// 500 if it cannot be written.
    pub fn answer(
        &self,
        model: &str,
        vectors: &[Vec<f32>],
        tokens: usize,
    ) -> Result<String, ApiError> {
        let answer = Answer {
            object: "list",
            data: vectors
                .iter()
                .enumerate()
                .map(|(index, vector)| self.item(index, vector))
                .collect(),
            model,
            usage: Usage { prompt_tokens: tokens, total_tokens: tokens },
        };
        serde_json::to_string(&answer).map_err(ApiError::internal)
    }
}

/// Written as it is: as values of JSON the numbers would take twenty times the memory.
#[derive(Serialize)]
struct Answer<'a> {
    object: &'static str,
    data: Vec<Item<'a>>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct Item<'a> {
    object: &'static str,
    index: usize,
    embedding: Embedding<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Embedding<'a> {
    /// Each with the fewest digits that still mean it.
    Numbers(&'a [f32]),
    /// Little-endian f32.
    Base64(String),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}
