//! What is here and how it is: models, health, readiness.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::server::app::App;
use crate::server::fleet::{Kind, Standing};
use crate::server::wire::{ApiError, model_object};
use crate::server::work::Stuck;

/// `GET /`
pub(super) async fn root(State(app): State<Arc<App>>) -> Json<Value> {
    let mut answer = json!({
        "name": "crane",
        "version": env!("CARGO_PKG_VERSION"),
        "models": app.fleet.names().map(|(name, _)| name).collect::<Vec<_>>(),
    });
    // One model's limits; of several each has its own.
    if let Ok(choice) = app.fleet.text(None)
        && let Kind::Text { limits, .. } = choice.card.kind
    {
        answer["context"] = limits.context.into();
        answer["parallel"] = limits.parallel.into();
    }
    Json(answer)
}

fn object(app: &App, name: &str, standing: &Standing<'_>) -> Value {
    let mut object = model_object(name, app.created, standing.state.word());
    match standing.card.kind {
        Kind::Text { limits, .. } => {
            object["kind"] = "text".into();
            object["context"] = limits.context.into();
        }
        Kind::Voice { .. } => object["kind"] = "speech".into(),
        Kind::Embedding { .. } => object["kind"] = "embedding".into(),
        Kind::Unknown => {}
    }
    if let Some(reason) = &standing.failure {
        object["reason"] = reason.as_str().into();
    }
    object
}

/// `GET /v1/models`
pub(super) async fn models(State(app): State<Arc<App>>) -> Json<Value> {
    let objects = app.fleet.names().map(|(name, standing)| object(&app, name, &standing));
    let data: Vec<Value> = objects.collect();
    Json(json!({ "object": "list", "data": data }))
}

/// `GET /v1/models/{id}`
pub(super) async fn model(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, ApiError> {
    // What is no text is no name either.
    let Path(id) = id.map_err(|rejection| app.fleet.unknown(&rejection.body_text()))?;
    match app.fleet.find(&id) {
        Some((name, standing)) => Ok(Json(object(&app, name, &standing))),
        None => Err(app.fleet.unknown(&id)),
    }
}

/// `GET /health`: whether the engines live, and what they do.
pub(super) async fn health(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let standings: Vec<Standing<'_>> = app.fleet.standings().collect();
    let (status, word) = match standings.iter().all(|standing| standing.is_well) {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::INTERNAL_SERVER_ERROR, "the engine has stopped"),
    };
    let sum = |of: fn(&Standing<'_>) -> usize| standings.iter().map(of).sum::<usize>();
    let model = |standing: &Standing<'_>| {
        let Standing { card, state, work, .. } = standing;
        json!({
            "id": card.name(), "state": state.word(), "slots": work.slots, "running": work.running,
            "waiting": work.waiting,
        })
    };
    let preparing = app.work.preparing();
    let Stuck { replaced, lost } = stuck(&app, &standings);
    let body = json!({
        "status": word,
        "stuck": { "replaced": replaced, "lost": lost },
        "preparing": { "running": preparing.running, "waiting": preparing.waiting },
        "slots": sum(|standing| standing.work.slots),
        "running": sum(|standing| standing.work.running),
        "waiting": sum(|standing| standing.work.waiting),
        "models": standings.iter().map(model).collect::<Vec<_>>(),
    });
    (status, Json(body))
}

/// The threads that go on with what was given up.
fn stuck(app: &App, standings: &[Standing<'_>]) -> Stuck {
    standings.iter().fold(app.work.stuck(), |sum, standing| sum + standing.stuck)
}

/// `GET /ready`: whether a request that is sent now would be taken, by one model or another.
pub(super) async fn ready(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let standings: Vec<Standing<'_>> = app.fleet.standings().collect();
    let is_well = standings.iter().all(|standing| standing.is_well);
    // A voice beside the others does not count: it says one text after the other.
    let writes = |standing: &&Standing<'_>| matches!(standing.card.kind, Kind::Text { .. });
    let mut writers = standings.iter().filter(writes).peekable();
    let is_full = writers.peek().is_some() && !writers.any(Standing::has_room);
    let is_stuck = stuck(&app, &standings).lost > 0;
    // Their reasons name files, and are for those who have a key: the list of models tells them.
    let failed = standings.iter().filter(|standing| standing.failure.is_some());
    let failed: Vec<&str> = failed.map(|standing| standing.card.name()).collect();
    let word = match () {
        () if !is_well => Some("the engine has stopped"),
        () if failed.len() == standings.len() => Some("no model could be loaded"),
        () if is_stuck => Some("work that was given up does not end; restart the server"),
        () if app.is_draining() => Some("draining"),
        () if is_full || app.work.is_full() => Some("the queue is full"),
        () => None,
    };
    let (status, word) = match word {
        Some(word) => (StatusCode::SERVICE_UNAVAILABLE, word),
        None => (StatusCode::OK, "ready"),
    };
    let mut answer = json!({ "status": word });
    if !failed.is_empty() {
        answer["failed"] = json!(failed);
    }
    (status, Json(answer))
}

/// `GET /metrics`: what is counted and timed, in the format of OpenMetrics.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = app.fleet.metrics(app.work.preparing())?;
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
