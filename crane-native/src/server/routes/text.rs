//! Text to tokens, tokens to text, conversations to prompts.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::server::app::App;
use crate::server::fleet::Choice;
use crate::server::wire::{ApiError, DetokenizeRequest, Fields, TemplateRequest, TokenizeRequest};

/// Runs work that takes the processor for a while where it holds up nobody.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(ApiError::internal(error)))
}

/// Takes the field `model`, which every endpoint has: one that writes.
pub(super) fn chosen<'a>(app: &'a App, fields: &mut Fields) -> Result<Choice<'a>, ApiError> {
    let model = fields.string("model")?;
    app.fleet.text(model.as_deref())
}

/// `POST /tokenize`
pub(super) async fn tokenize(
    State(app): State<Arc<App>>,
    mut fields: Fields,
) -> Result<Json<Value>, ApiError> {
    let choice = chosen(&app, &mut fields)?;
    let (request, unknown) = TokenizeRequest::read(fields, app.lenient)?;
    app.ignored(&unknown);
    let model = app.fleet.lease_text(choice).await?;
    aside(move || {
        let tokenizer = &model.tokenizer;
        let ids = tokenizer.encode(&request.content, request.add_special)?;
        if !request.with_pieces {
            return Ok(Json(json!({ "tokens": ids })));
        }
        let piece = |&id: &u32| {
            let bytes = tokenizer.token_bytes(id);
            // A part of a character has no text of its own.
            let piece = String::from_utf8(bytes)
                .map_or_else(|error| Value::from(error.into_bytes()), Value::String);
            json!({ "id": id, "piece": piece })
        };
        let tokens: Vec<Value> = ids.iter().map(piece).collect();
        Ok(Json(json!({ "tokens": tokens })))
    })
    .await
}

/// `POST /detokenize`
pub(super) async fn detokenize(
    State(app): State<Arc<App>>,
    mut fields: Fields,
) -> Result<Json<Value>, ApiError> {
    let choice = chosen(&app, &mut fields)?;
    let (request, unknown) = DetokenizeRequest::read(fields, app.lenient)?;
    app.ignored(&unknown);
    let model = app.fleet.lease_text(choice).await?;
    aside(move || {
        let tokenizer = &model.tokenizer;
        let size = tokenizer.vocab_size();
        if let Some(index) = request.tokens.iter().position(|&id| id as usize >= size) {
            let reason = format_args!("is not in the vocabulary of {size} tokens");
            return Err(ApiError::value(format_args!("tokens[{index}]"), reason));
        }
        let text = tokenizer.decode(&request.tokens, false)?;
        Ok(Json(json!({ "content": text })))
    })
    .await
}

/// `POST /apply-template`
pub(super) async fn apply_template(
    State(app): State<Arc<App>>,
    mut fields: Fields,
) -> Result<Json<Value>, ApiError> {
    let choice = chosen(&app, &mut fields)?;
    let (request, unknown) = TemplateRequest::read(fields, app.lenient)?;
    app.ignored(&unknown);
    let model = app.fleet.lease_text(choice).await?;
    aside(move || {
        let template = model.template()?;
        let prompt = request.conversation.render(template, request.add_generation_prompt)?;
        Ok(Json(json!({ "prompt": prompt })))
    })
    .await
}
