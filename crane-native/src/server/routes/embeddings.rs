//! `POST /v1/embeddings`

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use crane_sdk::generate::{CancelToken, Pooling, embed};
use crane_sdk::text::Tokenizer;

use super::intake::Intake;
use crate::server::app::App;
use crate::server::fleet::EmbeddingLease;
use crate::server::lengths::{Lengths, encode, go_on};
use crate::server::wire::{ApiError, EmbeddingRequest, PromptInput};
use crate::server::work::Permit;

/// Tokens that are evaluated before others have their turn.
const TURN: usize = 4096;

/// Answers with one vector for each text.
pub(super) async fn embeddings(
    State(app): State<Arc<App>>,
    intake: Intake,
) -> Result<Response, ApiError> {
    let read = intake.read(&app, |app, mut fields| {
        let model = fields.string("model")?;
        let choice = app.fleet.embedding(model.as_deref())?;
        let (request, unknown) = EmbeddingRequest::read(fields, app.lenient)?;
        EmbeddingRequest::check(request.dimensions, choice.card.about.width)?;
        app.ignored(&unknown);
        Ok((choice.index, request))
    });
    let (permit, (index, mut request)) = read.await?;
    let model = Arc::new(permit.outside(app.fleet.lease_embedding(index)).await?);
    let inputs = std::mem::take(&mut request.inputs);
    let how = (request.pooling, request.truncate, request.dimensions);
    let (vectors, count) = computed(&permit, &model, inputs, how).await?;
    let answer = permit.run(move |_| request.answer(model.name(), &vectors, count));
    Ok(([(header::CONTENT_TYPE, "application/json")], answer.await?).into_response())
}

/// The vectors of texts, and how many tokens they have together.
pub(super) async fn computed(
    permit: &Permit,
    model: &Arc<EmbeddingLease>,
    inputs: Vec<PromptInput>,
    (pooling, truncate, dimensions): (Option<Pooling>, bool, Option<u64>),
) -> Result<(Vec<Vec<f32>>, usize), ApiError> {
    let texts = permit.run({
        let model = model.clone();
        move |cancel| tokens(&model, inputs, truncate, cancel)
    });
    let mut texts = texts.await?;
    let count = texts.iter().map(Vec::len).sum();
    let mut vectors: Vec<Vec<f32>> = Vec::new();
    while !texts.is_empty() {
        let rest = texts.split_off(turn(&texts));
        let (model, texts) = (model.clone(), std::mem::replace(&mut texts, rest));
        let next = permit.embed(move |cancel| vectors_of(&model, &texts, pooling, cancel)).await?;
        if let Some(vector) = next.first() {
            EmbeddingRequest::check(dimensions, Some(vector.len()))?;
        }
        vectors.extend(next);
    }
    Ok((vectors, count))
}

/// How many of the texts are next: one at least.
fn turn(texts: &[Vec<u32>]) -> usize {
    let mut tokens = 0;
    let fits = texts.iter().take_while(|text| {
        tokens += text.len();
        tokens <= TURN
    });
    fits.count().max(1)
}

impl EmbeddingLease {
    pub(super) fn name(&self) -> &str {
        match self {
            EmbeddingLease::Encoder(model) => &model.name,
            EmbeddingLease::Text(model) => &model.name,
        }
    }

    fn tokenizer(&self) -> &Tokenizer {
        match self {
            EmbeddingLease::Encoder(model) => model.embedder.tokenizer(),
            EmbeddingLease::Text(model) => &model.tokenizer,
        }
    }

    fn lengths(&self) -> &Lengths {
        match self {
            EmbeddingLease::Encoder(model) => &model.lengths,
            EmbeddingLease::Text(model) => &model.lengths,
        }
    }

    /// The longest text, in tokens.
    fn most(&self) -> usize {
        match self {
            EmbeddingLease::Encoder(model) => model.embedder.max_tokens(),
            EmbeddingLease::Text(model) => model.engine.limits().context,
        }
    }

    fn shortened(&self, mut ids: Vec<u32>) -> Vec<u32> {
        match self {
            EmbeddingLease::Encoder(model) => model.embedder.shortened(ids),
            EmbeddingLease::Text(_) => {
                ids.truncate(self.most());
                ids
            }
        }
    }
}

/// The tokens of each text.
fn tokens(
    model: &EmbeddingLease,
    inputs: Vec<PromptInput>,
    truncate: bool,
    cancel: &CancelToken,
) -> Result<Vec<Vec<u32>>, ApiError> {
    let mut texts = Vec::new();
    for (index, input) in inputs.into_iter().enumerate() {
        go_on(cancel)?;
        let param = format_args!("input[{index}]");
        let ids = match input {
            PromptInput::Ids(ids) => ids,
            PromptInput::Text(text) => {
                model.lengths().check_bytes(param, &text)?;
                encode(model.tokenizer(), &text, cancel)?
            }
        };
        if ids.is_empty() {
            return Err(ApiError::value(param, "has no tokens"));
        }
        let ids = if truncate { model.shortened(ids) } else { ids };
        if ids.len() > model.most() {
            let reason = format_args!(
                "has {} tokens, and this model takes at most {}; shorten it, or let \"truncate\": true cut it",
                ids.len(),
                model.most()
            );
            return Err(ApiError::field(param, "context_length_exceeded", reason));
        }
        texts.push(ids);
    }
    Ok(texts)
}

fn vectors_of(
    model: &EmbeddingLease,
    texts: &[Vec<u32>],
    pooling: Option<Pooling>,
    cancel: &CancelToken,
) -> Result<Vec<Vec<f32>>, ApiError> {
    match model {
        EmbeddingLease::Encoder(model) => {
            let pooling = pooling.unwrap_or_else(|| model.embedder.pooling());
            Ok(model.embedder.embed_tokens(texts, pooling, cancel)?)
        }
        EmbeddingLease::Text(model) => {
            let pooling = pooling.unwrap_or_default();
            if pooling == Pooling::Cls {
                let reason = "is \"cls\"; this model reads from left to right: it is mean or last";
                return Err(ApiError::value("pooling", reason));
            }
            let embed = |ids: &Vec<u32>| embed(model.model.as_ref(), ids, pooling, cancel);
            Ok(texts.iter().map(embed).collect::<Result<_, _>>()?)
        }
    }
}
