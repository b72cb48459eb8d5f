//! `/v1/embeddings`: the request and the answer.

use base64::Engine as _;
use crane_sdk::generate::Pooling;
use serde_json::{Value, json};

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

/// The number that is written with the fewest digits that still mean `x`: widened as it is, it would have twice as many.
fn short(x: f32) -> f64 {
    x.to_string().parse().unwrap_or_else(|_| f64::from(x))
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

    /// Refuses vectors of another width than was asked for: a model's are whole or nothing.
    ///
    /// # Errors
    /// The field `dimensions`.
    pub fn check(&self, width: usize) -> Result<(), ApiError> {
        match self.dimensions.filter(|&wanted| wanted != width as u64) {
            None => Ok(()),
            Some(wanted) => {
                let reason = format_args!("is {wanted}; this model's vectors have {width} numbers");
                Err(ApiError::value("dimensions", reason))
            }
        }
    }

    /// The answer.
    pub fn answer(&self, model: &str, vectors: &[Vec<f32>], tokens: usize) -> Value {
        let item = |(index, vector): (usize, &Vec<f32>)| {
            let embedding = match self.base64 {
                true => {
                    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
                    Value::from(base64::engine::general_purpose::STANDARD.encode(bytes))
                }
                false => vector.iter().map(|&x| Value::from(short(x))).collect(),
            };
            json!({ "object": "embedding", "index": index, "embedding": embedding })
        };
        json!({
            "object": "list",
            "data": vectors.iter().enumerate().map(item).collect::<Vec<_>>(),
            "model": model,
            "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
        })
    }
}
