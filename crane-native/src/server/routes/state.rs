//! What is here and how it is: models, health, readiness.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::server::app::App;
use crate::server::wire::{ApiError, model_object};

/// `GET /`
pub(super) async fn root(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({
        "name": "crane",
        "version": env!("CARGO_PKG_VERSION"),
        "models": app.names().collect::<Vec<_>>(),
        "context": app.served.engine.limits().context,
        "parallel": app.served.engine.limits().parallel,
    }))
}

/// `GET /v1/models`
pub(super) async fn models(State(app): State<Arc<App>>) -> Json<Value> {
    let object = |name: &String| model_object(name, app.created);
    let data: Vec<Value> = app.names().map(object).collect();
    Json(json!({ "object": "list", "data": data }))
}

/// `GET /v1/models/{id}`
pub(super) async fn model(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    if !app.names().any(|name| *name == id) {
        app.check_model(Some(&id))?;
    }
    Ok(Json(model_object(&id, app.created)))
}

/// `GET /health`: whether the engine lives, and what it does.
pub(super) async fn health(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let engine = &app.served.engine;
    let (running, waiting) = engine.load();
    let (status, word) = match engine.is_alive() {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::INTERNAL_SERVER_ERROR, "the engine has stopped"),
    };
    let slots = engine.limits().parallel;
    let body = json!({ "status": word, "slots": slots, "running": running, "waiting": waiting });
    (status, Json(body))
}

/// `GET /ready`: whether a request that is sent now would be taken.
pub(super) async fn ready(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let engine = &app.served.engine;
    let limits = engine.limits();
    let (running, waiting) = engine.load();
    let full = running + waiting >= limits.parallel + limits.queue;
    let (status, word) = match (engine.is_alive(), app.is_draining(), full) {
        (false, _, _) => (StatusCode::SERVICE_UNAVAILABLE, "the engine has stopped"),
        (_, true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (_, _, true) => (StatusCode::SERVICE_UNAVAILABLE, "the queue is full"),
        _ => (StatusCode::OK, "ready"),
    };
    (status, Json(json!({ "status": word })))
}

/// `GET /metrics`: what the engine counts and times, in the format of OpenMetrics.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = app.served.engine.metrics()?;
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
