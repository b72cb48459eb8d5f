//! Text to tokens, tokens to text, conversations to prompts.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use crane_sdk::generate::CancelToken;
use crane_sdk::text::Tokenizer;
use serde_json::{Value, json};

use super::intake::Intake;
use crate::server::app::App;
use crate::server::fleet::Choice;
use crate::server::lengths::{go_on, tokenized};
use crate::server::wire::{ApiError, DetokenizeRequest, Fields, TemplateRequest, TokenizeRequest};

/// The most bytes of a text that is made of tokens.
const MOST_TEXT: usize = 64 << 20;

/// Takes the field `model`, which every endpoint has: one that writes.
pub(super) fn chosen<'a>(app: &'a App, fields: &mut Fields) -> Result<Choice<'a>, ApiError> {
    let model = fields.string("model")?;
    app.fleet.text(model.as_deref())
}

/// `POST /tokenize`
pub(super) async fn tokenize(
    State(app): State<Arc<App>>,
    intake: Intake,
) -> Result<Response, ApiError> {
    let read = intake.read(&app, |app, mut fields| {
        let choice = chosen(app, &mut fields)?;
        let (request, unknown) = TokenizeRequest::read(fields, app.lenient)?;
        app.ignored(&unknown);
        Ok((choice.index, request))
    });
    let (permit, (index, request)) = read.await?;
    let model = permit.outside(app.fleet.lease_text(index)).await?;
    let answer = permit.run(move |cancel| {
        let tokenizer = &model.tokenizer;
        model.lengths.check_bytes("content", &request.content)?;
        let ids = tokenized(tokenizer, &request.content, request.add_special, cancel)?;
        match request.with_pieces {
            false => serde_json::to_string(&json!({ "tokens": ids })).map_err(ApiError::internal),
            true => pieces(tokenizer, &ids, cancel),
        }
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], answer.await?).into_response())
}

/// The tokens with their texts, as JSON. It is written as it is made: as values it would take twenty times the memory.
fn pieces(tokenizer: &Tokenizer, ids: &[u32], cancel: &CancelToken) -> Result<String, ApiError> {
    let mut json = String::from("{\"tokens\":[");
    for (index, id) in ids.iter().enumerate() {
        if index.is_multiple_of(1024) {
            go_on(cancel)?;
        }
        let bytes = tokenizer.token_bytes(*id);
        // A part of a character has no text of its own.
        let piece = match String::from_utf8(bytes) {
            Ok(text) => serde_json::to_string(&text),
            Err(error) => serde_json::to_string(error.as_bytes()),
        };
        let comma = if index == 0 { "" } else { "," };
        let piece = piece.map_err(ApiError::internal)?;
        write!(json, "{comma}{{\"id\":{id},\"piece\":{piece}}}").map_err(ApiError::internal)?;
    }
    json.push_str("]}");
    Ok(json)
}

/// `POST /detokenize`
pub(super) async fn detokenize(
    State(app): State<Arc<App>>,
    intake: Intake,
) -> Result<Json<Value>, ApiError> {
    let read = intake.read(&app, |app, mut fields| {
        let choice = chosen(app, &mut fields)?;
        let (request, unknown) = DetokenizeRequest::read(fields, app.lenient)?;
        app.ignored(&unknown);
        Ok((choice.index, request))
    });
    let (permit, (index, request)) = read.await?;
    let model = permit.outside(app.fleet.lease_text(index)).await?;
    let answer = permit.run(move |cancel| {
        let tokenizer = &model.tokenizer;
        let size = tokenizer.vocab_size();
        let mut bytes = 0;
        for (index, id) in request.tokens.iter().enumerate() {
            let param = || format!("tokens[{index}]");
            if *id as usize >= size {
                let reason = format_args!("is not in the vocabulary of {size} tokens");
                return Err(ApiError::value(param(), reason));
            }
            if index.is_multiple_of(1024) {
                go_on(cancel)?;
            }
            bytes += tokenizer.token_bytes(*id).len();
            if bytes > MOST_TEXT {
                let reason = format_args!(
                    "is where the text passes {MOST_TEXT} bytes, the most that is told"
                );
                return Err(ApiError::value(param(), reason));
            }
        }
        let text = tokenizer.decode(&request.tokens, false)?;
        Ok(Json(json!({ "content": text })))
    });
    answer.await
}

/// `POST /apply-template`
pub(super) async fn apply_template(
    State(app): State<Arc<App>>,
    intake: Intake,
) -> Result<Json<Value>, ApiError> {
    let read = intake.read(&app, |app, mut fields| {
        let choice = chosen(app, &mut fields)?;
        let (request, unknown) = TemplateRequest::read(fields, app.lenient)?;
        app.ignored(&unknown);
        Ok((choice.index, request))
    });
    let (permit, (index, request)) = read.await?;
    let model = permit.outside(app.fleet.lease_text(index)).await?;
    let (app, limit) = (app.clone(), app.template_timeout);
    let answer = permit.run(move |cancel| {
        let rendered = request.conversation.render(model.template()?, None, limit, cancel)?;
        app.ignored(&rendered.ignored);
        Ok(Json(json!({ "prompt": rendered.chat.text })))
    });
    answer.await
}
