//! `POST /v1/embeddings`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use crane_sdk::generate::{CancelToken, Pooling, embed};
use crane_sdk::text::Tokenizer;
use serde_json::Value;

use super::generate::encode;
use super::text::aside;
use crate::server::app::App;
use crate::server::fleet::EmbeddingLease;
use crate::server::wire::{ApiError, EmbeddingRequest, Fields};

/// Gives up what was begun when nobody waits for it any more.
struct GiveUp(CancelToken);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Answers with one vector for each text.
pub(super) async fn embeddings(
    State(app): State<Arc<App>>,
    mut fields: Fields,
) -> Result<Json<Value>, ApiError> {
    let model = fields.string("model")?;
    let choice = app.fleet.embedding(model.as_deref())?;
    let (request, unknown) = EmbeddingRequest::read(fields, app.lenient)?;
    app.ignored(&unknown);
    let model = app.fleet.lease_embedding(choice).await?;
    let cancel = CancelToken::new();
    let _given_up = GiveUp(cancel.clone());
    // One request at a time: the threads that compute are the same for all.
    let _turn = app.embedding.lock().await;
    aside(move || {
        let texts = tokens(&model, &request)?;
        let vectors = vectors(&model, &texts, request.pooling, &cancel)?;
        vectors.iter().try_for_each(|vector| request.check(vector.len()))?;
        let tokens = texts.iter().map(Vec::len).sum();
        Ok(Json(request.answer(model.name(), &vectors, tokens)))
    })
    .await
}

impl EmbeddingLease {
    fn name(&self) -> &str {
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
fn tokens(model: &EmbeddingLease, request: &EmbeddingRequest) -> Result<Vec<Vec<u32>>, ApiError> {
    let mut texts = Vec::new();
    for (index, input) in request.inputs.iter().enumerate() {
        let (ids, _) = encode(model.tokenizer(), input.clone())?;
        if ids.is_empty() {
            let param = format_args!("input[{index}]");
            return Err(ApiError::value(param, "has no tokens"));
        }
        let ids = match request.truncate {
            true => model.shortened(ids.to_vec()),
            false => ids.to_vec(),
        };
        if ids.len() > model.most() {
            return Err(ApiError::overflow(ids.len(), model.most()));
        }
        texts.push(ids);
    }
    Ok(texts)
}

fn vectors(
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
