//! `POST /v1/embeddings`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use crane_sdk::generate::{CancelToken, embed};
use serde_json::Value;

use super::generate::encode;
use super::text::{aside, chosen};
use crate::server::app::App;
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
    let choice = chosen(&app, &mut fields)?;
    let (request, unknown) = EmbeddingRequest::read(fields, app.lenient)?;
    app.ignored(&unknown);
    let model = app.fleet.lease_text(choice).await?;
    let cancel = CancelToken::new();
    let _given_up = GiveUp(cancel.clone());
    // One request at a time: the threads that compute are the same for all.
    let _turn = app.embedding.lock().await;
    aside({
        move || {
            let context = model.engine.limits().context;
            let mut texts = Vec::new();
            for (index, input) in request.inputs.iter().enumerate() {
                let (ids, _) = encode(&model.tokenizer, input.clone())?;
                if ids.is_empty() {
                    let param = format_args!("input[{index}]");
                    return Err(ApiError::value(param, "has no tokens"));
                }
                if ids.len() > context {
                    return Err(ApiError::overflow(ids.len(), context));
                }
                texts.push(ids);
            }
            let mut vectors = Vec::new();
            for ids in &texts {
                let vector = embed(model.model.as_ref(), ids, request.pooling, &cancel)?;
                request.check(vector.len())?;
                vectors.push(vector);
            }
            let tokens = texts.iter().map(|ids| ids.len()).sum();
            Ok(Json(request.answer(&model.name, &vectors, tokens)))
        }
    })
    .await
}
